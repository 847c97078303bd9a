"""Teams of smax/3-8sz by their size: `python experiments/refil/by_size.py RUNS RESULTS`.

Every finished run below RUNS plays battles of each size from 3 to 8, of those that it was not
trained on too; runs of the same settings are one, as seeds of it. RESULTS gets by_size.json (win
rates by variant, size and seed), by_size.md and .png, anew after each run.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from jmarl.evaluations import read
from jmarl.plots import png
from jmarl.teams import elsewhere, experiment_of, fresh_scores, teams_of
from jmarl.variants import variants

TASK = "smax/3-8sz"
SIZES = range(3, 9)
EPISODES = 512

Rates = Mapping[str, Mapping[int, list[float]]]  # win rates [seeds] by variant and size


def main(runs: Path, results: Path) -> None:
    """Play, tell and draw."""
    found = [read(summary.parent) for summary in sorted(runs.glob("*/summary.json"))]
    ours = [run for run in found if run.task.split()[0] == TASK]
    if not ours:
        sys.exit(f"RUNS must hold finished runs of {TASK}, got {str(runs)!r}, which has none")
    results.mkdir(parents=True, exist_ok=True)
    rates: dict[str, dict[int, list[float]]] = {}
    for variant in variants(ours):
        label = f"{variant.label}, {trained_on(variant.runs[0].path)}"
        by_size = rates[label] = {size: [] for size in SIZES}
        for run in variant.runs:
            for size, seeds in by_size.items():
                print(f"{run.path.name} in battles of {size}", file=sys.stderr)
                seeds += win_rates(run.path, size)
            write(rates, results)
    print(table(rates))


def trained_on(run: Path) -> str:
    options = json.loads((run / "config.json").read_text())["env_options"]
    return f"{options.get('min_units', SIZES[0])} to {options.get('max_units', SIZES[-1])}"


def write(rates: Rates, results: Path) -> None:
    told = {"episodes": EPISODES, "seed": 0, "win_rate": rates}
    (results / "by_size.json").write_text(json.dumps(told, indent=1) + "\n")
    (results / "by_size.md").write_text(table(rates))
    (results / "by_size.png").write_bytes(png(picture(rates)))


def win_rates(run: Path, size: int) -> list[float]:
    """Of each seed's newest team in fresh battles of `size` against `size`."""
    env = elsewhere(experiment_of(run), None, {"min_units": size, "max_units": size})
    program, learners, _ = teams_of(run, env)
    return fresh_scores(program, learners, EPISODES, seed=0)["win_rate"].tolist()


def table(rates: Rates) -> str:
    lines = [["variant, trained on", *map(str, SIZES)], ["---"] * (1 + len(SIZES))]
    for name, by_size in rates.items():
        cells = [" ".join(f"{rate:.2f}" for rate in by_size[size]) for size in SIZES]
        lines.append([name, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def picture(rates: Rates) -> Figure:
    """Means over seeds (dots) by size; dashed where some of the sizes alone were trained on."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for nth, (name, by_size) in enumerate(rates.items()):
        won = np.array([by_size[size] for size in SIZES])  # [sizes, seeds]
        style = "-" if name.endswith(f"{SIZES[0]} to {SIZES[-1]}") else "--"
        axes.plot(SIZES, won.mean(1), style, color=f"C{nth}", label=name)
        axes.plot(SIZES, won, ".", color=f"C{nth}", alpha=0.5)
    axes.set(xlabel="units of each side", ylabel="win rate", ylim=(0, 1), title=TASK)
    axes.legend(frameon=False, fontsize="small")
    return figure


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
