"""The memory probe."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import Entities, EnvSpec, Key, Outcome, View
from jmarl_envs.catalogue import Count
from jmarl_envs.common import agent_names, open_view, outcome
from jmarl_envs.scene import Scene
from jmarl_envs.time_limit import TimeLimit
from jmarl_envs.toys.common import Cued, Cues
from jmarl_envs.toys.drawing import board


class Echo:
    """All see a cue at t=0 alone; at the end all earn 1 if everybody names it."""

    def __init__(
        self, num_agents: int, horizon: int, num_cues: int, terminates: bool, entities: bool
    ) -> None:
        self.terminates = terminates
        self.spec = EnvSpec(
            name="toy/echo",
            agents=agent_names(num_agents),
            obs_sizes=(num_cues + 1,) * num_agents,
            action_kind="discrete",
            action_parts=((num_cues,),) * num_agents,
            state_size=num_cues + 1,
            episode_limit=horizon,
            teams=(0,) * num_agents,
            team_reward="shared",
            num_entities=(num_agents + 2) * entities,
            entity_size=(num_cues + 2) * entities,
        )

    def reset(self, key: Key) -> tuple[Cued, View]:
        cue = jax.random.randint(key, (), 0, self.spec.action_size, jnp.int32)
        state = Cued(cue, jnp.zeros((), jnp.int32))
        return state, self.view(state)

    def step(self, state: Cued, action: Array, key: Key) -> tuple[Cued, Outcome]:
        state = Cued(state.cue, state.time + 1)
        last = state.time == self.spec.episode_limit
        reward = jnp.full(self.spec.num_agents, last & (action == state.cue).all(), jnp.float32)
        over = (state.time >= self.spec.episode_limit) & self.terminates
        return state, outcome(self.view(state), reward, over)

    def view(self, state: Cued) -> View:
        """Observed: the cue, if it is shown now, and the time. The state always has the cue."""
        cue = jax.nn.one_hot(state.cue, self.spec.action_size)
        time = state.time / self.spec.episode_limit
        obs = jnp.append(cue * (state.time == 0), time)
        everyone = jnp.broadcast_to(obs, (self.spec.num_agents, obs.size))
        entities = self.entities(cue, state.time) if self.spec.num_entities else None
        return open_view(self.spec, everyone, jnp.append(cue, time), entities)

    def entities(self, cue: Array, time: Array) -> Entities:
        """Agents, then the bearer of the cue (hidden after t=0), then a slot that stays empty.

        Features: is an agent, time, cue.
        """
        a, e = self.spec.num_agents, self.spec.num_entities
        features = jnp.zeros((e, self.spec.entity_size))
        features = features.at[:a, 0].set(1.0).at[:a, 1].set(time / self.spec.episode_limit)
        features = features.at[a, 2:].set(cue)
        absent = jnp.arange(e) == e - 1
        hidden = jnp.broadcast_to(absent, (a, e)).at[:, a].set(time > 0)
        return Entities(features, absent, hidden)

    def draw(self, state: Any) -> Scene:
        cells = [index == state.cue for index in range(self.spec.action_size)]
        return board({"cue": cells}, "remember" if state.time else "shown now alone")


def echo(
    num_agents: Count = 2,
    horizon: Count = 4,
    num_cues: Cues = 3,
    truncated: bool = False,
    entities: bool = True,
) -> TimeLimit[Cued]:
    """A memory probe. `truncated` says how episodes end after `horizon` steps."""
    return TimeLimit(Echo(num_agents, horizon, num_cues, not truncated, entities))
