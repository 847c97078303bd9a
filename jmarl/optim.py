"""Gradient steps and moving averages that keep their tree's type; clipping as the papers' code."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import Array

T = TypeVar("T")


def descend(tx: optax.GradientTransformation, grads: T, state: Any, params: T) -> tuple[T, Any]:
    """One optimiser step; returns new parameters and optimiser state."""
    updates, state = tx.update(grads, state, params)  # pyright: ignore[reportArgumentType]
    return jax.tree.map(lambda p, u: p + u, params, updates), state


def polyak(new: T, old: T, tau: Any) -> T:
    """(1 - tau) old + tau new, leaf by leaf."""
    return jax.tree.map(lambda n, o: (1 - tau) * o + tau * n, new, old)


def global_norm(tree: Any) -> Array:
    """The Euclidean norm over all leaves."""
    return optax.tree.norm(tree)


def clip_global(limit: Any) -> optax.GradientTransformation:
    """torch's `clip_grad_norm_`: all gradients times min(1, limit / (norm + 1e-6))."""

    def clip(grads: Any) -> Any:
        scale = jnp.minimum(1.0, limit / (global_norm(grads) + 1e-6))
        return jax.tree.map(lambda g: g * scale, grads)

    return optax.stateless(lambda grads, params: clip(grads))


def clip_each(limit: Any) -> optax.GradientTransformation:
    """TensorFlow's `clip_by_norm` on every array alone, as openai/maddpg does."""

    def clip(g: Array) -> Array:
        return g * limit / jnp.maximum(jnp.linalg.norm(g.reshape(-1)), limit)

    return optax.stateless(lambda grads, params: jax.tree.map(clip, grads))


def every(period: int, done: Array, tau: Any, new: T, old: T) -> T:
    """`polyak` where the update that follows `done` others is a multiple of `period`; else old."""
    due = (done + 1) % period == 0
    return jax.lax.cond(due, lambda: polyak(new, old, tau), lambda: old)
