"""Overcooked's second version against jaxmarl itself, and soups cooked by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxmarl_peers import HASTE, side_by_side

import jmarl_envs
from jmarl_envs.jaxmarl_suite.overcooked_v2 import LAYOUTS, library
from jmarl_envs.libraries import quietly
from jmarl_envs.plain import plain
from jmarl_envs.scene import Text

RIGHT, DOWN, LEFT, UP, STAY, INTERACT = range(6)
FETCH = [LEFT, INTERACT, RIGHT, UP, INTERACT]  # an onion from the pile at the left, into the pot
SERVE = [LEFT, DOWN, DOWN, INTERACT, RIGHT, UP]  # takes a plate and stands before the pot
# The third onion falls in at step 15, the soup is ready after step 34, one look comes too early.
RECIPE = [*FETCH * 3, *SERVE, *[STAY] * 12, INTERACT, INTERACT, DOWN, RIGHT, DOWN, INTERACT]


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("cramped_room", {}),
        ("cramped_room", {"observation_type": "featurized"}),
        ("grounded_coord_simple", {"agent_view_size": 2, "sample_recipe_on_delivery": True}),
        (
            "test_time_wide",
            {
                "random_reset": True,
                "negative_rewards": True,
                "start_cooking_interaction": True,
                "indicate_successful_delivery": True,
            },
        ),
        ("two_rooms", {"random_agent_positions": True}),
    ],
)
def test_episodes_are_the_librarys_own(layout: str, options: dict[str, Any]) -> None:
    env = jmarl_envs.make(f"overcooked_v2/{layout}", **options)
    played = side_by_side(env, library(layout, **options), episodes=2)
    played.assert_alike()
    np.testing.assert_array_equal(played.outcome.truncated, played.over)
    assert played.outcome.truncated[:, 399].all()
    assert not played.outcome.terminated.any()


@pytest.fixture(scope="module")
def soup() -> tuple[float, Any, Any, Any]:
    """The second cook follows the recipe, the other stays: weight, env, states, outcomes."""
    weight = 0.5
    env = jmarl_envs.make("overcooked_v2/cramped_room", episode_limit=50, shaped_reward=weight)
    actions = jnp.array([[STAY, act] for act in RECIPE])

    def run(key: jax.Array) -> Any:
        def step(state: Any, action: jax.Array) -> Any:
            state, out = env.step(state, action, key)
            return state, (state, out)

        return jax.lax.scan(step, env.reset(key)[0], actions)[1]

    states, outs = plain(jax.jit(run, compiler_options=HASTE)(jax.random.key(0)))
    return weight, env, states, outs


def test_a_soup_takes_three_onions_twenty_steps_and_a_plate(soup: Any) -> None:
    weight, env, _, outs = soup
    shaped = dict.fromkeys((5, 10, 15, 19), 3.0) | {35: 5.0}  # onions, the plate; then the soup
    expected = np.array([shaped.get(step, 0.0) for step in range(1, len(RECIPE) + 1)])
    np.testing.assert_array_equal(outs.info["shaped_reward"], expected)
    served = np.arange(1, len(RECIPE) + 1) == len(RECIPE)
    np.testing.assert_array_equal(outs.info["deliveries"], served)
    np.testing.assert_array_equal(outs.reward[:, 1], 20.0 * served + weight * expected)
    np.testing.assert_array_equal(outs.reward[:, 0], 20.0 * served)  # it did nothing useful
    assert env.spec.team_reward == "mean"
    assert jmarl_envs.make("overcooked_v2/cramped_room").spec.team_reward == "shared"


def test_the_state_tells_cooks_pots_and_the_recipe(soup: Any) -> None:
    states = soup[3].view.state
    assert states.shape[1] == 2 * 9 + 4 * 5 * 4 + 1
    cook = lambda step: states[step - 1][9:18]
    cells = lambda step: states[step - 1][18:98].reshape(4, 5, 4)
    np.testing.assert_allclose(cook(2), [1 / 4, 1 / 3, 0, 0, 0, 1, 0, 0, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(cells(5)[0, 2], [0, 0, 1 / 3, 0], rtol=1e-6)
    np.testing.assert_allclose(cells(15)[0, 2], [0, 0, 1, 19 / 20], rtol=1e-6)
    assert cells(34)[0, 2].tolist() == [0, 1, 1, 0]
    assert not cells(35).any()
    assert cook(35)[6:].tolist() == [1, 1, 1]
    assert (states[:, 98] == 1).all()  # three onions


def test_pictures_show_pots_and_recipes(soup: Any) -> None:
    _, env, states, _ = soup
    after = lambda step: env.draw(jax.tree.map(lambda leaf: leaf[step - 1], states))
    words = lambda step: [shape.words for shape in after(step).shapes if isinstance(shape, Text)]
    assert words(14) == ["serve"]
    assert words(15) == ["19", "serve"]
    assert words(34) == ["ready", "serve"]
    assert after(1).caption == "step 1, recipe: ingredients 0, 0, 0"


@pytest.mark.slow
def test_all_layouts_are_offered_and_open_as_the_librarys() -> None:
    with quietly():
        from jaxmarl.environments.overcooked_v2.layouts import overcooked_v2_layouts
    assert set(LAYOUTS) == set(overcooked_v2_layouts)
    key = jax.random.key(3)
    for layout, there in overcooked_v2_layouts.items():
        env = jmarl_envs.make(f"overcooked_v2/{layout}")
        assert env.spec.num_agents == len(there.agent_positions)
        channels = 25 + 5 * there.num_ingredients
        assert env.spec.obs_size == there.height * there.width * channels
        if layout in ("fun_coordination", "demo_cook_wide"):
            obs, _ = library(layout).reset(key)
            shown = np.stack([obs[agent].reshape(-1) for agent in env.spec.agents])
            np.testing.assert_array_equal(env.reset(key)[1].obs, shown)


def test_pressing_the_button_costs_five_and_shows_the_recipe() -> None:
    env: Any = jmarl_envs.make("overcooked_v2/grounded_coord_simple")
    state, _ = env.reset(jax.random.key(0))
    step = jax.jit(env.step, compiler_options=HASTE)
    state, _ = step(state, jnp.array([RIGHT, STAY]), jax.random.key(1))  # looks at the button
    assert "ask" in words(env, state)
    state, out = step(state, jnp.array([INTERACT, STAY]), jax.random.key(1))
    assert out.reward.tolist() == [-5.0, -5.0]
    assert float(out.info["deliveries"]) == 0
    assert "ask" not in words(env, state)


def words(env: Any, state: Any) -> list[str]:
    return [shape.words for shape in env.draw(plain(state)).shapes if isinstance(shape, Text)]


def test_features_know_onions_alone() -> None:
    with pytest.raises(jmarl_envs.BadOption, match="onions alone: cramped_room"):
        jmarl_envs.make("overcooked_v2/two_rooms", observation_type="featurized")
