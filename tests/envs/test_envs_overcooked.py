"""Overcooked's first version against jaxmarl itself, and a soup cooked by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxmarl_peers import HASTE, side_by_side

import jmarl_envs
from jmarl_envs.jaxmarl_suite.overcooked import LAYOUTS, library
from jmarl_envs.plain import plain
from jmarl_envs.scene import Circle, Text

UP, DOWN, RIGHT, LEFT, STAY, INTERACT = range(6)
SIZES = {  # columns, rows
    "cramped_room": (5, 4),
    "asymm_advantages": (9, 5),
    "coord_ring": (5, 5),
    "forced_coord": (5, 5),
    "counter_circuit": (8, 5),
}
FETCH = [LEFT, INTERACT, RIGHT, UP, INTERACT]  # an onion from the pile at the left, into the pot
SERVE = [LEFT, DOWN, DOWN, INTERACT, RIGHT, UP]  # takes a plate and stands before the pot
# The third onion falls in at step 15, the soup is ready after step 34, one look comes too early.
RECIPE = [*FETCH * 3, *SERVE, *[STAY] * 12, INTERACT, INTERACT, DOWN, RIGHT, DOWN, INTERACT]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_episodes_are_the_librarys_own(layout: str) -> None:
    env = jmarl_envs.make(f"overcooked/{layout}")
    played = side_by_side(env, library(layout), episodes=2)
    played.assert_alike()
    np.testing.assert_array_equal(played.outcome.truncated, played.over)
    assert played.outcome.truncated[:, 399].all()
    assert not played.outcome.terminated.any()
    columns, rows = SIZES[layout]
    assert played.spec.obs_sizes == (rows * columns * 26,) * 2
    assert played.spec.state_size == 2 * 9 + rows * columns * 5


@pytest.fixture(scope="module", params=[0.0, 0.5])
def soup(request: pytest.FixtureRequest) -> tuple[float, Any, Any, Any]:
    """The first cook follows the recipe, the other one stays: weight, env, states, outcomes."""
    weight: float = request.param
    env = jmarl_envs.make("overcooked/cramped_room", episode_limit=50, shaped_reward=weight)
    actions = jnp.array([[act, STAY] for act in RECIPE])

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
    np.testing.assert_array_equal(outs.reward[:, 0], 20.0 * served + weight * expected)
    np.testing.assert_array_equal(outs.reward[:, 1], 20.0 * served)  # it did nothing useful
    assert env.spec.team_reward == ("mean" if weight else "shared")


def test_the_state_tells_cooks_and_pots(soup: Any) -> None:
    states = soup[3].view.state
    after = lambda step: (
        states[step - 1][:18].reshape(2, 9),
        states[step - 1][18:].reshape(4, 5, 5),
    )
    cooks, cells = after(2)  # at (1, 1), looking left, with an onion; the other one is at (3, 1)
    np.testing.assert_allclose(cooks[0], [1 / 4, 1 / 3, 0, 0, 0, 1, 1, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(cooks[1][:2], [3 / 4, 1 / 3], rtol=1e-6)
    assert cells[1, 1].tolist() == [0, 0, 0, 0, 1]
    assert cells.sum() == 1
    assert after(5)[1][0, 2].tolist() == [np.float32(1 / 3), 0, 0, 0, 0]
    assert after(15)[1][0, 2].tolist() == [0, np.float32(19 / 20), 0, 0, 0]
    assert after(34)[1][0, 2].tolist() == [0, 0, 1, 0, 0]
    assert after(35)[0][0, 6:].tolist() == [0, 0, 1]
    assert after(35)[1][1, 2].tolist() == [0, 0, 1, 0, 0]  # carried


def test_the_last_39_steps_are_announced(soup: Any) -> None:
    layer = soup[3].view.obs.reshape(len(RECIPE), 2, 4, 5, 26)[..., 25]
    steps = np.arange(1, len(RECIPE) + 1)
    np.testing.assert_array_equal(layer.min((1, 2, 3)), steps > 10)
    np.testing.assert_array_equal(layer.max((1, 2, 3)), steps > 10)


def test_pictures_show_pots_and_burdens(soup: Any) -> None:
    _, env, states, _ = soup
    after = lambda step: env.draw(jax.tree.map(lambda leaf: leaf[step - 1], states)).shapes
    words = lambda step: [shape.words for shape in after(step) if isinstance(shape, Text)]
    assert words(14) == ["serve"]
    assert words(15) == ["19", "serve"]
    assert words(34) == ["ready", "serve"]
    onions = lambda step: sum(isinstance(s, Circle) and s.fill == "#E6C400" for s in after(step))
    assert [onions(step) for step in (1, 2, 5, 35)] == [6, 7, 7, 9]  # two piles of three


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"random_reset": True}, {"shaped_reward": 1.0}])
def test_options_keep_the_contract(options: dict[str, Any]) -> None:
    env = jmarl_envs.make("overcooked/cramped_room", episode_limit=60, **options)
    jmarl_envs.check(env, episodes=3)
    assert env.spec.episode_limit == 60


def test_the_librarys_id_is_its_default_layout() -> None:
    assert jmarl_envs.make("overcooked").spec.name == "overcooked/cramped_room"
