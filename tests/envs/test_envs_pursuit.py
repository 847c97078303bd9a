"""1D pursuit against its rules, enumerated."""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmarl_envs
from jmarl.types import EnvSpec
from jmarl_envs import TimeLimit, check
from jmarl_envs.raster import array
from jmarl_envs.time_limit import Timed

MOVES = np.array([1, -1, 0])
STARTS = np.array(list(itertools.product(range(-10, 11), repeat=2)))  # [441, 2]
LIMIT = 20


def pursuit() -> TimeLimit[Any]:
    env = jmarl_envs.make("pursuit/line")
    assert isinstance(env, TimeLimit)
    return env


def toward(places: Any) -> Any:
    """Each agent's action towards the target, to stay once there."""
    return jnp.where(places > 0, 1, jnp.where(places < 0, 0, 2))


def away(places: Any) -> Any:
    return jnp.where(places < 0, 1, 0)


def greedy(places: Any, time: Any) -> Any:
    return toward(places)


def cycle(places: Any, time: Any) -> Any:
    """The loophole: both closer, then one away, then the other away."""
    back = jnp.where(jnp.arange(2) == time % 3 - 1, away(places), 2)
    return jnp.where(time % 3 == 0, toward(places), back)


def returns(policy: Any, starts: np.ndarray = STARTS) -> tuple[np.ndarray, Any]:
    """Of every start: the rewards' sum [N, 2], and the last outcome's info."""
    env, key = pursuit(), jax.random.key(0)

    def step(state: Any, time: Any) -> Any:
        state, out = env.step(state, policy(state.inner, time).astype(jnp.int32), key)
        return state, out

    def episode(places: Any) -> Any:
        _, outs = jax.lax.scan(step, Timed(places, jnp.zeros((), jnp.int32)), jnp.arange(LIMIT))
        return outs.reward.sum(0), jax.tree.map(lambda leaf: leaf[-1], outs.info)

    rewards, info = jax.jit(jax.vmap(episode))(jnp.asarray(starts, jnp.int32))
    return np.asarray(rewards), info


@pytest.mark.parametrize(
    ("places", "action", "reward"),
    [
        ((3, -4), (1, 0), 0.01),  # both closer
        ((3, -4), (0, 1), -0.01),  # both away
        ((3, -4), (1, 1), 0.0),  # one each
        ((3, -4), (1, 2), 0.0),  # one stays
        ((3, -4), (2, 2), 0.0),
        ((0, 0), (0, 1), -0.01),  # at the target every move leads away
        ((0, 5), (2, 1), 0.0),  # and to stay is neither
        ((1, 1), (1, 1), 0.01),
    ],
)
def test_a_step_is_paid_by_the_rules(
    places: tuple[int, int], action: tuple[int, int], reward: float
) -> None:
    env = pursuit()
    state = Timed(jnp.array(places, jnp.int32), jnp.zeros((), jnp.int32))
    after, out = env.step(state, jnp.array(action, jnp.int32), jax.random.key(0))
    moved = [place + int(MOVES[a]) for place, a in zip(places, action, strict=True)]
    assert after.inner.tolist() == moved
    np.testing.assert_allclose(out.reward, [reward] * 2, atol=1e-9)
    assert out.view.obs.tolist() == [moved, moved[::-1]]  # own place, then the other's
    np.testing.assert_allclose(np.asarray(out.view.state), np.array(moved) / 10, rtol=1e-6)
    assert float(out.info["distance"]) == np.abs(moved).mean()


def test_going_straight_earns_the_nearer_ones_distance() -> None:
    earned, info = returns(greedy)
    nearer = np.abs(STARTS).min(1)
    np.testing.assert_allclose(earned, 0.01 * np.stack([nearer, nearer], -1), atol=1e-6)
    assert abs(earned.mean() - 4 * 385 / 441 / 100) < 1e-6  # 0.0349: sum of (2j / 21)^2 to j = 10
    assert np.asarray(info["solved_rate"]).all()
    assert not np.asarray(info["distance"]).any()


def test_the_loophole_is_there() -> None:
    """Seven times 0.01 in 20 steps without getting anywhere; listed as a defect."""
    starts = STARTS[(STARTS != 0).all(1)]
    earned, info = returns(cycle, starts)
    np.testing.assert_allclose(earned, 0.07, atol=1e-6)
    assert not np.asarray(info["solved_rate"]).any()
    assert any("cycle" in d for d in jmarl_envs.listings()["pursuit/line"].defects)


def by_chance() -> tuple[float, float]:
    """Random play's exact mean return and final distance, from the distribution of one place."""
    chance = np.zeros(2 * 40 + 1)  # places -40..40
    chance[30:51] = 1 / 21
    at_target, total = [], 0.0
    for _ in range(LIMIT):
        at_target.append(chance[40])
        chance = np.convolve(chance, np.full(3, 1 / 3), "same")
    for p in at_target:  # each agent: closer 1/3 unless there, away 1/3, or 2/3 if there
        total += ((1 - p) / 3) ** 2 - ((1 - p) / 3 + 2 * p / 3) ** 2
    return 0.01 * total, float(chance @ np.abs(np.arange(-40, 41)))


def test_random_play_earns_what_can_be_worked_out(key: jax.Array) -> None:
    mean, _ = by_chance()
    found = np.asarray(jmarl_envs.random_returns(pursuit(), 8192, key))[:, 0]
    error = found.std() / np.sqrt(found.size)
    assert abs(found.mean() - mean) < 3 * error
    assert error < 0.0005


def test_places_are_drawn_evenly_from_the_whole_range(key: jax.Array) -> None:
    places, _ = jax.jit(jax.vmap(pursuit().env.reset))(jax.random.split(key, 8192))
    counts = np.bincount(np.asarray(places).ravel() + 10, minlength=21)
    assert counts.size == 21
    expected = 8192 * 2 / 21
    assert ((counts - expected) ** 2 / expected).sum() < 45.3  # chi-square(20), 0.1 %
    assert abs(np.corrcoef(np.asarray(places).T)[0, 1]) < 0.04


@pytest.mark.parametrize("options", [{}, {"extent": 1, "episode_limit": 3}])
def test_the_contract_is_kept(options: dict[str, int]) -> None:
    env = jmarl_envs.make("pursuit/line", **options)
    check(env, episodes=3)
    spec: EnvSpec = env.spec
    assert spec.team_reward == "shared"
    assert spec.episode_limit == options.get("episode_limit", 20)


def test_pictures_show_where_the_agents_are() -> None:
    draw: Any = pursuit().draw
    picture = partial(array, pixels=200)
    far, near = (draw(Timed(np.array(p), jnp.zeros(()))) for p in ((-23, 10), (0, 0)))
    assert far.caption == "agent 0 at -23, agent 1 at 10, target at 0"
    assert far.left <= -23  # the window holds those who stray
    assert (picture(near) != picture(far)).any()
