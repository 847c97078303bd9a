"""What environments alone came to: the table, the plot, and the files that keep them."""

import json
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter
from rich import box
from rich.markup import escape
from rich.table import Table
from summary import speed, where

COLUMNS = ("envs", "jmarl\nsteps/s", "library\nsteps/s", "ratio", "least", "most", "by CPU\ntime")
LEGEND = (
    "Environment steps per second under a uniform policy, medians of repeats of about {seconds:g} "
    "s that take turns: jmarl's rollout, then the library's own auto-reset. ratio: jmarl's speed "
    "over the library's, the median of neighbouring repeats, and their least and most; by CPU "
    "time: the same of processor seconds, which other work on the machine disturbs less. Both sum "
    "all agents' observations and rewards; neither makes global states or entities. Positions in "
    "which jmarl resets are no steps."
)


def sizes_of(result: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each environment's label with each of its sizes."""
    for environment in result["environments"]:
        for size in environment["sizes"]:
            yield environment["label"], size


def table(result: Mapping[str, Any]) -> Table:
    """One row an environment and size; why some are missing, and what columns mean, below."""
    made = Table(
        title=f"environments alone, {where(result['about'])}",
        caption=legend(result),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_style="bold",
        caption_style="",
        caption_justify="left",
    )
    made.add_column("environment", no_wrap=True)
    for name in COLUMNS:
        made.add_column(name, justify="right", no_wrap=True)
    before = ""
    for label, size in sizes_of(result):
        made.add_row(label if label != before else "", *row(size))
        before = label
    return made


def row(size: Mapping[str, Any]) -> list[str]:
    if "sides" not in size:
        return [f"{size['num_envs']:,}", "skipped"]
    speeds = [speed(side["env_steps_per_second"]["median"]) for side in size["sides"].values()]
    ratio = size.get("ratio")
    if ratio is None:
        return [f"{size['num_envs']:,}", *speeds]
    names = ("median", "min", "max", "by_cpu_time")
    return [f"{size['num_envs']:,}", *speeds, *(f"{ratio.get(name, np.nan):.2f}" for name in names)]


def legend(result: Mapping[str, Any]) -> str:
    lines = [
        f"{escape(environment['label'])} failed: {escape(environment['failed'])}"
        for environment in result["environments"]
        if "failed" in environment
    ]
    lines += [
        f"{escape(label)}, {size['num_envs']:,} environments skipped: {escape(size['skipped'])}"
        for label, size in sizes_of(result)
        if "skipped" in size
    ]
    return "\n".join([*lines, LEGEND.format(seconds=result["seconds"])])


# --- the plot -----------------------------------------------------------------------------------


def plot(path: Path, result: Mapping[str, Any]) -> None:
    """Ratios, and jmarl's own speeds, by environment and size."""
    labels = list(dict.fromkeys(label for label, size in sizes_of(result) if "sides" in size))
    sizes = sorted({size["num_envs"] for _, size in sizes_of(result)})
    figure = Figure(figsize=(12, 1.8 + 0.34 * len(labels)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for nth, count in enumerate(sizes):
        own = [
            (labels.index(label) + 0.6 * ((nth + 0.5) / len(sizes) - 0.5), size)
            for label, size in sizes_of(result)
            if size["num_envs"] == count and "sides" in size
        ]
        compared = [(y, size["ratio"]) for y, size in own if "ratio" in size]
        dots(panels[0], [(y, ratio) for y, ratio in compared], f"{count:,}", nth)
        speeds = [(y, size["sides"]["jmarl"]["env_steps_per_second"]) for y, size in own]
        dots(panels[1], speeds, f"{count:,}", nth)
    panels[0].axvline(1.0, color="0.4", linewidth=1)
    panels[0].set(title="jmarl's speed over the library's own auto-reset")
    panels[1].set(title="jmarl's environment steps per second")
    panels[0].set_yticks(range(len(labels)), labels)
    panels[0].set_ylim(len(labels) - 0.5, -0.5)
    for axes in panels:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    panels[0].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    panels[1].xaxis.set_major_formatter(EngFormatter(sep=""))
    handles, names = panels[1].get_legend_handles_labels()
    figure.legend(
        handles, names, title="parallel environments", loc="outside right upper", frameon=False
    )
    figure.suptitle(f"environments alone, {where(result['about'])}")
    figure.savefig(path, dpi=120)


def dots(
    axes: Axes, rows: Sequence[tuple[float, Mapping[str, float]]], label: str, nth: int
) -> None:
    """Medians with their least and most, at heights y."""
    if not rows:
        return
    heights = [y for y, _ in rows]
    low, middle, high = (np.array([r[name] for _, r in rows]) for name in ("min", "median", "max"))
    axes.errorbar(
        middle,
        heights,
        xerr=(middle - low, high - middle),
        fmt="o",
        markersize=4,
        linewidth=1,
        color=f"C{nth}",
        label=label,
    )


def write(result: Mapping[str, Any], out: Path) -> Sequence[Path]:
    """environments-<device>-<time>.json and .png, both whole or neither."""
    device = re.sub(r"[^a-z0-9_]+", "-", result["about"]["device"].removeprefix("1 x ").lower())
    stem = f"environments-{device}-{time.strftime('%Y%m%d-%H%M%S')}"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out) as folder:
        parts = [Path(folder) / f"{stem}.{kind}" for kind in ("json", "png")]
        parts[0].write_text(json.dumps(result, indent=2) + "\n")
        plot(parts[1], result)
        return [part.replace(out / part.name) for part in parts]
