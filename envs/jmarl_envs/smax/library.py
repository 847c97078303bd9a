"""What is taken from jaxmarl itself: unit tables, first positions, and the peer."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import Key
from jmarl_envs.libraries import import_library, quietly
from jmarl_envs.smax.rules import MAP, STOP, Battle, Rules
from jmarl_envs.smax.scenarios import Scenario, kinds


def jaxmarls_scenario(scenario: Scenario) -> Any:
    """As jaxmarl writes it."""
    types = jnp.array(kinds(scenario.allies) + kinds(scenario.enemies), jnp.uint8)
    count = len(kinds(scenario.allies)), len(kinds(scenario.enemies))
    random = scenario.random
    return smax().Scenario(types, *count, random, random)


def peer(scenario: Scenario) -> Any:
    """jaxmarl's own environment."""
    with quietly(), jax.ensure_compile_time_eval():
        return smax().HeuristicEnemySMAX(scenario=jaxmarls_scenario(scenario))


def smax() -> Any:
    return import_library("jaxmarl.environments.smax")


class Openings:
    """First battles, as jaxmarl draws them from the same key."""

    def __init__(self, scenario: Scenario) -> None:
        with quietly(), jax.ensure_compile_time_eval():
            self.game = bare_game()(scenario=jaxmarls_scenario(scenario))

    def __call__(self, key: Key) -> Battle:
        own_key = jax.random.split(key)[1]
        _, state = self.game.reset(own_key)
        present = jnp.ones(self.game.num_agents, bool)
        x, y = state.unit_positions[:, 0], state.unit_positions[:, 1]
        return opened(x, y, state.unit_health, state.unit_types, present, self.game.num_allies)


def opened(
    x: Array, y: Array, health: Array, kind: Array, present: Array, num_allies: int
) -> Battle:
    """Nobody has acted yet; enemies are to go to the place opposite to their own."""
    middle = MAP / 2
    return Battle(
        x=x,
        y=y,
        health=health,
        cooldown=jnp.zeros_like(x),
        kind=kind.astype(jnp.int32),
        action=jnp.full(x.shape, STOP, jnp.int32),
        present=present,
        goal_x=middle - (x[num_allies:] - middle),
        goal_y=middle - (y[num_allies:] - middle),
        victim=jnp.full(x.size - num_allies, -1, jnp.int32),
    )


def bare_game() -> Any:
    """jaxmarl's class without observations at resets, which we make ourselves."""

    class Bare(smax().SMAX):
        def get_obs(self, state: Any) -> dict[str, Array]:
            return {}

        def get_world_state(self, state: Any) -> Array:
            return jnp.zeros(0)

    return Bare


def rules_of(scenario: Scenario, **options: Any) -> Rules:
    """jaxmarl's tables."""
    with quietly(), jax.ensure_compile_time_eval():
        game = smax().SMAX(scenario=jaxmarls_scenario(scenario))
        moves, _ = game._decode_discrete_actions(jnp.arange(STOP + 1))
    return Rules(
        num_allies=game.num_allies,
        num_enemies=game.num_enemies,
        speed=_numbers(game.unit_type_velocities),
        damage=_numbers(game.unit_type_attacks),
        reach=_numbers(game.unit_type_attack_ranges),
        sight=_numbers(game.unit_type_sight_ranges),
        radius=_numbers(game.unit_type_radiuses),
        health=_numbers(game.unit_type_health),
        cooldown=_numbers(game.unit_type_weapon_cooldowns),
        move_x=_numbers(moves[:, 0]),
        move_y=_numbers(moves[:, 1]),
        letters=tuple(game.unit_type_shorthands),
        **options,
    )


def _numbers(table: Array) -> tuple[float, ...]:
    return tuple(np.asarray(table).tolist())
