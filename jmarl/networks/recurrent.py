"""A GRU through time, with a gradient of its own.

Autodiff adds to the gradient of the state's weights at every step of the way back. Here the way
back only finds what each step's gates should have been, and the weights' gradient is one product
over all steps afterwards (benchmarks/NOTES.md says what that buys).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import tree_where


class Gates(NamedTuple):
    """One step of a GRU, [..., H] each."""

    reset: Array
    keep: Array
    new: Array
    state: Array  # the state's part of `new`, before `reset` weighs it


def gates(state_part: Array, projected: Array) -> Gates:
    """From what the state and the input contribute, [..., 3 H] each: r, z, n side by side."""
    x_r, x_z, x_n = jnp.split(projected, 3, -1)
    h_r, h_z, h_n = jnp.split(state_part, 3, -1)
    reset, keep = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    return Gates(reset, keep, jnp.tanh(x_n + reset * h_n), h_n)


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
        projected, start = x
        read = [tree_where(start, jnp.zeros_like(h), h) for h in states]
        opened = [
            gates(h @ c.weights.kernel + c.weights.bias, p)
            for c, h, p in zip(cells, read, projected, strict=True)
        ]
        states = [updated(h, g) for h, g in zip(read, opened, strict=True)]
        return states, (tuple(states), opened[0], read[0])

    xs = [c.projected for c in cells], start
    _, (states, opened, read) = jax.lax.scan(one, first, xs)
    return states, (opened, read)


def remember(
    cell: Cell, others: tuple[Cell, ...], start: Array
) -> tuple[tuple[Array, tuple[Array, ...]], Any]:
    states, (opened, read) = forward(cell, others, start)
    return (states[0], states[1:]), (opened, read, cell.weights.kernel, start)


def backward(saved: Any, cotangents: tuple[Array, tuple[Array, ...]]) -> tuple[Cell, None, None]:
    """Back through time for the gates, then one product for the weights."""
    opened, read, kernel, start = saved
    turned = kernel.T

    def one(later: Array, x: tuple[Array, Gates, Array, Array]) -> tuple[Array, Any]:
        own, g, h, start = x
        grad = own + later
        d_new = grad * (1 - g.keep) * (1 - g.new**2)
        d_keep = grad * (h - g.new) * g.keep * (1 - g.keep)
        d_reset = d_new * g.state * g.reset * (1 - g.reset)
        d_state = jnp.concatenate([d_reset, d_keep, d_new * g.reset], -1)
        before = grad * g.keep + d_state @ turned
        d_input = jnp.concatenate([d_reset, d_keep, d_new], -1)
        return tree_where(start, jnp.zeros_like(before), before), (d_state, d_input)

    xs = cotangents[0], opened, read, start
    _, (d_state, d_input) = jax.lax.scan(one, jnp.zeros_like(read[0]), xs, reverse=True)
    rows = lambda x: x.reshape(-1, x.shape[-1])
    weights = Weights(rows(read).T @ rows(d_state), rows(d_state).sum(0))
    return Cell(weights, d_input), None, None


through_time.defvjp(remember, backward)
