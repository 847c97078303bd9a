"""The toys' rewards, ends and views, against numbers worked by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmarl_envs
from jmarl.types import Environment, Outcome, View
from jmarl_envs.actions import one_hots, pick


def play(env: Environment[Any], acts: Any, steps: int) -> tuple[list[View], list[Outcome]]:
    """The views and outcomes of `acts(state, view)`."""
    state, view = env.reset(jax.random.key(3))
    views, outs = [view], []
    for key in jax.random.split(jax.random.key(4), steps):
        state, out = env.step(state, acts(state, views[-1]), key)
        views.append(out.view)
        outs.append(out)
    return views, outs


def name_the_cue(state: Any, view: View) -> jax.Array:
    return jnp.broadcast_to(state.inner.cue, view.alive.shape)


def test_echo_pays_once_everybody_named_the_cue_at_the_end() -> None:
    env = jmarl_envs.make("toy/echo", horizon=3)
    views, outs = play(env, name_the_cue, 3)
    assert [out.reward.tolist() for out in outs] == [[0, 0], [0, 0], [1, 1]]
    assert [bool(out.terminated) for out in outs] == [False, False, True]
    assert views[0].obs[:, :3].sum(1).tolist() == [1, 1]  # shown to both, once
    assert all(not view.obs[:, :3].any() for view in views[1:])
    _, outs = play(env, lambda state, view: name_the_cue(state, view).at[0].add(1) % 3, 3)
    assert outs[-1].reward.tolist() == [0, 0]


def test_echo_may_be_cut_instead() -> None:
    _, outs = play(jmarl_envs.make("toy/echo", horizon=2, truncated=True), name_the_cue, 2)
    assert [(bool(out.terminated), bool(out.truncated)) for out in outs] == [
        (False, False),
        (False, True),
    ]


def test_echos_entities_are_agents_the_bearer_of_the_cue_and_an_empty_slot() -> None:
    env = jmarl_envs.make("toy/echo", num_agents=3, num_cues=2, horizon=2)
    views, _ = play(env, name_the_cue, 1)
    first, later = (view.entities for view in views)
    assert first is not None
    assert later is not None
    assert (env.spec.num_entities, env.spec.entity_size) == (5, 4)
    assert first.absent.tolist() == [False, False, False, False, True]
    assert first.hidden.tolist() == [[False, False, False, False, True]] * 3
    assert later.hidden.tolist() == [[False, False, False, True, True]] * 3
    assert first.features[:, 0].tolist() == [1, 1, 1, 0, 0]
    np.testing.assert_array_equal(first.features[3, 2:], views[0].obs[0, :2])
    assert later.features[:3, 1].tolist() == [0.5] * 3
    assert not first.features[4].any()
    assert jmarl_envs.make("toy/echo", entities=False).reset(jax.random.key(0))[1].entities is None


def test_cue_pays_each_agent_for_what_it_sees() -> None:
    env = jmarl_envs.make("toy/cue", num_agents=3, horizon=2)
    views, outs = play(env, lambda _, view: view.obs.argmax(-1).at[0].add(1) % 3, 2)
    assert [out.reward.tolist() for out in outs] == [[0, 1, 1], [0, 1, 1]]
    assert [bool(out.terminated) for out in outs] == [False, True]
    assert (views[0].obs.sum(-1) == 1).all()


def test_clock_shows_time_only_if_it_means_something() -> None:
    for terminates, times in ((False, [0, 0, 0]), (True, [0, 0.5, 1])):
        env = jmarl_envs.make("toy/clock", episode_limit=2, terminates=terminates)
        views, outs = play(env, lambda _, view: view.alive.astype(jnp.int32), 2)
        assert [float(view.obs[0, 1]) for view in views] == times
        assert [out.reward.tolist() for out in outs] == [[1, 1], [1, 1]]
        assert bool(outs[-1].terminated) == terminates
        assert bool(outs[-1].truncated) != terminates


def test_reach_pays_the_squared_distance_of_the_clipped_action() -> None:
    env = jmarl_envs.make("toy/reach")
    _, outs = play(env, lambda _, view: view.obs, 2)
    assert outs[-1].reward.tolist() == [0, 0]
    views, outs = play(env, lambda _, view: jnp.full((2, 1), 5.0), 1)
    np.testing.assert_allclose(outs[0].reward, -((1 - views[0].obs[:, 0]) ** 2), rtol=1e-6)


@pytest.mark.parametrize("actions", ["discrete", "simplex"])
def test_parts_pays_the_share_of_right_parts(actions: str) -> None:
    env = jmarl_envs.make("toy/parts", actions=actions)

    def half_right(_: Any, view: View) -> jax.Array:
        """Everything right but the last agent's message."""
        walk, tell, last = view.obs[0, :3], view.obs[1, :2], view.obs[2]
        if actions == "discrete":
            return jnp.stack(
                [walk.argmax(), tell.argmax(), last[:3].argmax() + 3 * last[3:].argmin()]
            )
        return view.obs.at[2, 3:].set(1 - last[3:])

    _, outs = play(env, half_right, 2)
    assert [out.reward.tolist() for out in outs] == [[1, 1, 0.5]] * 2


def test_a_parts_probability_is_what_it_earns() -> None:
    env = jmarl_envs.make("toy/parts", actions="simplex")
    unsure = jnp.array([[0.2, 0.2, 0.2, 9, 9], [0.5, 0.5, 9, 9, 9], [0.1, 0.1, 0.1, 0.3, 0.3]])
    _, outs = play(env, lambda state, view: unsure, 1)
    np.testing.assert_allclose(outs[0].reward, [0.2, 0.5, 0.2], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("toy/echo", [1 / 9] * 2),
        ("toy/cue", [1 / 3] * 2),
        ("toy/clock", [10.0] * 2),
        ("toy/reach", [-10 / 3] * 2),
        ("toy/parts", [4 / 3, 2.0, 5 / 3]),
    ],
)
def test_random_play_earns_its_expectation(name: str, expected: list[float]) -> None:
    returns = jmarl_envs.random_returns(jmarl_envs.make(name), 512, jax.random.key(5))
    error = np.std(returns, axis=0) / np.sqrt(len(returns))
    assert (np.abs(returns.mean(0) - np.array(expected)) <= 3 * error).all()


def test_random_play_stops_where_the_episode_ends() -> None:
    env = jmarl_envs.make("toy/clock", episode_limit=2, terminates=True)
    longer = jmarl_envs.TimeLimit(env, episode_limit=7)
    assert jmarl_envs.random_returns(longer, 3, jax.random.key(0)).tolist() == [[2.0, 2.0]] * 3


def test_flat_choices_count_the_first_part_fastest() -> None:
    assert one_hots(jnp.int32(7), (5, 2)).tolist() == [0, 0, 1, 0, 0, 0, 1]


def test_picks_are_available_in_every_part() -> None:
    scores = jnp.array([[9.0, 1, 2, 0, 0], [9, 8, 0, 0, 0], [1, 2, 3, 4, 9]])
    available = jnp.array([[0, 1, 1, 0, 0], [0, 1, 0, 0, 0], [1, 1, 0, 1, 0]], bool)
    simplex = jmarl_envs.make("toy/parts", actions="simplex").spec
    assert pick(simplex, available, scores).tolist() == [
        [0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [0, 1, 0, 1, 0],
    ]
    discrete = jmarl_envs.make("toy/echo", num_agents=3, num_cues=5).spec
    assert pick(discrete, available, scores).tolist() == [2, 1, 3]
