"""What the loop does between an environment, a memory and an algorithm, seen by a spy."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax import Array
from probes import Marks, assert_same, bare, jit, pick, spec_of

from jmarl.loop import Loop, LoopConfig, scores
from jmarl.memory import latest
from jmarl.types import (
    Clock,
    EnvSpec,
    Key,
    Memory,
    Metrics,
    Outcome,
    Policy,
    Transition,
    View,
)

B, T, UPDATES, WARM, CHUNK = 3, 5, 2, 2, 4


@dataclass(frozen=True)
class Spy:
    """Does nothing, and tells of everything: what clock and batch it was given."""

    spec: EnvSpec

    def init(self, key: Key) -> Array:
        return jnp.zeros((), jnp.int32)

    def explore(self, learner: Array, clock: Clock) -> Policy[Array]:
        """The carry holds the learner's updates and the clock's steps as its episode opened."""
        now = jnp.stack([learner, jnp.asarray(clock.env_steps), clock.updates, clock.iteration])
        return policy(now)

    def exploit(self, learner: Array) -> Policy[Array]:
        return policy(jnp.full(4, -1))

    def update(
        self, learner: Array, batch: Transition, key: Key, clock: Clock
    ) -> tuple[Array, Metrics]:
        metrics = {
            "updates": clock.updates - learner,
            "learner": learner,
            "iteration": clock.iteration,
            "env_steps": clock.env_steps,
            "key": jax.random.uniform(key),
            **dict(zip(("acted", "steps", "done", "rollouts"), batch.extras[0, 0], strict=True)),
        }
        return learner + 1, {name: value * 1.0 for name, value in metrics.items()}


def policy(now: Array) -> Policy[Array]:
    def step(carry: Array, view: View, key: Key) -> tuple[Array, Array, Array]:
        action = jax.random.randint(key, view.obs.shape[:2], 0, 2)
        return carry, action, jnp.broadcast_to(now, (len(view.obs), 4))

    return Policy(lambda key, num_envs: jnp.zeros(num_envs), step)


def loop_of(memory: Memory[Any] | None = None, **changes: Any) -> Loop:
    env = Marks((1, 4))
    shape = LoopConfig(B, T, UPDATES, WARM, CHUNK, eval_episodes=7)
    return Loop(env, Spy(env.spec), memory or latest(), replace(shape, **changes))


def test_the_clock_tells_where_training_stands() -> None:
    """Two rollouts of warm-up, then two updates behind each of four: worked by hand."""
    loop = loop_of()
    run, warm = jit(loop.start)(jax.random.key(0))
    run, (told, _) = jit(loop.chunk)(run, jnp.int32(WARM))
    # means over iterations 2..5 and updates 0..7
    assert told["updates"] == 0 and told["learner"] == 3.5
    assert told["iteration"] == 4.5, "the memory holds the rollout just made"
    assert told["env_steps"] == 3.5 * B * T, "positions of the rollouts before this one"
    assert told["acted"] == told["done"] == 3, "the policy is the one behind updates 0, 2, 4, 6"
    assert told["steps"] == 3.5 * B * T and told["rollouts"] == 3.5
    assert run.learner == 8
    run, (told, _) = jit(loop.chunk)(run, jnp.int32(WARM + CHUNK))
    assert told["updates"] == 0 and told["learner"] == 11.5 and told["iteration"] == 8.5
    assert 0 < warm.env_steps <= WARM * B * T


def test_long_runs_count_beyond_32_bits() -> None:
    """Ten thousand rollouts of 128 steps in 4096 environments are 5.2 billion positions."""
    clock = loop_of(num_envs=4096, rollout_length=128).clock(jnp.int32(10_000))
    assert clock.env_steps == 5_242_880_000.0
    assert clock.updates == (10_000 - WARM) * UPDATES


def test_every_rollout_and_update_has_a_key_of_its_own() -> None:
    loop = loop_of()
    run, _ = jit(loop.start)(jax.random.key(0))
    learn = jit(lambda run, i: loop.iteration(run, i))
    collected, _ = jit(loop.collect)(run, jnp.int32(WARM))
    learned, _ = jit(loop.learn)(collected, loop.clock(WARM))
    again, _ = jit(loop.collect)(collected, jnp.int32(WARM + 1))
    kept = [bare(run.key).tolist() for run in (run, collected, learned, again)]
    assert len(set(map(tuple, kept))) == 4, "whoever uses the run's key replaces it"
    drawn, marks = [], []
    for i in range(3):
        run, (told, _) = learn(run, jnp.int32(WARM + i))
        drawn += told["key"].tolist()
        marks += run.memory.view.obs[:, :, 0, 0].ravel().tolist()
    assert len(set(drawn)) == 3 * UPDATES
    repeats = 3 * B  # a rollout opens with the view that the one before it closed with
    assert len(set(marks)) >= len(marks) - repeats


def test_chunks_are_cuts_in_one_stream() -> None:
    """Two chunks of two rollouts are one chunk of four; tallies add up, metrics average."""
    whole, half = loop_of(), loop_of(rollouts_per_chunk=CHUNK // 2)
    start, _ = jit(whole.start)(jax.random.key(1))
    run, (metrics, score) = jit(whole.chunk)(start, jnp.int32(WARM))
    chunk = jit(half.chunk)
    middle, (first, early) = chunk(start, jnp.int32(WARM))
    end, (second, late) = chunk(middle, jnp.int32(WARM + 2))
    assert_same(end, run)
    assert_same(jax.tree.map(jnp.add, early, late), score)
    average = jax.tree.map(lambda x, y: (x + y) / 2, first, second)
    assert_same(average, metrics, rtol=1e-6)


def test_one_program_warms_up_and_learns() -> None:
    """With a traced number of rollouts: the same as with numbers known to the compiler, and no
    gradient step, nor a key for one, before the warm-up is over."""
    loop = loop_of()
    fresh, _ = jit(loop.open)(jax.random.key(6))
    advance = jit(loop.chunk)
    warm, (metrics, score) = advance(fresh, jnp.int32(0), jnp.int32(WARM))
    assert warm.learner == 0 and not any(jax.tree.leaves(metrics))
    collect, by_hand, scores = jit(loop.collect), fresh, []
    for i in range(WARM):
        by_hand, told = collect(by_hand, jnp.int32(i))
        scores.append(told)
    assert_same((warm, score), (by_hand, jax.tree.map(lambda *x: sum(x), *scores)))
    assert_same((warm, score), jit(loop.start)(jax.random.key(6)))
    learned = advance(warm, jnp.int32(WARM), jnp.int32(CHUNK))
    assert learned[0].learner == CHUNK * UPDATES
    assert_same(learned, jit(loop.chunk)(warm, jnp.int32(WARM)), rtol=1e-6)
    at_once, (mean, whole) = advance(fresh, jnp.int32(0), jnp.int32(WARM + CHUNK))
    assert_same(at_once, learned[0])
    assert_same(mean, learned[1][0], rtol=1e-6)
    assert_same(whole, jax.tree.map(jnp.add, score, learned[1][1]))


def test_vmapped_seeds_do_not_learn_in_the_warm_up_either() -> None:
    """The branch stays one: vmap would compute both sides of one that seeds took by themselves."""

    def branches(loop: Loop) -> int:
        runs = jax.eval_shape(jax.vmap(lambda key: loop.open(key)[0]), keys)
        chunk = jax.make_jaxpr(jax.vmap(loop.chunk, (0, None, None)))(runs, jnp.int32(0), WARM)
        return str(chunk).count("cond[")

    keys = jax.random.split(jax.random.key(7), 2)
    assert branches(loop_of()) == 1 + branches(loop_of(warmup_rollouts=0))


def test_tallies_count_true_steps() -> None:
    """Warm-up's and the chunk's; positions that only reset are left out."""
    everything = Memory(
        init=lambda rollout: jax.tree.map(lambda x: jnp.zeros((6, *x.shape), x.dtype), rollout),
        add=lambda old, new, clock: jax.tree.map(
            lambda o, n: o.at[clock.iteration].set(n), old, new
        ),
        sample=lambda kept, key, clock: pick(kept, 0),
    )
    loop = loop_of(everything)
    run, warm = jit(loop.start)(jax.random.key(2))
    run, (_, score) = jit(loop.chunk)(run, jnp.int32(WARM))
    valid = np.asarray(run.memory.valid)
    ended = np.asarray(run.memory.terminated | run.memory.truncated)
    assert (warm.env_steps, warm.episodes) == (valid[:WARM].sum(), ended[:WARM].sum())
    assert (score.env_steps, score.episodes) == (valid[WARM:].sum(), ended[WARM:].sum())
    np.testing.assert_allclose(
        warm.returns + score.returns + unfinished(run), run.memory.reward.sum((0, 1, 2)), rtol=1e-6
    )


def unfinished(run: Any) -> np.ndarray:
    """Rewards of the episodes that were still going on at the end, [A]."""
    going = ~np.asarray(run.actors.ended) & ~np.asarray(run.actors.start)
    return np.asarray(run.actors.episode.returns)[going].sum(0)


def test_episodic_rollouts_open_fresh_episodes() -> None:
    """Every environment starts anew at each rollout; otherwise episodes go on across them."""
    for episodic in (True, False):
        loop = loop_of(episodic=episodic)
        run, _ = jit(loop.start)(jax.random.key(3))
        again = jit(loop.collect)
        opened = []
        for i in range(4):
            last = run.memory
            run, _ = again(run, jnp.int32(WARM + i))
            opened.append(bool(run.memory.start[0].all()))
            same = np.array_equal(run.memory.view.obs[0], last.view.obs[-1])
            assert same != episodic
        assert all(opened) == episodic


def test_what_a_rollout_cuts_makes_no_score_of_short_episodes() -> None:
    """Lengths are uniform from 1 to 4. Of the episodes that follow a rollout's first ones, short
    ones finish before it ends."""
    loop = loop_of(episodic=True, num_envs=1000)
    run, _ = jit(loop.start)(jax.random.key(6))
    _, score = jit(loop.collect)(run, jnp.int32(WARM))
    assert score.episodes == 1000
    np.testing.assert_allclose(score.length / score.episodes, 2.5, atol=0.15)
    assert score.env_steps > 1000 * 4, "the others' steps count"


def test_evaluation_is_the_mean_of_each_environments_first_episode() -> None:
    """Of the exploiting policy; equal keys, equal scores; training's actors are left alone."""
    loop = loop_of()
    run, _ = jit(loop.start)(jax.random.key(4))
    told = jit(loop.evaluate)(run, jax.random.key(5))
    longer = replace(loop, cfg=replace(loop.cfg, eval_episodes=400))
    told_more = jit(longer.evaluate)(run, jax.random.key(5))
    assert 1 <= told["episode_length"] <= 4
    # lengths are uniform from 1 to 4; a step pays marks % 7 times 1 or 2 and half an action on
    # average, so 3.5 and 6.5; food is marks % 5, and half of the last steps are won
    np.testing.assert_allclose(told_more["episode_length"], 2.5, atol=0.25)
    np.testing.assert_allclose(told_more["episode_return"], 2.5 * 5, atol=1.0)
    np.testing.assert_allclose(told_more["agent_return/agent_0"], 2.5 * 3.5, atol=1.0)
    np.testing.assert_allclose(told_more["agent_return/agent_1"], 2.5 * 6.5, atol=1.5)
    np.testing.assert_allclose(told_more["food"], 2.5 * 2, atol=0.6)
    np.testing.assert_allclose(told_more["won"], 0.5, atol=0.1)
    assert_same(jit(loop.evaluate)(run, jax.random.key(5)), told)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"team_reward": "shared"}, {"episode_return": 4.0}),
        (
            {"team_reward": None},
            {"episode_return": 4, "agent_return/agent_0": 1, "agent_return/agent_1": 3}
            | {"agent_return/agent_2": 8},
        ),
        (
            {"team_reward": "shared", "teams": (0, 1, 0), "team_names": ("red", "blue")},
            {"episode_return": 4, "episode_return_red": 4.5, "episode_return_blue": 3},
        ),
    ],
)
def test_scores_are_named_by_teams_and_agents(
    changes: dict[str, Any], expected: dict[str, float]
) -> None:
    spec = spec_of(((2,),) * 3, **changes)
    assert scores(spec, jnp.array([1.0, 3.0, 8.0])) == expected


class Loose(struct.PyTreeNode):
    time: Array


class Careless:
    """Numbers of types that only Python would tell apart: weak floats, integer infos."""

    spec = spec_of(((2,),), limit=3, info=(("sum", "sum"), ("last", "last")))

    def reset(self, key: Key) -> tuple[Loose, View]:
        return Loose(jnp.zeros((), jnp.int32)), self.view(jnp.zeros((), jnp.int32))

    def step(self, state: Loose, action: Array, key: Key) -> tuple[Loose, Outcome]:
        time = state.time + 1
        reward = jnp.where(time > jnp.arange(1), 1.0, 0.0)
        assert reward.weak_type
        over = time >= 3
        return Loose(time), Outcome(self.view(time), reward, over, ~over & over, self.info(time))

    def info(self, time: Array) -> dict[str, Array]:
        return {"sum": time, "last": time > 2}

    def view(self, time: Array) -> View:
        obs = jnp.where(time > jnp.zeros((1, 3)), 1.0, 0.0)
        return View(obs, jnp.ones((1, 2), bool), jnp.ones(1, bool), obs[0, :1])


def test_weak_types_do_not_make_a_second_program() -> None:
    """Whatever types an environment's numbers have, the first chunk's program serves them all."""
    env, traces = Careless(), Counter()
    loop = Loop(env, Spy(env.spec), latest(), LoopConfig(B, T, rollouts_per_chunk=2))

    def chunk(run: Any, first: Array) -> Any:
        traces["chunk"] += 1
        return loop.chunk(run, first)

    again = jit(chunk)
    run, score = jit(loop.start)(jax.random.key(0))
    for first in range(0, 6, 2):
        run, (_, score) = again(run, jnp.int32(first))
    assert traces["chunk"] == 1
    assert score.info["sum"] == score.episodes * 6 and score.info["last"] == score.episodes
