"""Pictures of results; the only place that knows matplotlib."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from jmarl.statistics import interval

RETURN = "evaluation return (sum over time, mean over agents)"


@dataclass(frozen=True)
class Curve:
    """One algorithm's evaluations."""

    label: str
    env_steps: Sequence[float]  # [evaluations]
    returns: np.ndarray  # [evaluations, seeds]


def learning_curves(
    path: Path, curves: Sequence[Curve], random_return: float, title: str, metric: str = RETURN
) -> None:
    """Mean, 95% interval and each seed against environment steps, saved to `path`."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for i, curve in enumerate(curves):
        draw(axes, curve, f"C{i}")
    axes.axhline(random_return, color="0.4", linestyle="--", linewidth=1, label="random policy")
    axes.set(xlabel="environment steps", ylabel=metric, title=title)
    axes.set_ylim(*seen_range(curves, random_return))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.25)
    axes.legend(loc="best", frameon=False)
    figure.savefig(path, dpi=150)


def draw(axes: Axes, curve: Curve, color: str) -> None:
    mean, low, high = interval(curve.returns)
    seeds = curve.returns.shape[1]
    label = f"{curve.label}: mean, 95% interval, {seeds} seeds" if seeds > 1 else curve.label
    axes.plot(curve.env_steps, curve.returns, color=color, alpha=0.3, linewidth=0.8)
    axes.plot(curve.env_steps, mean, color=color, linewidth=2, label=label)
    if seeds > 1:
        axes.fill_between(curve.env_steps, low, high, color=color, alpha=0.15)


def seen_range(curves: Sequence[Curve], floor: float) -> tuple[float, float]:
    """What trained teams and the random policy reach.

    Untrained teams may do far worse, and the interval of few seeds can be wider than all they did.
    """
    reached = np.concatenate([curve.returns[1:].ravel() for curve in curves] + [np.array([floor])])
    bottom, top = np.nanmin(reached), np.nanmax(reached)
    margin = 0.08 * (top - bottom) or 1.0
    return bottom - margin, top + margin


@dataclass(frozen=True)
class Rungs:
    """Measurements of one algorithm with growing numbers of parallel environments."""

    num_envs: Sequence[int]  # [rungs]
    speeds: Mapping[str, np.ndarray]  # [rungs, 3] each: min, median, max environment steps a second
    compile_seconds: Mapping[str, Sequence[float]]  # [rungs] each
    peak_bytes: Sequence[float]  # [rungs]


def throughput(path: Path, rungs: Rungs, title: str, compiling: str) -> None:
    """Speeds, compile times and memory against the number of environments, saved to `path`."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(1.6, 1, 1))
    at = np.arange(len(rungs.num_envs))
    for i, (label, speeds) in enumerate(rungs.speeds.items()):
        low, middle, high = speeds.T
        panels[0].errorbar(
            at,
            middle,
            (middle - low, high - middle),
            fmt="o-",
            color=f"C{i}",
            label=label,
            capsize=3,
        )
    panels[0].set(yscale="log", title="environment steps per second")
    panels[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panels[0].yaxis.set_major_formatter(EngFormatter(sep=""))
    panels[0].yaxis.set_minor_formatter(NullFormatter())
    base = np.zeros(len(at))
    for i, (label, seconds) in enumerate(rungs.compile_seconds.items(), 2):
        panels[1].bar(at, seconds, 0.6, bottom=base, color=f"C{i}", label=label)
        base = base + seconds
    panels[1].set(title=compiling, ylim=(0, 1.3 * max(base)))  # with room for the legend
    panels[2].bar(at, np.array(rungs.peak_bytes) / 2**30, 0.6, color="0.5")
    panels[2].set(title="peak memory, GiB")
    for axes in panels:
        axes.set_xticks(at, [f"{n:,}" for n in rungs.num_envs])
        axes.set_xlabel("parallel environments")
        axes.grid(axis="y", alpha=0.25)
        axes.set_axisbelow(True)
    for axes in panels[:2]:
        axes.legend(loc="best", frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)
