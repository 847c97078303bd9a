"""What a team acts by, as a safetensors file: arrays named by their place in the learner, and in
the file's metadata the JSON that says how to rebuild the algorithm. No code is read from it.
"""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from jax import export
from safetensors.numpy import save

from jmarl.checkpoint import paths
from jmarl.config import Experiment
from jmarl.fields import ConfigError
from jmarl.folder import place
from jmarl.types import Algorithm, EnvSpec, Key, View

NAME = "policy.safetensors"


@dataclass(frozen=True)
class Weights:
    """A file's content."""

    path: Path
    experiment: Experiment
    seed: int  # that the team was trained with
    score: float  # what it evaluated as; NaN if nobody told
    arrays: Mapping[str, np.ndarray]

    def learner(self, algorithm: Algorithm[Any], spec: EnvSpec) -> Any:
        """One that acts as the team did. What acting does not read is zero.

        Raises ConfigError, naming the array, if the algorithm needs one that is not there.
        """
        wanted = acting(algorithm, spec)
        for name in wanted:
            here, there = (kind(y.get(name)) for y in (wanted, self.arrays))
            if here != there:
                raise ConfigError(
                    f"policy must be of this program: {name} is {there} in {self.path}, {here} here"
                )
        like = opened(algorithm)
        leaves = [
            jnp.asarray(self.arrays[name]) if name in wanted else np.zeros(x.shape, x.dtype)
            for name, x in paths(like)
        ]
        return jax.tree.unflatten(jax.tree.structure(like), leaves)


def kind(x: Any) -> Any:
    """Shape and dtype, or None."""
    return None if x is None else (tuple(x.shape), np.dtype(x.dtype).name)


def opened(algorithm: Algorithm[Any]) -> Any:
    """Shapes of a learner."""
    return jax.eval_shape(algorithm.init, jax.random.key(0))


def acting(algorithm: Algorithm[Any], spec: EnvSpec) -> dict[str, Any]:
    """Shapes of the arrays of a learner that its greedy policy reads, by name."""

    def step(learner: Any, view: View, key: Key) -> Any:
        policy = algorithm.exploit(learner)
        view = jax.tree.map(lambda x: x[None], view)
        return policy.step(policy.reset(key, 1), view, key)[:2]

    learner = opened(algorithm)
    key = jax.eval_shape(lambda: jax.random.key(0))
    kept = export.export(jax.jit(step))(learner, spec.example_view(), key).module_kept_var_idx
    # arguments that nothing is computed from are dropped; the learner's leaves come first
    return {name: x for nth, (name, x) in enumerate(paths(learner)) if nth in kept}


def packed(algorithm: Algorithm[Any], spec: EnvSpec, learner: Any, about: Any) -> bytes:
    """The file's bytes; `about` has an `experiment` and a `seed`, for `read`."""
    wanted = acting(algorithm, spec)
    arrays = {name: np.asarray(x) for name, x in paths(learner) if name in wanted}
    return save(arrays, {"jmarl": json.dumps(about)})


def found(path: str | Path) -> Path | None:
    """The file that a path means, itself or the one in a folder; None for a run's folder."""
    whole = place("run", path)
    return next((file for file in (whole, whole / NAME) if file.is_file()), None)


def read(path: Path) -> Weights:
    """Raises ConfigError if it is no such file, or holds settings that jmarl does not know."""
    with reading(path) as file:
        told = metadata(file)
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        plan = Experiment.from_json(told["experiment"])
        score = told.get("episode_return")
        return Weights(path, plan, told["seed"], math.nan if score is None else score, arrays)


def about(path: Path) -> dict[str, Any]:
    """What a file tells of itself, without its arrays. Raises ConfigError if it is no such file."""
    with reading(path) as file:
        return metadata(file)


def metadata(file: Any) -> dict[str, Any]:
    return json.loads((file.metadata() or {})["jmarl"])


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Any]:
    """A safetensors file; what is wrong with it becomes ConfigError."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except (OSError, safetensors.SafetensorError, ValueError, LookupError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"policy must be a safetensors file of `jmarl export`, got {path} ({error!r})"
        ) from error
