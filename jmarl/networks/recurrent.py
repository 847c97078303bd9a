"""A GRU through time, with a gradient of its own.

What does not depend on the state (the input's part of the gates and, on the way back, the weights'
gradients) is a few large products over all steps, which suits accelerators. On a CPU it is faster
in the scan, step by step, as a step's arrays stay in the caches (benchmarks/NOTES.md).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.networks.rows import merging, products, rows
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
    """Of all three gates: kernel [in, 3 H] and bias [3 H]."""

    kernel: Array
    bias: Array

    def of(self, x: Array) -> Array:
        """[..., in] -> [..., 3 H]."""
        return (rows(x) @ self.kernel + self.bias).reshape(*x.shape[:-1], self.bias.shape[0])


class Cell(NamedTuple):
    """A GRU's weights, and what it is to read."""

    state: Weights
    input: Weights
    seen: Array  # [T, ..., in]


@jax.custom_vjp
def through_time(
    cell: Cell, others: tuple[Cell, ...], start: Array
) -> tuple[Array, tuple[Array, ...]]:
    """States [T, ..., H] of a cell, and of others that go along in the same scan.

    States open with zeros where `start` [T, B] says so. Only the first cell has a gradient.
    """
    return remember(cell, others, start)[0]


def remember(
    cell: Cell, others: tuple[Cell, ...], start: Array
) -> tuple[tuple[Array, tuple[Array, ...]], Any]:
    (own, *rest), gates, read = by_platform(forward, (cell, *others), start)
    return (own, tuple(rest)), (cell, gates, read, start)


def backward(saved: Any, cotangents: tuple[Array, tuple[Array, ...]]) -> tuple[Cell, None, None]:
    return by_platform(back, *saved, cotangents[0]), None, None


through_time.defvjp(remember, backward)


def by_platform(way: Callable[..., Any], *args: Any) -> Any:
    """`way` with what no state enters step by step on a CPU, at once elsewhere.

    At once, too, where devices share the batch: they would add up weights' gradients at each step.
    """
    at_once = partial(way, at_once=True)
    if not merging.get():
        return at_once(*args)
    return jax.lax.platform_dependent(*args, cpu=partial(way, at_once=False), default=at_once)


def forward(
    cells: tuple[Cell, ...], start: Array, *, at_once: bool
) -> tuple[list[Array], Gates, Array]:
    """All states [T, B, ..., H]; the first cell's gates, and the states that it read.

    `start` [T, B] is where episodes open.
    """

    def parts(cell: Cell, seen: Array) -> Parts:
        return split(cell.input.of(seen))

    def one(states: list[Array], x: Any) -> Any:
        seen, start = x
        inputs = seen if at_once else map(parts, cells, seen)
        read = [tree_where(start, jnp.zeros_like(h), h) for h in states]
        opened = [
            gates(split(c.state.of(h)), i) for c, h, i in zip(cells, read, inputs, strict=True)
        ]
        states = [updated(h, g) for h, g in zip(read, opened, strict=True)]
        return states, (states, opened[0], read[0])

    width = cells[0].state.kernel.shape[0]
    first = [jnp.zeros((*c.seen.shape[1:-1], width), c.seen.dtype) for c in cells]
    seen = [parts(c, c.seen) if at_once else c.seen for c in cells]
    return jax.lax.scan(one, first, (seen, start))[1]


def back(cell: Cell, g: Gates, read: Array, start: Array, own: Array, *, at_once: bool) -> Cell:
    """Gradients of the weights and of what the cell saw, from those of its states, `own`.

    All but `start` [T, B] and the weights are [T, B, ..., H] (Werbos, 1990: back through time).
    """

    def one(carry: Any, x: Any) -> Any:
        later, weights = carry
        own, g, read, seen, start = x
        grad = own + later
        of_state, _ = shares(grad, g, read)
        before = grad * g.keep + through(cell.state, of_state)
        before = tree_where(start, jnp.zeros_like(before), before)
        if at_once:
            return (before, weights), grad
        step = gradients(cell, grad, g, read, seen)
        return (before, jax.tree.map(jnp.add, weights, (step.state, step.input))), step.seen

    none = jax.tree.map(jnp.zeros_like, (read[0], (cell.state, cell.input)))
    xs = own, g, read, cell.seen, start
    (_, (state, inputs)), found = jax.lax.scan(one, none, xs, reverse=True)
    return gradients(cell, found, g, read, cell.seen) if at_once else Cell(state, inputs, found)


def shares(grad: Array, g: Gates, read: Array) -> tuple[Array, Array]:
    """Of a state's gradient, what the state before and the input contributed: [..., 3 H] each."""
    new = grad * (1 - g.keep) * (1 - g.new**2)
    keep = grad * (read - g.new) * g.keep * (1 - g.keep)
    reset = new * g.state * g.reset * (1 - g.reset)
    join = lambda new: jnp.concatenate([reset, keep, new], -1)
    return join(new * g.reset), join(new)


def gradients(cell: Cell, grad: Array, g: Gates, read: Array, seen: Array) -> Cell:
    """Of one step or of many, whose states have the gradient `grad` [..., H]."""
    of_state, of_input = shares(grad, g, read)
    state, inputs = (
        Weights(products(x, slope), slope.sum(tuple(range(slope.ndim - 1))))
        for x, slope in ((read, of_state), (seen, of_input))
    )
    return Cell(state, inputs, through(cell.input, of_input))


def through(weights: Weights, slope: Array) -> Array:
    """The gradient of what the weights read: [..., 3 H] -> [..., in]."""
    return (rows(slope) @ weights.kernel.T).reshape(*slope.shape[:-1], -1)
