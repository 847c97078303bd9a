"""Tables, figures and raw data of a study: `python experiments/report.py RUNS RESULTS`.

RUNS holds run folders named <task>-<algorithm>. RESULTS gets their settings, versions and metrics
(no checkpoints), table.md, and one figure per task.
"""

import json
import shutil
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from jmarl.plots import Curve, learning_curves

COLUMNS = "| task | algorithm | seeds | steps | return | 95% interval | random | minutes |"


def main(runs: Path, results: Path) -> None:
    """Read every finished run below `runs`; write below `results`."""
    tasks: dict[str, list[Path]] = defaultdict(list)
    for summary in finished(runs):
        tasks[read(summary.parent / "config.json")["run"]["env"]].append(summary.parent)
    rows = [COLUMNS, "|" + "---|" * (COLUMNS.count("|") - 1)]
    for task, folders in tasks.items():
        rows += [row(task, folder) for folder in folders]
        figure = results / f"{task.split('/')[1]}.png"
        figure.parent.mkdir(parents=True, exist_ok=True)
        floor = read(folders[0] / "summary.json")["random_return"]
        learning_curves(figure, [curve(folder) for folder in folders], floor, title=task)
        for folder in folders:
            keep(folder, results / "raw" / folder.name)
    (results / "table.md").write_text("\n".join(rows) + "\n")
    print("\n".join(rows))


def finished(runs: Path) -> list[Path]:
    """Summaries of all runs that are; none ends the script."""
    found = sorted(runs.glob("*/summary.json"))
    if not found:
        sys.exit(f"RUNS must hold finished runs, got {str(runs)!r}, which has none")
    return found


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def row(task: str, folder: Path) -> str:
    data = read(folder / "summary.json")
    low, high = data["episode_return_95"]
    around = f"{low:.2f} to {high:.2f}" if data["seeds"] > 1 else ""
    return (
        f"| {task} | {variant(folder)} | {data['seeds']} | {data['env_steps']:,.0f} "
        f"| {data['episode_return']:.2f} | {around} | {data['random_return']:.2f} "
        f"| {data['seconds'] / 60:.1f} |"
    )


def curve(folder: Path, measure: str = "episode_return") -> Curve:
    """One measure of the evaluations [evaluations, seeds], from the metrics files."""
    name = f"eval/{measure}"
    evaluations = [
        [r for line in path.read_text().splitlines() if name in (r := json.loads(line))]
        for path in sorted(folder.glob("metrics/*.jsonl"))
    ]
    steps = np.array([[r["env_steps"] for r in seed] for seed in evaluations]).mean(0)
    values = np.array([[r[name] for r in seed] for seed in evaluations]).T
    return Curve(variant(folder), list(steps), values)


def variant(folder: Path) -> str:
    """What the folder's name says behind the task; all of it, if that is no more than a number."""
    rest = folder.name.partition("-")[2]
    return folder.name if not rest or rest.isdigit() else rest


def keep(folder: Path, to: Path) -> None:
    """What a reader needs to check the numbers."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("checkpoints", "curve.png", ".lock"))
    versions = to / "versions.json"  # where the folder lay concerns nobody else
    versions.write_text(versions.read_text().replace(f"{folder.parent}/", ""))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
