"""Actions as the spec describes them: choices, distributions and numbers, part by part."""

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import EnvSpec, Key


def one_hots(index: Array, parts: tuple[int, ...]) -> Array:
    """A flat choice [] as its parts' one-hots [sum(parts)]; the first part runs fastest."""
    rows = []
    for size in parts:
        rows.append(jax.nn.one_hot(index % size, size))
        index = index // size
    return jnp.concatenate(rows)


def pick(spec: EnvSpec, available: Array, scores: Array) -> Array:
    """Of [A, U] scores the best available choice in each part; in a box, the scores themselves."""
    allowed = jnp.where(available, scores, -jnp.inf)
    if spec.action_kind == "discrete":
        return allowed.argmax(-1).astype(jnp.int32)
    if spec.action_kind == "box":
        return jnp.where(available, scores, 0.0)
    rows = [
        _best_of_parts(allowed[agent], parts, spec.action_size)
        for agent, parts in enumerate(spec.action_parts)
    ]
    return jnp.stack(rows)


def _best_of_parts(scores: Array, parts: tuple[int, ...], width: int) -> Array:
    """One agent's [U] scores as one-hots of each part's best entry [U]."""
    row, start = jnp.zeros(width), 0
    for size in parts:
        row = row.at[start + scores[start : start + size].argmax()].set(1.0)
        start += size
    return row


def random_actions(spec: EnvSpec, available: Array, key: Key) -> Array:
    """Uniform over each agent's available choices (of every part), or over the box."""
    scores = jax.random.uniform(key, available.shape, minval=-1.0, maxval=1.0)
    return pick(spec, available, scores)


def extreme_actions(spec: EnvSpec, available: Array, sign: float | Array) -> Array:
    """Every agent's last available choices (sign 1) or first ones (-1); in a box, its corners."""
    ramp = jnp.ones(spec.action_size)
    if spec.action_kind != "box":
        ramp = jnp.linspace(-1.0, 1.0, spec.action_size)
    return pick(spec, available, jnp.broadcast_to(sign * ramp, available.shape))
