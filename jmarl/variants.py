"""Runs sorted: whose seeds belong together, and what such seeds are called."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from jmarl.config import find
from jmarl.evaluations import RETURN, Evaluations
from jmarl.fields import ConfigError
from jmarl.folder import short_names
from jmarl.statistics import aligned
from jmarl.words import shown

BY = ("settings", "folder")
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Variant:
    """All seeds of an algorithm with certain settings on one task, of one run or several."""

    task: str
    label: str
    runs: tuple[Evaluations, ...]

    @property
    def seeds(self) -> list[int]:
        return [seed for run in self.runs for seed in run.seeds]

    @property
    def env_steps(self) -> np.ndarray:
        """[E], means over seeds."""
        return aligned(self._steps, self._steps)[0]

    @cached_property
    def scores(self) -> Mapping[str, np.ndarray]:
        """[E, S] by name, as far as all seeds have come, of what all runs measure."""
        shared = [name for name in self.runs[0].scores if all(name in r.scores for r in self.runs)]
        curves = {n: [curve for run in self.runs for curve in run.scores[n].T] for n in shared}
        return {name: aligned(self._steps, seeds)[1] for name, seeds in curves.items()}

    @property
    def _steps(self) -> list[np.ndarray]:
        """[E] of each seed."""
        return [steps for run in self.runs for steps in run.env_steps.T]

    def last(self, measure: str) -> np.ndarray:
        """[S] of the last evaluation."""
        return self.scores[measure][-1]

    def best(self, measure: str) -> np.ndarray:
        """[S] of each seed's evaluation with the highest return: its `best` checkpoint."""
        returns = self.scores[RETURN]
        at = np.where(np.isnan(returns), -np.inf, returns).argmax(0)
        return self.scores[measure][at, np.arange(len(at))]

    def absolute(self, measure: str) -> np.ndarray | None:
        """[S] of the best teams on fresh episodes, where every run has recorded it."""
        if not all(measure in run.absolute for run in self.runs):
            return None
        return np.concatenate([run.absolute[measure] for run in self.runs])


def variants(runs: Sequence[Evaluations], by: str = "settings") -> list[Variant]:
    """Runs of one task and the same settings are one variant, each of them with `by` "folder".

    Raises ConfigError if a seed would count twice.
    """
    find(by, BY, "way to tell runs apart (by)")
    names = short_names([run.path.resolve() for run in runs])
    labels = names if by == "folder" else told_apart(runs)
    kin = sorted_by(zip(runs, labels, strict=True), lambda pair: (pair[0].task, pair[1]))
    made = [
        Variant(task, label, tuple(run for run, _ in members))
        for (task, label), members in kin.items()
    ]
    for variant in made:
        refuse_repeats(variant)
    return made


def told_apart(runs: Sequence[Evaluations]) -> list[str]:
    """Each run's algorithm, with the settings in which runs of it differ on some task.

    Where presets differ, the settings that come with them are not told.
    """
    told: dict[str, dict[str, None]] = defaultdict(dict)  # by algorithm; in the order found
    for (name, _), kin in sorted_by(runs, lambda run: (run.algorithm, run.task)).items():
        if len({run.settings["preset"] for run in kin}) > 1:
            told[name]["preset"] = None
        for like in sorted_by(kin, lambda run: run.settings["preset"]).values():
            told[name] |= dict.fromkeys(differing(like))
    return [label(run, [n for n in told[run.algorithm] if n in run.settings]) for run in runs]


def differing(runs: Sequence[Evaluations]) -> list[str]:
    """Settings that are not the same in all runs that know them."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    values = {n: {str(run.settings[n]) for run in runs if n in run.settings} for n in names}
    return [name for name in names if len(values[name]) > 1]


def label(run: Evaluations, names: Sequence[str]) -> str:
    return " ".join([run.algorithm, *(f"{name}={in_a_word(run.settings[name])}" for name in names)])


def in_a_word(value: object) -> str:
    """As one would type it; JSON made lists of tuples."""
    return shown(tuple(value) if isinstance(value, list) else value) or "none"


def refuse_repeats(variant: Variant) -> None:
    """ConfigError if two of its runs trained the same seed."""
    seen: dict[int, Evaluations] = {}
    for run in variant.runs:
        for seed in run.seeds:
            if seed in seen:
                raise ConfigError(
                    f"runs of the same settings must have seeds of their own, got seed {seed} of "
                    f"{variant.label} in {seen[seed].path} and {run.path}; --by folder tells these "
                    "runs apart"
                )
            seen[seed] = run


def sorted_by(things: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Those with the same key together, in the order met."""
    found: dict[K, list[T]] = defaultdict(list)
    for thing in things:
        found[key(thing)].append(thing)
    return dict(found)
