"""Discs that push and touch each other on an endless plane: one step of three implementations.

- openai: multiagent-particle-envs (Lowe et al., 2017). The velocity is updated first, then moves
  the body: an action shows in the next observation.
- maac: the fork of Iqbal and Sha (2019). As openai, but forces from actions are scaled by the
  acceleration twice and by the mass, and contact forces by the ratio of the masses.
- pettingzoo: PettingZoo's mpe2 and jaxmarl. Bodies move with their old velocity, so an action
  shows one observation later; discrete moves have the opposite signs.

All: steps of 0.1 s, a quarter of the velocity lost in each, and discs closer than the sum of their
radii pushed apart by a soft spring.
"""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

Variant = Literal["openai", "maac", "pettingzoo"]
DT, DAMPING = 0.1, 0.25
CONTACT, MARGIN = 100.0, 1e-3  # force, and the depth over which it sets in
GAIN = 5.0  # force of a full action where a scenario sets no acceleration


@dataclass(frozen=True, eq=False)
class Bodies:
    """What never changes of N agents and the L landmarks behind them, as numpy."""

    radius: np.ndarray  # [N+L]
    collides: np.ndarray  # [N+L] bool
    movable: np.ndarray  # [N] bool; landmarks never move
    acceleration: np.ndarray  # [N]; 0 where none is set
    max_speed: np.ndarray  # [N]; infinite where none is set
    mass: np.ndarray  # [N]

    @property
    def num_agents(self) -> int:
        return len(self.movable)

    def touch(self) -> np.ndarray:
        """[N+L, N+L] the distance below which two bodies touch."""
        return self.radius[:, None] + self.radius


def bodies(
    radius: list[float],
    collides: list[bool],
    movable: list[bool],
    acceleration: float | list[float] = 0.0,
    max_speed: float | list[float] = np.inf,
    mass: float | list[float] = 1.0,
) -> Bodies:
    """From lists, and single numbers that hold for all agents."""
    count = len(movable)
    each = lambda value: np.broadcast_to(np.asarray(value, float), (count,))
    return Bodies(
        np.asarray(radius, float),
        np.asarray(collides, bool),
        np.asarray(movable, bool),
        each(acceleration),
        each(max_speed),
        each(mass),
    )


def gains(facts: Bodies, variant: Variant) -> np.ndarray:
    """[N] force of a full action; nothing moves the immovable."""
    set_ = facts.acceleration > 0
    gain = np.where(set_, facts.acceleration, GAIN)
    if variant == "maac":
        gain = facts.mass * gain * np.where(set_, facts.acceleration, 1.0)
    return gain * facts.movable


def move(
    facts: Bodies, variant: Variant, pos: Array, vel: Array, landmarks: Array, push: Array
) -> tuple[Array, Array]:
    """Positions and velocities [N, 2] one step later; `push` [N, 2] within the unit square."""
    force = push * gains(facts, variant)[:, None] + contacts(facts, variant, pos, landmarks)
    next_vel = (1 - DAMPING) * vel + force / facts.mass[:, None] * DT
    next_vel = capped(facts, next_vel) * facts.movable[:, None]
    return pos + DT * (vel if variant == "pettingzoo" else next_vel), next_vel


def capped(facts: Bodies, vel: Array) -> Array:
    """No faster than each may be."""
    if np.isinf(facts.max_speed).all():
        return vel
    speed = jnp.sqrt((vel**2).sum(-1, keepdims=True))
    limit = facts.max_speed[:, None].astype(vel.dtype)
    return jnp.where(speed > limit, vel / jnp.where(speed > 0, speed, 1) * limit, vel)


def contacts(facts: Bodies, variant: Variant, pos: Array, landmarks: Array) -> Array:
    """[N, 2] the force on each agent from all that it touches.

    Agents meet those `shift` places further on, round and round: each pair is looked at once, in
    long rows, which is several times faster than a table of all pairs.
    """
    count, strength, touch = len(pos), pairs(facts, variant), facts.touch()
    agents, force = np.arange(count), jnp.zeros_like(pos)
    for shift in range(1, count // 2 + 1):
        other = (agents + shift) % count
        own, reaction = strength[agents, other], strength[other, agents]
        if own.any() or reaction.any():
            push = spring(pos - jnp.roll(pos, -shift, 0), touch[agents, other])
            force += own[:, None] * push
            if 2 * shift < count:  # else the other meets this one too, at the same shift
                force -= jnp.roll(reaction[:, None] * push, shift, 0)
    for index in np.flatnonzero(strength[:, count:].any(0)):
        push = spring(pos - landmarks[index], touch[:count, count + index])
        force += strength[:, count + index, None] * push
    return force


def spring(offset: Array, touch: np.ndarray) -> Array:
    """[N, 2] the force at `offset` [N, 2] from the other: CONTACT times softplus of the depth."""
    distance = jnp.sqrt((offset**2).sum(-1))
    depth = (touch - distance) / MARGIN
    # jnp.logaddexp minds infinities, which do not come here, and takes longer for that
    softplus = jnp.maximum(depth, 0) + jnp.log1p(jnp.exp(-jnp.abs(depth)))
    size = CONTACT * MARGIN * softplus / jnp.where(distance > 0, distance, 1)
    return size[:, None] * offset


def pairs(facts: Bodies, variant: Variant) -> np.ndarray:
    """[N, N+L] how strongly a contact with the second counts for the first: 0 where they pass."""
    count = facts.num_agents
    meet = (
        facts.collides[:count, None]
        & facts.collides
        & ~np.eye(count, len(facts.radius), dtype=bool)
    )
    strength = (meet & facts.movable[:, None]).astype(float)
    if variant == "maac":
        both = facts.movable[:, None] & facts.movable
        ratio = facts.mass / facts.mass[:, None]
        strength[:, :count] *= np.where(both, ratio, 1.0)
    return strength


def off_diagonal(matrix: Array) -> Array:
    """[N, N, ...] without its diagonal, [N, N-1, ...]: for each agent the others, in order."""
    n, rest = matrix.shape[0], matrix.shape[2:]
    flat = matrix.reshape(n * n, *rest)[1:].reshape(n - 1, n + 1, *rest)
    return flat[:, :-1].reshape(n, n - 1, *rest)
