"""The best that each seed has evaluated as."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


@dataclass(frozen=True)
class Best:
    """A learner [S, ...], what it scored and after how many steps, of each seed by itself."""

    learner: Any
    score: list[float]  # [S] evaluation returns
    env_steps: list[int]  # [S]

    def chosen(self, before: "Best | None") -> "Best":
        """This where it scored more than `before`, which anything is better than that is NaN.

        The arrays are its own, so that `self` may be donated.
        """
        before = before or Best(self.learner, [math.nan] * len(self.score), self.env_steps)
        pairs = zip(self.score, before.score, strict=True)
        more = [new > old or math.isnan(old) for new, old in pairs]
        pick = lambda new, old: [n if m else o for m, n, o in zip(more, new, old, strict=True)]
        return Best(
            select(jnp.array(more), self.learner, before.learner),
            pick(self.score, before.score),
            pick(self.env_steps, before.env_steps),
        )


@jax.jit
def select(more: Array, new: Any, old: Any) -> Any:
    """Seed by seed."""
    return jax.tree.map(
        lambda n, o: jnp.where(more.reshape(more.shape + (1,) * (n.ndim - 1)), n, o), new, old
    )
