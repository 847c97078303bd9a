"""The one clock: environments report true endings alone, this wrapper cuts at the limit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar

import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl.types import Environment, EnvSpec, Key, Outcome, View
from jmarl_envs.catalogue import BadOption
from jmarl_envs.scene import Scene

S = TypeVar("S")


class Timed(struct.PyTreeNode, Generic[S]):
    """An environment's state and the number of steps taken since its reset."""

    inner: S
    time: Array  # [] int32


class TimeLimit(Generic[S]):
    """`env`, truncated at exactly `spec.episode_limit` steps (or at `episode_limit`, if given).

    `terminated` passes through untouched; a step that truly ends is never called truncated.
    """

    def __init__(self, env: Environment[S], episode_limit: int | None = None) -> None:
        limit = env.spec.episode_limit if episode_limit is None else episode_limit
        if limit < 1:
            raise BadOption(f"episode_limit must be at least 1, got {limit}")
        self.env = env
        self.spec: EnvSpec = replace(env.spec, episode_limit=limit)

    def reset(self, key: Key) -> tuple[Timed[S], View]:
        inner, view = self.env.reset(key)
        return Timed(inner, jnp.zeros((), jnp.int32)), view

    def step(self, state: Timed[S], action: Array, key: Key) -> tuple[Timed[S], Outcome]:
        inner, out = self.env.step(state.inner, action, key)
        time = state.time + 1
        late = out.truncated | (time >= self.spec.episode_limit)
        return Timed(inner, time), out.replace(truncated=late & ~out.terminated)

    @property
    def draw(self) -> Callable[[Timed[Any]], Scene] | None:
        """The wrapped environment's drawing function, if it has one."""
        inner = getattr(self.env, "draw", None)
        return None if inner is None else lambda state: inner(state.inner)
