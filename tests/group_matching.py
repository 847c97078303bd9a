"""Group Matching for its tests: how to make it, and what a state is."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jmarl_envs
from jmarl_envs.group_matching import GroupMatching, Ring
from jmarl_envs.time_limit import TimeLimit

NAME = "refil/group_matching"
CALM = {"random_moves": 0.0}  # what is chosen is done


class Sizes(NamedTuple):
    num_agents: int
    num_cells: int
    num_groups: int


def matching(**options: Any) -> tuple[TimeLimit[Ring], GroupMatching]:
    """The environment, and the same without its limit."""
    env = jmarl_envs.make(NAME, **options)
    assert isinstance(env, TimeLimit)
    assert isinstance(env.env, GroupMatching)
    return env, env.env


def ints(values: Any) -> jax.Array:
    return jnp.asarray(values, jnp.int32)
