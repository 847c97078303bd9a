"""How much a uniformly random policy earns: what any learner must beat."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import Environment, Key
from jmarl_envs.actions import random_actions

BATCH = 1024  # episodes at a time


def random_returns(env: Environment[Any], episodes: int, key: Key) -> Array:
    """Each agent's undiscounted return [episodes, A] under uniformly random available actions."""
    return random_player(env)(jax.random.split(key, episodes))


def random_player(env: Environment[Any]) -> Callable[[Key], Array]:
    """Compiled: from a key for each episode [episodes] to each agent's return [episodes, A]."""

    def step(carry: tuple[Any, Array, Array], key: Key) -> tuple[tuple[Any, Array, Array], Array]:
        state, available, live = carry
        act_key, step_key = jax.random.split(key)
        state, out = env.step(state, random_actions(env.spec, available, act_key), step_key)
        ended = out.terminated | out.truncated
        return (state, out.view.available, live & ~ended), out.reward * live

    def episode(key: Key) -> Array:
        reset_key, run_key = jax.random.split(key)
        state, view = env.reset(reset_key)
        keys = jax.random.split(run_key, env.spec.episode_limit)
        opening = (state, view.available, jnp.ones((), bool))
        _, rewards = jax.lax.scan(step, opening, keys)
        return rewards.sum(0)

    return jax.jit(lambda keys: jax.lax.map(episode, keys, batch_size=BATCH))
