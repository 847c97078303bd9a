"""STORM against jaxmarl itself, and meetings by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxmarl_peers import HASTE, Played, side_by_side

import jmarl_envs
from jmarl_envs.jaxmarl_suite.base import load
from jmarl_envs.libraries import quietly
from jmarl_envs.plain import plain
from jmarl_envs.scene import Text

STEPS = 151  # the library redraws the board in its 152nd
STAY = {"storm_2p": 4, "storm_np": 3}
RED, BLUE = 3, 4


@pytest.fixture(scope="module", params=["storm_2p", "storm_np"])
def played(request: pytest.FixtureRequest) -> Played:
    env = jmarl_envs.make(f"storm/{request.param}")
    return side_by_side(
        env, load(request.param), 6, STEPS, translate=lambda action, key: tuple(action)
    )


def test_episodes_are_the_librarys_own(played: Played) -> None:
    played.assert_alike()
    assert played.live.all()
    assert played.outcome.reward.any()
    assert played.spec.episode_limit == 152


def test_who_has_met_can_only_stay(played: Played) -> None:
    stay = STAY[played.spec.name.removeprefix("storm/")]
    frozen = played.view.state[..., :18].reshape(6, STEPS + 1, 2, 9)[..., 8] > 0
    available = played.view.available
    assert frozen.any()
    assert available[..., stay].all()
    np.testing.assert_array_equal(available.sum(-1) == 1, frozen)
    # whoever meets nobody earns nothing
    met = played.outcome.info["interactions"]
    assert not played.outcome.reward[met == 0].any()
    assert met.sum() > 0


def test_the_state_tells_coins(played: Played) -> None:
    layers = played.view.state[..., 18:].reshape(6, STEPS + 1, 2, 8, 8)
    grid = played.state.inner.grid
    np.testing.assert_array_equal(layers[:, :, 0], grid == RED)
    np.testing.assert_array_equal(layers[:, :, 1], grid == BLUE)
    np.testing.assert_array_equal(layers[:, 0].sum((2, 3)), 6)


def meet(name: str, action: list[int], changes: dict[str, Any]) -> tuple[Any, Any, Any]:
    """One step from an empty board on which players face each other: env, state, outcome."""
    env: Any = jmarl_envs.make(f"storm/{name}")
    state = jax.jit(env.env.reset, compiler_options=HASTE)(jax.random.key(0))[0]
    first = {"storm_2p": 1, "storm_np": 5}[name]  # the players' numbers on the grid
    grid = jnp.zeros_like(state.grid).at[2, 2].set(first).at[2, 3].set(first + 1)
    dtypes = {key: getattr(state, key).dtype for key in changes}
    changed = {key: jnp.array(value, dtypes[key]) for key, value in changes.items()}
    state = state.replace(grid=grid, **changed)
    step = jax.jit(env.env.step, compiler_options=HASTE)
    return (env.env, *step(state, jnp.array(action), jax.random.key(1)))


def test_two_players_meet_in_a_dilemma() -> None:
    """One with red coins alone against one with half blue: 0.5 x 3 + 0.5 x 0 and 0.5 x (3 + 5)."""
    places = {"red_pos": [2, 2, 0], "blue_pos": [2, 3, 2]}
    held = {"red_inventory": [2, 0], "blue_inventory": [1, 1]}
    env, state, out = meet("storm_2p", [3, 4], places | held)
    assert out.reward.tolist() == [1.5, 4.0]
    assert float(out.info["interactions"]) == 1
    assert out.view.available.sum(-1).tolist() == [1, 1]
    player = [2 / 7, 2 / 7, 1, 0, 0, 0, 2 / 6, 0, 1]
    np.testing.assert_allclose(out.view.state[:9], player, rtol=1e-6)
    shapes = env.draw(plain(state)).shapes
    assert [shape.words for shape in shapes if isinstance(shape, Text)] == ["2, 0", "1, 1"]


def test_nobody_meets_without_coins() -> None:
    places = {"red_pos": [2, 2, 0], "blue_pos": [2, 3, 2]}
    held = {"red_inventory": [2, 0], "blue_inventory": [0, 0]}
    _, _, out = meet("storm_2p", [3, 4], places | held)
    assert not out.reward.any()
    assert float(out.info["interactions"]) == 0


@pytest.mark.parametrize("zapper", [0, 1])
def test_a_defect_of_the_library_with_many_players(zapper: int) -> None:
    """Agent 0's payoff is 1.5 and agent 1's 4, but the zapped one gets the zapper's; the zapper
    nothing, or the same if it is agent 0."""
    places = {"agent_locs": [[2, 2, 0], [2, 3, 2]], "agent_invs": [[2, 0], [1, 1]]}
    action = [4, 3] if zapper == 0 else [3, 4]
    _, _, out = meet("storm_np", action, places)
    assert float(out.info["interactions"]) == 1
    assert out.reward.tolist() == ([1.5, 1.5] if zapper == 0 else [4.0, 0.0])


def test_the_last_step_is_a_true_one() -> None:
    env = jmarl_envs.make("storm/storm_2p", episode_limit=3, freeze_penalty=2)
    state, view = env.reset(jax.random.key(0))
    step = jax.jit(env.step, compiler_options=HASTE)
    for last in (False, False, True):
        state, out = step(state, jnp.array([4, 4]), jax.random.key(1))
        assert bool(out.truncated) == last
        np.testing.assert_array_equal(out.view.state, view.state)  # all stay


@pytest.mark.slow
def test_more_players_keep_the_contract() -> None:
    env = jmarl_envs.make("storm/storm_np", num_agents=4, episode_limit=20)
    assert env.spec.teams == (0, 1, 2, 3)
    jmarl_envs.check(env, episodes=3)


def test_the_third_version_is_too_slow_to_offer() -> None:
    """It draws players' places by shuffling 43,758 rows, in each step."""
    with quietly():
        from jaxmarl.environments.storm import storm_env
    assert storm_env.AGENT_SPAWNS.shape == (43758, 8, 2)
    with pytest.raises(jmarl_envs.UnknownName, match="storm/storm_np"):
        jmarl_envs.make("storm/storm")
