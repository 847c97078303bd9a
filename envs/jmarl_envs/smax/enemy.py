"""jaxmarl's scripted enemy: shoots what is in reach, else goes for somebody it sees.

Equal to `create_heuristic_policy`, for all enemies at once and from the state instead of from
observations. The enemy counts its targets from the last ally to the first.
"""

import jax
import jax.numpy as jnp
from jax import Array

from jmarl_envs.smax.noise import Words, nth, uniform
from jmarl_envs.smax.rules import MOVES, Battle, Rules, along_units, by_kind


def enemy_actions(rules: Rules, battle: Battle, words: Words) -> tuple[Array, Array]:
    """[M] actions and [M] new victims.

    The last victim stays the target while it is in reach, then it is the closest in reach (or a
    random one). Nobody in reach: one step towards a random one in sight, or else to the goal.
    """
    n = rules.num_allies
    kind, alive = battle.kind[n:], battle.alive[n:]
    away_x = battle.x[:n][::-1][None] - battle.x[n:][:, None]  # [M, N]
    away_y = battle.y[:n][::-1][None] - battle.y[n:][:, None]
    distance = jnp.sqrt(away_x * away_x + away_y * away_y)
    living = alive[:, None] & battle.alive[:n][::-1][None]
    visible = living & (distance < by_kind(rules.sight, kind)[:, None])
    in_reach = visible & (distance < by_kind(rules.reach, kind)[:, None])

    slot = along_units(range(n), battle.x)[None]
    own = nth(words, along_units(range(rules.num_enemies), battle.x))
    kept = in_reach & (battle.victim[:, None] == slot)
    if rules.random_targets:
        fresh = random_one(in_reach, uniform(nth(own, 1)))
    else:
        near = jnp.where(in_reach, distance, jnp.inf)
        fresh = in_reach & (near == near.min(1, keepdims=True))
    chosen = jnp.where(kept.any(1)[:, None], kept, fresh)
    first = jnp.where(chosen, slot, n).min(1)
    can_shoot = in_reach.any(1)

    followed = random_one(visible, uniform(nth(own, 0)))
    sees = visible.any(1)
    to_x = jnp.where(sees, (followed * away_x).sum(1), battle.goal_x - battle.x[n:])
    to_y = jnp.where(sees, (followed * away_y).sum(1), battle.goal_y - battle.y[n:])
    attack = can_shoot & rules.enemy_shoots
    action = jnp.where(attack, MOVES + first, walk(to_x, to_y))
    return action.astype(jnp.int32), jnp.where(can_shoot, first, -1).astype(jnp.int32)


def random_one(mask: Array, number: Array) -> Array:
    """[M, N] one-hot: of those in `mask` the one that `number` in [0, 1) [M] stands for.

    Counted as `jax.random.choice` does, which measures from the far end.
    """
    wanted = (1 - number) * mask.sum(1)

    def count(so_far: Array, one: Array) -> tuple[Array, Array]:
        including = so_far + one
        return including, one & (including >= wanted) & (so_far < wanted)

    # much faster than a cumulative sum, whose compiled form adds up anew for every entry
    _, chosen = jax.lax.scan(count, jnp.zeros_like(wanted), jnp.moveaxis(mask, 1, 0))
    return jnp.moveaxis(chosen, 0, 1)


def walk(to_x: Array, to_y: Array) -> Array:
    """The move whose direction is nearest to (to_x, to_y)."""
    up, right, down = to_y >= abs(to_x), to_x >= abs(to_y), -to_y >= abs(to_x)
    return jnp.where(up, 0, jnp.where(right, 1, jnp.where(down, 2, 3)))
