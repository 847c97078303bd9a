"""Trained teams: out of run folders and exported files, and what they score."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

from jmarl import checkpoint as checkpoints
from jmarl import folder as folders
from jmarl import weights, zoo
from jmarl.config import Experiment, of_type, within
from jmarl.fields import ConfigError
from jmarl.folder import Folder
from jmarl.making import env_of, require_env
from jmarl.mesh import parse
from jmarl.program import Program, key_of_play
from jmarl.resuming import tell
from jmarl.types import Environment, Key, Policy, Transition, View
from jmarl.versions import keep_compiled

SIZES = (  # of an environment, that networks are built for
    *("agents", "obs_sizes", "action_kind", "action_parts", "state_size"),
    *("num_entities", "entity_size", "agent_features"),
)


@dataclass(frozen=True)
class Team:
    """A trained team: how it acts in one environment."""

    env: Environment[Any]
    seed: int
    policy: Policy[Any]  # on batches of environments, for jmarl.rollout
    algorithm: str = ""
    # what its algorithm tells of a batch, by name: attention, intrinsic (Recipe.shows)
    shows: Mapping[str, Callable[[Transition], Any]] = field(default_factory=dict)

    def reset(self, key: Key) -> Any:
        """What the team remembers as an episode opens."""
        return self.policy.reset(key, 1)

    def act(self, carry: Any, view: View, key: Key) -> tuple[Any, Array]:
        """The team's next memory and its action [A] or [A, U] in one environment's view."""
        batched = jax.tree.map(lambda x: x[None], view)
        carry, action, _ = self.policy.step(carry, batched, key)
        return carry, action[0]


def load_policy(
    run: str | Path,
    seed: int | None = None,
    env: Environment[Any] | None = None,
    checkpoint: str | int = "newest",
) -> Team:
    """A trained team from a run folder, of `seed`, or of the one that evaluated best; the one that
    `jmarl export` wrote, from its folder or safetensors file; or one of the zoo (`jmarl zoo`).

    `checkpoint` is "newest", "best" (each seed where it evaluated best) or an iteration that is
    there. `env` is needed where it has no registered name. Raises ConfigError if there is no such
    run, checkpoint or seed.
    """
    program, learners, scores = teams_of(run, env, checkpoint)
    seed, learner = team_of(program, learners, scores, seed)
    plan = program.experiment
    algorithm = program.loop(plan.config).algorithm
    names = () if zoo.found(run) else plan.recipe.shows  # a policy by itself holds what acts alone
    shows = {name: partial(getattr(algorithm, name), learner) for name in names}
    return Team(program.env, seed, algorithm.exploit(learner), plan.algorithm, shows)


def team_of(
    program: Program, learners: Any, scores: Sequence[float], seed: int | None
) -> tuple[int, Any]:
    """A training seed and its learner: `seed`, or the one that evaluated best."""
    seeds = program.seeds
    if seed is None:
        seed = seeds[int(np.argmax(scores))]
    if seed not in seeds:
        raise ConfigError(f"training seed must be one of {list(seeds)}, got {seed}")
    return seed, jax.tree.map(lambda x: x[seeds.index(seed)], learners)


def teams_of(
    run: str | Path, env: Environment[Any] | None = None, checkpoint: str | int = "newest"
) -> tuple[Program, Any, list[float]]:
    """`trained`, of a run's folder; or of a policy by itself, whose learner [1, ...] acts alone."""
    if file := zoo.found(run):
        return exported(weights.read(file), env)
    return trained(folders.open_folder(run), env, checkpoint)


def exported(
    saved: weights.Weights, env: Environment[Any] | None
) -> tuple[Program, Any, list[float]]:
    """The only team that is in a file."""
    plan = saved.experiment
    plan = replace(plan, run=replace(plan.run, seed=saved.seed, seeds=1, mesh=""))
    program = Program(env_of(plan) if env is None else require_env(env), plan)
    learner = saved.learner(program.loop(plan.config).algorithm, program.env.spec)
    return program, jax.tree.map(lambda x: x[None], learner), [saved.score]


def experiment_of(run: str | Path) -> Experiment:
    """What trained a run's teams, or a policy by itself."""
    file = zoo.found(run)
    return weights.read(file).experiment if file else folders.open_folder(run).experiment()


def trained(
    folder: Folder, env: Environment[Any] | None = None, checkpoint: str | int = "newest"
) -> tuple[Program, Any, list[float]]:
    """A run's program, learners [S, ...] and what they evaluated as [S]."""
    plan = placeable(folder.experiment())
    program = Program(env_of(plan) if env is None else require_env(env), plan)
    part = "best" if checkpoint == "best" else "learner"
    at = None if checkpoint in ("newest", "best") else iteration_of(checkpoint)
    found, learners = read(folder, at, part, program.state.learner)
    tell(found)
    last = found.meta["best"] if part == "best" else found.meta["evaluations"][-1]
    return program, learners, last["episode_return"]


def placeable(plan: Experiment) -> Experiment:
    """On one device where there are fewer than it was trained on."""
    there = parse(plan.run.mesh).size <= len(jax.devices())
    return plan if there else replace(plan, run=replace(plan.run, mesh=""))


def read(folder: Folder, at: int | None, part: str, like: Any) -> tuple[checkpoints.Found, Any]:
    """A part of a checkpoint; of a newer one if training removes this one meanwhile."""
    there = checkpoints.iterations(folder.checkpoints)
    try:
        found = checkpoints.find(folder.checkpoints, at, [part])
        if found is None:
            raise ConfigError(f"run must have a checkpoint, got {str(folder.path)!r}, without any")
        return found, checkpoints.restore(found, {part: like})[part]
    except (ConfigError, OSError):
        if at is not None or checkpoints.iterations(folder.checkpoints)[:1] == there[:1]:
            raise
        return read(folder, at, part, like)


def iteration_of(checkpoint: str | int) -> int:
    try:
        return of_type("checkpoint", checkpoint, int)
    except ConfigError:
        raise ConfigError(
            f"checkpoint must be newest, best or an iteration, got {checkpoint!r}"
        ) from None


def evaluate(
    run: str | Path,
    episodes: int = 320,
    seed: int = 0,
    env: Environment[Any] | None = None,
    checkpoint: str | int = "newest",
    env_options: Mapping[str, Any] | None = None,
    compile_cache: str | Path = "auto",
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Scores of a run's teams on fresh episodes, by name, [seeds] each; and the random policy's.

    `run` and `checkpoint` as `load_policy` takes them, `compile_cache` as `train` does.
    `env_options` are those of the run's environment that shall be others than in training (team
    sizes that were held out, say). Raises ConfigError where they would change what agents see or do
    in size.
    """
    keep_compiled(compile_cache)
    episodes = within("episodes", episodes, 1, 10**6)
    seed = within("seed", seed, 0, 2**31 - 1)
    if env_options:
        env = elsewhere(experiment_of(run), env, env_options)
    program, learners, _ = teams_of(run, env, checkpoint)
    return fresh_scores(program, learners, episodes, seed), program.random_return()


def elsewhere(
    plan: Experiment, env: Environment[Any] | None, options: Mapping[str, Any]
) -> Environment[Any]:
    """The run's environment with other options, of the sizes that its networks have."""
    if env is not None:
        raise ConfigError(f"env_options are for environments by name, got {dict(options)}")
    made = env_of(replace(plan, env_options={**plan.env_options, **options}))
    new, old = (vars(spec) for spec in (made.spec, env_of(plan).spec))
    for name in SIZES:
        if new[name] != old[name]:
            raise ConfigError(
                f"env options must leave {name} as in training, {old[name]}, "
                f"got {new[name]} with {dict(options)}"
            )
    return made


def fresh_scores(
    program: Program, learners: Any, episodes: int, seed: int
) -> dict[str, np.ndarray]:
    """Of learners [S, ...] on episodes other than those of their evaluations; by name, [S] each."""
    config = program.experiment.config

    def play(learner: Any, key: Key) -> dict[str, Array]:
        loop = program.loop(config)
        loop = replace(loop, cfg=replace(loop.cfg, eval_episodes=episodes))
        return loop.play(loop.algorithm.exploit(learner), key)

    keys = jax.random.split(key_of_play(seed), len(program.seeds))
    return jax.device_get(jax.jit(jax.vmap(play))(learners, keys))
