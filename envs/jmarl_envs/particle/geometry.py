"""What the scenarios share: random starts, distances, and rows of observations."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import Key
from jmarl_envs.particle.physics import off_diagonal
from jmarl_envs.particle.world import Particles, Scenario


def opening(task: Scenario, key: Key, goal: Array, reach: float = 1.0) -> Particles:
    """Everybody at rest and silent, uniformly in [-1, 1]^2; landmarks in [-reach, reach]^2."""
    count, total = len(task.agents), len(task.bodies.radius)
    places = jax.random.uniform(key, (total, 2), minval=-1.0, maxval=1.0)
    return Particles(
        pos=places[:count],
        vel=jnp.zeros((count, 2)),
        message=jnp.zeros((count, task.vocabulary)),
        landmarks=reach * places[count:],
        goal=goal,
    )


def any_of(key: Key, choices: int, shape: tuple[int, ...] = ()) -> Array:
    """Uniform int32 below `choices`."""
    return jax.random.randint(key, shape, 0, choices, jnp.int32)


def chosen(rows: Array, index: Array) -> Array:
    """`rows[index]` for rows [L, ...]; few rows are faster summed than gathered."""
    mask = one_hot(index, len(rows)).reshape(*index.shape, len(rows), *[1] * (rows.ndim - 1))
    return jnp.where(mask, rows, 0).sum(index.ndim)


def one_hot(index: Array, size: int) -> Array:
    """[..., size] bool."""
    return index[..., None] == np.arange(size)


def colour(index: Array, size: int, dark: float, light: float) -> Array:
    """[..., size]: `light` at `index`, `dark` elsewhere."""
    return jnp.where(one_hot(index, size), light, dark)


def squares(pos: Array, places: Array) -> Array:
    """[A, P] squared distances."""
    dx, dy = (pos[:, None, axis] - places[None, :, axis] for axis in (0, 1))
    return dx**2 + dy**2


def distances(pos: Array, place: Array) -> Array:
    """[A] from each of [A, 2] to one place [2]."""
    return jnp.sqrt(((pos - place) ** 2).sum(-1))


def touching(pos: Array, radius: np.ndarray, others: Array, their_radius: np.ndarray) -> Array:
    """[A, B] bool: closer than the sum of their radii; on oneself too."""
    return squares(pos, others) < (radius[:, None] + their_radius) ** 2


def towards(pos: Array, places: Array) -> Array:
    """[A, 2P] each agent's offsets to all places."""
    return (places - pos[:, None]).reshape(len(pos), -1)


def towards_others(pos: Array) -> Array:
    """[A, 2 (A-1)] each agent's offsets to the others, in order."""
    return off_diagonal(pos - pos[:, None]).reshape(len(pos), -1)


def repeated(row: Array | np.ndarray, count: int) -> Array:
    """[count, ...] the same for all."""
    return jnp.broadcast_to(row, (count, *row.shape))


def stacked(*blocks: Array) -> Array:
    """Blocks [a, o] of rows one below another [A, O], the narrow ones padded with zeros."""
    width = max(block.shape[1] for block in blocks)
    wide = [jnp.pad(block, ((0, 0), (0, width - block.shape[1]))) for block in blocks]
    return jnp.concatenate(wide)
