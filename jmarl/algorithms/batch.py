"""Batches of single transitions, as feed-forward off-policy critics read them."""

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl import actions
from jmarl.types import EnvSpec, Transition, View, tree_where


class Batch(struct.PyTreeNode):
    """N transitions, time and environments folded together."""

    view: View  # [N, ...]
    next_view: View  # the view itself where the episode terminated
    action: Array  # [N, A, W] vectors
    reward: Array  # [N, A]
    terminated: Array  # [N]
    weight: Array  # [N] 1 where a step was taken, else 0
    member: Array | None = None  # [N, A] which sub-policies acted, of ensembles


def mean(x: Array, weight: Array) -> Array:
    """Of x [N] under weights [N]."""
    return (x * weight).sum() / jnp.maximum(weight.sum(), 1)


def means(x: Array, weight: Array) -> Array:
    """Of each column of x [N, A] under weights [N] or [N, A]."""
    weight = jnp.broadcast_to(weight.reshape(len(weight), -1), x.shape)
    return jax.vmap(mean, 1)(x, weight)


def take(x: Array, action: Array) -> Array:
    """The entries [..., A] of x [..., A, U] at actions [..., A]."""
    return jnp.take_along_axis(x, action[..., None], -1)[..., 0]


def fold(spec: EnvSpec, batch: Transition) -> Batch:
    """[T, B] and the views around to N = T B transitions."""
    flat = lambda tree: jax.tree.map(lambda x: jax.lax.collapse(x, 0, 2), tree)
    here, after = (jax.tree.map(cut, batch.view) for cut in (lambda x: x[:-1], lambda x: x[1:]))
    return Batch(
        view=flat(here),
        # behind a termination stands another episode, which moments over a batch would hear of
        next_view=flat(tree_where(batch.terminated, here, after)),
        action=actions.encode(spec, flat(batch.action)),
        reward=flat(batch.reward),
        terminated=flat(batch.terminated),
        weight=flat(batch.valid).astype(batch.reward.dtype),
    )
