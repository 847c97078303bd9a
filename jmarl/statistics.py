"""What several seeds say together.

Means with Student's intervals; and, for algorithms side by side, what Agarwal et al. ("Deep
Reinforcement Learning at the Edge of the Statistical Precipice", 2021) advise and Gorsane et al.
("Towards a Standardised Performance Evaluation Protocol for Cooperative MARL", 2022) ask for.
The last axis is always the seeds.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student


def interval(values: ArrayLike, level: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over the last axis (seeds) and Student's t interval of it; of one seed, no width."""
    values = np.asarray(values, float)
    count = values.shape[-1]
    mean = values.mean(-1)
    if count == 1:
        return mean, mean, mean
    error = values.std(-1, ddof=1) / np.sqrt(count)
    half = student.ppf(0.5 + level / 2, count - 1) * error
    return mean, mean - half, mean + half


def crossed_interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Mean of values [S, R] of every pair of S and R seeds, and half the width of its interval.

    Pairs that share a seed are not independent, so the error is that of the seeds' own means: the
    variance of the rows' means over S and of the columns' over R, added; Student's t of the
    smaller number of seeds. No width where a side has one seed alone, as nothing tells its spread.
    """
    values = np.asarray(values, float)
    counts, mean = values.shape, float(values.mean())
    if min(counts) == 1:
        return mean, 0.0
    error = sum(values.mean(1 - axis).var(ddof=1) / count for axis, count in enumerate(counts))
    return mean, float(student.ppf(0.5 + level / 2, min(counts) - 1) * np.sqrt(error))


class Estimate(NamedTuple):
    """A statistic and the ends of its interval, of one shape."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def bootstrap(
    statistic: Callable[..., np.ndarray],
    *strata: ArrayLike,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """A statistic of strata [..., S_k], each of S_k seeds, and its stratified percentile interval.

    Seeds are drawn again, with replacement, within each stratum: an algorithm on a task. All that a
    seed tells (a whole curve) is drawn together. `statistic` takes as many arrays as there are
    strata, with any axes before the last, which it reduces. One and the same for the same `seed`.
    """
    seen = [np.asarray(stratum, float) for stratum in strata]
    rng = np.random.default_rng(seed)
    found = statistic(*(resampled(stratum, resamples, rng) for stratum in seen))
    low, high = np.quantile(found, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return Estimate(statistic(*seen), low, high)


def resampled(values: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """[count, ..., S]: values [..., S] of seeds drawn with replacement."""
    seeds = values.shape[-1]
    return np.moveaxis(values[..., rng.integers(seeds, size=(count, seeds))], -2, 0)


def interquartile_mean(values: ArrayLike) -> np.ndarray:
    """Mean of the middle half of values [..., S]: NaN if one of them is.

    Quarters are rounded down, as scipy's trim_mean and with it the field does: of 10 seeds the
    middle 6 count, of up to 3 all.
    """
    ordered = np.sort(np.asarray(values, float))
    count = ordered.shape[-1]
    middle = ordered[..., count // 4 : count - count // 4].mean(-1)
    return np.where(np.isnan(ordered[..., -1]), np.nan, middle)  # NaN sorts behind all else


def probability_of_improvement(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """How often a seed of `first` [..., N] is above one of `second` [..., M]; ties count half.

    That is Mann and Whitney's U over N M. NaN if a value is.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    return (1 + np.sign(first[..., :, None] - second[..., None, :]).mean((-2, -1))) / 2


def performance_profile(values: ArrayLike, thresholds: ArrayLike) -> np.ndarray:
    """[..., K]: the share of values [..., S] above each of K thresholds. NaN is above none."""
    return (np.asarray(values, float)[..., None] > np.asarray(thresholds, float)).mean(-2)


def over_tasks(statistic: Callable[..., np.ndarray], arrays: int = 1) -> Callable[..., np.ndarray]:
    """The mean over tasks of a statistic of so many arrays; one task's stand behind another's."""

    def mean(*strata: np.ndarray) -> np.ndarray:
        starts = range(0, len(strata), arrays)
        return np.mean([statistic(*strata[at : at + arrays]) for at in starts], axis=0)

    return mean


def pooled_interquartile_mean(*tasks: np.ndarray) -> np.ndarray:
    """Of all seeds of all tasks [..., S_k] together."""
    return interquartile_mean(np.concatenate(tasks, -1))


def normalised(values: ArrayLike, low: float, high: float) -> np.ndarray:
    """0 at `low`, 1 at `high`; all 0 where these are the same."""
    return (np.asarray(values, float) - low) / ((high - low) or 1.0)


def aligned(
    steps: Sequence[np.ndarray], values: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Curves of evaluations after steps [E_i], each, made one: mean steps [E], values [E, curves].

    At the steps of the curve with the fewest evaluations, as far as all have come (to half the
    space between two). There each curve's nearest evaluation counts: none is made up between two.
    """
    coarsest = min(steps, key=len)
    reach = min(x[-1] for x in steps) + np.diff(coarsest[-2:]).sum() / 2
    at = coarsest[coarsest <= reach]
    nearest = [np.abs(x[:, None] - at).argmin(0) for x in steps]
    pick = lambda curves: np.stack([c[n] for c, n in zip(curves, nearest, strict=True)], -1)
    return pick(steps).mean(-1), pick(values)
