"""The VDN paper's players against a simulator in plain Python, and rounds worked by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from grid_rules import ASIDE_LEFT, ASIDE_RIGHT, BACK, BEAM, FORWARD, STILL, PaperRules, play

import jmarl_envs
from jmarl_envs.raster import array

# One round of each by hand: steps, and what both choose.
ROUNDS = {
    "switch": [(26, FORWARD, FORWARD), (1, ASIDE_RIGHT, FORWARD), (1, STILL, ASIDE_RIGHT)],
    "checkers": [
        (16, FORWARD, STILL),
        (1, ASIDE_LEFT, BEAM),
        (15, BACK, STILL),
        (1, ASIDE_LEFT, STILL),
        (15, FORWARD, STILL),
    ],
    "fetch": [(1, ASIDE_RIGHT, STILL), (26, FORWARD, STILL), (27, BACK, STILL)],
}
ODD, EVEN = [-10, 0], [10, 0]  # a lemon is next to each apple
PAID = {  # when what is earned
    "switch": {27: [1, 0], 28: [0, 1]},
    "checkers": {step: EVEN for step in range(2, 49, 2)} | {step: ODD for step in range(1, 49, 2)},
    "fetch": {27: [3, 3], 54: [5, 5]},
}


def by_hand(game: str) -> jax.Array:
    """[T, 1, 2]"""
    return jnp.array([[pair] for times, *pair in ROUNDS[game] for _ in range(times)], jnp.int32)


def paper(game: str, **options: Any) -> Any:
    return jmarl_envs.make(f"grid/{game}_paper", **options)


@pytest.mark.parametrize(
    ("game", "options"),
    [
        ("switch", {}),
        ("switch", {"corridors": 2}),
        ("checkers", {}),
        ("fetch", {}),
    ],
)
def test_the_papers_players_are_those_of_the_plain_simulator(
    game: str, options: dict[str, int]
) -> None:
    """Half of the choices go ahead, else players hardly leave their places."""
    any_key, ahead_key = jax.random.split(jax.random.key(2))
    shape = (160, 8, 2)
    action = jax.random.randint(any_key, shape, 0, 8, jnp.int32)
    action = jnp.where(jax.random.bernoulli(ahead_key, 0.5, shape), FORWARD, action)
    played = play(paper(game, **options), action)
    for episode in range(shape[1]):
        rules = PaperRules(game, **options)
        np.testing.assert_allclose(played.first.obs[episode], rules.obs(), atol=1e-6)
        told = [
            (rules.step(actions), rules.obs()) for actions in played.action[:, episode].tolist()
        ]
        rewards, obs = zip(*told, strict=True)
        np.testing.assert_allclose(played.out.view.obs[:, episode], obs, atol=1e-6)
        np.testing.assert_allclose(played.out.reward[:, episode], rewards)


@pytest.mark.parametrize("game", ROUNDS)
def test_a_round_of_the_papers_games(game: str) -> None:
    """As the simulator tells it; and after the last apple or arrival all is as at first."""
    options = {"corridors": 0} if game == "switch" else {}
    played, rules = play(paper(game, **options), by_hand(game)), PaperRules(game, **options)
    for time, actions in enumerate(played.action[:, 0].tolist()):
        assert (
            played.out.reward[time, 0].tolist()
            == PAID[game].get(time + 1, [0, 0])
            == rules.step(actions)
        )
        np.testing.assert_allclose(played.out.view.obs[time, 0], rules.obs(), atol=1e-6)
    again = (played.out.view.obs[:, 0] == played.first.obs[0]).all((1, 2))
    assert again[-1] == (game != "fetch")
    assert not again[:-1].any()
    assert not played.out.terminated.any()
    totals = {name: float(count.sum()) for name, count in played.out.info.items()}
    assert (
        totals
        == {
            "switch": {"arrivals": 2, "rounds": 1},
            "checkers": {"apples": 24, "lemons": 24, "rounds": 1},
            "fetch": {"pickups": 1, "deliveries": 1},
        }[game]
    )


def test_the_papers_pictures_show_facings_and_marks() -> None:
    env = paper("fetch")
    state, _ = jax.tree.map(np.asarray, env.reset(jax.random.key(0)))
    inner = state.inner
    states = [inner, inner.replace(pose=inner.pose + 1), inner.replace(marked=~inner.marked)]
    pictures = [array(env.draw(state.replace(inner=each)), 400) for each in states]
    assert all((pictures[0] != other).any() for other in pictures[1:])


def test_the_papers_state_is_each_ones_place_facing_and_mark_and_what_lies_there() -> None:
    view = paper("fetch").reset(jax.random.key(0))[1]
    right = [0, 1, 0, 0]
    expected = [2 / 6, 4 / 33, *right, 0, 4 / 6, 4 / 33, *right, 0, 1]
    np.testing.assert_allclose(view.state, expected, rtol=1e-6)
    played = play(paper("fetch"), by_hand("fetch")[:27])
    expected = [3 / 6, 30 / 33, *right, 1, 4 / 6, 4 / 33, *right, 0, 0]
    np.testing.assert_allclose(played.out.view.state[-1, 0], expected, rtol=1e-6)
