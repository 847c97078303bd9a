"""Teams that change: REFIL's 3-8sz on SMAX's units (Iqbal et al., 2021, and its StarCraft maps).

Eight slots a side. Each episode draws one of the multisets of two unit types whose size is allowed,
all equally likely (39 from 3 to 8), the same for both sides; the other slots are absent.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import Key
from jmarl_envs.smax.library import opened
from jmarl_envs.smax.physics import apart
from jmarl_envs.smax.rules import MAP, Battle, Rules, by_kind

SLOTS = 8  # a side
RADIUS = 7.0  # of the circle on which REFIL's teams start opposite to each other
NOISE = 2.0  # SMAX's: units start this far at most from their team's place, in x and in y


@dataclass(frozen=True)
class TeamOpenings:
    """First battles. A network for these eight slots fits whatever sizes are allowed."""

    rules: Rules
    kinds: tuple[int, int]
    least: int
    most: int
    rotated: bool  # teams on a circle at a random angle (REFIL); else left and right (SMAX)
    shuffled: bool  # units fill random slots (as REFIL's random tags); else the first ones

    @property
    def compositions(self) -> tuple[tuple[int, int], ...]:
        """(how many of the first type, of the second)"""
        sizes = range(self.least, self.most + 1)
        return tuple((first, size - first) for size in sizes for first in range(size + 1))

    def __call__(self, key: Key) -> Battle:
        draw_key, place_key, *slot_keys = jax.random.split(key, 4)
        drawn = jax.random.randint(draw_key, (), 0, len(self.compositions))
        first, second = jnp.array(self.compositions)[drawn]
        rank = jnp.concatenate([self.ranks(slot_key) for slot_key in slot_keys])
        present = rank < first + second
        kind = jnp.where(rank < first, *self.kinds)
        health = jnp.where(present, by_kind(self.rules.health, kind), 0.0)
        x, y = self.places(place_key)
        x, y = apart(x, y, by_kind(self.rules.radius, kind), present)
        return opened(x, y, health, kind, present, SLOTS)

    def ranks(self, key: Key) -> Array:
        """[SLOTS] each slot's place in its team's list of units."""
        order = jnp.arange(SLOTS)
        return jax.random.permutation(key, order) if self.shuffled else order

    def places(self, key: Key) -> tuple[Array, Array]:
        """Where the units start, [2 SLOTS] x and y."""
        angle_key, x_key, y_key = jax.random.split(key, 3)
        angle, radius = jnp.full((), jnp.pi), MAP / 4
        if self.rotated:
            angle, radius = jax.random.uniform(angle_key, maxval=2 * jnp.pi), RADIUS
        side = jnp.repeat(jnp.array([radius, -radius]), SLOTS)
        noise_x, noise_y = (
            jax.random.uniform(key, side.shape, minval=-NOISE, maxval=NOISE)
            for key in (x_key, y_key)
        )
        middle = MAP / 2
        return middle + side * jnp.cos(angle) + noise_x, middle + side * jnp.sin(angle) + noise_y
