"""Where metrics go: one file of JSON lines per seed, and a person who watches."""

import json
import sys
import time
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from jmarl.fields import ConfigError
from jmarl.files import write_whole
from jmarl.folder import Folder, sound
from jmarl.stderr import Patient, say

Records = Sequence[dict[str, Any]]  # one per seed


class Sink(Protocol):
    def write(self, records: Records) -> None: ...
    def close(self) -> None: ...


class JsonLines:
    """metrics/seed-<seed>.jsonl, unbuffered, so that `tail -f` shows progress.

    A resumed run goes back to its checkpoint: records of later updates are dropped first, and
    `records` should be left.
    """

    def __init__(
        self, folder: Folder, seeds: Sequence[int], updates: int = -1, records: int = 0
    ) -> None:
        self.folder = folder
        paths = [folder.metrics(seed) for seed in seeds]
        with folder.writing():
            for path in paths:
                lost = records - keep_until(path, updates)
                if lost > 0:
                    say(f"{path} has lost {lost} of its {records} lines; going on")
            self.files = [path.open("ab", buffering=0) for path in paths]

    def write(self, records: Records) -> None:
        with self.folder.writing():
            for file, record in zip(self.files, records, strict=True):
                line = json.dumps(sound(record)) + "\n"
                write_all(file, line.encode())

    def close(self) -> None:
        for file in self.files:
            file.close()


def write_all(file: FileIO, data: bytes) -> None:
    """A disk that is almost full takes a part of it."""
    while data:
        data = data[file.write(data) :]


def keep_until(path: Path, updates: int) -> int:
    """Drop records of more updates than that, and a last line that was not finished.

    Returns how many are left.
    """
    path.parent.mkdir(exist_ok=True)
    kept = [line for line, at in told(path) if at <= updates]
    if path.exists() and path.stat().st_size != sum(map(len, kept)):
        write_whole(path, b"".join(kept))
    return len(kept)


def told(path: Path) -> list[tuple[bytes, int]]:
    """The finished lines of a file, if it is there, and each one's updates.

    Raises ConfigError for one that is no record.
    """
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    whole = (line for line in lines if line.endswith(b"\n"))
    return [(line, updates_of(line, path, nth)) for nth, line in enumerate(whole, 1)]


def updates_of(line: bytes, path: Path, nth: int) -> int:
    try:
        return int(json.loads(line)["updates"])
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(f"run must have sound metrics, got {path}:{nth} ({error!r})") from error


class Watch:
    """A progress bar on a terminal; elsewhere a line at each evaluation. Writes to stderr."""

    def __init__(self, heading: str, updates: int, done: int = 0) -> None:
        file = cast(TextIO, Patient(sys.stderr))
        self.console = Console(file=file, highlight=False, soft_wrap=True)
        self.console.print(heading)
        self.updates, self.live = updates, sys.stderr.isatty()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=self.console, disable=not self.live)
        self.task = self.bar.add_task("compiling", total=updates, completed=done, state="")
        self.trained = self.evaluated = self.rate = ""
        self.began = time.monotonic()
        self.bar.start()

    def write(self, records: Records) -> None:
        steps, done = min(record["env_steps"] for record in records), records[0]["updates"]
        if "steps_per_second" in records[0]:
            self.rate = f"{records[0]['steps_per_second']:,.0f} steps/s"
        if "eval/episode_return" in records[0]:
            self.evaluated = evaluation(records)
            if not self.live:
                self.line(steps, done / self.updates)
        if "train/episode_return" in records[0]:
            self.trained = f"return {average(records, 'train/episode_return'):.2f}"
        state = ", ".join(filter(None, (self.trained, self.evaluated, self.rate)))
        self.bar.update(self.task, description="training", completed=done, state=state)

    def line(self, steps: int, share: float) -> None:
        seconds = time.monotonic() - self.began
        self.console.print(f"{steps:>12,} steps {share:4.0%}  {self.evaluated}  {seconds:,.0f} s")

    def close(self) -> None:
        self.bar.stop()


def evaluation(records: Records) -> str:
    """Returns, and the rates (of wins, ...) that the environment tells."""
    names = [name for name in records[0] if name.startswith("eval/") and name.endswith("_rate")]
    rates = [f"{name.removeprefix('eval/')} {average(records, name):.2f}" for name in names]
    return ", ".join([f"eval {average(records, 'eval/episode_return'):.2f}", *rates])


def average(records: Records, name: str) -> float:
    return sum(record[name] for record in records) / len(records)
