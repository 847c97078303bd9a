"""Metrics that are no numbers any more."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


class NotFinite(ArithmeticError):
    """Training gave a metric that is NaN or infinite, and stopped; the message says where."""


def nonfinite(metrics: Mapping[str, Any], seeds: Sequence[int]) -> str:
    """Which of the metrics [S] are NaN or infinite, and for which seeds, in words; "" if none is.

    An entry that is None, as no episode told of it, is sound.
    """
    bad = {
        name: {seed: x for seed, x in zip(seeds, row, strict=True) if not is_sound(x)}
        for name, row in metrics.items()
    }
    names = [name for name, found in bad.items() if found]
    if not names:
        return ""
    first, others = bad[names[0]], names[1:]
    whose = ", ".join(map(str, first))
    more = f" ({', '.join(others)} too)" if others else ""
    return f"{names[0]} became {next(iter(first.values())):g} for seed {whose}{more}"


def is_sound(x: Any) -> bool:
    return x is None or math.isfinite(x)
