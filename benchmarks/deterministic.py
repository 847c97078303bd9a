"""What `--deterministic` costs on this device, and whether runs repeat, with it and without.

The same training by turns, each time in a process of its own, as XLA reads its flags once. Prints
the ratio of the times of training (compiling left out) and how many of the runs' metrics agree.

  python benchmarks/deterministic.py qmix --env smax/3m --total-steps 200_000 --repeats 3
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

CLOCKS = ("seconds", "steps_per_second")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("algorithm")
    parser.add_argument("--repeats", type=int, default=3, help="of each of the two [3]")
    asked, settings = parser.parse_known_args()
    seconds: dict[bool, list[float]] = {True: [], False: []}
    metrics: dict[bool, set[str]] = {True: set(), False: set()}
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(asked.repeats):
            for deterministic in (repeat % 2 == 0, repeat % 2 == 1):
                run = Path(folder) / f"{repeat}-{deterministic}"
                train(asked.algorithm, deterministic, run, settings)
                seconds[deterministic].append(
                    json.loads((run / "summary.json").read_text())["seconds"]
                )
                metrics[deterministic].add(untimed(run))
                print(
                    f"deterministic {deterministic}: {seconds[deterministic][-1]:.1f} s", flush=True
                )
    ratios = [a / b for a, b in zip(seconds[True], seconds[False], strict=True)]
    middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
    print(f"time with / without: {middle:.2f} ({low:.2f} to {high:.2f})")
    for deterministic, seen in metrics.items():
        agree = "all agree" if len(seen) == 1 else f"{len(seen)} differ"
        print(f"deterministic {deterministic}: {agree} of {asked.repeats} runs")


def train(algorithm: str, deterministic: bool, run: Path, settings: Sequence[str]) -> None:
    words = ["train", algorithm, "--quiet", "--out", str(run), *settings]
    words += ["--deterministic", str(deterministic).lower()]
    subprocess.run([sys.executable, "-m", "jmarl", *words], check=True, stdout=subprocess.DEVNULL)


def untimed(run: Path) -> str:
    """All seeds' metrics without clock times."""
    lines = [json.loads(x) for p in sorted((run / "metrics").iterdir()) for x in p.open()]
    return json.dumps([{k: v for k, v in x.items() if k not in CLOCKS} for x in lines])


if __name__ == "__main__":
    main()
