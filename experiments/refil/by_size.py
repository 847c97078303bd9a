"""Teams of smax/3-8sz by their size: `python experiments/refil/by_size.py RUNS RESULTS`.

Every finished run below RUNS plays battles of each size from 3 to 8, of those that it was not
trained on too; runs NAME-0, NAME-1, ... are one, as seeds of it. RESULTS gets by_size.json (win
rates by run, size and seed), by_size.md and .png.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import jmarl
from jmarl.plots import png
from jmarl.statistics import interval

SIZES = range(3, 9)
EPISODES = 512

Rates = Mapping[str, Mapping[int, list[float]]]  # win rates [seeds] by run and size


def main(runs: Path, results: Path) -> None:
    """Play, tell and draw."""
    folders = [summary.parent for summary in sorted(runs.glob("*/summary.json"))]
    rates: dict[str, dict[int, list[float]]] = {}
    for nth, folder in enumerate(folders, 1):
        by_size = rates.setdefault(re.sub(r"-\d+$", "", folder.name), {size: [] for size in SIZES})
        for size, found in by_size.items():
            print(f"{nth} of {len(folders)}, {folder.name} in battles of {size}", file=sys.stderr)
            found += win_rates(folder, size)
    results.mkdir(parents=True, exist_ok=True)
    told = {"episodes": EPISODES, "seed": 0, "win_rate": rates}
    (results / "by_size.json").write_text(json.dumps(told, indent=1) + "\n")
    (results / "by_size.md").write_text(table(rates))
    (results / "by_size.png").write_bytes(png(picture(rates)))
    print(table(rates))


def win_rates(run: Path, size: int) -> list[float]:
    """Of each seed's newest team in fresh battles of `size` against `size`."""
    fixed = {"min_units": size, "max_units": size}
    scores, _ = jmarl.evaluate(run, EPISODES, env_options=fixed)
    return scores["win_rate"].tolist()


def table(rates: Rates) -> str:
    lines = [["run", *map(str, SIZES)], ["---"] * (1 + len(SIZES))]
    for run, by_size in rates.items():
        lines.append([run, *(f"{np.mean(by_size[size]):.2f}" for size in SIZES)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def picture(rates: Rates) -> Figure:
    """Mean and 95% interval over seeds by size."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for nth, (run, by_size) in enumerate(rates.items()):
        mean, low, high = interval(np.array([by_size[size] for size in SIZES]))
        style = "--" if run.startswith("3to5") else "-"
        axes.plot(SIZES, mean, style, color=f"C{nth}", label=run)
        axes.fill_between(SIZES, low, high, color=f"C{nth}", alpha=0.15, linewidth=0)
    axes.set(xlabel="units of each side", ylabel="win rate", ylim=(0, 1), title="smax/3-8sz")
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
