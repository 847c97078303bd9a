"""A memory in stripes: each remembers its share of the environments and gives its share of a batch.

Where stripes lie on devices of their own, nothing remembered ever moves between them. Drawing from
each stripe equally often leaves every step as likely as before.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import Clock, Key, Memory, Transition


def striped(one: Memory[Any], stripes: int) -> Memory[Any]:
    """`one` is the memory of a stripe; states have a leading axis [stripes], rollouts and batches
    [T, B, ...] hold the stripes side by side."""

    def init(rollout: Transition) -> Any:
        return jax.vmap(one.init, 1)(split(rollout, stripes))

    def add(state: Any, rollout: Transition, clock: Clock) -> Any:
        return jax.vmap(one.add, (0, 1, None))(state, split(rollout, stripes), clock)

    def sample(state: Any, key: Key, clock: Clock) -> Transition:
        keys = jax.random.split(key, stripes)
        return join(jax.vmap(one.sample, (0, 0, None), 1)(state, keys, clock))

    return Memory(init, add, sample)


laid = ContextVar("laid", default=1)  # in how many stripes


@contextmanager
def laid_in(stripes: int) -> Iterator[None]:
    """Rollouts and batches [T, B, ...] of programs traced in here lie in so many stripes side by
    side."""
    token = laid.set(stripes)
    try:
        yield
    finally:
        laid.reset(token)


def lots(key: Key, tree: Any, num_envs: int, count: int) -> tuple[Array, Any]:
    """Environments drawn into `count` even lots, if that can be of each stripe equally many:
    indices [count, b] or [count, stripes, b], and the tree of which `drawn` takes them."""
    stripes = laid.get()
    if stripes == 1 or num_envs % (stripes * count):
        return jax.random.permutation(key, num_envs).reshape(count, -1), tree
    keys = jax.random.split(key, stripes)
    order = jax.vmap(lambda key: jax.random.permutation(key, num_envs // stripes))(keys)
    return jnp.moveaxis(order.reshape(stripes, count, -1), 0, 1), split(tree, stripes)


def drawn(tree: Any, at: Array) -> Any:
    """Environments `at` [b] of a tree [T, B, ...], or `at` [stripes, b] of one
    [T, stripes, ...]: [T, b, ...] or [T, stripes * b, ...]."""
    if at.ndim == 1:
        return jax.tree.map(lambda x: x[:, at], tree)
    return join(jax.tree.map(lambda x: jax.vmap(lambda x, at: x[:, at], (1, 0), 1)(x, at), tree))


def part(batch: Any, parts: int, nth: Array) -> Any:
    """Of a batch [N, ...] that was drawn in so many even parts, the `nth`: [N / parts, ...]. Every
    stripe's share of the batch has all parts, one behind the other."""
    cut = lambda x: x.reshape(laid.get(), parts, -1, *x.shape[1:])[:, nth]
    return jax.tree.map(lambda x: jax.lax.collapse(cut(x), 0, 2), batch)


def cut_after(batch: Any, count: int) -> tuple[Any, Any]:
    """A batch [N, ...] in two: the first columns of every stripe's share of it, `count` in all, and
    what is behind them."""
    stripes = laid.get()
    each = count // stripes
    shares = jax.tree.map(lambda x: x.reshape(stripes, -1, *x.shape[1:]), batch)
    cut = lambda where: jax.tree.map(lambda x: jax.lax.collapse(x[:, where], 0, 2), shares)
    return cut(slice(each)), cut(slice(each, None))


def split(rollout: Any, stripes: int) -> Any:
    """[T, B, ...] to [T, stripes, B / stripes, ...]."""
    return jax.tree.map(lambda x: x.reshape(len(x), stripes, -1, *x.shape[2:]), rollout)


def join(batch: Any) -> Any:
    """[T, stripes, b, ...] to [T, stripes * b, ...]."""
    return jax.tree.map(lambda x: jax.lax.collapse(x, 1, 3), batch)
