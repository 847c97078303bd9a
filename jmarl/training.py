"""`jmarl.train` and `jmarl.resume`: an experiment, its folder and its end."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jmarl import folder as folders
from jmarl import forecast, hosts
from jmarl.config import Experiment
from jmarl.determinism import require_determinism
from jmarl.fit import Fit
from jmarl.folder import Folder
from jmarl.lock import locked
from jmarl.making import env_again, env_of, own_name, plan_of
from jmarl.nonfinite import NotFinite
from jmarl.program import Program
from jmarl.rendering import render
from jmarl.resuming import altered, resumed
from jmarl.signals import Stop, Stopped
from jmarl.sinks import JsonLines, Sink, Watch
from jmarl.statistics import interval
from jmarl.tracking import following, require_tracking
from jmarl.types import Environment
from jmarl.versions import banner, keep_compiled, versions


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
    compile_cache: str | Path = "auto",
    wandb: str = "off",
    distributed: str = "",
    **settings: Any,
) -> Result:
    """Train `seeds` teams side by side; settings are those of `jmarl train ALGORITHM --help`.

    `algorithm` is a name, or a preset file, whose words all else given overrides: its name
    (@qmix/smax-3m; `jmarl config` lists them) or path (mine.yaml). `env` is a name or an
    environment of your own; by default the file's or the algorithm's. The run folder is `out`,
    by default runs/<algorithm>-<environment>-<time>; None writes nothing. Raises ConfigError
    before anything is written. `compile_cache`: where compiled programs are kept, or "off".
    `wandb`: "offline" or "online" tells it too, a run for each seed (jmarl.tracking).
    `distributed`: "auto", or HOST:PORT,N,I as process I of N, trains on all processes' devices
    (jmarl.hosts).
    """
    require_tracking(wandb, out)
    if out:
        folders.vacant(str(out))  # at once, before minutes of compiling
    cache = keep_compiled(compile_cache)
    plan = plan_of(algorithm, env, preset, env_options or {}, settings)
    if plan.run.deterministic:
        require_determinism()
    hosts.join(distributed)
    made = env_of(plan) if isinstance(env, str) else env
    program = Program(made, plan)
    memory = forecast.foreseen(program)
    program.refuse_impossible()
    program.try_shapes()
    heading = banner(cache) if progress else ""
    if out is None:
        return finish(Fit(program, None, memory=memory), heading, sinks)
    create = lambda: str(folders.create(str(out), plan, versions()).path)
    folder = Folder(Path(hosts.told(create)))
    with held(folder), hosts.led(folder.kept_if_used()), shown(folder, wandb, made):
        return finish(Fit(program, folder, memory=memory), heading, sinks)


def resume(
    run: str | Path,
    *,
    algorithm: str = "",
    env: str | Environment[Any] = "",
    preset: str = "",
    env_options: Mapping[str, Any] | None = None,
    progress: bool = True,
    sinks: Sequence[Sink] = (),
    compile_cache: str | Path = "auto",
    wandb: str = "off",
    distributed: str = "",
    **settings: Any,
) -> Result:
    """Go on with a run from its newest whole checkpoint, to the end of its settings.

    Of the settings, total_steps, checkpoint_minutes, keep_checkpoints and nonfinite may be others
    than the run's; the rest may be given, but not changed. `env` is needed where it has no
    registered name. `wandb` and `distributed` as for `train`.
    """
    require_tracking(wandb, run)
    cache = keep_compiled(compile_cache)
    folder = folders.open_folder(run)
    settings |= {"env": own_name(env)} if isinstance(env, str) and env else {}
    named = {"algorithm": algorithm, "preset": preset}
    options = {f"env.{name}": value for name, value in (env_options or {}).items()}
    given = {name: value for name, value in named.items() if value} | options
    if folder.experiment().run.deterministic:
        require_determinism()
    hosts.join(distributed)
    with held(folder):
        plan = altered(folder.experiment(), settings, given)
        with folder.writing():
            hosts.told(folder.sweep)
        fit = resumed(folder, plan, lambda plan: env_again(plan, env))
        with shown(folder, wandb, fit.program.env):
            return finish(fit, banner(cache) if progress else "", sinks)


@contextmanager
def held(folder: Folder) -> Iterator[None]:
    """The first of several processes, or the only one, holds the folder's lock."""
    with ExitStack() as stack:
        hosts.told(lambda: stack.enter_context(locked(folder.path)))
        hosts.advise(folder.go_on)
        yield


@contextmanager
def shown(folder: Folder, wandb: str, env: Environment[Any]) -> Iterator[None]:
    """wandb is told of the run meanwhile, and shown an episode of its best team at the end; not of
    a run in several processes, whose first alone could not load it."""
    with hosts.led(following(folder.path, wandb)):
        yield
        if wandb != "off" and not hosts.several():
            render(folder.path, out=folder.path / "episode.gif", env=env)


def finish(fit: Fit, heading: str, sinks: Sequence[Sink]) -> Result:
    """Run to the end with files, and progress under a heading; write summary and curve."""
    program, folder = fit.program, fit.folder
    with ExitStack() as stack:
        stop = stack.enter_context(Stop())
        if hosts.leads():
            show(fit, heading, sinks, stack)
        random_scores = program.random_return()
        with hosts.needed(Stopped, NotFinite):
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
    if folder is not None and hosts.leads():
        with folder.writing():
            folder.write("summary.json", result.as_json())
            draw(result, folder)
    return result


def show(fit: Fit, heading: str, sinks: Sequence[Sink], stack: ExitStack) -> None:
    """Open the folder's files, and progress under a heading."""
    program, folder = fit.program, fit.folder
    fit.sinks = sinks
    if folder is not None:
        updates = fit.updates if fit.chunks_done else -1
        lines = JsonLines(folder, program.seeds, updates, fit.records)
        fit.lines = stack.enter_context(closing(lines))
    if heading:
        words = f"{heading}\n{fit.memory}{program.caution}"
        watch = Watch(words, program.updates, fit.updates if fit.chunks_done else 0)
        fit.sinks = [*sinks, stack.enter_context(closing(watch))]


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
