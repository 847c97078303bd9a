"""What the statistics say of runs side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from jmarl import __version__
from jmarl.config import find, several
from jmarl.evaluations import is_rate, read, telling
from jmarl.fields import ConfigError
from jmarl.statistics import (
    Estimate,
    bootstrap,
    interquartile_mean,
    normalised,
    over_tasks,
    performance_profile,
    pooled_interquartile_mean,
    probability_of_improvement,
)
from jmarl.variants import Variant, variants

THRESHOLDS = np.linspace(0, 1, 101)  # of performance profiles


@dataclass(frozen=True)
class Improvement:
    """How often a seed of `first` scores above one of `second`."""

    task: str  # "": the mean over all tasks
    first: str
    second: str
    probability: Estimate


@dataclass(frozen=True)
class Measured:
    """Variants side by side in one measure, by task and label.

    Their seeds are compared by the absolute metric if that is recorded of all, else by the last
    evaluation. Statistics over tasks take normalised scores; there are none while a variant lacks
    a task.
    """

    name: str
    tasks: Mapping[str, Mapping[str, Variant]]

    @property
    def variants(self) -> list[Variant]:
        return [variant for found in self.tasks.values() for variant in found.values()]

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(variant.label for variant in self.variants))

    @property
    def missing(self) -> list[tuple[str, str]]:
        """Labels and the tasks that they lack."""
        return [(x, task) for x in self.labels for task in self.tasks if x not in self.tasks[task]]

    @property
    def compared(self) -> str:
        every = all(variant.absolute(self.name) is not None for variant in self.variants)
        return "absolute metric" if every else "last evaluation"

    def score(self, variant: Variant) -> np.ndarray:
        """[S] what seeds are compared by."""
        absolute = variant.absolute(self.name)
        whole = self.compared == "absolute metric"
        return absolute if whole and absolute is not None else variant.last(self.name)

    def bounds(self, task: str) -> tuple[float, float]:
        """What normalises to 0 and 1: the worst and best evaluation of all on the task."""
        if is_rate(self.name):
            return 0.0, 1.0
        found = self.tasks[task].values()
        scores = [x for v in found for x in (v.scores[self.name].ravel(), self.score(v))]
        return float(np.nanmin(np.concatenate(scores))), float(np.nanmax(np.concatenate(scores)))

    def over_tasks(self, statistic: Callable[..., np.ndarray]) -> dict[str, Estimate]:
        """Of each label's normalised scores [S], as many arrays as there are tasks."""
        if self.missing:
            return {}
        scores = {
            label: [
                normalised(self.score(found[label]), *self.bounds(task))
                for task, found in self.tasks.items()
            ]
            for label in self.labels
        }
        return {label: bootstrap(statistic, *strata) for label, strata in scores.items()}

    @cached_property
    def aggregates(self) -> dict[str, Estimate]:
        """Interquartile means over all tasks and seeds."""
        return self.over_tasks(pooled_interquartile_mean)

    @cached_property
    def profiles(self) -> dict[str, Estimate]:
        """Shares [K] of seeds above `THRESHOLDS`, means over tasks."""
        return self.over_tasks(over_tasks(lambda values: performance_profile(values, THRESHOLDS)))

    @cached_property
    def improvements(self) -> list[Improvement]:
        """Of every pair on every task, and over all tasks if there are several."""
        scopes = {task: [found] for task, found in self.tasks.items()}
        if len(scopes) > 1 and not self.missing:
            scopes[""] = list(self.tasks.values())
        statistic = over_tasks(probability_of_improvement, 2)
        return [
            Improvement(
                scope,
                *pair,
                bootstrap(statistic, *(self.score(f[x]) for f in within for x in pair)),
            )
            for scope, within in scopes.items()
            for pair in combinations(within[0], 2)
        ]

    def as_json(self) -> dict[str, Any]:
        return {
            "compared_by": self.compared,
            "variants": [self.variant_as_json(variant) for variant in self.variants],
            "probability_of_improvement": [
                {"task": x.task or None, "first": x.first, "second": x.second}
                | as_json(x.probability)
                for x in self.improvements
            ],
            "normalised": {
                "bounds": {task: self.bounds(task) for task in self.tasks},
                "iqm": {label: as_json(x) for label, x in self.aggregates.items()},
                "thresholds": THRESHOLDS.tolist(),
                "profiles": {label: as_json(x) for label, x in self.profiles.items()},
            },
        }

    def variant_as_json(self, variant: Variant) -> dict[str, Any]:
        absolute = variant.absolute(self.name)
        scores = {"last": variant.last(self.name), "best": variant.best(self.name)}
        scores |= {} if absolute is None else {"absolute": absolute}
        told = {
            name: {"seeds": x.tolist(), "mean": float(x.mean()), "iqm": as_json(iqm(x))}
            for name, x in scores.items()
        }
        curve = variant.scores[self.name]
        return {
            "task": variant.task,
            "label": variant.label,
            **told,
            "env_steps": variant.env_steps.tolist(),
            "curve": as_json(iqm(curve)) | {"seeds": curve.T.tolist()},
        }


def iqm(scores: np.ndarray) -> Estimate:
    """Of scores [..., S] of one variant's seeds."""
    return bootstrap(interquartile_mean, scores)


def as_json(estimate: Estimate) -> dict[str, Any]:
    return {name: np.asarray(x).tolist() for name, x in estimate._asdict().items()}


@dataclass(frozen=True)
class Comparison:
    """Several runs' variants, in one measure or several."""

    variants: tuple[Variant, ...]
    measures: tuple[Measured, ...]

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(variant.task for variant in self.variants))

    def as_json(self) -> dict[str, Any]:
        """Every number; intervals are 95% stratified bootstrap percentile ones."""
        return {
            "made_by": f"jmarl compare {__version__}",
            "runs": [
                {
                    "task": variant.task,
                    "label": variant.label,
                    "run": str(run.path),
                    "seeds": list(run.seeds),
                    "episodes": run.episodes,
                    "unfinished": run.unfinished,
                    "random": dict(run.random),
                }
                for variant in self.variants
                for run in variant.runs
            ],
            "measures": {measured.name: measured.as_json() for measured in self.measures},
        }


def compare(
    runs: Sequence[str | Path], *, measures: Sequence[str] = (), by: str = "settings"
) -> Comparison:
    """What several runs' evaluations come to, finished or not.

    Runs with the same algorithm, settings and task are told as one, whose seeds are all of theirs;
    with `by` "folder" each stands for itself. `measures` are those of the evaluations
    (episode_return, win_rate, ...), by default returns and what the environment tells. Raises
    ConfigError for what cannot be read or compared.
    """
    if not several("runs", runs):
        raise ConfigError("runs must be at least one, got none")
    found = variants([read(run) for run in runs], by)
    known = dict.fromkeys(name for variant in found for name in variant.scores)
    asked = [
        find(name, list(known), "measure of these runs") for name in several("measures", measures)
    ]
    asked = asked or [name for variant in found for name in telling(variant.scores)]
    return Comparison(tuple(found), tuple(measured(name, found) for name in dict.fromkeys(asked)))


def measured(name: str, found: Sequence[Variant]) -> Measured:
    tasks: dict[str, dict[str, Variant]] = {}
    for variant in found:
        if name in variant.scores:
            tasks.setdefault(variant.task, {})[variant.label] = variant
    return Measured(name, tasks)
