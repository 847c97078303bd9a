"""A picture of a sweep: what trials came to, by each parameter."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jmarl.evaluations import meaning
from jmarl.sweep_file import Sweep, Swept


def sweep_panels(sweep: Sweep, found: Sequence[Swept]) -> Figure:
    """A panel for each parameter: seeds as dots, trials as crosses, the best trial marked."""
    names = list(sweep.trials[0])
    columns = min(len(names), 3)
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(max(4.2 * columns, 6), 3.4 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, name in zip(panels, names, strict=False):
        panel(axes, sweep, found, name)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    panels[0].legend(frameon=False, fontsize="small")
    figure.supylabel(meaning(sweep.measure, found[0].found.scores), fontsize="medium")
    first, tasks = found[0].found, {swept.found.task for swept in found}
    where = first.task if len(tasks) == 1 else f"{len(tasks)} environments"
    title = f"{first.algorithm} on {where}: {len(found)} trials of {len(first.seeds)} seeds"
    figure.suptitle(f"{title}, last evaluation")
    return figure


def panel(axes: Axes, sweep: Sweep, found: Sequence[Swept], name: str) -> None:
    values = [swept.trial[name] for swept in found]
    numbers = all(type(value) in (int, float) for value in values)
    known = list(dict.fromkeys(map(str, values)))
    x = np.array(values if numbers else [known.index(str(value)) for value in values], float)
    scores = [swept.score(sweep.measure) for swept in found]
    for nth, (at, score) in enumerate(zip(x, scores, strict=True)):
        label = "seed" if nth == 0 else None
        axes.plot(np.full(len(score), at), score, ".", color="0.7", markersize=4, label=label)
    means = [score.mean() for score in scores]
    axes.plot(x, means, "x", color="C0", label="trial, mean")
    ring = {"color": "C3", "markerfacecolor": "none", "markersize": 10}
    axes.plot(x[:1], means[:1], "o", label="best", **ring)
    if numbers and x.min() > 0 and x.max() >= 10 * x.min():
        axes.set_xscale("log")
    if not numbers:
        axes.set_xticks(range(len(known)), known)
    axes.set(xlabel=name)
    axes.grid(alpha=0.25)
