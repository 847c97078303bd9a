"""SMAX's numbers and its state, as arrays whose first axis is the units.

All arithmetic of this package leaves the axes after the units free: a battle by itself has none,
and battles side by side stand along the last one (`vmapped_last`). So the innermost loops run over
battles, long and without gaps, instead of over the few units or the two coordinates of one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array
from jax.custom_batching import custom_vmap

MAP = 32.0  # the map is MAP x MAP
STOP, MOVES = 4, 5  # actions: up, right, down, left, stop, then attack enemy 0, 1, ...
SUBSTEPS, SECONDS = 8, 1 / 16  # of physics in a step, and how long one lasts


class Battle(struct.PyTreeNode):
    """E = N + M units, allies first. A dead or absent unit has no health and keeps its place."""

    x: Array  # [E] from 0 to MAP
    y: Array  # [E]
    health: Array  # [E]
    cooldown: Array  # [E] seconds until it may shoot; falls on below zero
    kind: Array  # [E] int32 unit type
    action: Array  # [E] int32 last chosen; an enemy counts its targets from the last ally
    present: Array  # [E] bool: the slot is filled in this episode
    goal_x: Array  # [M] where an enemy goes that sees nobody
    goal_y: Array  # [M]
    victim: Array  # [M] int32 last target, counted from the last ally; -1 for none

    @property
    def alive(self) -> Array:
        return self.health > 0


@dataclass(frozen=True)
class Rules:
    """What holds in all battles of an environment. By unit type where a tuple stands."""

    num_allies: int
    num_enemies: int
    speed: tuple[float, ...]
    damage: tuple[float, ...]
    reach: tuple[float, ...]
    sight: tuple[float, ...]
    radius: tuple[float, ...]
    health: tuple[float, ...]
    cooldown: tuple[float, ...]
    move_x: tuple[float, ...]  # by action up to STOP
    move_y: tuple[float, ...]
    letters: tuple[str, ...]
    walls_cause_death: bool = True
    see_enemy_actions: bool = True
    enemy_shoots: bool = True
    random_targets: bool = False  # whom the enemy attacks of those in reach; else the closest

    @property
    def num_units(self) -> int:
        return self.num_allies + self.num_enemies

    @property
    def num_kinds(self) -> int:
        return len(self.speed)


def by_kind(table: Sequence[float], kind: Array) -> Array:
    """table[kind]. A few selections are faster than a gather."""
    found = jnp.full(kind.shape, table[0], jnp.float32)
    for index, value in enumerate(table[1:], 1):
        found = jnp.where(kind == index, value, found)
    return found


def along_units(values: Any, like: Array) -> Array:
    """Constants of leading axes [E, ...] with as many free axes behind as `like` [E, ...] has."""
    values = np.asarray(values)
    return jnp.asarray(values.reshape(*values.shape, *(1,) * (like.ndim - 1)))


def vmapped_last(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, whose vmap is itself: called once, the batch as the last axis of everything."""
    wrapped = custom_vmap(function)

    @wrapped.def_vmap
    def _(size: int, batched: Any, *args: Any) -> tuple[Any, Any]:
        def last(leaf: Array, is_batched: bool) -> Array:
            if is_batched:
                return jnp.moveaxis(leaf, 0, -1)
            return jnp.broadcast_to(leaf[..., None], (*leaf.shape, size))

        out = function(*jax.tree.map(last, args, tuple(batched)))
        first = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), out)
        return first, jax.tree.map(lambda _: True, out)

    return wrapped
