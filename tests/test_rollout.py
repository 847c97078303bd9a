"""Rollouts against environments stepped by hand, and the laws of positions, starts and ends."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import Marks, assert_same, bare, by_hand, counting_policy, jit, pick

from jmarl.rollout import (
    Actors,
    Episode,
    first_episodes,
    open_actors,
    reset_compact,
    reset_ended,
    reset_select,
    rollout,
    tally,
    transition,
)
from jmarl.types import Step, Transition

B, T, LENGTHS = 3, 14, (1, 5)
KEYS = jax.random.split(jax.random.key(7))
Played = tuple[Actors, Step, Episode]


def play(lengths: tuple[int, int], num_envs: int, length: int) -> Played:
    return jit(lambda: played_by(lengths, num_envs, length))()


def played_by(lengths: tuple[int, int], num_envs: int, length: int) -> Played:
    env, policy = Marks(lengths), counting_policy()
    actors = open_actors(env, policy, num_envs, KEYS[0])
    after, (steps, episodes) = rollout(env, policy, actors, KEYS[1], length)
    return after, steps, episodes


@pytest.fixture(scope="module")
def played() -> Played:
    return play(LENGTHS, B, T)


@pytest.fixture(scope="module")
def hand() -> list[dict[str, Any]]:
    return by_hand(Marks(LENGTHS), counting_policy(), (KEYS[0], KEYS[1]), B, T)


def column(hand: list[dict[str, Any]], name: str) -> np.ndarray:
    """[T, B, ...] of what the outcomes say, zero where nothing was stepped."""
    value = lambda out: np.asarray(getattr(out, name))
    blank = np.zeros_like(value(next(o for o in hand[0]["outs"] if o is not None)))
    return np.array([[blank if o is None else value(o) for o in row["outs"]] for row in hand])


def test_equals_stepping_by_hand(played: Played, hand: list[dict[str, Any]]) -> None:
    _, steps, _ = played
    rows = lambda name: jax.tree.map(lambda *xs: jnp.stack(xs), *[row[name] for row in hand])
    assert_same(steps.view, rows("view"))
    assert_same(steps.extras, rows("extras"))
    np.testing.assert_array_equal(steps.action, rows("action"))
    np.testing.assert_array_equal(steps.start, [row["start"] for row in hand])
    np.testing.assert_array_equal(steps.valid, ~np.array([row["ended"] for row in hand]))
    for name in ("reward", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(steps, name), column(hand, name), err_msg=name)
    assert not np.all(steps.valid) and np.any(steps.terminated) and np.any(steps.truncated)


def test_next_view_is_the_true_successor_unless_the_episode_terminated(
    played: Played, hand: list[dict[str, Any]]
) -> None:
    """Where the clock cut it the last view stands at t+1, behind a true end a fresh one."""
    after, steps, _ = played
    batch = transition(steps, after)
    for t, row in enumerate(hand):
        for b, out in enumerate(row["outs"]):
            if out is not None and out.terminated:
                assert batch.start[t + 1, b] and batch.view.obs[t + 1, b, 0, 1] == 0
            elif out is not None:
                assert_same(pick(batch.view, (t + 1, b)), out.view)


def test_flags_of_episodes_that_terminate() -> None:
    """Two steps, and two of the next episode: no position is lost."""
    _, steps, episodes = play((2, 2), 1, 5)
    assert flags_of(steps) == {
        "start": [1, 0, 1, 0, 1],
        "valid": [1, 1, 1, 1, 1],
        "terminated": [0, 1, 0, 1, 0],
        "truncated": [0, 0, 0, 0, 0],
    }
    assert steps.view.obs[:, 0, 0, 1].tolist() == [0, 1, 0, 1, 0]  # the time seen
    assert episodes.length[:, 0].tolist() == [1, 2, 1, 2, 1]


def test_flags_of_episodes_that_are_truncated() -> None:
    """Three steps, then a position that only holds the last view, then a new episode."""
    _, steps, episodes = play((3, 3), 1, 6)
    assert flags_of(steps) == {
        "start": [1, 0, 0, 0, 1, 0],
        "valid": [1, 1, 1, 0, 1, 1],
        "terminated": [0, 0, 0, 0, 0, 0],
        "truncated": [0, 0, 1, 0, 0, 0],
    }
    assert steps.view.obs[:, 0, 0, 1].tolist() == [0, 1, 2, 3, 0, 1]
    assert episodes.length[:, 0][np.array(steps.valid[:, 0])].tolist() == [1, 2, 3, 1, 2]


def flags_of(steps: Step) -> dict[str, list[int]]:
    """Of the first environment."""
    names = ("start", "valid", "terminated", "truncated")
    return {name: getattr(steps, name)[:, 0].astype(int).tolist() for name in names}


def test_episodes_of_one_step() -> None:
    """An environment whose clock runs out at once: every other position resets."""
    _, steps, episodes = play((1, 1), 2, 5)
    for b in range(2):
        assert steps.valid[:, b].tolist() == [True, False, True, False, True]
        assert steps.start[:, b].tolist() == [True, False, True, False, True]
        assert steps.truncated[:, b].tolist() == [True, False, True, False, True]
    assert not steps.terminated.any()
    assert tally(steps, episodes).episodes == 6
    assert tally(steps, episodes).env_steps == 6
    fresh = steps.view.obs[::2, :, 0, 0].ravel()
    assert len(set(fresh.tolist())) == 6, "every reset draws a new episode"


def test_nothing_leaks_from_steps_that_were_not_taken(played: Played) -> None:
    """Beyond the end the environment yields NaN and both flags; none of it is to be seen."""
    after, steps, episodes = played
    batch, nowhere = transition(steps, after), ~steps.valid
    assert all(np.isfinite(bare(leaf)).all() for leaf in jax.tree.leaves(batch))
    assert not np.any(steps.terminated & nowhere) and not np.any(steps.truncated & nowhere)
    assert not np.any(steps.reward[nowhere])
    assert np.all(batch.view.obs[..., 0] >= 0), "a view of a step beyond the end"
    assert np.isfinite(tally(steps, episodes).returns).all()


def test_flags_follow_from_each_other(played: Played) -> None:
    after, steps, _ = played
    batch = transition(steps, after)
    np.testing.assert_array_equal(steps.valid[1:], ~steps.truncated[:-1])
    np.testing.assert_array_equal(batch.start[1:], steps.terminated | ~steps.valid)
    np.testing.assert_array_equal(batch.start, batch.view.obs[..., 0, 1] == 0)
    np.testing.assert_array_equal(after.ended, steps.truncated[-1])


@pytest.mark.parametrize(("length", "flag"), [(7, "truncated"), (8, "terminated")])
def test_rollouts_go_on_where_the_last_one_stopped(length: int, flag: str) -> None:
    """Some positions, then as many, are one stream: the second opens with the first's end."""
    env, policy = Marks(LENGTHS), counting_policy()
    run = jit(lambda actors, key: rollout(env, policy, actors, key, length))
    actors = open_actors(env, policy, 8, KEYS[0])
    middle, (first, episodes) = run(actors, KEYS[0])
    _, (second, later) = run(middle, KEYS[1])
    assert_same(pick(transition(first, middle).view, -1), pick(second.view, 0))
    assert getattr(first, flag)[-1].any()
    np.testing.assert_array_equal(second.valid[0], ~first.truncated[-1])
    np.testing.assert_array_equal(second.start[0], first.terminated[-1] | ~first.valid[-1])
    seen = np.concatenate([first.extras[0], second.extras[0]])
    np.testing.assert_array_equal(
        seen, np.concatenate([first.view.obs, second.view.obs])[..., 0, 1]
    )
    going = np.array(second.valid[0] & ~second.start[0])
    assert going.any()
    grown = later.returns[0] - episodes.returns[-1]
    np.testing.assert_array_equal(grown[going], second.reward[0][going])


def test_a_carry_never_leaks_over_an_episodes_end(played: Played) -> None:
    """`steps` is the time since the episode opened, also at its last view; draws are new."""
    _, steps, _ = played
    count, drawn = (np.asarray(x) for x in steps.extras)
    np.testing.assert_array_equal(count, steps.view.obs[..., 0, 1])
    opens = np.asarray(steps.start)
    np.testing.assert_array_equal(drawn[1:][~opens[1:]], drawn[:-1][~opens[1:]])
    assert len(set(drawn[opens].tolist())) == opens.sum()


def test_returns_lengths_and_infos_equal_numpy(played: Played, hand: list[dict[str, Any]]) -> None:
    *_, episodes = played
    returns, length, food = np.zeros((B, 2)), np.zeros(B), np.zeros(B)
    for t, row in enumerate(hand):
        for b, out in enumerate(row["outs"]):
            if row["start"][b]:
                returns[b], length[b], food[b] = 0, 0, 0
            if out is None:
                continue
            returns[b] += np.asarray(out.reward)
            length[b] += 1
            food[b] += float(out.info["food"])
            np.testing.assert_array_equal(episodes.returns[t, b], returns[b])
            assert episodes.length[t, b] == length[b]
            assert episodes.info["food"][t, b] == food[b]
            assert episodes.info["won"][t, b] == float(out.info["won"])


def test_tally_sums_the_episodes_that_finish(played: Played) -> None:
    _, steps, episodes = played
    whole = tally(steps, episodes)
    ended = np.asarray(steps.terminated | steps.truncated)
    assert whole.env_steps == np.sum(steps.valid) < B * T
    assert whole.episodes == ended.sum() > 3
    np.testing.assert_array_equal(whole.returns, np.asarray(episodes.returns)[ended].sum(0))
    assert whole.length == np.asarray(episodes.length)[ended].sum()
    for name in ("food", "won"):
        assert whole.info[name] == np.asarray(episodes.info[name])[ended].sum()


def test_tallies_add_up(played: Played) -> None:
    _, steps, episodes = played
    parts = slice(0, 5), slice(5, None)
    halves = [tally(pick(steps, part), pick(episodes, part)) for part in parts]
    assert_same(jax.tree.map(jnp.add, *halves), tally(steps, episodes))


def test_first_episodes(played: Played) -> None:
    """Of each environment the one that finishes first; what finishes later counts for nothing."""
    _, steps, episodes = played
    first = first_episodes(steps, episodes)
    ended = np.asarray(steps.terminated | steps.truncated)
    assert (ended.sum(0) > 1).all()
    assert_same(first, pick(episodes, (ended.argmax(0), np.arange(B))))
    np.testing.assert_array_equal(first.length, steps.view.obs[0, :, 0, 2])


def test_first_episodes_of_the_shortest_rollout_that_holds_them() -> None:
    """Episodes as long as the limit finish at position limit - 1."""
    _, steps, episodes = play((4, 4), 2, 4)
    assert first_episodes(steps, episodes).length.tolist() == [4, 4]


def test_transition_joins_the_last_view() -> None:
    after, steps, _ = play((3, 3), 2, 3)
    batch = transition(steps, after)
    assert batch.view.obs.shape == (4, 2, 2, 3) and batch.start.shape == (4, 2)
    assert batch.reward.shape == (3, 2, 2) and batch.valid.shape == (3, 2)
    assert batch.view.obs[:, 0, 0, 1].tolist() == [0, 1, 2, 3]
    assert_same(pick(batch.view, -1), after.view)


# --- resets --------------------------------------------------------------------------------------


def worlds(num_envs: int) -> tuple[Any, Any]:
    """States with typed keys, and views, that differ from any fresh ones."""
    state, view = jax.vmap(Marks(LENGTHS).reset)(jax.random.split(KEYS[0], num_envs))
    return state.replace(time=state.time + 1), view.replace(obs=view.obs + 0.5)


@pytest.mark.parametrize("num_envs", [1, 40])
def test_compact_reset_equals_select_reset(num_envs: int) -> None:
    """Bit for bit: no environment ended, one, some, all, under vmap over such cases too."""
    env, old = Marks(LENGTHS), worlds(num_envs)
    key, at = KEYS[1], jnp.arange(num_envs)
    ended = jnp.stack([at < 0, at == num_envs - 1, at % 3 == 1, at >= 0])
    compact = jit(jax.vmap(lambda e: reset_compact(env, e, old, key)))(ended)
    select = jit(jax.vmap(lambda e: reset_select(env, e, old, key)))(ended)
    assert_same(compact, select)
    fresh = jax.vmap(env.reset)(jax.random.split(key, num_envs))
    assert_same(pick(compact, 3), fresh)
    assert_same(pick(compact, 0), old)
    for case in range(4):
        for b in range(0, num_envs, 3):
            expected = pick(fresh if ended[case, b] else old, b)
            assert_same(pick(compact, (case, b)), expected)


def test_a_loop_over_seeds_keeps_each_seeds_resets() -> None:
    """The loop goes on for the seed with most endings and must not touch the others."""
    env, num_envs = Marks(LENGTHS), 20
    old = jax.vmap(lambda _: worlds(num_envs))(jnp.arange(2))
    ended = jnp.stack([jnp.arange(num_envs) == 4, jnp.ones(num_envs, bool)])

    def one(ended: Array, old: Any, key: Array) -> Any:
        return reset_ended(env, ended, old[0], old[1], key)

    together = jit(jax.vmap(one))(ended, old, KEYS)
    for seed in range(2):
        alone = reset_select(env, ended[seed], pick(old, seed), KEYS[seed])
        assert_same(pick(together, seed), alone)


def test_vmapped_seeds_equal_seeds_alone() -> None:
    """Whole rollouts, resets included."""
    env, policy = Marks(LENGTHS), counting_policy()

    def one(key: Array) -> tuple[Transition, Episode]:
        actors = open_actors(env, policy, 4, key)
        actors, (steps, episodes) = rollout(env, policy, actors, key, 9)
        return transition(steps, actors), episodes

    together = jit(jax.vmap(one))(KEYS)
    alone = jit(one)
    for seed in range(2):
        assert_same(pick(together, seed), alone(KEYS[seed]))
