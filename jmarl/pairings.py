"""Two teams of different runs in one episode, and what such meetings come to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.statistics import crossed_interval
from jmarl.types import EnvSpec, Key, Policy, View


@dataclass(frozen=True)
class Crossplay:
    """What each pairing of runs came to: the first run plays the first team, the second the other.

    Scores are means over episodes by name, one [first run's seeds, second run's seeds] for each
    pairing (i, j) of runs.
    """

    spec: EnvSpec
    runs: tuple[str, ...]
    episodes: int  # of each pairing of seeds
    scores: Mapping[tuple[int, int], Mapping[str, np.ndarray]]

    @property
    def measures(self) -> list[str]:
        """Each team's return, and what the environment tells of its episodes."""
        ours = ("episode_return", "agent_return/", "episode_length")
        names = list(self.scores[0, 0])
        teams = [f"episode_return_{team}" for team in self.spec.team_names]
        return teams + [name for name in names if not name.startswith(ours)]

    def table(self, measure: str) -> np.ndarray:
        """Mean and half the width of its 95% interval, [runs, runs, 2]."""
        count = range(len(self.runs))
        return np.array(
            [[crossed_interval(self.scores[i, j][measure]) for j in count] for i in count]
        )

    def as_json(self) -> dict[str, Any]:
        pairings = [
            {
                self.spec.team_names[0]: self.runs[i],
                self.spec.team_names[1]: self.runs[j],
                "scores": {name: values.tolist() for name, values in scores.items()},
            }
            for (i, j), scores in self.scores.items()
        ]
        return {"env": self.spec.name, "episodes": self.episodes, "pairings": pairings}


def pairing_keys(key: Key, sizes: tuple[int, int]) -> Key:
    """[seeds, seeds]; the (i, j)-th is the same whatever the sizes, so that episodes are."""
    fold = jax.vmap(jax.random.fold_in, (None, 0))
    return jax.vmap(fold, (0, None))(fold(key, jnp.arange(sizes[0])), jnp.arange(sizes[1]))


def mixed(first: Policy[Any], second: Policy[Any], theirs: Array) -> Policy[Any]:
    """Agents of `theirs` [A] act by `second`, the others by `first`."""

    def reset(key: Key, num_envs: int) -> tuple[Any, Any]:
        keys = jax.random.split(key)
        return first.reset(keys[0], num_envs), second.reset(keys[1], num_envs)

    def step(carry: tuple[Any, Any], view: View, key: Key) -> tuple[Any, Array, tuple[()]]:
        keys = jax.random.split(key)
        own, action, _ = first.step(carry[0], view, keys[0])
        other, answer, _ = second.step(carry[1], view, keys[1])
        chosen = theirs.reshape(-1, *(1,) * (action.ndim - 2))
        return (own, other), jnp.where(chosen, answer, action), ()

    return Policy(reset, step)
