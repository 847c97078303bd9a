"""How findings say where."""

from collections.abc import Iterator
from typing import Any

import numpy as np

Findings = Iterator[str]


def first(wrong: Any, what: str = "agent") -> str:
    """Where: the first true entry of [T, N] or [T, N, A]; `what` names the third axis."""
    place = np.argwhere(wrong)[0]
    agent = f", {what} {place[2]}" if len(place) > 2 else ""
    return f"(position {place[0]}, episode {place[1]}{agent})"
