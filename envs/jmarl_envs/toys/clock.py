"""The probe of values at an episode's end."""

from typing import Any

import jax.numpy as jnp
from jax import Array

from jmarl.types import EnvSpec, Key, Outcome, View
from jmarl_envs.catalogue import Count
from jmarl_envs.common import agent_names, open_view, outcome
from jmarl_envs.scene import Scene
from jmarl_envs.time_limit import TimeLimit
from jmarl_envs.toys.drawing import board


class Clock:
    """Everybody earns 1 at every step, whatever is done; nothing is observed but time."""

    def __init__(self, num_agents: int, episode_limit: int, terminates: bool) -> None:
        self.terminates = terminates
        self.spec = EnvSpec(
            name="toy/clock",
            agents=agent_names(num_agents),
            obs_sizes=(2,) * num_agents,
            action_kind="discrete",
            action_parts=((2,),) * num_agents,
            state_size=2,
            episode_limit=episode_limit,
            teams=(0,) * num_agents,
            team_reward="shared",
        )

    def reset(self, key: Key) -> tuple[Array, View]:
        time = jnp.zeros((), jnp.int32)
        return time, self.view(time)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        time = state + 1
        over = (time >= self.spec.episode_limit) & self.terminates
        return time, outcome(self.view(time), jnp.ones(self.spec.num_agents), over)

    def view(self, time: Array) -> View:
        """(1, time / limit); without a true end time means nothing, and is 0 throughout."""
        obs = jnp.stack([jnp.ones(()), time / self.spec.episode_limit * self.terminates])
        return open_view(self.spec, jnp.broadcast_to(obs, (self.spec.num_agents, 2)), obs)

    def draw(self, state: Any) -> Scene:
        return board({"time": [index < state for index in range(self.spec.episode_limit)]})


def clock(
    num_agents: Count = 2, episode_limit: Count = 10, terminates: bool = False
) -> TimeLimit[Array]:
    """A bootstrap probe: cut at the limit every value is 1 / (1 - gamma).

    If it `terminates`, the value with n steps left is (1 - gamma**n) / (1 - gamma).
    """
    return TimeLimit(Clock(num_agents, episode_limit, terminates))
