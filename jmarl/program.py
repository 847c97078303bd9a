"""An experiment as compiled functions, and its plan of chunks and evaluations."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.config import Experiment
from jmarl.exploration import uniform_policy
from jmarl.fields import ConfigError
from jmarl.loop import Loop, LoopConfig, Run, means
from jmarl.mesh import parse, parted, require_even
from jmarl.networks.rows import apart
from jmarl.rollout import Tally
from jmarl.stripes import laid_in, striped
from jmarl.types import Environment, Key, Memory, Metrics, Outcome, Transition, View

UPDATES_PER_CHUNK = 1000  # at most, so that progress shows and Ctrl-C is heard
RECORDS = 100  # of training between two evaluations, at most, that go into files
RANDOM_EPISODES = 4096  # of the random policy that returns are compared with


@dataclass(frozen=True)
class Schedule:
    """Learning rollouts, cut into chunks, with an evaluation after every so many."""

    rollouts_per_chunk: int
    chunks_per_evaluation: int
    evaluations: int

    @property
    def chunks(self) -> int:
        return self.chunks_per_evaluation * self.evaluations

    @property
    def rollouts(self) -> int:
        return self.chunks * self.rollouts_per_chunk

    def keeps(self, chunks: int) -> bool:
        """Whether what is told after so many chunks goes into files, which long runs would fill."""
        every = math.ceil(self.chunks_per_evaluation / RECORDS)
        return chunks % self.chunks_per_evaluation % every == 0


def schedule(rollouts: int, evaluations: int, longest: int = 200) -> Schedule:
    """At least `rollouts`, in equal chunks, evaluations evenly spaced.

    Ten chunks lie between evaluations, or more where a chunk would be longer than `longest`
    rollouts, or fewer where that would train more than 1% longer than asked. Few rollouts that
    do not divide by `evaluations` get fewer evaluations rather than 5% more training.
    """
    evaluations = next(
        count
        for count in range(min(evaluations, rollouts), 0, -1)
        if math.ceil(rollouts / count) * count <= 1.05 * rollouts
    )
    fewest = math.ceil(rollouts / (evaluations * longest))
    most = max(fewest, min(10, rollouts // evaluations))
    options = [
        Schedule(math.ceil(rollouts / (evaluations * chunks)), chunks, evaluations)
        for chunks in range(most, fewest - 1, -1)
    ]
    close = [option for option in options if option.rollouts <= 1.01 * rollouts]
    return (close or sorted(options, key=lambda option: option.rollouts))[0]


def lasting(begun: Schedule, rollouts: int) -> Schedule:
    """Evaluations as far apart as they were, until at least `rollouts` are done."""
    between = begun.rollouts_per_chunk * begun.chunks_per_evaluation
    return replace(begun, evaluations=math.ceil(rollouts / between))


class Without:
    """`env`, whose views lack some fields: one that nobody reads would cost rollouts time all the
    same (benchmarks/NOTES.md)."""

    def __init__(self, env: Environment[Any], *fields: str) -> None:
        self.env, self.spec, self.lacks = env, env.spec, dict.fromkeys(fields)

    def reset(self, key: Key) -> tuple[Any, View]:
        state, view = self.env.reset(key)
        return state, view.replace(**self.lacks)

    def step(self, state: Any, action: Array, key: Key) -> tuple[Any, Outcome]:
        state, out = self.env.step(state, action, key)
        return state, out.replace(view=out.view.replace(**self.lacks))


class Program:
    """The compiled functions of one experiment; all arrays have a leading seed axis [S].

    One that has `begun` keeps the chunks it began with, however much longer it is to last. With
    `trials`, numbers of the config by name, all are trained side by side: S is then trials times
    seeds, the seeds of a trial next to each other.
    """

    def __init__(
        self,
        env: Environment[Any],
        experiment: Experiment,
        begun: Schedule | None = None,
        trials: Sequence[Mapping[str, float]] = (),
    ) -> None:
        self.env, self.experiment = env, experiment
        self.config, self.axes = with_trials(experiment, trials)
        self.mesh = parse(experiment.run.mesh)
        self.refuse_uneven()
        run, limit = experiment.run, env.spec.episode_limit
        length = rollout_length(env, experiment)
        plan = experiment.recipe.plan(experiment.config, run.num_envs, length)
        positions = run.num_envs * length
        experiment.recipe.suits(env.spec, experiment.config)
        self.updates_asked, self.warmup = plan.updates_asked, plan.warmup
        # a truncated episode takes one position more than steps, and is as long as the limit
        rollouts = math.ceil(run.total_steps * (limit + 1) / limit / positions)
        longest = max(1, min(200, UPDATES_PER_CHUNK // plan.updates_per_rollout))
        learning = max(1, rollouts - plan.warmup_rollouts)  # fewer are refused below
        begun = begun or schedule(learning, run.evaluations, longest)
        self.schedule = lasting(begun, learning)
        self.shape = LoopConfig(
            num_envs=run.num_envs,
            rollout_length=length,
            updates_per_rollout=plan.updates_per_rollout,
            warmup_rollouts=plan.warmup_rollouts,
            rollouts_per_chunk=self.schedule.rollouts_per_chunk,
            eval_episodes=run.eval_episodes,
            episodic=experiment.episodic,
            spread=self.mesh.size > 1,
        )
        self.seeds = range(run.seed, run.seed + max(1, len(trials)) * run.seeds)  # of trials: rows
        self.compile_seconds: dict[str, float] = {}
        self.temporaries: dict[str, int] = {}  # bytes that each compiled function takes in passing

    @property
    def updates(self) -> int:
        """Gradient steps of the whole run."""
        return self.schedule.rollouts * self.shape.updates_per_rollout

    def refuse_impossible(self) -> None:
        """ConfigError for settings that are sound alone but not together.

        Not at once, as what does not fit the memory is better told by the forecast.
        """
        run, shape, product = self.experiment.run, self.shape, in_words(self.experiment)
        self.mesh.require_devices()
        positions = shape.num_envs * shape.rollout_length
        if positions >= 2**31:
            raise ConfigError(f"{product} must be below 2**31, got {positions:,}")
        if run.seed + run.seeds > 2**31:
            raise ConfigError(f"seed + seeds must be at most 2**31, got {run.seed + run.seeds:,}")
        if run.total_steps < positions:
            raise ConfigError(
                f"total_steps must be at least one rollout, {product} = {positions:,}, "
                f"got {run.total_steps:,}"
            )
        if run.total_steps <= (steps := shape.warmup_rollouts * positions):
            raise ConfigError(
                f"total_steps must be above {self.warmup} in whole rollouts of {product}, "
                f"{steps:,}, got {run.total_steps:,}"
            )

    def loop(self, config: Any) -> Loop:
        """Built inside traced functions, so that numbers in `config` may be traced."""
        recipe, env = self.experiment.recipe, self.env
        env = env if recipe.entities else Without(env, "entities")
        return Loop(env, recipe.make(env.spec, config), self.memory(config), self.shape)

    def memory(self, config: Any) -> Memory[Any]:
        """What the algorithm remembers, in as many stripes as the mesh's devices for environments:
        each of its share of what is counted over all of them."""
        stripes, shape = self.mesh.env, self.shape
        share = {name: getattr(config, name) // stripes for name in self.shared_out}
        sizes = shape.num_envs // stripes, shape.rollout_length
        try:
            one = self.experiment.recipe.memory(self.env.spec, replace(config, **share), *sizes)
        except ConfigError as error:
            if stripes == 1:
                raise
            raise ConfigError(f"{error} (shares of each of the mesh's env={stripes})") from error
        return striped(one, stripes) if stripes > 1 else one

    @property
    def shared_out(self) -> set[str]:
        """Settings that count over all environments."""
        return self.experiment.recipe.shared_out(self.experiment.config)

    def refuse_uneven(self) -> None:
        """ConfigError for what the mesh's devices cannot share out."""
        run, config = self.experiment.run, self.experiment.config
        require_even(self.mesh, "seed", seeds=run.seeds)
        batches = {name: getattr(config, name) for name in self.shared_out - {"buffer_size"}}
        require_even(self.mesh, "env", num_envs=run.num_envs, **batches)

    @cached_property
    def keys(self) -> tuple[Array, Array]:
        """For training and for evaluation, [S] each; evaluations do not move training."""
        return self._keys()

    def _keys(self) -> tuple[Array, Array]:
        run = self.experiment.run
        seeds = run.seed + jnp.arange(len(self.seeds)) % run.seeds
        both = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed)))(seeds)
        return both[:, 0], both[:, 1]

    @cached_property
    def opened(self) -> tuple[Run, Transition]:
        """Shapes and dtypes of a run and of a rollout, found without an array of any size."""
        keys, _ = jax.eval_shape(self._keys)
        return jax.eval_shape(self._open, keys, self.config)

    @cached_property
    def state(self) -> Any:
        """Shapes and dtypes of a run."""
        keys, _ = jax.eval_shape(self._keys)
        return jax.eval_shape(self._start, keys, self.config)

    @property
    def measures(self) -> list[str]:
        """What evaluations tell, by name."""
        _, keys = jax.eval_shape(self._keys)
        return list(jax.eval_shape(self._evaluate, self.state, keys, self.config))

    def _open(self, keys: Array, config: Any) -> tuple[Run, Transition]:
        return self.each(lambda loop, key: loop.open(key), config, keys)

    def _start(self, keys: Array, config: Any) -> Run:
        return self._open(keys, config)[0]

    def _chunk(self, run: Run, first: Array, rollouts: Array, config: Any) -> Any:
        return self.each(lambda loop, run: loop.chunk(run, first, rollouts), config, run)

    def _evaluate(self, run: Run, keys: Array, config: Any) -> Any:
        shared = partial(parted, self.mesh)
        evaluate = lambda loop, *args: replace(loop, shared=shared).evaluate(*args)
        return self.each(evaluate, config, run, keys)

    def each(self, function: Callable[..., Any], config: Any, *args: Any) -> Any:
        """`function(loop, ...)` for each row of `args` [S, ...], with the row's own config."""
        one = lambda config, *args: function(self.loop(config), *args)
        return jax.vmap(one, (self.axes, *(0 for _ in args)))(config, *args)

    @cached_property
    def start(self) -> Callable[[], tuple[Run, Tally]]:
        """A new run for every seed, its memory warmed up, and what that took."""
        mesh = self.mesh
        opened = self.compiled("start", self._start, ((mesh.by_seed,), mesh.run), self.keys[0])

        def start() -> tuple[Run, Tally]:
            run, (_, score) = self.advance(opened(self.keys[0]), 0, self.shape.warmup_rollouts)
            return run, score

        return start

    def chunk(self, run: Run, first: int) -> tuple[Run, tuple[Metrics, Tally]]:
        """`rollouts_per_chunk` iterations from iteration `first` on; `run` is used up."""
        return self.advance(run, first, self.shape.rollouts_per_chunk)

    @cached_property
    def advance(self) -> Callable[[Run, int, int], tuple[Run, tuple[Metrics, Tally]]]:
        """Iterations from one on, so many: one program for the warm-up and for chunks."""
        mesh = self.mesh
        places = (mesh.run, mesh.everywhere, mesh.everywhere), (mesh.run, mesh.told)
        example = self.state, jnp.int32(0), jnp.int32(0)
        program = self.compiled("chunk", self._chunk, places, *example, donate_argnums=0)
        return lambda run, first, rollouts: program(run, jnp.int32(first), jnp.int32(rollouts))

    @cached_property
    def evaluate(self) -> Callable[..., Any]:
        mesh = self.mesh
        places = (mesh.run, mesh.by_seed), mesh.told
        return self.compiled("evaluate", self._evaluate, places, self.state, self.keys[1])

    def compiled(
        self, name: str, function: Any, places: tuple[Any, Any], *example: Any, **options: Any
    ) -> Callable[..., Any]:
        """Ahead of time, so that compiling is timed alone and a second compile is impossible.

        `function` takes the config last; `places` are those of its other arguments and its results.
        """
        mesh, config = self.mesh, self.config
        takes = (*places[0], mesh.everywhere)
        began = time.monotonic()
        with apart(mesh.env > 1), laid_in(mesh.env):
            traced = mesh.jit(function, takes, places[1], **options).lower(*example, config)
        program = traced.compile()
        self.compile_seconds[name] = time.monotonic() - began
        if analysis := program.memory_analysis():  # not every device tells
            self.temporaries[name] = analysis.temp_size_in_bytes
        config = mesh.put(config, mesh.everywhere)
        return lambda *args: program(*mesh.put(args, places[0]), config)

    def try_shapes(self) -> None:
        """Trace everything, so that what cannot be is found before anything is written."""
        jax.eval_shape(self._chunk, self.state, jnp.int32(0), jnp.int32(0), self.config)
        jax.eval_shape(self._evaluate, self.state, self.keys[1], self.config)

    @property
    def caution(self) -> str:
        """Lines to warn with: of the algorithm, and of a replay ratio that is not the one asked."""
        warning = self.experiment.recipe.warn(self.experiment.config)
        return self.ratio_caution + (f"\ncaution: {warning}" if warning else "")

    @property
    def ratio_caution(self) -> str:
        asked, updates = self.updates_asked, self.shape.updates_per_rollout
        if not asked or abs(asked / updates - 1) <= 0.1:
            return ""
        positions = self.shape.num_envs * self.shape.rollout_length
        return (
            f"\ncaution: {positions / updates:,.0f} environment steps per update, "
            f"{positions / asked:,.0f} were asked for: rollouts of "
            f"{in_words(self.experiment)} = {positions:,} steps end in whole updates"
        )

    def random_return(self) -> dict[str, float]:
        """Scores of the uniform policy over `RANDOM_EPISODES` episodes.

        Raises ConfigError if one of them has no end: others would count as nothing earned, too.
        """
        shape = LoopConfig(eval_episodes=RANDOM_EPISODES, spread=self.mesh.size > 1)
        loop = self.loop(self.experiment.config)
        loop = replace(loop, cfg=shape, shared=partial(parted, self.mesh))

        def function(key: Key, config: Any) -> tuple[Metrics, Array]:
            first = loop.first(uniform_policy(self.env.spec), key)
            return means(self.env.spec, first), (first.length == 0).sum()

        everywhere = self.mesh.everywhere
        places = (everywhere,), everywhere
        play = self.compiled("random", function, places, key := jax.random.key(2**31 - 1))
        found, endless = play(key)
        if endless:
            raise ConfigError(
                f"env must end each episode within its episode_limit, "
                f"{self.env.spec.episode_limit} steps, got {endless:,} of {RANDOM_EPISODES:,} "
                f"random ones that go on: jmarl_envs.TimeLimit(env) truncates them"
            )
        return {name: float(x) for name, x in found.items()}


def key_of_play(seed: int) -> Key:
    """Of what trained teams play: none of the keys that a training of this seed draws from."""
    return jax.random.fold_in(jax.random.key(seed), 2**31)


def with_trials(experiment: Experiment, trials: Sequence[Mapping[str, float]]) -> tuple[Any, Any]:
    """The config, with numbers [S] where trials differ; and its axes, as vmap takes them."""
    config, seeds = experiment.config, experiment.run.seeds
    if not trials:
        return config, None
    rows = {name: [t[name] for t in trials for _ in range(seeds)] for name in trials[0]}
    values = {name: jnp.asarray(row, jnp.float32) for name, row in rows.items()}
    axes = replace(jax.tree.map(lambda _: None, config), **dict.fromkeys(values, 0))
    return replace(config, **values), axes


def in_words(experiment: Experiment) -> str:
    """What makes the positions of a rollout."""
    length = "(episode limit + 1)" if experiment.episodic else "rollout_length"
    return f"num_envs x {length}"


def rollout_length(env: Environment[Any], experiment: Experiment) -> int:
    """Positions between updates: as set, or a whole episode and its last view."""
    if experiment.episodic:
        return env.spec.episode_limit + 1
    return experiment.run.rollout_length
