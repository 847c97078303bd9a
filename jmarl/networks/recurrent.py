"""A GRU through time, with a gradient of its own.

Autodiff adds to the gradient of the state's weights at every step of the way back. Here the way
back only finds the gradient of each state; the weights' is one product over all steps afterwards
(benchmarks/NOTES.md says what that buys).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.networks.rows import products
from jmarl.types import tree_where


class Gates(NamedTuple):
    """One step of a GRU, [..., H] each."""

    reset: Array
    keep: Array
    new: Array
    state: Array  # the state's part of `new`, before `reset` weighs it


Parts = Sequence[Array]  # of the gates r, z and n, [..., H] each


def gates(state: Parts, inputs: Parts) -> Gates:
    """From what the state and the input contribute."""
    (x_r, x_z, x_n), (h_r, h_z, h_n) = inputs, state
    reset, keep = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    return Gates(reset, keep, jnp.tanh(x_n + reset * h_n), h_n)


def split(gates: Array) -> list[Array]:
    """[..., 3 H] -> three of [..., H]."""
    return jnp.split(gates, 3, -1)


def updated(h: Array, g: Gates) -> Array:
    """The next state."""
    return (1 - g.keep) * g.new + g.keep * h


class Weights(NamedTuple):
    """Of the state: kernel [H, 3 H] and bias [3 H]."""

    kernel: Array
    bias: Array


class Cell(NamedTuple):
    """A GRU's weights and what it is to read, already projected."""

    weights: Weights
    projected: Array  # [T, ..., 3 H]


@jax.custom_vjp
def through_time(
    cell: Cell, others: tuple[Cell, ...], start: Array
) -> tuple[Array, tuple[Array, ...]]:
    """States [T, ..., H] of a cell, and of others that go along in the same scan.

    States open with zeros where `start` [T, B] says so. Only the first cell has a gradient.
    """
    states, _ = forward(cell, others, start)
    return states[0], states[1:]


def forward(
    cell: Cell, others: tuple[Cell, ...], start: Array
) -> tuple[tuple[Array, ...], tuple[Gates, Array]]:
    """All states; the first cell's gates, and the states that it read."""
    cells = (cell, *others)
    width = cell.weights.bias.shape[0] // 3
    first = [jnp.zeros((*c.projected.shape[1:-1], width), c.projected.dtype) for c in cells]

    def one(states: list[Array], x: Any) -> Any:
        inputs, start = x
        read = [tree_where(start, jnp.zeros_like(h), h) for h in states]
        opened = [
            gates(split(h @ c.weights.kernel + c.weights.bias), parts)
            for c, h, parts in zip(cells, read, inputs, strict=True)
        ]
        states = [updated(h, g) for h, g in zip(read, opened, strict=True)]
        return states, (tuple(states), opened[0], read[0])

    # split outside the scan: inside, XLA's CPU loops are not vectorised (benchmarks/NOTES.md)
    xs = [split(c.projected) for c in cells], start
    _, (states, opened, read) = jax.lax.scan(one, first, xs)
    return states, (opened, read)


def remember(
    cell: Cell, others: tuple[Cell, ...], start: Array
) -> tuple[tuple[Array, tuple[Array, ...]], Any]:
    states, (opened, read) = forward(cell, others, start)
    return (states[0], states[1:]), (opened, read, cell.weights.kernel, start)


def backward(saved: Any, cotangents: tuple[Array, tuple[Array, ...]]) -> tuple[Cell, None, None]:
    """Back through time for the states' gradients; all else is said of all steps at once."""
    g, read, kernel, start = saved
    slope_new = (1 - g.keep) * (1 - g.new**2)
    slope_keep = (read - g.new) * g.keep * (1 - g.keep)
    slope_reset = slope_new * g.state * g.reset * (1 - g.reset)
    slopes = slope_reset, slope_keep, slope_new * g.reset  # of the state's part of r, z, n
    turned = [part.T for part in split(kernel)]

    def one(later: Array, x: Any) -> tuple[Array, Array]:
        own, keep, slopes, start = x
        grad = own + later
        before = grad * keep
        for slope, part in zip(slopes, turned, strict=True):
            before = before + (grad * slope) @ part
        return tree_where(start, jnp.zeros_like(before), before), grad

    xs = cotangents[0], g.keep, slopes, start
    _, grad = jax.lax.scan(one, jnp.zeros_like(read[0]), xs, reverse=True)
    d_state = jnp.concatenate([grad * slope for slope in slopes], -1)
    d_input = jnp.concatenate([grad * slope_reset, grad * slope_keep, grad * slope_new], -1)
    weights = Weights(products(read, d_state), d_state.sum(tuple(range(d_state.ndim - 1))))
    return Cell(weights, d_input), None, None


through_time.defvjp(remember, backward)
