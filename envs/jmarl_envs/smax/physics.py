"""What happens in a step of SMAX: 8 sub-steps of shooting, walking and making room.

Equal to jaxmarl's `SMAX.step_env_no_decode` but for rounding. Units [E], further axes free.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl_envs.smax.noise import Words, nth, uniform
from jmarl_envs.smax.rules import (
    MAP,
    MOVES,
    SECONDS,
    STOP,
    SUBSTEPS,
    Battle,
    Rules,
    along_units,
    by_kind,
)


def advance(rules: Rules, battle: Battle, action: Array, words: Words) -> Battle:
    """The battle after everybody has done its action [E] for half a second."""
    battle = battle.replace(action=action)
    aims = targets(rules, action)
    speed = by_kind(rules.speed, battle.kind) * SECONDS
    step_x = by_kind(rules.move_x, jnp.minimum(action, STOP)) * speed
    step_y = by_kind(rules.move_y, jnp.minimum(action, STOP)) * speed
    radius = by_kind(rules.radius, battle.kind)

    def substep(battle: Battle, delay: Array) -> tuple[Battle, None]:
        alive = battle.alive
        health, cooldown = shoot(rules, battle, aims, delay)
        x = jnp.where(alive, (battle.x + step_x).clip(0.0, MAP), battle.x)
        y = jnp.where(alive, (battle.y + step_y).clip(0.0, MAP), battle.y)
        if rules.walls_cause_death:
            outside = (x <= 0) | (x >= MAP) | (y <= 0) | (y >= MAP)
            health = jnp.where(outside, 0.0, health)
        x, y = apart(x, y, radius, health > 0)
        return battle.replace(x=x, y=y, health=health, cooldown=cooldown), None

    return jax.lax.scan(substep, battle, delays(battle.x, words))[0]


def targets(rules: Rules, action: Array) -> Array:
    """[E, E] bool: the first unit's action [E] is to attack the second."""
    unit = along_units(range(rules.num_units), action)
    first, last = rules.num_allies, rules.num_allies - 1
    target = jnp.where(unit < first, first + action - MOVES, last - (action - MOVES))
    return jnp.where(action < MOVES, -1, target)[:, None] == unit[None]


def shoot(rules: Rules, battle: Battle, aims: Array, delay: Array) -> tuple[Array, Array]:
    """Health and cooldown after all have shot at once, where the target lives and is in reach."""
    reach = by_kind(rules.reach, battle.kind)
    near = squared_distances(battle.x, battle.y) < (reach * reach)[:, None]
    shoots = (aims & near & battle.alive[None]).any(1) & battle.alive & (battle.cooldown <= 0)
    harm = jnp.where(shoots, by_kind(rules.damage, battle.kind), 0.0)
    health = battle.health - jnp.where(aims, harm[:, None], 0.0).sum(0)
    fresh = by_kind(rules.cooldown, battle.kind) + delay - battle.cooldown
    return health.clip(0.0), battle.cooldown + jnp.where(shoots, fresh, -SECONDS)


def apart(x: Array, y: Array, radius: Array, alive: Array) -> tuple[Array, Array]:
    """The living that overlap push each other half of the overlap away."""
    away_x, away_y = x[:, None] - x[None], y[:, None] - y[None]
    oneself = along_units(np.eye(len(x)), x)
    distance = jnp.sqrt(away_x * away_x + away_y * away_y) + oneself + 1e-6
    overlap = ((radius[:, None] + radius[None]) / distance - 1.0).clip(0.0)
    overlap = jnp.where(alive[:, None] & alive[None], overlap, 0.0)
    return x + (away_x * overlap).sum(1) / 2, y + (away_y * overlap).sum(1) / 2


def squared_distances(x: Array, y: Array) -> Array:
    """[E, E]"""
    away_x, away_y = x[:, None] - x[None], y[:, None] - y[None]
    return away_x * away_x + away_y * away_y


def delays(x: Array, words: Words) -> Array:
    """[SUBSTEPS, E, ...] seconds by which each unit's next cooldown would be longer."""

    def chain(words: Words, _: None) -> tuple[Words, Words]:
        return nth(words, 0), nth(words, 1)

    _, (left, right) = jax.lax.scan(chain, words, length=SUBSTEPS)
    unit = along_units(range(len(x)), x)
    return uniform(nth((left[:, None], right[:, None]), unit[None]), -SECONDS, 2 * SECONDS)


def team_reward(
    rules: Rules, before: Battle, after: Battle, scale: float
) -> tuple[Array, Array, Array]:
    """The allies' reward, whether they won, and whether the battle is over.

    Of each enemy present the lost share of its health, averaged, and 1 for a win with survivors;
    all of it times `scale`.
    """
    allies, enemies = slice(None, rules.num_allies), slice(rules.num_allies, None)
    full = by_kind(rules.health, before.kind[enemies])
    lost = ((before.health[enemies] - after.health[enemies]) / full).sum(0)
    lost = lost / before.present[enemies].sum(0)
    survivors, foes = after.alive[allies].any(0), after.alive[enemies].any(0)
    won = survivors & ~foes
    return scale * (lost + won), won, ~survivors | ~foes
