"""Pictures of results; the only place that knows matplotlib."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from jmarl.files import write_whole
from jmarl.pairings import Crossplay
from jmarl.recording import Attended, Intrinsic, Watched
from jmarl.statistics import interval

RETURN = "evaluation return (sum over time, mean over agents)"
HATCHED: dict[str, Any] = {"facecolor": "none", "edgecolor": "0.8", "hatch": "xxx", "linewidth": 0}
ABOVE: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "frameon": False}


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
    write_whole(path, png(figure))


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
    write_whole(path, png(figure))


def png(figure: Figure) -> bytes:
    """A whole file, so that none is left half-written."""
    data = io.BytesIO()
    figure.savefig(data, dpi=150)
    return data.getvalue()


def attention_map(seen: Attended) -> Figure:
    """To whom attention goes over an episode.

    A heat map of agents and steps for each head, or for each agent (rows) and head (columns);
    what each head counts, and what was earned.
    """
    maps, extra = heat_maps(seen), 1 + (seen.head_weights is not None)
    rows, columns = maps.shape[:2]
    heights = [height(seen)] * rows + [1.4] * extra
    size = 10 if columns == 1 else 2 + 3 * columns, sum(heights) + 0.35 * len(heights) + 0.6
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    cells = [figure.add_subplot(grid[at]) for at in range(rows * columns)]
    below = [figure.add_subplot(grid[rows + at, :]) for at in range(extra)]
    places = [divmod(at, columns) for at in range(rows * columns)]
    meshes = [heat_map(*cell, maps, seen) for cell in zip(cells, places, strict=True)]
    colours(figure.colorbar(meshes[0], ax=cells, aspect=30, pad=0.01), seen)
    if seen.head_weights is not None:
        head_lines(below[0], seen.head_weights)
    earnings(below[-1], seen)
    below[-1].set(xlabel="step of the episode")
    for axes in (*cells, *below):
        axes.set_xlim(0, len(seen.reward))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(axis="x", labelbottom=axes is below[-1])
    figure.align_ylabels([*cells[::columns], *below])
    figure.suptitle(caption(seen))
    return figure


def of_agents(seen: Attended) -> bool:
    """Whether each agent attends for itself."""
    return seen.weights.ndim == 4


def heat_maps(seen: Attended) -> np.ndarray:
    """[rows, columns, T, A]: heads in rows, or agents in rows and their heads in columns.

    NaN where agents do not attend to themselves.
    """
    if not of_agents(seen):
        return seen.weights.swapaxes(0, 1)[:, None]
    own = np.eye(seen.spec.num_agents, dtype=bool)[:, None, None]
    weights = np.moveaxis(seen.weights, 0, 2)
    return np.where(own & (weights == 0), np.nan, weights)


def height(seen: Attended) -> float:
    """Of a heat map, in inches."""
    agents, least, each = seen.spec.num_agents, *((0.8, 0.12) if of_agents(seen) else (1.0, 0.24))
    return min(max(least, each * agents), 3.0)


def caption(seen: Attended) -> str:
    heads = "; heads count alike" if seen.head_weights is None and not of_agents(seen) else ""
    return f"{seen.algorithm} on {seen.spec.name}: attention in one episode{heads}\n{whose(seen)}"


def whose(seen: Watched) -> str:
    ending = "ended" if seen.terminated else "time is up"
    return f"greedy team of seed {seen.team_seed}, {len(seen.reward)} steps, {ending}"


def heat_map(axes: Axes, place: tuple[int, int], maps: np.ndarray, seen: Attended) -> QuadMesh:
    """The map at a place (row, column), hatched where agents are dead."""
    weights, top = maps[place].T, np.nanmax(maps)
    agents, steps = weights.shape
    mesh = axes.pcolormesh(np.arange(steps + 1), np.arange(agents + 1), weights, vmin=0, vmax=top)
    for agent, alive in enumerate(seen.alive.T):
        axes.broken_barh(spans(~alive), (agent, 1), **HATCHED)
    axes.invert_yaxis()
    names = seen.spec.agents if place[1] == 0 else [""] * agents
    name_rows(axes, names, height(seen), small=of_agents(seen))
    name_map(axes, seen, *place)
    return mesh


def name_rows(axes: Axes, names: Sequence[str], tall: float, small: bool = False) -> None:
    """Agents' names, as many as fit into `tall` inches."""
    every = math.ceil(len(names) * 0.12 / tall)  # inches that a name needs
    at = range(0, len(names), every)
    axes.set_yticks([agent + 0.5 for agent in at], [names[agent] for agent in at])
    size = "x-small" if small or every > 1 else "small"
    axes.tick_params(axis="y", labelsize=size, length=0)


def name_map(axes: Axes, seen: Attended, row: int, column: int) -> None:
    """Whose attention it is; the first map also tells what hatching means."""
    if not of_agents(seen):
        axes.set_ylabel(f"head {row + 1}")
    elif column == 0:
        axes.set_ylabel(f"{seen.spec.agents[row]} to")
    if of_agents(seen) and row == 0:
        axes.set_title(f"head {column + 1}", fontsize="medium", loc="left")
    if row == column == 0 and not seen.alive.all():
        dead = Patch(**{**HATCHED, "facecolor": "0.4"}, label="dead agent")
        axes.legend(handles=[dead], **ABOVE)


def colours(bar: Colorbar, seen: Attended) -> None:
    """The scale, with the weight of those who get no more than others."""
    others = seen.spec.num_agents - bool(np.isnan(heat_maps(seen)).any())
    bar.set_label(f"weight of an agent in a head (white line: all alike, 1/{others})")
    bar.ax.axhline(1 / others, color="white")


def spans(flags: np.ndarray) -> list[tuple[int, int]]:
    """(first, length) of each run of true flags [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def head_lines(axes: Axes, weights: np.ndarray) -> None:
    """What each head counts, [T, heads]."""
    for head, line in enumerate(weights.T):
        axes.stairs(line, label=f"head {head + 1}", color=f"C{head}", linewidth=1.5, baseline=None)
    axes.set(ylabel="head weight", ylim=(0, 1.1 * weights.max() or 1))
    axes.grid(alpha=0.25)
    axes.legend(ncols=min(weights.shape[1], 8), **ABOVE)


def intrinsic_map(seen: Intrinsic) -> Figure:
    """What each agent's action earned of the intrinsic reward, step by step; what was earned."""
    steps, agents = seen.taken.shape
    tall = min(max(1.0, 0.24 * agents), 4.0)
    figure = Figure(figsize=(10, tall + 2.6), layout="constrained")
    top, below = figure.subplots(2, 1, height_ratios=[tall, 1.4], sharex=True)
    most = np.abs(seen.taken).max() or 1.0
    edges = np.arange(steps + 1), np.arange(agents + 1)
    mesh = top.pcolormesh(*edges, seen.taken.T, cmap="RdBu", vmin=-most, vmax=most)
    for agent, alive in enumerate(seen.alive.T):
        top.broken_barh(spans(~alive), (agent, 1), **HATCHED)
    top.invert_yaxis()
    name_rows(top, seen.spec.agents, tall)
    if not seen.alive.all():
        dead = Patch(**{**HATCHED, "facecolor": "0.4"}, label="dead agent")
        top.legend(handles=[dead], **ABOVE)
    figure.colorbar(mesh, ax=top, aspect=15, pad=0.01).set_label("intrinsic reward\nof the action")
    earnings(below, seen)
    below.set(xlabel="step of the episode", xlim=(0, steps))
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    what = f"{seen.algorithm} on {seen.spec.name}: intrinsic rewards in one episode"
    figure.suptitle(f"{what}\n{whose(seen)}")
    return figure


def earnings(axes: Axes, seen: Watched) -> None:
    """Each team's return so far, mean over its agents."""
    teams, names = np.asarray(seen.spec.teams), seen.spec.team_names
    sums = np.concatenate([np.zeros_like(seen.reward[:1]), seen.reward.cumsum(0)])
    for team, name in enumerate(names):
        axes.plot(sums[:, teams == team].mean(1), color=f"C{team}", label=name)
    axes.set_ylabel("return so far,\nmean over agents")
    axes.grid(alpha=0.25)
    if len(names) > 1:
        axes.legend(ncols=len(names), **ABOVE)


def crossplay_tables(found: Crossplay) -> Figure:
    """Who came how far against whom: a coloured table for each measure."""
    runs, measures = found.runs, found.measures
    columns = min(2, len(measures))
    rows = math.ceil(len(measures) / columns)
    names = 0.08 * max(map(len, runs))  # inches that they take
    wide, tall = (1.5 + 1.3 * len(runs) + share * names for share in (1.9, 0.5))
    figure = Figure(figsize=(max(columns * wide, 7.0), rows * tall + 0.6), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(measures) :]:
        panel.set_axis_off()
    for panel, measure in zip(panels, measures, strict=False):
        coloured_table(panel, found.table(measure), runs)
        first, second = found.spec.team_names
        panel.set(title=measure, xlabel=f"{second} of", ylabel=f"{first} of")
    several = any(found.table(measure)[..., 1].any() for measure in measures)
    figure.suptitle(
        f"{found.spec.name}: every team against every other, {found.episodes:,} episodes a pairing"
        + "\nmean over pairings of seeds, and half its 95% interval" * several
    )
    return figure


def coloured_table(axes: Axes, table: np.ndarray, names: Sequence[str]) -> None:
    """Means and half widths [R, R, 2], first run down and second run across."""
    means = table[..., 0]
    axes.imshow(means, cmap="viridis")
    middle = (means.min() + means.max()) / 2
    for (row, column), mean in np.ndenumerate(means):
        half = table[row, column, 1]
        text = f"{mean:.3g}" + f"\n±{half:.2g}" * bool(half)
        color = "white" if mean <= middle else "black"
        axes.text(column, row, text, ha="center", va="center", color=color)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
