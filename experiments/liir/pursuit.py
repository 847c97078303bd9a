"""Whether good moves earn more intrinsic reward: `python pursuit.py RUNS RESULTS [EPISODES]`.

For every LIIR run on pursuit/line below RUNS and each of its seeds: the intrinsic rewards that the
last checkpoint gives to moves towards the target and away from it, over episodes of random play
(so that both are frequent), their means, and the chance that a good move earns more than a bad one
(AUROC; 0.5 is none). Writes pursuit.json and histograms; ../report.py keeps the runs' raw data.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from jmarl.exploration import uniform_policy
from jmarl.folder import open_folder
from jmarl.recording import record
from jmarl.statistics import interval
from jmarl.teams import trained


def main(runs: Path, results: Path, episodes: int) -> None:
    results.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    drawn: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for summary in sorted(runs.glob("line-*/summary.json")):
        name = summary.parent.name.removeprefix("line-")
        moves = [judged(*each) for each in teams(summary.parent, episodes)]
        areas = [area(good, bad) for good, bad in moves]
        apart = [float(good.mean() - bad.mean()) for good, bad in moves]
        found[name] = {
            "auroc": areas,
            "auroc_mean_95": [float(x) for x in interval(areas)],
            "good_less_bad": apart,
        }
        good, bad = (np.concatenate(each) for each in zip(*moves, strict=True))
        drawn[name] = good, bad
        print(name, json.dumps(found[name]))
    (results / "pursuit.json").write_text(json.dumps(found, indent=1) + "\n")
    histograms(drawn).savefig(results / "histograms.png", dpi=150)


def teams(run: Path, episodes: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each training seed: places [T+1, N, A], intrinsic rewards of the moves [T, N, A]."""
    program, learners, _ = trained(open_folder(run))
    algorithm: Any = program.loop(program.experiment.config).algorithm
    played = record(program.env, uniform_policy(program.env.spec), jax.random.key(0), episodes)
    look = jax.jit(jax.vmap(algorithm.intrinsic, (0, None)))
    rewards = np.asarray(look(learners, played.batch()))  # [S, T, N, A, U]
    action = np.asarray(played.action)[None, ..., None]
    taken = np.take_along_axis(rewards, action, -1)[..., 0]
    places = np.asarray(played.view.obs[..., 0])  # an agent sees its own place first
    return [(places, each) for each in taken]


def judged(places: np.ndarray, rewards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intrinsic rewards of moves towards the target, and of moves away from it."""
    closer = np.abs(places[:-1]) - np.abs(places[1:])
    return rewards[closer > 0], rewards[closer < 0]


def area(good: np.ndarray, bad: np.ndarray) -> float:
    """P(good > bad) + P(good = bad) / 2 of one drawn from each."""
    ranks = np.sort(bad)
    below = np.searchsorted(ranks, good, "left") + np.searchsorted(ranks, good, "right")
    return float(below.mean() / (2 * len(bad)))


def histograms(drawn: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Good moves and bad ones of all seeds, a panel for each variant."""
    figure = Figure(figsize=(3.2 * len(drawn), 3), layout="constrained")
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    for panel, (name, (good, bad)) in zip(panels, drawn.items(), strict=True):
        low, high = np.quantile(np.concatenate([good, bad]), [0.005, 0.995])
        edges = np.linspace(low, high, 60)
        for moves, label in ((good, "towards the target"), (bad, "away from it")):
            panel.hist(moves, edges, density=True, alpha=0.55, label=label)
            panel.axvline(moves.mean(), color=panel.patches[-1].get_facecolor())
        panel.set(title=name, xlabel="intrinsic reward of a move", yticks=[])
    panels[0].legend(fontsize="small")
    return figure


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1000)
