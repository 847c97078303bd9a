"""The coin game against jaxmarl itself, and coins counted by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxmarl_peers import side_by_side

import jmarl_envs
from jmarl_envs.jaxmarl_suite.coin_game import library

RIGHT, LEFT, UP, DOWN, STAY = range(5)


@pytest.mark.parametrize("options", [{}, {"egocentric": True}, {"shared_rewards": True}])
def test_episodes_are_the_librarys_own(options: dict[str, bool]) -> None:
    played = side_by_side(jmarl_envs.make("coin_game/coin_game", **options), library(**options), 8)
    played.assert_alike()
    np.testing.assert_array_equal(played.outcome.truncated, played.over)
    assert not played.outcome.terminated.any()
    out = played.outcome
    kept = np.arange(1, 101) % 10 != 0  # the library drops the rewards of a game's last step
    assert not out.reward[:, ~kept].any()
    # 1 for each coin, and -2 for the other's: summed over both players
    expected = out.info["own_coins"] - out.info["others_coins"]
    total = out.reward[..., 0] if options.get("shared_rewards") else out.reward.sum(-1)
    np.testing.assert_array_equal(total[:, kept], expected[:, kept])
    assert out.info["others_coins"].sum() > 0


def test_sides() -> None:
    alone = jmarl_envs.make("coin_game/coin_game").spec
    assert (alone.teams, alone.team_names, alone.team_reward) == ((0, 1), ("red", "blue"), None)
    shared = jmarl_envs.make("coin_game/coin_game", shared_rewards=True).spec
    assert (shared.teams, shared.team_names, shared.team_reward) == ((0, 0), ("team",), "shared")


def test_a_step_by_hand() -> None:
    env: Any = jmarl_envs.make("coin_game/coin_game", num_inner_steps=1000, episode_limit=3)
    key = jax.random.key(0)
    state, _ = env.reset(key)
    places = {
        "red_pos": (0, 2),
        "blue_pos": (2, 1),
        "red_coin_pos": (1, 1),
        "blue_coin_pos": (0, 0),
    }
    inner = state.inner.replace(**{name: jnp.array(spot) for name, spot in places.items()})
    state, out = env.step(state.replace(inner=inner), jnp.array([RIGHT, DOWN]), key)
    # red goes round the edge onto blue's coin, blue goes up a row onto red's
    assert state.inner.red_pos.tolist() == [0, 0]
    assert state.inner.blue_pos.tolist() == [1, 1]
    assert out.reward.tolist() == [-1.0, -1.0]
    assert (float(out.info["own_coins"]), float(out.info["others_coins"])) == (0.0, 2.0)
    cells = np.asarray(out.view.state).reshape(4, 9)
    assert cells.sum() == 4
    assert (cells[0].argmax(), cells[2].argmax()) == (0, 4)
    red, blue = np.asarray(out.view.entities.features)[:2].tolist()
    assert (red, blue) == ([0.0, 0.0, 0.0, 0.0], [0.5, 0.5, 0.0, 1.0])
    coins = np.asarray(out.view.entities.features)[2:]
    np.testing.assert_allclose(coins[0, :2] * 2, state.inner.red_coin_pos)
    assert coins[:, 2:].tolist() == [[1.0, 0.0], [1.0, 1.0]]
    for last in (False, True):
        state, out = env.step(state, jnp.array([STAY, STAY]), key)
        assert bool(out.truncated) == last


def test_coins_are_counted_however_many_games_there_are() -> None:
    env = jmarl_envs.make(
        "coin_game/coin_game", num_inner_steps=2, num_outer_steps=1, episode_limit=40
    )
    played = side_by_side(env, library(num_inner_steps=2, num_outer_steps=50), episodes=4)
    played.assert_alike()
    assert played.outcome.info["own_coins"][:, 20:].sum() > 0


def test_options_keep_the_contract() -> None:
    options = {"egocentric": True, "shared_rewards": True, "num_inner_steps": 7}
    env = jmarl_envs.make("coin_game/coin_game", episode_limit=20, **options)
    jmarl_envs.check(env, episodes=3)
