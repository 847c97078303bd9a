"""Pictures of runs side by side: learning curves, performance profiles, who beats whom."""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from jmarl.comparison import THRESHOLDS, Improvement, Measured, iqm
from jmarl.evaluations import is_rate, meaning
from jmarl.statistics import Estimate
from jmarl.variants import Variant

INTERVAL = "95% stratified bootstrap interval"
DASHES = ("-", "--", ":", "-.")
COLOURS = 10  # of matplotlib's cycle
CHARACTERS = 12  # that an inch holds
Style = Mapping[str, Any]


def sample_efficiency(task: str, measures: Sequence[Measured], reward: str = "") -> Figure:
    """Interquartile means of a task's evaluations against environment steps, a panel a measure.

    `reward` says below what the environment pays.
    """
    columns = min(len(measures), 3)
    rows = math.ceil(len(measures) / columns)
    figure = Figure(figsize=(max(5.2 * columns, 7.0), 3.8 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    lines = styles(label for measured in measures for label in measured.labels)
    for axes, measured in zip(panels, measures, strict=False):
        found = measured.tasks[task]
        for label, variant in found.items():
            seeds = len(variant.seeds)
            told = f"{label}, {seeds} seed" + "s" * (seeds > 1)
            banded(axes, variant.env_steps, iqm(variant.scores[measured.name]), told, lines[label])
        chance(axes, found.values(), measured.name)
        names = next(iter(found.values())).scores
        axes.set(xlabel="environment steps", ylabel=meaning(measured.name, names))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    for axes in panels[len(measures) :]:
        axes.set_axis_off()
    figure.suptitle(f"{task}: interquartile mean and {INTERVAL}")
    return with_legend(figure, f"reward of {reward}" if reward else "")


def performance_profile(measured: Measured) -> Figure:
    """The share of seeds above every normalised score."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    lines = styles(measured.labels)
    for label, shares in measured.profiles.items():
        banded(axes, THRESHOLDS, shares, label, lines[label], "post")
    axes.set(xlabel=scale(measured), ylabel="share of seeds above it")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    over = f"{len(measured.tasks)} tasks" if len(measured.tasks) > 1 else next(iter(measured.tasks))
    figure.suptitle(f"Performance profile on {over}\n{INTERVAL}")
    return with_legend(figure)


def improvement_intervals(measured: Measured) -> Figure:
    """How often one's seed beats the other's: a panel a task, under the one of all tasks."""
    scopes: dict[str, list[Improvement]] = {}
    for improvement in measured.improvements:
        scopes.setdefault(improvement.task, []).append(improvement)
    sizes = [len(pairs) for pairs in scopes.values()]
    names = max(len(pair.first + pair.second) for pair in measured.improvements) / CHARACTERS
    size = 5.5 + names, 1.4 + 0.3 * sum(sizes) + 0.4 * len(sizes)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(sizes), 1, squeeze=False, sharex=True, height_ratios=sizes)[:, 0]
    for axes, (task, pairs) in zip(panels, sorted(scopes.items()), strict=True):  # "" goes first
        intervals(axes, pairs)
        axes.set_title(task or f"mean over {len(measured.tasks)} tasks", fontsize="medium")
    panels[-1].set_xlabel("how often a seed of the one is above a seed of the other")
    what = f"{measured.name.replace('_', ' ')}, {measured.compared}"
    figure.suptitle(f"Probability of improvement: {what}\n{INTERVAL}")
    return figure


# --- parts --------------------------------------------------------------------------------------


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """A line for each label: colours first, then dashes."""
    return {
        label: {"color": f"C{i % COLOURS}", "linestyle": DASHES[i // COLOURS % len(DASHES)]}
        for i, label in enumerate(dict.fromkeys(labels))
    }


def banded(
    axes: Axes, x: np.ndarray, y: Estimate, label: str, style: Style, step: Any = None
) -> None:
    """A line and its interval; `step` "post" keeps each value to the next x."""
    drawn = f"steps-{step}" if step else "default"
    axes.plot(x, y.value, label=label, linewidth=2, drawstyle=drawn, **style)
    axes.fill_between(x, y.low, y.high, color=style["color"], alpha=0.15, linewidth=0, step=step)
    axes.grid(alpha=0.25)


def chance(axes: Axes, variants: Iterable[Variant], measure: str) -> None:
    """What random play scores, where a finished run tells."""
    told = [run.random for variant in variants for run in variant.runs if measure in run.random]
    if told:
        axes.axhline(told[0][measure], color="0.4", linestyle=(0, (1, 2)), label="random policy")


def scale(measured: Measured) -> str:
    """What the normalised score is."""
    of = f"{measured.name.replace('_', ' ')}, {measured.compared}"
    if is_rate(measured.name):
        return of
    return f"{of}, normalised:\n0 and 1 are a task's worst and best evaluation of all"


def intervals(axes: Axes, pairs: Sequence[Improvement]) -> None:
    """A row a pair, the first on top."""
    value, low, high = np.array([pair.probability for pair in pairs]).T
    rows = range(len(pairs))
    axes.axvline(0.5, color="0.4", linestyle="--", linewidth=1)
    axes.barh(rows, high - low, left=low, height=0.5, color="C0", alpha=0.3)
    axes.plot(value, rows, "|", color="C0", markersize=12, markeredgewidth=2.5)
    axes.set_yticks(rows, [f"{pair.first}  >  {pair.second}" for pair in pairs])
    axes.set(xlim=(-0.02, 1.02), ylim=(len(pairs) - 0.5, -0.5))
    axes.grid(axis="x", alpha=0.25)


def with_legend(figure: Figure, caption: str = "") -> Figure:
    """One legend for all panels, below them, in as many columns as fit; a caption above it."""
    shared: dict[str, Artist] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        shared |= dict(zip(labels, handles, strict=True))
    wide = int(figure.get_figwidth() * CHARACTERS)
    columns = max(1, min(len(shared), wide // (8 + max(map(len, shared)))))
    lines = textwrap.wrap(caption, wide)
    rows = math.ceil(len(shared) / columns) + len(lines)
    figure.set_figheight(figure.get_figheight() + 0.22 * rows)
    figure.legend(
        shared.values(),
        shared.keys(),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        title="\n".join(lines) or None,
        title_fontsize="small",
    )
    return figure
