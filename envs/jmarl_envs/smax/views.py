"""What allies may know of a battle. Units [E], allies first; further axes free, but for features.

Every function lays its features along the axis after the last one of units.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl_envs.smax.rules import MAP, MOVES, STOP, Battle, Rules, along_units, by_kind

SEEN = 7  # features of a unit that is seen, before its type
OWN = 4  # features of oneself, and of a unit in the state, before its type
MIDDLE = MAP / 2


class Sight(NamedTuple):
    """Who sees and who may attack whom."""

    sees: Array  # [N, E] bool: both live and are near enough; nearly all living see themselves
    attacks: Array  # [N, M] bool


def sight_of(rules: Rules, battle: Battle) -> Sight:
    n = rules.num_allies
    away_x = battle.x[:n, None] - battle.x[None]
    away_y = battle.y[:n, None] - battle.y[None]
    distance = jnp.sqrt(away_x * away_x + away_y * away_y)
    both_live = battle.alive[:n, None] & battle.alive[None]
    kind = battle.kind[:n, None]
    sees = both_live & (distance < by_kind(rules.sight, kind))
    attacks = both_live & (distance < by_kind(rules.reach, kind))
    return Sight(sees, attacks[:, n:])


def available(rules: Rules, battle: Battle, sight: Sight) -> Array:
    """[N, MOVES + M] bool: the dead and absent may stop alone."""
    alive = battle.alive[: rules.num_allies]
    moves = [alive] * STOP + [jnp.ones_like(alive)]
    return jnp.concatenate([jnp.stack(moves, 1), sight.attacks], 1)


def observations(rules: Rules, battle: Battle, sight: Sight) -> Array:
    """[N, O] jaxmarl's unit list: a block for each other ally, for each enemy, then oneself.

    A block: health; (x, y) from the observer over its sight; last move (x, y); last attack;
    cooldown; type. Zeros where nobody is seen. Oneself: health, x, y, cooldown, type.
    """
    n, e = rules.num_allies, rules.num_units
    before = along_units(np.arange(e - 1) < np.arange(n)[:, None], battle.x)

    def others(units: Array) -> Array:
        """[N, E] or [1, E] to [N, E-1]: every ally leaves itself out."""
        return jnp.where(before, units[:, :-1], units[:, 1:])

    sight_range = by_kind(rules.sight, battle.kind[:n])[:, None]
    planes = [
        battle.health / by_kind(rules.health, battle.kind),
        (battle.x[None] - battle.x[:n, None]) / sight_range,
        (battle.y[None] - battle.y[:n, None]) / sight_range,
        *last_actions(rules, battle),
        ready(rules, battle),
        *kinds(rules, battle),
    ]
    sees = others(sight.sees)
    rows = [plane if plane.ndim == sees.ndim else plane[None] for plane in planes]
    blocks = jnp.stack([jnp.where(sees, others(row), 0.0) for row in rows], 2)
    blocks = blocks.reshape(n, -1, *blocks.shape[3:])
    return jnp.concatenate([blocks, unit_rows(rules, battle)[:n]], 1)


def unit_rows(rules: Rules, battle: Battle) -> Array:
    """[E, OWN + types]: health, x, y, cooldown (each from 0 to 1), type. Zeros for the dead."""
    planes = [
        battle.health / by_kind(rules.health, battle.kind),
        battle.x / MAP,
        battle.y / MAP,
        ready(rules, battle),
        *kinds(rules, battle),
    ]
    return jnp.stack([jnp.where(battle.alive, plane, 0.0) for plane in planes], 1)


def entity_features(rules: Rules, battle: Battle, sight: Sight) -> Array:
    """[E, F]: slot one-hot [E]; which enemies it may attack [M] (allies); is an enemy; type;
    health, cooldown, x, y, and x, y from the map's middle (from -1 to 1).

    An ally's action MOVES + k attacks the entity N + k, whose slot one-hot says so. Of the dead
    remain slot, side and type, as in REFIL; of absent ones nothing.
    """
    e = rules.num_units
    like = battle.x
    slot = jnp.broadcast_to(along_units(np.eye(e, dtype=np.float32), like), (e, *like.shape))
    nobody = jnp.zeros((rules.num_enemies, *sight.attacks.shape[1:]))
    attacks = jnp.concatenate([sight.attacks.astype(jnp.float32), nobody])
    enemy = along_units((np.arange(e) >= rules.num_allies).astype(np.float32), like)
    lasting = [jnp.broadcast_to(enemy, like.shape), *kinds(rules, battle)]
    passing = [
        battle.health / by_kind(rules.health, battle.kind),
        ready(rules, battle),
        battle.x / MAP,
        battle.y / MAP,
        (battle.x - MIDDLE) / MIDDLE,
        (battle.y - MIDDLE) / MIDDLE,
    ]
    own = lasting + [jnp.where(battle.alive, plane, 0.0) for plane in passing]
    features = jnp.concatenate([slot, attacks, jnp.stack(own, 1)], 1)
    return jnp.where(battle.present[:, None], features, 0.0)


def hidden(rules: Rules, battle: Battle, sight: Sight) -> Array:
    """[N, E] bool: everybody sees itself, the dead nobody else; nobody sees absent units."""
    oneself = along_units(np.eye(rules.num_allies, rules.num_units, dtype=bool), sight.sees[0])
    return ~(sight.sees | (oneself & battle.present[None]))


def last_actions(rules: Rules, battle: Battle) -> list[Array]:
    """Three times [E]: the last move (x, y), and the attack as a share of the highest action."""
    move = jnp.minimum(battle.action, STOP)
    enemy = along_units(np.arange(rules.num_units) >= rules.num_allies, battle.x)
    highest = MOVES - 1 + jnp.where(enemy, rules.num_allies, rules.num_enemies)
    attack = jnp.where(battle.action < MOVES, 0.0, battle.action / highest)
    planes = [by_kind(rules.move_x, move), by_kind(rules.move_y, move), attack]
    if rules.see_enemy_actions:
        return planes
    return [jnp.where(enemy, 0.0, plane) for plane in planes]


def ready(rules: Rules, battle: Battle) -> Array:
    """[E] the share of the cooldown that is left."""
    return (battle.cooldown / by_kind(rules.cooldown, battle.kind)).clip(0.0, 1.0)


def kinds(rules: Rules, battle: Battle) -> list[Array]:
    """The type one-hot as so many times [E]."""
    return [(battle.kind == kind).astype(jnp.float32) for kind in range(rules.num_kinds)]
