"""What several seeds say together."""

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
