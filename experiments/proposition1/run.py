"""MADDPG's Proposition 1: how rarely a sampled gradient points the right way.

    python experiments/proposition1/run.py [RESULTS]

writes table.md, numbers.json, versions.json and proposition1.png into RESULTS (results/ beside this
file). The same numbers come every time: random draws follow from SEED.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from estimators import ESTIMATORS, Estimator
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import binomtest

from jmarl.plots import png
from jmarl.versions import versions

SEED, AGENTS = 0, range(1, 13)
SAMPLES, CHUNK = 2**22, 2**17  # joint actions for each number of agents; at once
HEADING = "| agents | P(> 0) | 95 % interval | exact | cosine | variance | exact | SNR | exact |"
STYLES = {"marker": ".", "markersize": 7}


@dataclass(frozen=True)
class Row:
    """One estimator with so many agents. SNR: squared mean over variance; None if it never varies.

    The variance is one agent's; all agents' are alike, so the SNR is that of the whole gradient.
    """

    estimator: str
    agents: int
    estimates: int
    chance: float  # share of estimates whose inner product with the true gradient is positive
    low: float  # Clopper and Pearson's interval of 95 %
    high: float
    exact_chance: float
    cosine: float  # with the true gradient, mean; 0 where the estimate is 0
    mean: float
    exact_mean: float
    variance: float
    exact_variance: float
    snr: float | None
    exact_snr: float | None


def measure(estimator: Estimator, agents: int) -> Row:
    rng = np.random.default_rng([SEED, agents])
    sums, count = np.zeros(4), 0
    for _ in range(SAMPLES // CHUNK):
        estimate = estimator.estimate(rng.random((CHUNK, agents)))
        sums += sums_of(estimate)
        count += len(estimate)
    positive, cosine, first, second = sums / count
    told = binomtest(round(sums[0]), count).proportion_ci(method="exact")
    mean, variance = estimator.moments(agents)
    spread = second - first**2
    return Row(
        estimator=estimator.name,
        agents=agents,
        estimates=count,
        chance=positive,
        low=float(told.low),
        high=float(told.high),
        exact_chance=estimator.chance(agents),
        cosine=cosine,
        mean=first,
        exact_mean=mean,
        variance=spread,
        exact_variance=variance,
        snr=ratio(first**2, spread),
        exact_snr=ratio(mean**2, variance),
    )


def sums_of(estimate: np.ndarray) -> np.ndarray:
    """Over estimates [M, N]: those that point up, cosines, and means over agents of both powers.

    The true gradient is the same number for every agent.
    """
    total, length = estimate.sum(1), np.sqrt((estimate**2).sum(1))
    cosine = total / np.where(length > 0, length, 1) / np.sqrt(estimate.shape[1])
    powers = estimate.mean(1).sum(), (estimate**2).mean(1).sum()
    return np.array([(total > 0).sum(), cosine.sum(), *powers])


def ratio(signal: float, noise: float) -> float | None:
    return signal / noise if noise > 0 else None


def slope(rows: list[Row]) -> float:
    """Of log2 P(> 0) against the number of agents, by least squares."""
    return float(np.polyfit([r.agents for r in rows], np.log2([r.chance for r in rows]), 1)[0])


# --- telling -------------------------------------------------------------------------------------


def table(name: str, rows: list[Row]) -> list[str]:
    tail = rows[len(rows) // 2 :]
    told = (
        f"Slope of log2 P: {slope(rows):.3f} over all, "
        f"{slope(tail):.3f} over {tail[0].agents} to {tail[-1].agents} agents."
    )
    rule = "|" + "---|" * (HEADING.count("|") - 1)
    return [f"## {name}", "", told, "", HEADING, rule, *map(line, rows), ""]


def line(row: Row) -> str:
    cells = (
        f"{row.agents}",
        f"{row.chance:.5f}",
        f"{row.low:.5f} to {row.high:.5f}",
        f"{row.exact_chance:.5f}",
        f"{row.cosine:.4f}",
        f"{row.variance:.3g}",
        f"{row.exact_variance:.3g}",
        "never varies" if row.snr is None else f"{row.snr:.3g}",
        "" if row.exact_snr is None else f"{row.exact_snr:.3g}",
    )
    return "| " + " | ".join(cells) + " |"


def draw(rows: dict[str, list[Row]]) -> Figure:
    """Chances, signal-to-noise ratios and cosines against the number of agents."""
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    chances, ratios, cosines = figure.subplots(1, 3)
    for i, (name, some) in enumerate(rows.items()):
        look: dict[str, Any] = {**STYLES, "color": f"C{i}", "label": name}
        if "critic, 64" in name:  # where it lies on another's line
            look |= {"linestyle": "--", "marker": "x"}
        at = [r.agents for r in some]
        width = [[r.chance - r.low for r in some], [r.high - r.chance for r in some]]
        chances.errorbar(at, [r.chance for r in some], width, capsize=2, **look)
        ratios.plot(at, [r.snr or np.nan for r in some], **look)
        cosines.plot(at, [r.cosine for r in some], **look)
    titles(chances, "P(estimate points up the gradient), 95 % interval")
    titles(ratios, "signal to noise: |mean|² / trace of covariance")
    titles(cosines, "mean cosine with the gradient")
    chances.set_yscale("log", base=2)
    ratios.set_yscale("log", base=2)
    handles, names = cosines.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    return figure


def titles(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize="medium")
    axes.set_xlabel("agents")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)


def main(results: Path) -> None:
    rows = {e.name: [measure(e, agents) for agents in AGENTS] for e in ESTIMATORS}
    results.mkdir(parents=True, exist_ok=True)
    told = [text for name, some in rows.items() for text in table(name, some)]
    (results / "table.md").write_text("\n".join(told))
    numbers = [json.dumps(asdict(row)) for some in rows.values() for row in some]
    (results / "numbers.json").write_text("[\n" + ",\n".join(numbers) + "\n]\n")
    known = {name: versions()[name] for name in ("git", "packages", "python", "device")}
    known |= {"seed": SEED, "samples": SAMPLES, "numpy": np.__version__}
    (results / "versions.json").write_text(json.dumps(known, indent=2) + "\n")
    (results / "proposition1.png").write_bytes(png(draw(rows)))
    print("\n".join(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "results")
