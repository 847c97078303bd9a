"""A memory in stripes: each remembers its share of the environments and gives its share of a batch.

Where stripes lie on devices of their own, nothing remembered ever moves between them. Drawing from
each stripe equally often leaves every step as likely as before.
"""

from typing import Any

import jax

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


def split(rollout: Transition, stripes: int) -> Transition:
    """[T, B, ...] to [T, stripes, B / stripes, ...]."""
    return jax.tree.map(lambda x: x.reshape(len(x), stripes, -1, *x.shape[2:]), rollout)


def join(batch: Transition) -> Transition:
    """[T, stripes, b, ...] to [T, stripes * b, ...]."""
    return jax.tree.map(lambda x: jax.lax.collapse(x, 1, 3), batch)
