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
