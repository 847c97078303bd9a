"""Group Matching against numbers worked by hand and a plain count."""

import re
from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from group_matching import CALM, NAME, Sizes, ints, matching
from hypothesis import given

import jmarl_envs
from jmarl_envs import BadOption, check
from jmarl_envs.raster import array
from jmarl_envs.time_limit import Timed


def gathered(cell: Any, group: Any, num_groups: int) -> int:
    """By counting: groups whose members are in one cell, or that have none."""
    cells = [{c for c, g in zip(cell, group, strict=True) if g == k} for k in range(num_groups)]
    return sum(len(found) <= 1 for found in cells)


# The start


@pytest.fixture(scope="module")
def starts() -> Any:
    """8192 states, as numpy."""
    keys = jax.random.split(jax.random.key(2), 8192)
    state, _ = jax.jit(jax.vmap(matching()[0].reset))(keys)
    return jax.tree.map(np.asarray, state.inner)


def test_the_first_groups_size_is_uniform_and_it_may_be_empty(starts: Any) -> None:
    sizes = np.bincount((starts.group == 0).sum(1), minlength=9)
    assert sizes[8] == 0  # the second never is
    assert ((sizes[:8] - 1024) ** 2 / 1024).sum() < 24.3  # chi-square(7), 0.1 %
    share = (starts.group == 0).mean(0)
    assert np.abs(share - 3.5 / 8).max() < 0.025  # whoever it is


def test_cells_are_uniform(starts: Any) -> None:
    counts = np.bincount(starts.cell.ravel(), minlength=6)
    assert counts.size == 6
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 20.5  # chi-square(5), 0.1 %


def test_some_groups_are_gathered_at_the_start_as_often_as_they_must(starts: Any) -> None:
    """k in group 0 and 8-k in group 1, each gathered with 6^(1-size); an empty one always."""
    sizes = np.arange(1.0, 8)
    none = ((1 - 6 ** (1 - sizes)) * (1 - 6 ** (sizes - 7))).sum() / 8
    found = (starts.gathered == 0).mean()
    assert abs(found - none) < 3 * np.sqrt(none * (1 - none) / 8192)
    for index in range(64):
        assert gathered(starts.cell[index], starts.group[index], 2) == starts.gathered[index]


def test_more_than_two_groups_share_all_agents_out() -> None:
    """Ours: two cuts, sorted, uniform in 0..A-1. The last group holds A minus the later cut."""
    _, env = matching(num_agents=4, num_groups=3)
    group = np.asarray(jax.jit(jax.vmap(env.groups))(jax.random.split(jax.random.key(1), 8192)))
    assert set(group.ravel()) == {0, 1, 2}
    cuts = np.sort(np.stack(np.meshgrid(range(4), range(4)), -1).reshape(-1, 2), 1)
    for found, wanted in (
        ((group == 0).sum(1), cuts[:, 0]),
        ((group == 1).sum(1), cuts[:, 1] - cuts[:, 0]),
        ((group == 2).sum(1), 4 - cuts[:, 1]),
    ):
        expected = np.bincount(wanted, minlength=5) / 16
        shares = np.bincount(found, minlength=5) / 8192
        assert np.abs(shares - expected).max() < 0.02


def test_fixed_groups_are_equal_shares_by_index() -> None:
    for agents, groups, wanted in ((8, 2, [0] * 4 + [1] * 4), (5, 2, [0, 0, 0, 1, 1])):
        _, env = matching(num_agents=agents, num_groups=groups, fixed_groups=True)
        state, _ = env.reset(jax.random.key(3))
        assert state.group.tolist() == wanted


# The rules, by hand


@pytest.mark.parametrize(
    ("cell", "group", "action", "reward", "over"),
    [
        ([0, 1, 3], [0, 0, 1], [2, 1, 1], 2.4, True),  # group 1 stood together already
        ([0, 1, 3], [0, 0, 1], [1, 1, 1], -0.1, False),
        ([1, 1, 3], [0, 0, 1], [1, 2, 1], -2.6, False),  # a gathered group parts
        ([0, 0, 2], [0, 0, 1], [1, 1, 1], -0.1, True),  # solved from the start: after a step
        ([0, 3, 2], [1, 1, 1], [0, 1, 2], 2.4, True),  # round the ring; group 0 is empty
        ([0, 2, 1], [0, 0, 0], [2, 0, 1], 2.4, True),  # group 1 is empty
        ([0, 2, 1], [0, 1, 0], [2, 1, 0], -0.1, False),  # they only change places
    ],
)
def test_a_step_is_paid_by_the_rules(
    cell: list[int], group: list[int], action: list[int], reward: float, over: bool
) -> None:
    _, env = matching(num_agents=3, num_cells=4, **CALM)
    _, out = env.step(env.ring(ints(cell), ints(group)), ints(action), jax.random.key(0))
    np.testing.assert_allclose(out.reward, [reward] * 3, atol=1e-6)
    assert bool(out.terminated) == over


def test_solved_at_the_limit_is_an_ending_and_not_a_cut() -> None:
    env, bare = matching(num_agents=2, num_cells=4, episode_limit=7, **CALM)
    state = bare.ring(ints([0, 1]), ints([1, 1]))
    for action, terminated in (([2, 1], True), ([1, 1], False)):
        _, out = env.step(Timed(state, ints(6)), ints(action), jax.random.key(0))
        assert (bool(out.terminated), bool(out.truncated)) == (terminated, not terminated)


@pytest.mark.parametrize("p", [0.0, 0.1, 1.0])
def test_actions_are_replaced_as_often_as_told_by_each_alike(p: float) -> None:
    _, env = matching(random_moves=p)
    keys = jax.random.split(jax.random.key(0), 4096)
    for chosen in range(3):
        action = jnp.full(8, chosen, jnp.int32)
        done = np.asarray(jax.vmap(lambda key, action=action: env.executed(action, key))(keys))
        shares = np.bincount(done.ravel(), minlength=3) / done.size
        wanted = np.full(3, p / 3) + (1 - p) * np.eye(3)[chosen]
        assert np.abs(shares - wanted).max() < 4 * np.sqrt(p / 4 / done.size) + 1e-9


def test_observations_begin_with_the_agents_own_entity() -> None:
    for sees in ("all", "group"):
        _, env = matching(num_agents=3, num_cells=4, sees=sees)
        view = env.view(env.ring(ints([3, 0, 2]), ints([1, 0, 1])))
        assert view.entities is not None
        e0, e1, e2 = view.entities.features.tolist()
        assert e0 == [0, 0, 0, 1, 0, 1, 1, 0, 0]
        assert e1 == [1, 0, 0, 0, 1, 0, 0, 1, 0]
        other = [[False, True, False], [True, False, True], [False, True, False]]
        assert view.entities.outside is not None
        assert view.entities.outside.tolist() == other
        if sees == "all":
            assert view.obs.tolist() == [e0 + e1 + e2, e1 + e0 + e2, e2 + e0 + e1]
            assert not view.entities.hidden.any()
        else:
            z = [0] * 9
            assert view.obs.tolist() == [e0 + z + e2, e1 + z + z, e2 + e0 + z]
            assert view.entities.hidden.tolist() == other
        assert np.asarray(view.state).tolist() == e0 + e1 + e2
        assert env.spec.agent_features == (3, 9)


# Laws

SMALL = Sizes(5, 4, 3)
_, SMALL_ENV = matching(**SMALL._asdict(), **CALM)
PLAY = jax.jit(lambda cell, group, action: _play(cell, group, action))
AGENTS = SMALL.num_agents
CELLS = st.lists(st.integers(0, 3), min_size=AGENTS, max_size=AGENTS)
GROUPS = st.lists(st.integers(0, 2), min_size=AGENTS, max_size=AGENTS)


def _play(cell: jax.Array, group: jax.Array, action: jax.Array) -> Any:
    state = SMALL_ENV.ring(cell, group)
    return state, *SMALL_ENV.step(state, action, jax.random.key(0))


@given(CELLS, GROUPS, GROUPS, st.permutations(range(AGENTS)))
def test_any_step_agrees_with_a_plain_count_and_does_not_ask_who_is_who(
    cell: list[int], group: list[int], action: list[int], order: list[int]
) -> None:
    first, second, out = PLAY(ints(cell), ints(group), ints(action))
    moved = [(c + a - 1) % 4 for c, a in zip(cell, action, strict=True)]
    counts = gathered(cell, group, 3), gathered(moved, group, 3)
    assert (int(first.gathered), int(second.gathered)) == counts
    assert second.cell.tolist() == moved
    assert second.group.tolist() == group
    reward = -0.1 + 2.5 * (counts[1] - counts[0])
    np.testing.assert_allclose(out.reward, [reward] * AGENTS, atol=1e-6)
    assert bool(out.terminated) == (counts[1] == 3)
    shuffled = [ints([values[i] for i in order]) for values in (cell, group, action)]
    _, third, other = PLAY(*shuffled)
    assert int(third.gathered) == counts[1]
    features = np.asarray(out.view.entities.features)
    np.testing.assert_array_equal(other.view.entities.features[:, :7], features[order, :7])
    outside = np.asarray(out.view.entities.outside)
    np.testing.assert_array_equal(other.view.entities.outside, outside[np.ix_(order, order)])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_agents": 4, "num_cells": 10, "sees": "group"},
        {"num_agents": 3, "num_cells": 2, "num_groups": 5, "fixed_groups": True},
        {"num_agents": 1, "num_groups": 1, "episode_limit": 3},
    ],
)
def test_the_contract_is_kept(options: dict[str, Any]) -> None:
    check(jmarl_envs.make(NAME, **options), episodes=3)


def test_the_papers_sizes_are_the_default() -> None:
    spec = matching()[0].spec
    assert (spec.num_agents, spec.entity_size, spec.episode_limit) == (8, 6 + 2 + 8, 50)
    assert spec.action_parts == ((3,),) * 8
    assert (spec.team_reward, spec.true_groups) == ("shared", True)


def test_options_have_bounds() -> None:
    for name, value in (("random_moves", 1.5), ("num_cells", 1), ("sees", "none")):
        with pytest.raises(BadOption, match=re.escape(f"{NAME}: {name} must be")):
            jmarl_envs.make(NAME, **{name: value})


def test_pictures_show_who_is_where_and_what_is_gathered() -> None:
    env, bare = matching(num_agents=4)
    draw: Any = env.draw
    pictures = []
    for cell, group, caption in (
        ([0, 0, 1, 2], [0, 0, 1, 1], "1 of 2 groups gathered"),
        ([0, 0, 1, 2], [1, 1, 1, 1], "1 of 2 groups gathered (1 empty)"),
        ([0, 0, 2, 2], [0, 0, 1, 1], "2 of 2 groups gathered"),
    ):
        state = jax.tree.map(np.asarray, bare.ring(ints(cell), ints(group)))
        scene = draw(Timed(state, ints(0)))
        assert scene.caption == caption
        pictures.append(array(scene, 120).tobytes())
    assert len(set(pictures)) == 3
