"""Pictures of results; the only place that knows matplotlib."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from jmarl.statistics import interval


def learning_curve(
    path: Path,
    env_steps: Sequence[int],
    returns: np.ndarray,
    random_return: float,
    title: str,
    metric: str,
) -> None:
    """Evaluation returns [evaluations, seeds] against environment steps, saved to `path`."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    mean, low, high = interval(returns)
    axes.plot(env_steps, returns, color="C0", alpha=0.3, linewidth=0.8)
    axes.plot(env_steps, mean, color="C0", linewidth=2, label=f"mean of {returns.shape[1]} seeds")
    if returns.shape[1] > 1:
        axes.fill_between(env_steps, low, high, color="C0", alpha=0.15, label="95% interval")
    axes.axhline(random_return, color="0.4", linestyle="--", linewidth=1, label="random policy")
    axes.set(xlabel="environment steps", ylabel=metric, title=title)
    # an interval of few seeds can be wider than all they did: the curves set the range
    bottom, top = min(returns.min(), random_return), max(returns.max(), random_return)
    margin = 0.08 * (top - bottom) or 1.0
    axes.set_ylim(bottom - margin, top + margin)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.25)
    axes.legend(loc="best", frameon=False)
    figure.savefig(path, dpi=150)
