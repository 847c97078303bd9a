"""The files of `jmarl compare` and `jmarl plot curves`."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jmarl.comparison import Comparison, compare
from jmarl.fields import ConfigError
from jmarl.files import told, write_whole
from jmarl.folder import place, sound
from jmarl.marl_eval import as_marl_eval
from jmarl.recording import place_of
from jmarl.standings import reward
from jmarl.sweep_file import Sweep, Swept

Drawings = Mapping[Path, Callable[[], Any]]  # where, and what makes the figure
MADE_BY, STEP_COUNT = b'"made_by": "jmarl compare', b'"step_count"'  # mark files that are ours


def write_all(found: Comparison, out: str | Path, export: str | Path) -> list[Path]:
    """Pictures and compare.json in the folder `out`, marl-eval's JSON in `export`, if given.

    Returns where. Raises ConfigError before anything is written if a file of others would be lost.
    """
    texts: dict[Path, Any] = {}
    drawings: Drawings = {}
    if export:
        path = ours(place("export", export), STEP_COUNT)
        names = [measured.name for measured in found.measures]
        texts[path] = as_marl_eval(found.variants, names)
    if out:
        folder = folder_of(out)
        texts[ours(folder / "compare.json", MADE_BY)] = found.as_json()
        drawings = {place_of(folder / n, n): draw for n, draw in comparison_pictures(found).items()}
    for path, data in texts.items():
        with told(path):
            write_whole(path, (json.dumps(sound(data), indent=1) + "\n").encode())
    return [*draw_all(drawings), *texts]


def folder_of(out: str | Path) -> Path:
    """Made if there is none."""
    folder = place("out", out)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"out must be a folder, got {str(out)!r}")
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def ours(path: Path, mark: bytes) -> Path:
    """ConfigError where there is a file that is not an earlier one of ours."""
    if not path.parent.is_dir():
        raise ConfigError(f"{path} must lie in a folder that exists")
    if path.exists() and not (path.is_file() and mark in path.read_bytes()):
        raise ConfigError(f"{path} must be new or written by jmarl, it holds something else")
    return path


def curves(
    runs: Sequence[str | Path],
    *,
    out: str | Path = "",
    measures: Sequence[str] = (),
    by: str = "settings",
) -> list[Path]:
    """Learning curves of runs, a PNG a task: `out`, or curves-TASK.png in the folder `out`.

    `measures` and `by` as `jmarl.compare` takes them. Raises ConfigError before anything is
    written.
    """
    found = compare(runs, measures=measures, by=by)
    figures = curve_pictures(found)
    drawings = {place_of(out, name): draw for name, draw in figures.items()}
    if len(drawings) < len(figures):
        raise ConfigError(f"out must be a folder for several tasks' curves, got {str(out)!r}")
    return draw_all(drawings)


def sweep_picture(path: Path, sweep: Sweep, found: Sequence[Swept]) -> Path:
    """Scores against each parameter: sweep.png in the sweep's folder."""
    from jmarl.plots.sweep import sweep_panels

    return draw_all({path / "sweep.png": partial(sweep_panels, sweep, found)})[0]


def draw_all(drawings: Drawings) -> list[Path]:
    from jmarl.plots import png  # matplotlib takes a second to import

    for path, draw in drawings.items():
        with told(path):
            write_whole(path, png(draw()))
    return list(drawings)


def comparison_pictures(found: Comparison) -> dict[str, Callable[[], Any]]:
    from jmarl.plots.comparison import improvement_intervals, performance_profile

    profiled = [measured for measured in found.measures if measured.profiles]
    versus = [measured for measured in found.measures if measured.improvements]
    return (
        curve_pictures(found)
        | {f"profile-{tidy(m.name)}.png": partial(performance_profile, m) for m in profiled}
        | {f"improvement-{tidy(m.name)}.png": partial(improvement_intervals, m) for m in versus}
    )


def curve_pictures(found: Comparison) -> dict[str, Callable[[], Any]]:
    from jmarl.plots.comparison import sample_efficiency

    measured = {task: [m for m in found.measures if task in m.tasks] for task in found.tasks}
    return {
        f"curves-{tidy(task)}.png": partial(sample_efficiency, task, measures, reward(task))
        for task, measures in measured.items()
        if measures
    }


def tidy(name: str) -> str:
    """Fit for a file's name."""
    return re.sub(r"[^\w.=]+", "-", name)
