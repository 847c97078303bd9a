"""Sweeps on this machine: a file for `wandb sweep`, with all its trials side by side.

Numbers that do not shape the program (learning rates, discounts, ...) are traced: trials that
differ in these alone are one compiled program, with all their seeds. Trials that differ in more
(batch sizes, widths, ...) take a program each, as do parts of a grid that the memory cannot hold at
once. Every part is a run folder with checkpoints, so that a sweep goes on where it was killed.
"""

import json
import shlex
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jmarl import checkpoint, files, forecast
from jmarl import folder as folders
from jmarl.config import Experiment, find
from jmarl.determinism import require_determinism
from jmarl.evaluations import read
from jmarl.fields import ConfigError
from jmarl.fit import Fit
from jmarl.folder import Folder
from jmarl.lock import locked
from jmarl.making import env_of, own_name
from jmarl.preset_files import naming
from jmarl.program import Program
from jmarl.sweep_file import OPTION, Sweep, Swept, Trial, named
from jmarl.training import finish
from jmarl.versions import banner, keep_compiled, versions
from jmarl_envs import BadOption, MissingPackage, UnknownName

Part = Sequence[int]  # numbers of the trials that train side by side


class PartFolder(Folder):
    """Goes on with its sweep."""

    @property
    def go_on(self) -> str:
        return f"to go on: the same jmarl sweep with --out {shlex.quote(str(self.path.parents[1]))}"


def run(
    sweep: Sweep,
    out: str | Path = "",
    *,
    together: int = 1024,
    progress: bool = True,
    compile_cache: str = "auto",
) -> tuple[Path, list[Swept]]:
    """Train all trials, at most `together` side by side; where they lie, and they, the best first.

    `out` is a folder, by default sweeps/<the file's name>; where these trials lie already, training
    goes on. It gets a run folder without checkpoints for each trial, trial-000, ... A trial that
    becomes NaN or infinite ends no other, whatever `nonfinite` says, and comes last.
    `compile_cache` as `train` takes it. Raises ConfigError, naming the trial, before anything is
    written.
    """
    cache = keep_compiled(compile_cache)
    path = folders.place("out", out or f"sweeps/{sweep.name}")
    if any(sweep.plan(trial).run.deterministic for trial in sweep.trials):
        require_determinism()
    parts = parts_of(path, sweep, together)
    for nth, part in enumerate(parts):
        words = f"part {nth + 1} of {len(parts)}: {len(part)} of {len(sweep.trials)} trials"
        folder = part_folder(path, nth)
        train(folder, sweep, part, f"{banner(cache)}\n{words}" if progress else "")
        for row, trial in enumerate(part):
            harvest(folder, row, sweep, trial, trial_folder(path, trial))
    found = [outcome(path, nth, trial) for nth, trial in enumerate(sweep.trials)]
    sign = 1 if sweep.goal == "maximize" else -1
    worth = lambda swept: sign * np.nan_to_num(swept.score(sweep.measure).mean(), nan=-sign * 1e30)
    return path, sorted(found, key=worth, reverse=True)


# --- parts --------------------------------------------------------------------------------------


def parts_of(path: Path, sweep: Sweep, together: int) -> list[Part]:
    """As the sweep that lies there was parted, but for what has not begun; else anew, and written
    down."""
    record = path / "sweep.json"
    asked = json.loads(json.dumps(sweep.as_json()))
    cut = partial(fitting, sweep, together=together)
    if record.exists():
        known = json.loads(record.read_text())
        parts = known.pop("parts")
        if known != asked:
            raise ConfigError(f"out must be new or hold this sweep, got {path}, with another")
        return noted(record, asked, parted_anew(path, parts, cut))
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"out must be a new or empty folder, or a sweep's, got {str(path)!r}")
    for nth in range(len(sweep.trials)):
        require_possible(sweep, nth)
    likes = kin(sweep)
    for first, *_ in likes:
        try_out(sweep, first)
    return noted(record, asked, [part for like in likes for part in cut(like)])


def noted(record: Path, asked: Mapping[str, Any], parts: list[Part]) -> list[Part]:
    """Written down."""
    with files.told(record):
        record.parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(record, json.dumps(dict(asked) | {"parts": parts}, indent=1).encode())
    return parts


def parted_anew(path: Path, parts: list[Part], cut: Callable[[Part], list[Part]]) -> list[Part]:
    """Parts without a checkpoint as they fit this machine; what is cut off comes last."""
    first, rest = list(parts), []
    for nth, part in enumerate(parts):
        folder = part_folder(path, nth)
        begun = checkpoint.iterations(folder.checkpoints) or (folder.path / "summary.json").exists()
        first[nth], *more = [part] if begun else cut(part)
        rest += more
    return first + rest


def kin(sweep: Sweep) -> list[Part]:
    """Trials that differ in traced numbers alone."""
    found: dict[str, list[int]] = {}
    for nth, trial in enumerate(sweep.trials):
        traced = sweep.traced(trial)
        shaping = {name: value for name, value in trial.items() if name not in traced}
        found.setdefault(json.dumps(shaping, sort_keys=True), []).append(nth)
    return list(found.values())


def fitting(sweep: Sweep, part: Part, together: int) -> list[Part]:
    """Halves of it, and halves of these, until each fits the memory."""
    fits = len(part) <= together
    if fits and len(part) > 1:
        fits = forecast.needs(program_of(sweep, part)).total <= forecast.free_bytes()
    if fits or len(part) == 1:
        return [part]
    middle = (len(part) + 1) // 2
    return [
        *fitting(sweep, part[:middle], together),
        *fitting(sweep, part[middle:], together),
    ]


def program_of(sweep: Sweep, part: Part) -> Program:
    plan, trials = plan_of(sweep, part[0]), [sweep.trials[nth] for nth in part]
    return Program(env_of(plan), plan, trials=[sweep.traced(trial) for trial in trials])


def plan_of(sweep: Sweep, nth: int) -> Experiment:
    """With jmarl's name of the environment."""
    plan = sweep.plan(sweep.trials[nth])
    return replace(plan, run=replace(plan.run, env=own_name(plan.run.env)))


# --- refusing -----------------------------------------------------------------------------------


def naming_trial(sweep: Sweep, nth: int) -> AbstractContextManager[None]:
    return naming(named(nth, sweep.trials[nth]), BadOption, MissingPackage, UnknownName)


def require_possible(sweep: Sweep, nth: int) -> None:
    """ConfigError for a trial that `jmarl train` would refuse; settings that are traced may be what
    is wrong with it, so trials of one program are asked for one by one."""
    with naming_trial(sweep, nth):
        program_of(sweep, [nth]).refuse_impossible()


def try_out(sweep: Sweep, nth: int) -> None:
    """The same for what only tracing tells, which is alike for all trials of a program."""
    with naming_trial(sweep, nth):
        program = program_of(sweep, [nth])
        forecast.foreseen(program)
        program.try_shapes()
        find(sweep.measure, program.measures, "measure of these evaluations")


# --- training -----------------------------------------------------------------------------------


def train(folder: Folder, sweep: Sweep, part: Part, heading: str) -> None:
    """From its start, or from its newest checkpoint; nothing where it has ended."""
    if (folder.path / "summary.json").exists():
        return
    for nth in part:
        require_possible(sweep, nth)
    program = program_of(sweep, part)
    memory = forecast.foreseen(program)
    if not (folder.path / "config.json").exists():
        files.remove(folder.path)
        folders.create(str(folder.path), program.experiment, versions())
    with locked(folder.path):
        folder.sweep()
        fit = Fit(program, folder, memory=memory)
        if found := checkpoint.find(folder.checkpoints):
            fit.restore(found)
        finish(fit, heading, ())


def part_folder(path: Path, nth: int) -> PartFolder:
    return PartFolder(path / "parts" / f"{nth:03}")


def trial_folder(path: Path, nth: int) -> Path:
    return path / f"trial-{nth:03}"


def harvest(part: Folder, row: int, sweep: Sweep, nth: int, place: Path) -> None:
    """A trial's run folder out of its part's rows."""
    plan = plan_of(sweep, nth)
    trial, run = Folder(place), plan.run
    with files.told(place):
        (place / "metrics").mkdir(parents=True, exist_ok=True)
        for seed in range(run.seeds):
            lines = part.metrics(run.seed + row * run.seeds + seed)
            shutil.copyfile(lines, trial.metrics(run.seed + seed))
        shutil.copyfile(part.path / "versions.json", place / "versions.json")
        trial.write("config.json", plan.as_json())


def outcome(path: Path, nth: int, trial: Trial) -> Swept:
    place = trial_folder(path, nth)
    found = read(place)
    metrics = {seed: Folder(place).metrics(seed) for seed in found.seeds}
    gone = [seed for seed, path in metrics.items() if has_diverged(path, found.scores)]
    return Swept(nth, trial, found, gone)


def has_diverged(path: Path, of_episodes: Collection[str]) -> bool:
    """Whether metrics of learning have null, which stands for NaN and infinity; in those
    `of_episodes` also for none that ended."""
    records = map(json.loads, path.read_text().splitlines())
    nulls = {name for record in records for name, value in record.items() if value is None}
    learned = {name.removeprefix("train/") for name in nulls if name.startswith("train/")}
    return bool(learned - set(of_episodes))


def command(sweep: Sweep, trial: Trial) -> str:
    """That trains it again, with checkpoints to play."""
    order = sweep.order_of(trial)
    words = ["jmarl", "train", order.algorithm]
    given: Mapping[str, Any] = {
        **order.flags,
        **{f"{OPTION}{name}": value for name, value in order.env_options.items()},
        **order.settings,
    }
    for name, value in given.items():
        if value != "":  # no preset, as a flag that is not given
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
