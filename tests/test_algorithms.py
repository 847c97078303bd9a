"""Laws that every entry of `ALL` obeys, tried in an environment with something of everything.

A later algorithm is covered by being listed; `make test` tries those that stand for the others.
Configs are made tiny by the names people know.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import STANDING, Hashed, Zoo, algorithms, assert_same, bare, jit, pick

from jmarl.algorithms import ALL
from jmarl.algorithms.recipe import Recipe
from jmarl.loop import Loop, LoopConfig
from jmarl.types import ActionKind, Transition, View

B, T, SEEDS = 4, 5, 2
OPTIONS = {  # that make another algorithm of one
    "maddpg-inferring": ALL["maddpg"].but("maddpg", "", infer_policies=True),
    "maddpg-ensemble": ALL["maddpg"].but("maddpg", "", ensemble=2),
    "maac-normed": ALL["maac"].but("maac", "", norm_input=True, discount_entropy=True),
    "refil-linear": ALL["refil"].but("refil", "", mixer="linear", last_action=False),
}
NAMES = [*algorithms(), *(pytest.param(name, marks=pytest.mark.slow) for name in OPTIONS)]
TINY = {
    "batch_size": 8,
    "infer_batch": 4,
    "buffer_size": 200,
    "warmup_steps": 2 * B * T,
    "env_steps_per_update": 10.0,
    "warmup_episodes": 2 * B,
    "episodes_per_update": B / 2,
    "target_update_interval": 2,
    "max_grad_norm": 0.1,
    "critic_max_grad_norm": 0.01,
    "eps_start": 0.9,
    "eps_finish": 0.5,
    "eps_decay": 2.5 * B * T,
    "hidden_dim": 8,
    "rnn_dim": 8,
    "mixing_dim": 4,
    "hypernet_dim": 12,
    "entity_dim": 4,
    "query_dim": 5,
    "attention_dim": 3,
    "weight_dim": 5,
    "bias_dim": 4,
    "critic_dim": 8,
    "critic_hidden_dim": 8,
    "critic_steps": "one",  # positions that take steps of their own are not alike
    "epochs": 2,
    "clip": 1e-3,
    "minibatches": 1,  # nor are lots of environments
}
# knobs that change nothing in any action kind, because another setting switches them off
IDLE: dict[str, set[str]] = {
    "maddpg": {"infer_lr", "infer_entropy"},
    "ddpg": {"infer_lr", "infer_entropy"},
    "maddpg-ensemble": {"infer_lr", "infer_entropy"},
    "ippo": {"rms_decay"},
    "mappo": {"rms_decay"},
    "liir": {"release_value_weight"},
}


def tiny(recipe: Recipe) -> Any:
    """The defaults, as small as the settings that it has allow."""
    config = recipe.config
    for name in {field.name for field in fields(config)} & TINY.keys():
        value, usual = TINY[name], getattr(config, name)
        if isinstance(value, str) == isinstance(usual, str):  # clip is a number or says how
            config = config.replace(**{name: (value,) * 2 if isinstance(usual, tuple) else value})
    return config


class Case:
    """One algorithm's programs and what they gave; nothing is compiled twice."""

    def __init__(self, name: str) -> None:
        self.name, self.recipe = name, (ALL | OPTIONS)[name]
        self.cfg = tiny(self.recipe)
        self.kinds = self.recipe.action_kinds(self.cfg)
        self.traces: Counter[str] = Counter()
        self.keys = jax.random.split(jax.random.key(3), SEEDS)
        loop = self.loop(self.cfg, self.kinds[0])
        self.first, self.algorithm = loop.cfg.warmup_rollouts, loop.algorithm
        self.start_one, self.chunk_one = self.counted(loop.start), self.counted(loop.chunk)
        self.start = jit(jax.vmap(self.start_one))
        self.chunk = jit(jax.vmap(self.chunk_one, (0, None)))
        self.loop_of_seeds = loop

    def loop(self, cfg: Any, kind: ActionKind) -> Loop:
        env, recipe = Zoo(kind=kind), self.recipe
        length = env.spec.episode_limit + 1 if recipe.episodic(self.cfg) else T
        plan = recipe.plan(self.cfg, B, length)
        shape = LoopConfig(
            num_envs=B,
            rollout_length=length,
            updates_per_rollout=plan.updates_per_rollout,
            warmup_rollouts=plan.warmup_rollouts,
            rollouts_per_chunk=2,
            eval_episodes=6,
            episodic=recipe.episodic(self.cfg),
        )
        memory = recipe.memory(env.spec, cfg, B, length)
        return Loop(env, recipe.make(env.spec, cfg), memory, shape)

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def traced(*args: Any) -> Any:
            self.traces[function.__name__] += 1
            return function(*args)

        return traced

    @cached_property
    def run(self) -> Any:
        return self.start(self.keys)[0]

    @cached_property
    def after(self) -> Any:
        """Run, metrics and tally, after one chunk."""
        return self.chunk(self.run, jnp.int32(self.first))

    @cached_property
    def batch(self) -> Transition:
        """One step, as the memory gives it, but that every step is valid and opens an episode."""
        # who warms up nothing remembers nothing before the first chunk
        loop, run = self.loop_of_seeds, pick(self.run if self.first else self.after[0], 0)
        rollouts = loop.clock(max(self.first, 1))
        batch = loop.memory.sample(run.memory, jax.random.key(0), rollouts)
        around = jax.tree.map(lambda x: x[:2], (batch.view, batch.start))
        batch = pick(batch.replace(view=None, start=None), slice(0, 1))
        start = jnp.zeros_like(around[1]).at[0].set(True)
        valid, never = jnp.ones_like(batch.valid), jnp.zeros_like(batch.valid)
        return batch.replace(
            view=around[0], start=start, valid=valid, terminated=never, truncated=never
        )

    @cached_property
    def update(self) -> Callable[[Transition], Any]:
        clock = self.loop_of_seeds.clock(self.first + 1)
        learner, key = pick(self.run, 0).learner, jax.random.key(1)
        step = jit(lambda batch: self.algorithm.update(learner, batch, key, clock)[0])
        return step


def test_every_way_to_update_has_an_algorithm_that_stands_for_it() -> None:
    ways = {name: way_to_update(recipe) for name, recipe in ALL.items()}
    assert {ways[name] for name in STANDING} == set(ways.values())


def way_to_update(recipe: Recipe) -> Any:
    kind = recipe.action_kinds(recipe.config)[0]
    return type(recipe.make(Zoo(kind=kind).spec, recipe.config)).update


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_a_seed_among_others_is_the_seed_alone(case: Case) -> None:
    run, _ = jit(case.start_one)(case.keys[1])
    alone = jit(case.chunk_one)(run, jnp.int32(case.first))
    assert_same(pick(case.after, 1), alone, rtol=1e-4, atol=1e-6)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(case: Case) -> None:
    run, _ = case.start(case.keys)
    assert_same(case.chunk(run, jnp.int32(case.first)), case.after)
    learner = [bare(x) for x in jax.tree.leaves(case.after[0].learner) if bare(x).size > SEEDS]
    assert any(not np.array_equal(x[0], x[1]) for x in learner)


def test_a_run_from_plain_arrays_goes_on_as_if_nothing_had_happened(case: Case) -> None:
    """All that training carries is in the run: nothing hides in the algorithm or the loop."""

    def through(x: Array) -> Array:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(jnp.asarray(np.asarray(jax.random.key_data(x))))
        return jnp.asarray(np.asarray(x))

    saved = jax.tree.map(through, case.run)
    assert_same(case.chunk(saved, jnp.int32(case.first)), case.after)


def test_one_trace_serves_all_chunks(case: Case) -> None:
    run, first = case.after[0], case.first
    before = case.traces["chunk"]
    for _ in range(2):
        first += 2
        run, _ = case.chunk(run, jnp.int32(first))
    assert case.traces["chunk"] == before > 0


def test_state_in_is_state_out(case: Case) -> None:
    """In shapes and dtypes, weak types too: a run can be saved, resumed and donated."""
    before = jax.tree.leaves_with_path(case.run)
    after = jax.tree.leaves_with_path(case.after[0])
    for (path, x), (_, y) in zip(before, after, strict=True):
        where = jax.tree_util.keystr(path)
        assert kind(x) == kind(y), where


def kind(x: Array) -> tuple[Any, ...]:
    return x.shape, x.dtype, getattr(jax.typeof(x), "weak_type", False)


def test_learning_moves_the_learner_and_stays_finite(case: Case) -> None:
    run, (metrics, score) = case.after
    learner, before = jax.tree.leaves(run.learner), jax.tree.leaves(case.run.learner)
    assert all(np.isfinite(bare(x)).all() for x in learner)
    assert any(not np.array_equal(bare(x), bare(y)) for x, y in zip(learner, before, strict=True))
    assert metrics and all(x.shape == (SEEDS,) for x in metrics.values())
    assert all(np.isfinite(x).all() for x in metrics.values())
    positions = 2 * B * case.loop_of_seeds.cfg.rollout_length
    assert np.all((positions / 2 < score.env_steps) & (score.env_steps < positions))
    assert np.all(score.episodes > 0)


def test_evaluation_plays_whole_episodes(case: Case) -> None:
    scores = jit(jax.vmap(case.loop_of_seeds.evaluate))(case.after[0], case.keys)
    assert all(np.isfinite(x).all() and x.shape == (SEEDS,) for x in scores.values())
    assert np.all((scores["episode_length"] >= 3) & (scores["episode_length"] <= 4))
    assert np.all((scores["won"] >= 0) & (scores["won"] <= 1))
    assert np.all(np.abs(scores["episode_return"]) <= 4)


# --- what an update hears of ---------------------------------------------------------------------


def shaken(batch: Transition, position: int) -> Transition:
    """All floating numbers of one view are others."""

    def shake(x: Array) -> Array:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        return x.at[position].multiply(-1.5)

    return batch.replace(view=jax.tree.map(shake, batch.view))


def test_truncation_bootstraps_and_termination_does_not(case: Case) -> None:
    """After a termination the next view means nothing; otherwise it does, cut by the clock or not.

    The clock's flag itself teaches nothing.
    """
    batch, yes = case.batch, jnp.ones_like(case.batch.terminated)
    goes_on = case.update(batch)
    assert differ(case.update(shaken(batch, 1)), goes_on)
    cut = case.update(batch.replace(truncated=yes))
    assert_same(cut, goes_on)
    ends = case.update(batch.replace(terminated=yes))
    assert differ(ends, goes_on)
    assert_same(case.update(shaken(batch.replace(terminated=yes), 1)), ends)


def test_episodes_behind_each_other_teach_what_they_teach_side_by_side(case: Case) -> None:
    """Behind a true end the next episode stands at once: no value, memory or action crosses it."""
    columns = case.batch.valid.shape[1] // 2
    one, two = (
        jax.tree.map(lambda x, cut=cut: x[:, cut], case.batch)
        for cut in (slice(columns), slice(columns, None))
    )
    one = one.replace(terminated=jnp.ones_like(one.terminated))
    beside = jax.tree.map(lambda *x: jnp.concatenate(x, 1), one, two)
    around = lambda tree: (tree.view, tree.start)
    first = jax.tree.map(lambda x: x[:1], around(one))
    view, start = jax.tree.map(lambda *x: jnp.concatenate(x), first, around(two))
    bare = lambda batch: batch.replace(view=None, start=None)
    behind = jax.tree.map(lambda *x: jnp.concatenate(x), bare(one), bare(two))
    behind = behind.replace(view=view, start=start)
    assert_same(case.update(behind), case.update(beside), rtol=1e-4, atol=1e-6)


def test_positions_without_a_step_teach_nothing(case: Case) -> None:
    """Where nothing was stepped, action, reward and flags may be anything."""
    batch = case.batch
    half = jnp.arange(batch.valid.shape[1]) % 2 == 0
    masked = batch.replace(valid=batch.valid & half)
    turn = lambda x: jnp.where(half.reshape(-1, *(1,) * (x.ndim - 2)), x, jnp.roll(x, 2, 1))
    other = masked.replace(
        action=turn(batch.action),
        reward=jnp.where(half[:, None], batch.reward, 7.0),
        terminated=jnp.broadcast_to(~half, batch.terminated.shape),
    )
    assert_same(case.update(other), case.update(masked))
    assert differ(case.update(other.replace(valid=batch.valid)), case.update(masked))
    nothing = case.update(batch.replace(valid=jnp.zeros_like(batch.valid)))
    assert all(np.isfinite(bare(x)).all() for x in jax.tree.leaves(nothing))


def differ(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return any(not np.array_equal(bare(x), bare(y)) for x, y in pairs)


# --- every action kind, and every number ---------------------------------------------------------


def another(value: float, above: float | None = None, low: float | None = None, **_: Any) -> float:
    """A different value that is in bounds: half, or a little for nothing."""
    lowest = max(bound for bound in (above, low, -np.inf) if bound is not None)
    return value / 2 if value and value / 2 >= lowest else value + 0.125


def knobs(cfg: Any) -> dict[str, float]:
    """The traced numbers, each with another value that it may have."""
    traced = [field for field in fields(cfg) if field.metadata.get("pytree_node", True)]
    return {f.name: another(getattr(cfg, f.name), **rule(f.metadata)) for f in traced}


def rule(metadata: Any) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name != "pytree_node"}


class Grid:
    """One kind's outcome, vmapped over configs: the plain one, then each knob turned alone."""

    def __init__(self, case: Case, kind: ActionKind) -> None:
        seeds = jnp.linspace(0.01, 0.99, 20)
        times = jnp.arange(20, dtype=jnp.int32) % 4
        self.views = jax.vmap(Zoo(kind=kind).view)(Hashed(seeds, times))
        self.names = knobs(case.cfg)
        rows = [case.cfg] + [case.cfg.replace(**{k: v}) for k, v in self.names.items()]
        stacked = jax.tree.map(lambda *x: jnp.asarray(x, jnp.float32), *rows)

        def outcome(cfg: Any) -> Any:
            loop = case.loop(cfg, kind)
            run, _ = loop.start(jax.random.key(8))
            run, (metrics, _) = loop.chunk(run, jnp.int32(case.first))
            clock = loop.clock(case.first)
            policies = (
                loop.algorithm.explore(run.learner, clock),
                loop.algorithm.exploit(run.learner),
            )
            return run.learner, metrics, [act(policy, self.views) for policy in policies]

        self.learner, self.metrics, self.actions = jit(jax.vmap(outcome))(stacked)

    def turned(self) -> set[str]:
        """Knobs that made a difference."""
        outcomes = self.learner, self.metrics, self.actions
        return {
            name
            for i, name in enumerate(self.names, start=1)
            if differ(pick(outcomes, i), pick(outcomes, 0))
        }


def act(policy: Any, views: View) -> Array:
    reset_key, act_key = jax.random.split(jax.random.key(1))
    return policy.step(policy.reset(reset_key, len(views.obs)), views, act_key)[1]


@pytest.fixture(scope="module")
def grids(case: Case) -> dict[ActionKind, Grid]:
    return {kind: Grid(case, kind) for kind in case.kinds}


def test_every_number_may_be_traced(case: Case, grids: dict[ActionKind, Grid]) -> None:
    """A grid of values vmaps in one program; all is finite, and every knob turns something."""
    for grid in grids.values():
        for leaf in jax.tree.leaves((grid.learner, grid.metrics)):
            assert np.isfinite(bare(leaf)).all()
    turned = set.union(*(grid.turned() for grid in grids.values()))
    assert turned == knobs(case.cfg).keys() - IDLE.get(case.name, set())


def test_only_available_actions_are_taken(grids: dict[ActionKind, Grid]) -> None:
    """Exploring or not, by unequal agents, by the dead: choices that are open, numbers in the box;
    padding holds zeros."""
    for kind, grid in grids.items():
        available = np.asarray(grid.views.available)
        for action in map(np.asarray, grid.actions):
            assert np.isfinite(action).all()
            if kind == "discrete":
                allowed = np.broadcast_to(available, (*action.shape, available.shape[-1]))
                assert np.take_along_axis(allowed, action[..., None], -1).all()
            else:
                assert not np.where(available, 0, action).any() and np.abs(action).max() <= 1
            if kind == "simplex":
                np.testing.assert_allclose(action.sum(-1), 1, rtol=1e-6)
                assert (action >= 0).all()
