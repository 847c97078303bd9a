"""Tables, figures and raw data of teams that meet: `python experiments/teams.py RUNS RESULTS`.

RUNS holds run folders named <task>-<algorithm>, and what `jmarl crossplay` wrote: <task>-...json.
RESULTS gets their settings, versions, metrics and pictures, teams.md, and a figure of learning per
task. Everything an environment measures is told, each team's return first.
"""

import math
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from report import curve, finished, keep, read, variant

from jmarl.plots import draw, png
from jmarl.statistics import crossed_interval, interval

UNTOLD = "episode_length", "agent_return/"


def main(runs: Path, results: Path) -> None:
    """Read every finished run and every meeting below `runs`; write below `results`."""
    tasks: dict[str, list[Path]] = defaultdict(list)
    for summary in finished(runs):
        tasks[read(summary.parent / "config.json")["run"]["env"]].append(summary.parent)
    lines = []
    for task, folders in tasks.items():
        lines += [f"## {task}", "", *learned(folders), ""]
        name = task.split("/")[1]
        for meeting in sorted(runs.glob(f"{name}-*.json")):
            lines += [*met(read(meeting)), ""]
            for file in (meeting, meeting.with_suffix(".png")):
                shutil.copy(file, made(results) / file.name)
        (made(results) / f"{name}.png").write_bytes(png(curves(task, folders)))
        for folder in folders:
            keep(folder, results / "raw" / folder.name)
    (made(results) / "teams.md").write_text("\n".join(lines))
    print("\n".join(lines))


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def learned(folders: Sequence[Path]) -> Iterator[str]:
    """What each run's teams come to among themselves: the last evaluation, and random play."""
    summaries = [read(folder / "summary.json") for folder in folders]
    names = measures(summaries[0]["scores"])
    yield from heading("run", "steps", *names)
    for label, data in zip(labels(folders), summaries, strict=True):
        cells = [of_seeds(data["scores"][name]) for name in names]
        yield row(label, f"{data['env_steps']:,.0f}", *cells)
    yield row("random", "", *(f"{summaries[0]['random_scores'][name]:.3g}" for name in names))


def labels(folders: Sequence[Path]) -> list[str]:
    """Runs by what they vary in, or by their whole names where that does not tell them apart."""
    short = [variant(folder) for folder in folders]
    return short if len(set(short)) == len(short) else [folder.name for folder in folders]


def met(meeting: Mapping[str, Any]) -> Iterator[str]:
    """What came of every pairing: each seed's first team against each seed's second."""
    first = meeting["pairings"][0]
    teams = [key for key in first if key != "scores"]
    names = measures(first["scores"])
    yield from heading(*teams, *names)
    for pairing in meeting["pairings"]:
        cells = [told(*crossed_interval(pairing["scores"][name])) for name in names]
        yield row(*(pairing[team].split("-", 1)[1] for team in teams), *cells)


def measures(scores: Mapping[str, Any]) -> list[str]:
    """Each team's return if there are several, else the one; then what the environment tells."""
    names = [name for name in scores if not name.startswith(UNTOLD)]
    several = any(name.startswith("episode_return_") for name in names)
    return sorted((n for n in names if n != "episode_return" or not several), key=late)


def late(name: str) -> bool:
    return not name.startswith("episode_return")


def of_seeds(values: Sequence[float]) -> str:
    """Of one seed, without an interval."""
    mean, _, high = interval(values)
    return told(float(mean), float(high - mean)) if len(values) > 1 else f"{mean:.2f}"


def told(mean: float, half: float) -> str:
    """A mean and half its 95% interval, to as many digits as the interval makes sense of."""
    digits = max(0, 1 - math.floor(math.log10(half))) if half > 0 else 2
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def heading(*cells: str) -> list[str]:
    return [row(*cells), "|" + "---|" * len(cells)]


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def curves(task: str, folders: Sequence[Path]) -> Figure:
    """Evaluations of the runs' own teams over training, a panel for each measure."""
    known = read(folders[0] / "summary.json")
    names, random = measures(known["scores"]), known["random_scores"]
    columns = min(len(names), 3)
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(4.8 * columns, 3.8 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    for panel, name in zip(panels, names, strict=False):
        for i, (folder, label) in enumerate(zip(folders, labels(folders), strict=True)):
            draw(panel, replace(curve(folder, name), label=label), f"C{i}")
        panel.axhline(random[name], color="0.4", linestyle="--", linewidth=1, label="random policy")
        panel.set(xlabel="environment steps", title=name)
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.grid(alpha=0.25)
        panel.legend(fontsize="x-small")
    figure.suptitle(f"{task}: each run's teams among themselves")
    return figure


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
