"""Random, still and scripted play in MAAC's worlds, compiled once for all who look at it."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmarl_envs
from jmarl_envs.particle.treasure import FREE
from jmarl_envs.particle.world import Particles, World

CTC, ROVERS = "particle/treasure_collection", "particle/rover_tower"


def world(name: str, **options: Any) -> World:
    """The environment without its time limit."""
    found = jmarl_envs.make(name, **options)
    assert isinstance(found, jmarl_envs.TimeLimit)
    assert isinstance(found.env, World)
    return found.env


def towards(offset: jax.Array) -> jax.Array:
    """The move [...] along the longer side of offsets [..., 2]."""
    x, y = offset[..., 0], offset[..., 1]
    sideways = jnp.where(x > 0, 1, 2)
    return jnp.where(jnp.abs(x) > jnp.abs(y), sideways, jnp.where(y > 0, 3, 4)).astype(jnp.int32)


def collecting(state: Particles, chasing: jax.Array) -> jax.Array:
    """Collectors go for the nearest treasure, or for the deposit of the one they carry. Deposits
    stay, or go for the nearest bearer of their kind. All steer from where they drift in a step.
    """
    found, h = state.extra, len(state.extra.held)
    drift, bearers = state.pos + 0.1 * state.vel, state.pos[:h]
    distance = lambda these, those: jnp.linalg.norm(these[:, None] - those, axis=-1)
    nearest = found.pos[distance(bearers, found.pos).argmin(-1)]
    home = drift[h:][jnp.maximum(found.held, 0)]
    collectors = towards(jnp.where((found.held == FREE)[:, None], nearest, home) - drift[:h])
    owed = found.held == jnp.arange(len(state.pos) - h)[:, None]
    debtor = jnp.where(owed, distance(state.pos[h:], bearers), jnp.inf).argmin(-1)
    deposits = towards(drift[:h][debtor] - drift[h:]) * (chasing & owed.any(-1))
    return jnp.concatenate([collectors, deposits])


def guided(state: Particles, _: jax.Array) -> jax.Array:
    """Rovers that know their goals go there."""
    pairs = len(state.goal)
    goal = state.landmarks[state.goal[state.extra.tower]]
    moves = towards(goal - state.pos[:pairs] - 0.1 * state.vel[:pairs])
    return jnp.concatenate([moves, jnp.zeros(pairs, jnp.int32)])


RANDOM, STILL, SCRIPT, CHASING = range(4)
SCRIPTS = {CTC: collecting, ROVERS: guided}


@cache
def player(name: str) -> Any:
    """(keys, policy) to [T] states before the steps, and outcomes without their views."""
    env = jmarl_envs.make(name)
    agents = env.spec.num_agents

    def step(state: Any, key: jax.Array, policy: jax.Array) -> Any:
        act_key, step_key = jax.random.split(key)
        chosen = SCRIPTS[name](state.inner, policy == CHASING)
        random = jax.random.randint(act_key, (agents,), 0, 5, jnp.int32)
        still = jnp.zeros(agents, jnp.int32)
        action = jnp.select([policy == RANDOM, policy == STILL], [random, still], chosen)
        after, out = env.step(state, action, step_key)
        return after, (state.inner, out.replace(view=()))

    def episode(key: jax.Array, policy: jax.Array) -> Any:
        reset_key, run_key = jax.random.split(key)
        state, _ = env.reset(reset_key)
        keys = jax.random.split(run_key, env.spec.episode_limit)
        return jax.lax.scan(partial(step, policy=policy), state, keys)[1]

    return jax.jit(jax.vmap(episode, (0, None)))


@cache
def played(name: str, policy: int, episodes: int) -> Any:
    """[episodes, T] states before the steps, and outcomes."""
    keys = jax.random.split(jax.random.key(5), episodes)
    return jax.tree.map(np.asarray, player(name)(keys, jnp.int32(policy)))
