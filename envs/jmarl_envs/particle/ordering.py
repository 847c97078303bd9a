"""Who is nearest, without a sort: for the few things of one environment comparing all is faster."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl_envs.particle.geometry import squares


def ranks(values: Array) -> Array:
    """[..., K] place of each value in ascending order, int32; equal ones keep their order."""
    index = np.arange(values.shape[-1])
    other, own = values[..., :, None], values[..., None, :]
    before = jnp.where(index[:, None] < index, other <= own, other < own)
    return before.sum(-2, dtype=jnp.int32)


def order(values: Array) -> Array:
    """[..., K] indices in ascending order of the values, int32: a stable argsort."""
    index = np.arange(values.shape[-1], dtype=np.int32)
    placed = ranks(values)[..., None, :] == index[:, None]
    return (placed * index).sum(-1, dtype=jnp.int32)


def pick(rows: Array, index: Array) -> Array:
    """`rows[index]` where every index is known to be within bounds."""
    return rows.at[index].get(mode="promise_in_bounds")


def nearest_first(pos: Array, rows: Array, itself: bool = False) -> Array:
    """[N, M, F]: for each of `pos` [N, 2] all `rows` [M, F], the nearest first, their first two
    entries (a place) seen from there. `itself`: row n is n itself, which is left out.
    """
    far = jnp.sqrt(squares(pos, rows[:, :2]))
    if itself:
        far = jnp.where(np.eye(len(pos), dtype=bool), jnp.inf, far)
    index = order(far)[:, : len(rows) - itself]
    here = jnp.pad(pos, ((0, 0), (0, rows.shape[1] - 2)))
    return pick(rows, index) - here[:, None]
