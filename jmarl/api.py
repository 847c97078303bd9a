"""What `import jmarl` offers: environments, algorithms, training, trained teams."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array

import jmarl_envs
from jmarl import checkpoint as checkpoints
from jmarl import folder as folders
from jmarl import forecast, weights
from jmarl.algorithms import ALL
from jmarl.config import Experiment, experiment, find, hints, of_type, within
from jmarl.determinism import require_determinism
from jmarl.exploration import uniform_policy
from jmarl.fields import ConfigError
from jmarl.files import told
from jmarl.fit import Fit
from jmarl.folder import Folder
from jmarl.lock import locked
from jmarl.preset_files import planned
from jmarl.program import Program
from jmarl.recording import Player, Rendered, Settings, place_of, record
from jmarl.resuming import altered, resumed, tell
from jmarl.signals import Stop
from jmarl.sinks import JsonLines, Sink, Watch
from jmarl.statistics import interval
from jmarl.tracking import following, require_tracking
from jmarl.types import Algorithm, Environment, EnvSpec, Key, Policy, View
from jmarl.versions import banner, keep_compiled, versions
from jmarl_envs.film import Take, scenes
from jmarl_envs.plain import plain
from jmarl_envs.raster import write_gif


def make_env(name: str, **options: Any) -> Environment[Any]:
    """An environment by name, `suite/task` (`jmarl envs` lists them), with options of its own.

    Raises jmarl_envs.UnknownName or BadOption (both ValueErrors), saying what there is.
    """
    return jmarl_envs.make(name, **options)


def make_algorithm(name: str, spec: EnvSpec, preset: str = "", **settings: Any) -> Algorithm[Any]:
    """An algorithm for environments of this spec: four pure functions (jmarl.types.Algorithm).

    Raises ConfigError for unknown names and settings out of bounds.
    """
    known = hints(type(find(name, ALL, "algorithm").config))
    for setting in settings:
        find(setting, known, f"setting of {name} itself")
    made = experiment(name, preset, settings=settings)
    made.recipe.suits(spec, made.config)
    return made.recipe.make(spec, made.config)


@dataclass(frozen=True)
class Result:
    """A finished training; also in the run folder's summary.json."""

    path: Path | None
    experiment: Experiment
    env_steps: np.ndarray  # [evaluations] mean over seeds
    returns: np.ndarray  # [evaluations, seeds] evaluation returns, mean over agents
    random_scores: Mapping[str, float]  # of the uniform policy, by name
    seconds: float
    compile_seconds: Mapping[str, float]
    updates_per_env_step: float
    scores: Mapping[str, Sequence[float]]  # of the last evaluation, by name, [seeds]

    @property
    def random_return(self) -> float:
        """What chance gives."""
        return self.random_scores["episode_return"]

    def as_json(self) -> dict[str, Any]:
        mean, low, high = interval(self.returns[-1])
        return {
            "env_steps": float(self.env_steps[-1]),
            "episode_return": float(mean),
            "episode_return_95": [float(low), float(high)],
            "random_return": self.random_return,
            "random_scores": dict(self.random_scores),
            "seeds": self.returns.shape[1],
            "scores": {name: list(values) for name, values in self.scores.items()},
            "seconds": self.seconds,
            "compile_seconds": dict(self.compile_seconds),
            "updates_per_env_step": self.updates_per_env_step,
        }


def train(
    algorithm: str,
    env: str | Environment[Any] = "",
    *,
    preset: str = "",
    env_options: Mapping[str, Any] | None = None,
    out: str | Path | None = "",
    progress: bool = True,
    sinks: Sequence[Sink] = (),
    compile_cache: str = "auto",
    wandb: str = "off",
    **settings: Any,
) -> Result:
    """Train `seeds` teams side by side; settings are those of `jmarl train ALGORITHM --help`.

    `algorithm` is a name, or a preset file, whose words all else given overrides: its name
    (@qmix/smax-3m; `jmarl config` lists them) or path (mine.yaml). `env` is a name or an
    environment of your own; by default the file's or the algorithm's. The run folder is `out`,
    by default runs/<algorithm>-<environment>-<time>; None writes nothing. Raises ConfigError
    before anything is written. `compile_cache`: where compiled programs are kept, or "off".
    `wandb`: "offline" or "online" tells it too, a run for each seed (jmarl.tracking).
    """
    require_tracking(wandb, out)
    cache = keep_compiled(compile_cache)
    plan = plan_of(algorithm, env, preset, env_options or {}, settings)
    if plan.run.deterministic:
        require_determinism()
    made = env_of(plan) if isinstance(env, str) else env
    program = Program(made, plan)
    memory = forecast.foreseen(program)
    program.refuse_impossible()
    program.try_shapes()
    heading = banner(cache) if progress else ""
    if out is None:
        return finish(Fit(program, None, memory=memory), heading, sinks)
    folder = folders.create(str(out), plan, versions())
    with locked(folder.path), folder.kept_if_used(), shown(folder, wandb, made):
        return finish(Fit(program, folder, memory=memory), heading, sinks)


def plan_of(
    algorithm: str,
    env: str | Environment[Any],
    preset: str,
    env_options: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Experiment:
    """What to train; an environment has jmarl's name. Raises ConfigError."""
    if isinstance(env, str):
        given = {**settings, "env": own_name(env)} if env else settings
        plan = planned(algorithm, preset, env_options, given)
        return replace(plan, run=replace(plan.run, env=own_name(plan.run.env)))
    if env_options:
        raise ConfigError(f"env_options are for environments by name, got {dict(env_options)}")
    plan = planned(algorithm, preset, settings={**settings, "env": env.spec.name})
    return replace(plan, env_options={}, own_env=True)


def resume(
    run: str | Path,
    *,
    algorithm: str = "",
    env: str | Environment[Any] = "",
    preset: str = "",
    env_options: Mapping[str, Any] | None = None,
    progress: bool = True,
    sinks: Sequence[Sink] = (),
    compile_cache: str = "auto",
    wandb: str = "off",
    **settings: Any,
) -> Result:
    """Go on with a run from its newest whole checkpoint, to the end of its settings.

    Of the settings, total_steps, checkpoint_minutes, keep_checkpoints and nonfinite may be others
    than the run's; the rest may be given, but not changed. `env` is needed where it has no
    registered name. `wandb` as for `train`.
    """
    require_tracking(wandb, run)
    cache = keep_compiled(compile_cache)
    folder = folders.open_folder(run)
    settings |= {"env": own_name(env)} if isinstance(env, str) and env else {}
    named = {"algorithm": algorithm, "preset": preset}
    options = {f"env.{name}": value for name, value in (env_options or {}).items()}
    given = {name: value for name, value in named.items() if value} | options
    folder.experiment()  # nothing is written where there is no run
    with locked(folder.path):
        plan = altered(folder.experiment(), settings, given)
        with folder.writing():
            folder.sweep()
        if plan.run.deterministic:
            require_determinism()
        fit = resumed(folder, plan, lambda plan: env_again(plan, env))
        with shown(folder, wandb, fit.program.env):
            return finish(fit, banner(cache) if progress else "", sinks)


@contextmanager
def shown(folder: Folder, wandb: str, env: Environment[Any]) -> Iterator[None]:
    """wandb is told of the run meanwhile, and shown an episode of its best team at the end."""
    with following(folder.path, wandb):
        yield
        if wandb != "off":
            render(folder.path, out=folder.path / "episode.gif", env=env)


def finish(fit: Fit, heading: str, sinks: Sequence[Sink]) -> Result:
    """Run to the end with files, and progress under a heading; write summary and curve."""
    program, folder = fit.program, fit.folder
    with ExitStack() as stack:
        stop = stack.enter_context(Stop())
        all_sinks = list(sinks)
        if folder is not None:
            updates = fit.updates if fit.chunks_done else -1
            lines = JsonLines(folder, program.seeds, updates, fit.records)
            all_sinks.append(stack.enter_context(closing(lines)))
        if heading:
            words = f"{heading}\n{fit.memory}{program.caution}"
            watch = Watch(words, program.updates, fit.updates if fit.chunks_done else 0)
            all_sinks.append(stack.enter_context(closing(watch)))
        fit.sinks = all_sinks
        random_scores = program.random_return()
        fit.run(stop)
    result = Result(
        path=folder.path if folder else None,
        experiment=program.experiment,
        env_steps=np.array([np.mean(e["env_steps"]) for e in fit.evaluations]),
        returns=np.array([e["episode_return"] for e in fit.evaluations]),
        random_scores=random_scores,
        seconds=fit.seconds,
        compile_seconds=program.compile_seconds,
        updates_per_env_step=fit.replay_ratio,
        scores={k: v for k, v in fit.evaluations[-1].items() if k != "env_steps"},
    )
    if folder is not None:
        with folder.writing():
            folder.write("summary.json", result.as_json())
            draw(result, folder)
    return result


def draw(result: Result, folder: Folder) -> None:
    from jmarl.plots import Curve, learning_curves  # matplotlib takes a second to import

    plan = result.experiment
    preset = f" ({plan.preset})" if plan.preset else ""
    learning_curves(
        folder.path / "curve.png",
        [Curve(plan.algorithm + preset, list(result.env_steps), result.returns)],
        result.random_return,
        title=plan.run.env,
    )


def own_name(name: str) -> str:
    """jmarl's name of an environment that a library's own id stands for; others as they are."""
    aliases = {
        alias: name for name, entry in jmarl_envs.listings().items() for alias in entry.aliases
    }
    return aliases.get(name, name)


def env_of(plan: Experiment) -> Environment[Any]:
    """The experiment's environment, taking the kind of actions that suits the algorithm best.

    Raises ConfigError if it was an environment of the caller's own.
    """
    if plan.own_env:
        raise ConfigError(f"env must be given, as it was to train: {plan.run.env!r} was your own")
    options, wanted = dict(plan.env_options), plan.run.actions
    listing = jmarl_envs.listings().get(plan.run.env)
    offered = listing.action_kinds if listing else ()
    if wanted != "auto" and offered and wanted not in offered:
        raise ConfigError(f"actions of {plan.run.env} must be {' or '.join(offered)}, got {wanted}")
    if wanted != "auto" and (len(offered) > 1 or not offered):
        options["actions"] = wanted
    elif len(offered) > 1 and "actions" not in options:
        liked = [kind for kind in plan.recipe.action_kinds(plan.config) if kind in offered]
        options |= {"actions": liked[0]} if liked else {}
    return make_env(plan.run.env, **options)


def env_again(plan: Experiment, env: str | Environment[Any]) -> Environment[Any]:
    """The environment to go on in: the one handed over, if it has the name of the run's."""
    if isinstance(env, str):
        return env_of(plan)
    if env.spec.name != plan.run.env:
        raise ConfigError(f"env must be the run's, {plan.run.env!r}, got {env.spec.name!r}")
    return env


@dataclass(frozen=True)
class Team:
    """A trained team: how it acts in one environment."""

    env: Environment[Any]
    seed: int
    policy: Policy[Any]  # on batches of environments, for jmarl.rollout

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
    """A trained team from a run folder, of `seed`, or of the one that evaluated best; or the one
    that `jmarl export` wrote, from its folder or safetensors file.

    `checkpoint` is "newest", "best" (each seed where it evaluated best) or an iteration that is
    there. `env` is needed where it has no registered name. Raises ConfigError if there is no such
    run, checkpoint or seed.
    """
    if file := weights.found(run):
        return exported_team(weights.read(file), seed, env)
    folder = folders.open_folder(run)
    program, learners, scores = trained(folder, env, checkpoint)
    seed, learner = team_of(program, learners, scores, seed)
    loop = program.loop(program.experiment.config)
    return Team(program.env, seed, loop.algorithm.exploit(learner))


def exported_team(saved: weights.Weights, seed: int | None, env: Environment[Any] | None) -> Team:
    """The only one that is in the file."""
    if seed not in (None, saved.seed):
        raise ConfigError(f"training seed must be that of {saved.path}, {saved.seed}, got {seed}")
    plan = saved.experiment
    env = env or env_of(plan)
    plan.recipe.suits(env.spec, plan.config)
    algorithm = plan.recipe.make(env.spec, plan.config)
    return Team(env, saved.seed, algorithm.exploit(saved.learner(algorithm, env.spec)))


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


def trained(
    folder: Folder, env: Environment[Any] | None = None, checkpoint: str | int = "newest"
) -> tuple[Program, Any, list[float]]:
    """A run's program, learners [S, ...] and what they evaluated as [S]."""
    plan = folder.experiment()
    program = Program(env or env_of(plan), plan)
    part = "best" if checkpoint == "best" else "learner"
    at = None if checkpoint in ("newest", "best") else iteration_of(checkpoint)
    found, learners = read(folder, at, part, program.state.learner)
    tell(found)
    last = found.meta["best"] if part == "best" else found.meta["evaluations"][-1]
    return program, learners, last["episode_return"]


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
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Scores of a run's teams on fresh episodes, by name, [seeds] each; and the random policy's.

    `checkpoint` as `load_policy` takes it.
    """
    keep_compiled()
    episodes = within("episodes", episodes, 1, 10**6)
    program, learners, _ = trained(folders.open_folder(run), env, checkpoint)
    return fresh_scores(program, learners, episodes, seed), program.random_return()


def fresh_scores(
    program: Program, learners: Any, episodes: int, seed: int
) -> dict[str, np.ndarray]:
    """Of learners [S, ...] on episodes other than those of their evaluations; by name, [S] each."""
    config = program.experiment.config

    def play(learner: Any, key: Key) -> dict[str, Array]:
        loop = program.loop(config)
        loop = replace(loop, cfg=replace(loop.cfg, eval_episodes=episodes))
        return loop.play(loop.algorithm.exploit(learner), key)

    keys = jax.random.split(jax.random.key(seed), len(program.seeds))
    return jax.device_get(jax.jit(jax.vmap(play))(learners, keys))


def render(
    what: str | Path | Environment[Any],
    *,
    policy: Player = "auto",
    out: str | Path = "",
    seed: int = 0,
    episodes: int = 1,
    fps: int = 10,
    pixels: int = 400,
    team_seed: int | None = None,
    env: Environment[Any] | None = None,
    env_options: Mapping[str, Any] | None = None,
    compile_cache: str = "auto",
) -> Rendered:
    """Play `episodes` and write them to the GIF `out`, by default <environment>.gif.

    `what` is an environment, its name, or the folder of a run, whose team of training seed
    `team_seed` (the best, if None) plays greedily; `policy` "random" or "trained" says otherwise.
    `env` is a run's environment where it has no registered name. An environment without `draw`
    shows what its agents observe. Raises ConfigError before anything is played or written.
    """
    asked = Settings(policy, seed, episodes, fps, pixels)
    keep_compiled(compile_cache)
    env, player, name = players(what, asked.policy, team_seed, env, env_options or {})
    path = place_of(out, f"{env.spec.name}.gif")
    played = plain(record(env, player, jax.random.key(asked.seed), asked.episodes))
    takes = [Take(*played.episode(nth)) for nth in range(asked.episodes)]
    many = asked.episodes > 1
    headings = [f"episode {nth}, " * many for nth, _ in enumerate(takes, 1)]
    films = [scenes(env, take, heading) for take, heading in zip(takes, headings, strict=True)]
    with told(path):
        write_gif(path, chain(*films), asked.fps, asked.pixels)
    returns = np.array([take.reward.sum(0) for take in takes])
    return Rendered(path, env.spec, name, returns, np.array([take.steps for take in takes]))


def players(
    what: str | Path | Environment[Any],
    policy: str,
    team_seed: int | None,
    env: Environment[Any] | None,
    env_options: Mapping[str, Any],
) -> tuple[Environment[Any], Policy[Any], str]:
    """The environment, who plays there, and that in words."""
    name = str(what) if isinstance(what, str | Path) else ""
    run = name if name and is_run(name) else None
    if env_options and (run or not name):
        raise ConfigError(f"env options are for environments by name, got {dict(env_options)}")
    if policy == "trained" and not run:
        raise ConfigError(f"policy trained needs the folder of a run, got {name or what!r}")
    if run and policy != "random":
        seed = None if team_seed is None else of_type("team_seed", team_seed, int)
        team = load_policy(run, seed, env)
        return team.env, team.policy, f"trained, seed {team.seed}"
    if team_seed is not None:
        raise ConfigError(f"team_seed needs a trained team, got {team_seed!r}")
    if run:
        env = env or env_of(folders.open_folder(run).experiment())
    elif not isinstance(what, str | Path):
        env = what
    else:
        env = make_env(name, **env_options)
    return env, uniform_policy(env.spec), "random"


def is_run(name: str) -> bool:
    """Whether it is a path rather than an environment's name; those go first."""
    try:
        jmarl_envs.entry(name)
    except jmarl_envs.UnknownName:
        if not folders.place("run", name).exists():
            raise
        return True
    return False
