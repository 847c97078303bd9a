"""A run's folder: what lies where, created whole or not at all.

config.json     the complete settings; `jmarl train --resume` reads them
versions.json   packages, commit, device, command
metrics/        seed-0.jsonl, ...: one JSON object a line, written as training goes
checkpoints/    the run's state at some iterations
summary.json    the end of a finished run; curve.png its learning curve
absolute.json   the best teams' scores on many fresh episodes, once `jmarl eval --record` has run
.lock           who trains here now
"""

import contextlib
import json
import math
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmarl import files
from jmarl.config import Experiment
from jmarl.fields import ConfigError


@dataclass(frozen=True)
class Folder:
    path: Path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def metrics(self, seed: int) -> Path:
        return self.path / "metrics" / f"seed-{seed}.jsonl"

    def write(self, name: str, data: Any) -> None:
        """JSON, in place all at once."""
        files.write_whole(self.path / name, (json.dumps(sound(data), indent=2) + "\n").encode())

    def read(self, name: str) -> Any:
        return json.loads((self.path / name).read_text())

    def experiment(self) -> Experiment:
        """ConfigError if config.json does not hold one."""
        with self.reading("config.json"):
            return Experiment.from_json(self.read("config.json"))

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """What is wrong with a file becomes ConfigError."""
        try:
            yield
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise
            where = self.path / name
            raise ConfigError(f"run must have a sound {name}, got {where} ({error!r})") from error

    @property
    def go_on(self) -> str:
        """How to, in words."""
        return f"to go on: jmarl train --resume {shlex.quote(str(self.path))}"

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Whatever the system refuses becomes Unwritten."""
        try:
            yield
        except OSError as error:
            raise files.Unwritten(
                f"run could not be written ({error}); all up to its last checkpoint stands; "
                f"once that is mended, {self.go_on}"
            ) from error

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        for folder in (self.path, self.path / "metrics", self.checkpoints):
            files.sweep(folder)

    def settle_metrics(self) -> None:
        """Records are on the disk before the checkpoint that stands behind them."""
        for path in self.path.glob("metrics/*.jsonl"):
            files.settle(path)

    @contextlib.contextmanager
    def kept_if_used(self) -> Iterator[None]:
        """Afterwards the folder is gone if nothing was recorded in it."""
        try:
            yield
        finally:
            recorded = any(path.stat().st_size for path in self.path.glob("metrics/*.jsonl"))
            if not recorded and next(self.checkpoints.glob("*"), None) is None:
                shutil.rmtree(self.path)


def sound(x: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for them."""
    if isinstance(x, Mapping):
        return {name: sound(value) for name, value in x.items()}
    if isinstance(x, list | tuple):
        return [sound(value) for value in x]
    return x if not isinstance(x, float) or math.isfinite(x) else None


def place(name: str, path: str | Path) -> Path:
    """An absolute path; ConfigError if it cannot be one."""
    try:
        whole = Path(path).expanduser().absolute()
        whole.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"{name} must be a path, got {str(path)!r} ({error})") from error
    return whole


def create(out: str, experiment: Experiment, versions: dict[str, Any]) -> Folder:
    """A new run folder: `out`, or runs/<algorithm>-<environment>-<time> if that is empty.

    Raises ConfigError if it cannot be written or already holds something.
    """
    task = experiment.run.env.replace("/", "-")
    stamp = time.strftime("%Y%m%d-%H%M%S")
    path = place("out", f"runs/{experiment.algorithm}-{task}-{stamp}")
    path = vacant(out) if out else path
    try:
        path = path if out else unused(path)
        (path / "metrics").mkdir(parents=True)  # nobody else's from here on
        try:
            return filled(Folder(path), experiment, versions)
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            raise
    except OSError as error:
        raise ConfigError(f"out must be a writable folder, got {str(path)!r} ({error})") from error


def vacant(out: str) -> Path:
    """Where nothing lies that could be lost. ConfigError."""
    path = place("out", out)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        run = (path / "config.json").exists()
        hint = f"; to go on with that run: jmarl train --resume {out}" if run else ""
        raise ConfigError(f"out must be a new or empty folder, got {out!r}{hint}")
    return path


def unused(path: Path) -> Path:
    """Made at `path`; with a number where another run began in the same second, as agents' may."""
    for nth in range(1, 1000):
        free = path if nth == 1 else path.with_name(f"{path.name}-{nth}")
        with contextlib.suppress(FileExistsError):
            free.mkdir(parents=True)
            return free
    raise FileExistsError(path)


def filled(folder: Folder, experiment: Experiment, versions: dict[str, Any]) -> Folder:
    folder.checkpoints.mkdir()
    folder.write("config.json", experiment.as_json())
    folder.write("versions.json", versions)
    return folder


def open_folder(path: str | Path) -> Folder:
    """An existing run folder; ConfigError if there is none at `path`."""
    folder = Folder(place("run", path))
    if not (folder.path / "config.json").is_file():
        raise ConfigError(
            f"run must be the folder of a run (one with config.json, not a policy by itself), "
            f"got {str(path)!r}"
        )
    return folder


def short_names(paths: Sequence[Path]) -> list[str]:
    """The folders' names, with those above them where names alone are the same."""
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        if depth > max(len(path.parts) for path in paths):
            raise ConfigError(f"runs must be different ones, got {', '.join(map(str, paths))}")
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in paths]
