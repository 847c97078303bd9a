"""The one clock."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

import jmarl_envs
from jmarl_envs import BadOption, TimeLimit
from jmarl_envs.toys.clock import Clock


def flags(env: TimeLimit[Any], steps: int) -> list[tuple[bool, bool]]:
    """(terminated, truncated) after each of so many steps."""
    state, _ = env.reset(jax.random.key(0))
    found = []
    for _ in range(steps):
        state, out = env.step(state, jnp.zeros(2, jnp.int32), jax.random.key(1))
        found.append((bool(out.terminated), bool(out.truncated)))
    return found


def test_cuts_at_exactly_the_limit_and_stays_cut() -> None:
    env = TimeLimit(Clock(num_agents=2, episode_limit=3, terminates=False))
    assert flags(env, 4) == [(False, False), (False, False), (False, True), (False, True)]


def test_a_true_end_at_the_limit_is_not_a_truncation() -> None:
    env = TimeLimit(Clock(num_agents=2, episode_limit=2, terminates=True))
    assert flags(env, 2) == [(False, False), (True, False)]


def test_a_given_limit_replaces_the_environments() -> None:
    env = TimeLimit(Clock(num_agents=2, episode_limit=9, terminates=False), episode_limit=1)
    assert env.spec.episode_limit == 1
    assert flags(env, 1) == [(False, True)]


def test_the_inner_environments_own_truncation_passes() -> None:
    inner = TimeLimit(Clock(num_agents=2, episode_limit=1, terminates=False))
    assert flags(TimeLimit(inner, episode_limit=5), 1) == [(False, True)]


def test_the_last_view_is_the_true_one() -> None:
    env = jmarl_envs.make("toy/clock", episode_limit=4, terminates=True)
    state, _ = env.reset(jax.random.key(0))
    for step in range(1, 5):
        state, out = env.step(state, jnp.zeros(2, jnp.int32), jax.random.key(1))
        assert out.view.obs.tolist() == [[1.0, step / 4]] * 2


def test_no_episode_is_empty() -> None:
    with pytest.raises(BadOption, match="episode_limit must be at least 1, got 0"):
        TimeLimit(Clock(num_agents=2, episode_limit=0, terminates=False))
