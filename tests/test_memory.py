"""What the memories give back, against plain numpy over everything that was ever added."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import assert_same, jit, pick
from scipy.stats import chisquare

from jmarl.grouped import Groups, grouped_replay
from jmarl.memory import latest, replay
from jmarl.types import Clock, Entities, Memory, Transition, View

T, B, ROLLOUTS = 4, 3, 3  # a ring of 12 positions
MANY = 30_000


def clock(iteration: Any) -> Clock:
    return Clock(jnp.asarray(iteration), jnp.zeros((), int), jnp.zeros((), int))


class Stream:
    """An endless recording: position p of environment b is marked 100 p + b."""

    def __init__(self, positions: int, num_envs: int = B) -> None:
        rng, shape = np.random.default_rng(0), (positions, num_envs)
        self.mark = 100 * np.arange(positions)[:, None] + np.arange(num_envs)
        self.reward = rng.normal(3, 5, (*shape, 2)).astype(np.float32)
        self.flags = {name: rng.random(shape) < 0.3 for name in ("terminated", "truncated")}
        self.valid = rng.random(shape) < 0.8
        self.reward *= self.valid[..., None]

    def rollout(self, nth: int, length: int = T) -> Transition:
        """Positions nth * length up to, with the view after, (nth + 1) * length."""
        around = slice(nth * length, (nth + 1) * length + 1)
        at = slice(nth * length, (nth + 1) * length)
        mark = jnp.asarray(self.mark[around])
        two = lambda x: jnp.stack([x, x + 0.5], -1)[..., None]
        return Transition(
            view=View(
                two(mark * 1.0),
                jnp.ones((*mark.shape, 2, 2), bool),
                jnp.ones((*mark.shape, 2), bool),
                mark[..., None] * 10.0,
                Entities(mark[..., None, None] + 0.25, mark[..., None] < 0, mark[..., None] < 0),
            ),
            start=jnp.asarray(self.valid[around] & (self.mark[around] % 3 == 0)),
            action=jnp.stack([mark[:-1]] * 2, -1),
            reward=jnp.asarray(self.reward[at]),
            terminated=jnp.asarray(self.flags["terminated"][at]),
            truncated=jnp.asarray(self.flags["truncated"][at]),
            valid=jnp.asarray(self.valid[at]),
            extras={"chance": jnp.asarray(self.mark[at] / 7)},
        )


STREAM = Stream(40)


def filled(memory: Memory[Any], rollouts: int, stream: Stream = STREAM, length: int = T) -> Any:
    state = memory.init(jax.tree.map(jnp.zeros_like, stream.rollout(0, length)))
    add = jit(memory.add)
    for nth in range(rollouts):
        state = add(state, stream.rollout(nth, length), clock(nth))
    return state


def drawn(memory: Memory[Any], rollouts: int, seed: int = 0) -> Transition:
    state = filled(memory, rollouts)
    return jit(memory.sample)(state, jax.random.key(seed), clock(rollouts))


def first_marks(batch: Transition) -> tuple[np.ndarray, np.ndarray]:
    """Positions and environments of segments' first steps."""
    first = np.asarray(batch.action[0, :, 0])
    return first // 100, first % 100


def check_follows(batch: Transition, length: int) -> None:
    """Every field of a segment is that of the positions behind its first one."""
    position, env = first_marks(batch)
    at = position + np.arange(length)[:, None]
    around = position + np.arange(length + 1)[:, None]
    mark = STREAM.mark[around, env]
    np.testing.assert_array_equal(batch.view.obs[..., 0, 0], mark)
    np.testing.assert_array_equal(batch.view.obs[..., 1, 0], mark + 0.5)
    assert batch.view.state is not None and batch.view.entities is not None
    np.testing.assert_array_equal(batch.view.state[..., 0], mark * 10)
    np.testing.assert_array_equal(batch.view.entities.features[..., 0, 0], mark + 0.25)
    np.testing.assert_array_equal(batch.start, STREAM.valid[around, env] & (mark % 3 == 0))
    np.testing.assert_array_equal(batch.action[..., 1], mark[:-1])
    np.testing.assert_array_equal(batch.reward, STREAM.reward[at, env])
    np.testing.assert_array_equal(batch.valid, STREAM.valid[at, env])
    for name, flag in STREAM.flags.items():
        np.testing.assert_array_equal(getattr(batch, name), flag[at, env])
    np.testing.assert_array_equal(batch.extras["chance"], (mark[:-1] / 7).astype(np.float32))


@pytest.mark.parametrize(
    ("length", "rollouts"), [(1, 2), (1, 3), (1, 8), (3, 4), (3, 8), (6, 2), (6, 8)]
)
def test_draws_what_followed_each_other_uniformly(length: int, rollouts: int) -> None:
    """From an unfilled, a just filled and an overwritten ring: every segment that still lies in
    it whole, and no other, equally often."""
    batch = drawn(replay(T, ROLLOUTS, MANY, length), rollouts)
    assert batch.reward.shape == (length, MANY, 2) and batch.start.shape == (length + 1, MANY)
    check_follows(batch, length)
    end = rollouts * T  # the view at `end` is not stored yet
    oldest = max(0, end - ROLLOUTS * T)
    possible = end - oldest - length
    position, env = first_marks(batch)
    counts = np.zeros((possible, B))
    np.add.at(counts, (position - oldest, env), 1)
    assert counts.all(), "a stored segment is never drawn"
    assert chisquare(counts.ravel()).pvalue > 1e-3


@pytest.mark.parametrize("rollouts", [1, 3, 7])
def test_whole_rollouts_open_where_rollouts_opened(rollouts: int) -> None:
    batch = drawn(replay(T, ROLLOUTS, MANY, whole_rollouts=True), rollouts)
    assert batch.reward.shape == (T - 1, MANY, 2)
    check_follows(batch, T - 1)
    position, env = first_marks(batch)
    assert not (position % T).any()
    stored = np.arange(max(0, rollouts - ROLLOUTS), rollouts)
    counts = np.array([[(env[position == T * nth] == b).sum() for b in range(B)] for nth in stored])
    assert counts.sum() == MANY and chisquare(counts.ravel()).pvalue > 1e-3


def test_a_ring_of_one_rollout_still_gives_its_pairs() -> None:
    batch = drawn(replay(T, 1, MANY), 5)
    check_follows(batch, 1)
    assert set(first_marks(batch)[0].tolist()) == {16, 17, 18}


def test_draws_differ_by_key_alone() -> None:
    memory = replay(T, ROLLOUTS, 50)
    one, other, again = (drawn(memory, 4, seed) for seed in (0, 1, 0))
    assert_same(one, again)
    assert not np.array_equal(first_marks(one)[0], first_marks(other)[0])


def test_where_is_independent_of_when() -> None:
    """Position and environment are drawn apart: pairs occur in their product's share."""
    position, env = first_marks(drawn(replay(T, ROLLOUTS, MANY), 3))
    table = np.histogram2d(position, env, (11, 3))[0]
    expected = table.sum(1, keepdims=True) * table.sum(0) / MANY
    assert chisquare(table.ravel(), expected.ravel(), ddof=11 + 3 - 2).pvalue > 1e-3


@pytest.mark.parametrize("whole", [False, True])
def test_long_runs_do_not_overflow(whole: bool) -> None:
    """Positions would count past 32 bits where iterations do not: rounds of the ring later, the
    same ring gives the same batch, and takes the next rollout at the same place."""
    memory = replay(T, ROLLOUTS, 50, whole_rollouts=whole, latest=5)
    ring, late = filled(memory, 4), clock(4 + ROLLOUTS * 700_000_000)
    sample = lambda clock: memory.sample(ring, jax.random.key(0), clock)
    assert_same(sample(late), sample(clock(4)))
    rollout = STREAM.rollout(4)
    assert_same(memory.add(ring, rollout, late), memory.add(ring, rollout, clock(4)))


@pytest.mark.parametrize(("length", "rollouts"), [(1, 1), (1, 3), (1, 8), (3, 4), (3, 8)])
def test_the_first_columns_may_be_the_newest_there_are(length: int, rollouts: int) -> None:
    """From an unfilled, a full and an overwritten ring: environment by environment, then one
    position older, and the newest over again where all are told; what is drawn stays the same."""
    memory = replay(T, ROLLOUTS, 50, length, latest=(latest := 4 * B * T + 2))
    batch = drawn(memory, rollouts)
    first = pick_columns(batch, slice(latest))
    check_follows(first, length)
    newest = rollouts * T - 1 - length  # its last view is the newest there is
    ages = min(rollouts, ROLLOUTS) * T - length
    nth = np.arange(latest)
    position, env = first_marks(first)
    np.testing.assert_array_equal(position, newest - nth // B % ages)
    np.testing.assert_array_equal(env, nth % B)
    plain = drawn(replay(T, ROLLOUTS, 50, length), rollouts)
    assert_same(pick_columns(batch, slice(latest, None)), plain)


@pytest.mark.parametrize("rollouts", [2, 3, 8])
def test_the_newest_whole_rollouts(rollouts: int) -> None:
    memory = replay(T, ROLLOUTS, 5, whole_rollouts=True, latest=4 * B)
    first = pick_columns(drawn(memory, rollouts), slice(4 * B))
    check_follows(first, T - 1)
    stored = min(rollouts, ROLLOUTS)
    expected = [(rollouts - 1 - nth % stored) * T for nth in range(4) for _ in range(B)]
    np.testing.assert_array_equal(first_marks(first)[0], expected)


def pick_columns(batch: Transition, part: Any) -> Transition:
    return jax.tree.map(lambda x: x[:, part], batch)


def test_latest_is_the_last_rollout() -> None:
    memory = latest()
    state = filled(memory, 3)
    batch = memory.sample(state, jax.random.key(0), clock(3))
    assert_same(batch, STREAM.rollout(2))


def test_keep_drops_what_is_not_read() -> None:
    lean = lambda r: r.replace(view=r.view.replace(state=None, entities=None), extras=())
    memory = replay(T, ROLLOUTS, 8, keep=lean)
    batch = drawn(memory, 4)
    assert batch.view.state is None and batch.view.entities is None and batch.extras == ()
    full = drawn(replay(T, ROLLOUTS, 8), 4)
    assert_same(batch, lean(full))


def test_nothing_is_stored_twice() -> None:
    """Bytes of the ring: one of each field a position, next views nowhere; flags are one byte."""
    ring = filled(replay(T, ROLLOUTS, 8), 1)
    obs, available, alive, state, entities = 2 * 4, 2 * 2, 2, 4, 4 + 1 + 1
    flags, action, reward, extras = 4, 2 * 4, 2 * 4, 4
    position = obs + available + alive + state + entities + flags + action + reward + extras
    assert sum(x.nbytes for x in jax.tree.leaves(ring)) == T * ROLLOUTS * B * position


def test_dtypes_are_kept() -> None:
    example = STREAM.rollout(0)
    example = example.replace(action=example.action.astype(jnp.int8))
    ring = replay(T, ROLLOUTS, 8).init(example)
    assert ring.steps.action.dtype == jnp.int8 and ring.steps.valid.dtype == bool


# --- standardised rewards ------------------------------------------------------------------------


@pytest.mark.parametrize("rollouts", [1, 3, 4, 8])
def test_rewards_are_standardised_by_all_that_is_stored(rollouts: int) -> None:
    """Mean and population deviation of valid steps in the ring; what it overwrote has left."""
    memory = replay(T, ROLLOUTS, 500, standardise_rewards=True)
    batch, plain = drawn(memory, rollouts), drawn(replay(T, ROLLOUTS, 500), rollouts)
    stored = slice(max(0, rollouts - ROLLOUTS) * T, rollouts * T)
    rewards = STREAM.reward[stored][STREAM.valid[stored]].astype(np.float64)
    expected = (plain.reward - rewards.mean(0)) / rewards.std(0)
    np.testing.assert_allclose(batch.reward, expected, rtol=1e-5, atol=1e-5)
    assert_same(batch.replace(reward=None), plain.replace(reward=None))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1.0, -1.7, 100.3])
def test_constant_rewards_are_only_centred(constant: float) -> None:
    """They deviate by nothing: what is left must not be blown up to +-1 by rounding."""
    stream = Stream(26 * 7, 64)
    stream.reward = np.full_like(stream.reward, constant) * stream.valid[..., None]
    memory = replay(25, 7, 64, standardise_rewards=True)
    sample = jit(memory.sample)
    for rollouts in (3, 5, 6, 7):
        ring = filled(memory, rollouts, stream, 25)
        batch = sample(ring, jax.random.key(0), clock(rollouts))
        reward = np.asarray(batch.reward)[np.asarray(batch.valid)]
        np.testing.assert_allclose(reward, 0, atol=1e-5 * abs(constant))


def test_large_rewards_keep_their_deviation() -> None:
    """A mean of 1000 deviations: sums of squares would lose them."""
    stream = Stream(40)
    stream.reward = ((1000 + STREAM.reward / 5) * stream.valid[..., None]).astype(np.float32)
    memory = replay(T, ROLLOUTS, 500, standardise_rewards=True)
    batch = memory.sample(filled(memory, 5, stream), jax.random.key(0), clock(5))
    rewards = stream.reward[8:20][stream.valid[8:20]].astype(np.float64)
    plain = np.asarray(drawn(replay(T, ROLLOUTS, 500), 5).reward, np.float64) / 5 + 1000
    expected = (plain - rewards.mean(0)) / rewards.std(0)
    valid = np.asarray(batch.valid)
    np.testing.assert_allclose(np.asarray(batch.reward)[valid], expected[valid], atol=2e-3)


# --- groups --------------------------------------------------------------------------------------

SPLIT = Groups(
    2, 3, lambda r: jnp.stack([r.action[..., 0] % 7 % 3, r.action[..., 1] // 500 % 3], -1)
)
FEW = 6_000


def in_groups(mark: np.ndarray) -> np.ndarray:
    """[..., 2] of marks, as SPLIT has it: scattered, and in runs of five positions."""
    return np.stack([mark % 7 % 3, mark // 500 % 3], -1)


@pytest.mark.parametrize("rollouts", [1, 3, 4, 8])
def test_a_groups_steps_are_drawn_uniformly(rollouts: int) -> None:
    """Every stored step of the group whose successor is stored, and no other, equally often."""
    batch = drawn(grouped_replay(T, ROLLOUTS, FEW, SPLIT), rollouts)
    check_follows(pick_columns(batch, np.asarray(batch.valid)[0]), 1)
    end, marks = rollouts * T - 1, np.asarray(batch.action[0, :, 0]).reshape(2, 3, FEW)
    told = np.asarray(batch.valid).reshape(2, 3, FEW)
    stored = slice(max(0, end + 1 - ROLLOUTS * T), end)
    possible = STREAM.mark[stored][STREAM.valid[stored]]
    for way, group in np.ndindex(2, 3):
        mine = possible[in_groups(possible)[:, way] == group]
        assert (told[way, group] == (len(mine) > 0)).all()
        if len(mine):
            values, counts = np.unique_counts(marks[way, group])
            assert set(values.tolist()) == set(mine.tolist())
            assert chisquare(counts).pvalue > 1e-3 if len(mine) > 1 else True


def test_a_group_of_nobody_is_not_valid() -> None:
    nobody = Groups(1, 2, lambda rollout: jnp.zeros((*rollout.valid.shape, 1), jnp.int8))
    memory, stream = grouped_replay(T, ROLLOUTS, 20, nobody), Stream(40)
    stream.valid[:] = True
    batch = memory.sample(filled(memory, 4, stream), jax.random.key(0), clock(4))
    np.testing.assert_array_equal(batch.valid[0], [True] * 20 + [False] * 20)


def test_groups_change_nothing_else() -> None:
    """Rewards are standardised by all that is stored, what nobody reads is dropped, and the clock
    may run long."""
    keep = lambda r: r.replace(view=r.view.replace(state=None, entities=None))
    memory = grouped_replay(T, ROLLOUTS, 50, SPLIT, standardise_rewards=True, keep=keep)
    ring = filled(memory, 5)
    sample = lambda clock: memory.sample(ring, jax.random.key(0), clock)
    batch = sample(clock(5))
    assert batch.view.state is None and batch.view.entities is None
    rewards = STREAM.reward[8:20][STREAM.valid[8:20]]
    raw = STREAM.reward[first_marks(batch)]
    expected = ((raw - rewards.mean(0)) / rewards.std(0))[np.asarray(batch.valid)[0]]
    np.testing.assert_allclose(np.asarray(batch.reward)[np.asarray(batch.valid)], expected, 1e-4)
    assert_same(sample(clock(5 + ROLLOUTS * 700_000_000)), batch)


# --- misuse, and the program ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rollout_length", "rollouts", "length", "whole"),
    [(4, 3, 12, False), (4, 3, 0, False), (1, 1, 1, False), (1, 5, 1, True), (4, 0, 1, False)],
)
def test_a_segment_and_its_last_view_must_fit(
    rollout_length: int, rollouts: int, length: int, whole: bool
) -> None:
    with pytest.raises(ValueError, match=rf"length=.*rollout_length={rollout_length}"):
        replay(rollout_length, rollouts, 8, length, whole_rollouts=whole)


def test_writes_stay_slices_under_seeds() -> None:
    """The write position is the clock's, which has no seed axis: whatever is vmapped, each field's
    write compiles to one slice in place, and to no scatter or loop over seeds."""
    memory = replay(T, ROLLOUTS, 8, standardise_rewards=True)
    twice = lambda tree: jax.tree.map(lambda x: jnp.stack([x] * 2), tree)
    rings, rollouts = twice(memory.init(STREAM.rollout(0))), twice(STREAM.rollout(0))
    operations = compiled_operations(jax.vmap(memory.add, (0, 0, None)), rings, rollouts, clock(1))
    assert operations.count("dynamic-update-slice") == len(jax.tree.leaves(rings))
    assert not {"scatter", "while", "sort"} & set(operations)
    # the law can fail: with a clock of each seed's own the same writes are loops
    clocks = jax.tree.map(lambda x: jnp.stack([x] * 2), clock(1))
    operations = compiled_operations(jax.vmap(memory.add), rings, rollouts, clocks)
    assert {"scatter", "while"} & set(operations)


def compiled_operations(function: Any, *args: Any) -> list[str]:
    text = jax.jit(function, donate_argnums=0).lower(*args).compile().as_text()
    return re.findall(r" ([a-z-]+)\(", str(text))


def test_seeds_remember_apart() -> None:
    """Two seeds' rings under vmap hold what each would hold alone."""
    memory = replay(T, ROLLOUTS, 20, standardise_rewards=True)
    rollouts = [[STREAM.rollout(nth + seed) for nth in range(4)] for seed in range(2)]
    keys = jax.random.split(jax.random.key(1))

    def one(added: list[Transition], key: Array) -> Transition:
        ring = memory.init(added[0])
        for nth, rollout in enumerate(added):
            ring = memory.add(ring, rollout, clock(nth))
        return memory.sample(ring, key, clock(4))

    stacked = [jax.tree.map(lambda *x: jnp.stack(x), *pair) for pair in zip(*rollouts, strict=True)]
    together = jit(jax.vmap(one))(stacked, keys)
    for seed in range(2):
        alone = jit(one)(rollouts[seed], keys[seed])
        assert_same(pick(together, seed), alone, rtol=1e-6)
