"""Sweeps on this machine: a file for `wandb sweep`, with all its trials side by side.

Numbers that do not shape the program (learning rates, discounts, ...) are traced: trials that
differ in these alone are one compiled program, with all their seeds. Trials that differ in more
(batch sizes, widths, ...) take a program each, as do parts of a grid that the memory cannot hold at
once. Every part is a run folder with checkpoints, so that a sweep goes on where it was killed.
"""

import json
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jmarl import checkpoint, files, forecast
from jmarl import folder as folders
from jmarl.config import find
from jmarl.evaluations import read
from jmarl.fields import ConfigError
from jmarl.fit import Fit
from jmarl.folder import Folder
from jmarl.lock import locked
from jmarl.making import env_of
from jmarl.program import Program
from jmarl.sweep_file import Sweep, Swept, Trial
from jmarl.training import finish
from jmarl.types import Environment
from jmarl.versions import banner, keep_compiled, versions

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
    goes on. It gets a run folder without checkpoints for each trial, trial-000, ...
    `compile_cache` as `train` takes it. Raises
    ConfigError before anything is written.
    """
    cache = keep_compiled(compile_cache)
    path = folders.place("out", out or f"sweeps/{sweep.name}")
    plan = sweep.plan(sweep.trials[0])
    env = env_of(plan)
    find(sweep.measure, Program(env, plan).measures, "measure of these evaluations")
    parts = parts_of(path, sweep, env, together)
    for nth, part in enumerate(parts):
        words = f"part {nth + 1} of {len(parts)}: {len(part)} of {len(sweep.trials)} trials"
        folder = part_folder(path, nth)
        train(folder, env, sweep, part, f"{banner(cache)}\n{words}" if progress else "")
        for row, trial in enumerate(part):
            harvest(folder, row, sweep, trial, trial_folder(path, trial))
    found = [Swept(i, t, read(trial_folder(path, i))) for i, t in enumerate(sweep.trials)]
    sign = 1 if sweep.goal == "maximize" else -1
    worth = lambda swept: sign * np.nan_to_num(swept.score(sweep.measure).mean(), nan=-sign * 1e30)
    return path, sorted(found, key=worth, reverse=True)


# --- parts --------------------------------------------------------------------------------------


def parts_of(path: Path, sweep: Sweep, env: Environment[Any], together: int) -> list[Part]:
    """As the sweep that lies there was parted, but for what has not begun; else anew, and written
    down."""
    record = path / "sweep.json"
    asked = json.loads(json.dumps(sweep.as_json()))
    cut = partial(fitting, env, sweep, together=together)
    if record.exists():
        known = json.loads(record.read_text())
        parts = known.pop("parts")
        if known != asked:
            raise ConfigError(f"out must be new or hold this sweep, got {path}, with another")
        return noted(record, asked, parted_anew(path, parts, cut))
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"out must be a new or empty folder, or a sweep's, got {str(path)!r}")
    return noted(record, asked, [part for like in kin(sweep) for part in cut(like)])


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


def fitting(env: Environment[Any], sweep: Sweep, part: Part, together: int) -> list[Part]:
    """Halves of it, and halves of these, until each fits the memory."""
    fits = len(part) <= together
    if fits and len(part) > 1:
        fits = forecast.needs(program_of(env, sweep, part)).total <= forecast.free_bytes()
    if fits or len(part) == 1:
        return [part]
    middle = (len(part) + 1) // 2
    return [
        *fitting(env, sweep, part[:middle], together),
        *fitting(env, sweep, part[middle:], together),
    ]


def program_of(env: Environment[Any], sweep: Sweep, part: Part) -> Program:
    trials = [sweep.trials[nth] for nth in part]
    return Program(env, sweep.plan(trials[0]), trials=[sweep.traced(trial) for trial in trials])


# --- training -----------------------------------------------------------------------------------


def train(folder: Folder, env: Environment[Any], sweep: Sweep, part: Part, heading: str) -> None:
    """From its start, or from its newest checkpoint; nothing where it has ended."""
    if (folder.path / "summary.json").exists():
        return
    program = program_of(env, sweep, part)
    memory = forecast.foreseen(program)
    program.refuse_impossible()
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
    plan = sweep.plan(sweep.trials[nth])
    trial, run = Folder(place), plan.run
    with files.told(place):
        (place / "metrics").mkdir(parents=True, exist_ok=True)
        for seed in range(run.seeds):
            lines = part.metrics(run.seed + row * run.seeds + seed)
            shutil.copyfile(lines, trial.metrics(run.seed + seed))
        shutil.copyfile(part.path / "versions.json", place / "versions.json")
        trial.write("config.json", plan.as_json())


def command(sweep: Sweep, trial: Trial) -> str:
    """That trains it again, with checkpoints to play."""
    plan = sweep.order
    words = ["jmarl", "train", plan.algorithm]
    given: Mapping[str, Any] = {
        **plan.flags,
        **{f"env.{name}": value for name, value in plan.env_options.items()},
        **plan.settings,
        **trial,
    }
    for name, value in given.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
