"""What `jmarl sweep` saves: a grid in one program, beside the same trials trained one by one.

Three ways take turns, each from an empty cache of compiled programs, which a way's own processes
share as users' do:

  together  `jmarl sweep FILE`, one process and one program for all that it can put side by side
  apart     `jmarl train ...` for each trial, a process each, one after another
  in turn   the same trainings in one process

Prints seconds of the clock, of processors and of compiling, and how many times together's the
others take; writes them to results/.

  python benchmarks/sweeps.py benchmarks/two_step.yaml --repeats 3
"""

import argparse
import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jmarl.cli import main as jmarl
from jmarl.sweep import command as training
from jmarl.sweep_file import read_sweep
from jmarl.versions import versions

HERE = Path(__file__).parent
JMARL = [sys.executable, "-m", "jmarl"]
Seconds = Mapping[str, float]  # wall, processor, compile


# --- the ways -----------------------------------------------------------------------------------


def together(file: Path, out: Path) -> None:
    run([*JMARL, "sweep", str(file), "--quiet", "--out", str(out)], out)


def apart(file: Path, out: Path) -> None:
    for words in trainings(file, out):
        run([*JMARL, *words], out)


def in_turn(file: Path, out: Path) -> None:
    run([sys.executable, __file__, str(file), "--in-turn", str(out)], out)


WAYS: dict[str, Callable[[Path, Path], None]] = {
    "together": together,
    "apart": apart,
    "in turn": in_turn,
}


def trainings(file: Path, out: Path) -> list[list[str]]:
    """What `jmarl` is told for each trial."""
    sweep = read_sweep(file)
    orders = [shlex.split(training(sweep, trial))[1:] for trial in sweep.trials]
    return [[*order, "--quiet", "--out", f"{out}/{n}"] for n, order in enumerate(orders)]


def run(words: Sequence[str], out: Path) -> None:
    cache = {"JAX_COMPILATION_CACHE_DIR": f"{out}.cache"}
    subprocess.run(words, check=True, env={**os.environ, **cache}, stdout=subprocess.DEVNULL)


def timed(way: Callable[[Path, Path], None], file: Path, out: Path) -> Seconds:
    """Of the clock, and of all processors; of compiling as the runs tell."""
    began, before = time.perf_counter(), processor()
    way(file, out)
    wall, spent = time.perf_counter() - began, processor() - before
    told = [json.loads(path.read_text()) for path in out.rglob("summary.json")]
    compiling = sum(sum(run["compile_seconds"].values()) for run in told)
    return {"wall": wall, "processor": spent, "compile": compiling}


def processor() -> float:
    """Seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- what it comes to ---------------------------------------------------------------------------


def ratios(found: Mapping[str, Sequence[Seconds]]) -> dict[str, dict[str, list[float]]]:
    """Of each other way, how many times together's seconds: median, least, most of the turns."""
    other = {}
    for way in found.keys() - {"together"}:
        other[way] = {}
        for kind in ("wall", "processor"):
            both = zip(found[way], found["together"], strict=True)
            each = [theirs[kind] / ours[kind] for theirs, ours in both]
            other[way][kind] = [statistics.median(each), min(each), max(each)]
    return other


def table(found: Mapping[str, Sequence[Seconds]]) -> Table:
    made = Table("way", "wall s", "processor s", "compile s", "times the wall", "times processors")
    times = ratios(found)
    for way, turns in found.items():
        kinds = ("wall", "processor", "compile")
        middles = [f"{statistics.median(turn[kind] for turn in turns):.0f}" for kind in kinds]
        spreads = [times[way][kind] for kind in ("wall", "processor")] if way in times else []
        made.add_row(way, *middles, *(f"{m:.1f} ({a:.1f} to {b:.1f})" for m, a, b in spreads))
    return made


def result(
    file: Path, found: Mapping[str, Sequence[Seconds]], words: Sequence[str]
) -> dict[str, Any]:
    command = shlex.join(["python", "benchmarks/sweeps.py", *words])
    return {
        "about": {**versions(), "load": os.getloadavg(), "command": command},
        "sweep": read_sweep(file).as_json(),
        "seconds": found,
        "ratios": ratios(found),
    }


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", default=HERE / "two_step.yaml")
    parser.add_argument("--repeats", type=int, default=3, help="of each way [3]")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="a folder")
    parser.add_argument("--in-turn", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.in_turn:
        return max(jmarl(words) for words in trainings(asked.file, asked.in_turn))
    asked.out.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Seconds]] = {way: [] for way in WAYS}
    names, path = list(WAYS), asked.out / f"sweep-{asked.file.stem}.json"
    for turn in range(asked.repeats):
        for way in names[turn % 3 :] + names[: turn % 3]:
            with tempfile.TemporaryDirectory() as folder:
                found[way].append(timed(WAYS[way], asked.file, Path(folder) / "runs"))
            print(way, {kind: round(x, 1) for kind, x in found[way][-1].items()}, flush=True)
        path.write_text(json.dumps(result(asked.file, found, words), indent=1) + "\n")
    Console(width=120).print(table(found))
    print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
