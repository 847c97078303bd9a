"""Evaluations in the JSON layout that marl-eval reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from jmarl.evaluations import Evaluations
from jmarl.variants import Variant


def as_marl_eval(variants: Sequence[Variant], measures: Sequence[str]) -> dict[str, Any]:
    """Environment, task, algorithm, seed, step: lists of one value, the mean over episodes.

    Names are in lower case and without commas, as marl-eval wants them.
    """
    data: dict[str, Any] = {}
    for variant in variants:
        suite, _, task = variant.task.partition("/")
        algorithms = data.setdefault(plain(suite), {}).setdefault(plain(task or suite), {})
        algorithms[plain(variant.label)] = {
            f"seed_{seed}": seed_of(run, nth, [m for m in measures if m in variant.scores])
            for run in variant.runs
            for nth, seed in enumerate(run.seeds)
        }
    return data


def plain(name: str) -> str:
    return name.lower().replace(",", ";")


def seed_of(run: Evaluations, nth: int, measures: Sequence[str]) -> Mapping[str, Any]:
    """All evaluations of a run's nth seed; its absolute metric if that is recorded."""
    steps: dict[str, Any] = {
        f"step_{i}": {"step_count": int(count)}
        | {name: [float(run.scores[name][i, nth])] for name in measures}
        for i, count in enumerate(run.env_steps[:, nth])
    }
    absolute = {name: [float(run.absolute[name][nth])] for name in measures if name in run.absolute}
    return steps | ({"absolute_metrics": absolute} if absolute else {})


def unlike(variants: Sequence[Variant]) -> str:
    """What marl-eval would refuse, in words; "" if nothing."""
    runs = [run for variant in variants for run in variant.runs]
    faults = {
        "numbers of evaluations": {len(run.env_steps) for run in runs},
        "numbers of seeds": {len(variant.seeds) for variant in variants},
    }
    told = [
        f"{what} that differ ({', '.join(map(str, sorted(n)))})"
        for what, n in faults.items()
        if len(n) > 1
    ]
    if not all(run.absolute for run in runs):
        told.append("runs without an absolute metric (jmarl eval RUN --record)")
    return " and ".join(told)
