"""Probes without memory or consequences: what is right shows now and is paid now."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import ActionKind, EnvSpec, Key, Outcome, View
from jmarl_envs.actions import one_hots
from jmarl_envs.catalogue import Count
from jmarl_envs.common import agent_names, open_view, outcome
from jmarl_envs.scene import Scene
from jmarl_envs.time_limit import TimeLimit
from jmarl_envs.toys.common import Cued, Cues
from jmarl_envs.toys.drawing import board, scale


class Cue:
    """Each agent sees its own cue, new at every step, and earns 1 for naming it."""

    def __init__(self, num_agents: int, horizon: int, num_cues: int) -> None:
        self.spec = EnvSpec(
            name="toy/cue",
            agents=agent_names(num_agents),
            obs_sizes=(num_cues,) * num_agents,
            action_kind="discrete",
            action_parts=((num_cues,),) * num_agents,
            state_size=num_agents * num_cues,
            episode_limit=horizon,
            teams=(0,) * num_agents,
            agent_features=(num_agents, num_cues),
        )

    def reset(self, key: Key) -> tuple[Cued, View]:
        shape = (self.spec.num_agents,)
        cue = jax.random.randint(key, shape, 0, self.spec.action_size, jnp.int32)
        return Cued(cue, jnp.zeros((), jnp.int32)), self.view(cue)

    def step(self, state: Cued, action: Array, key: Key) -> tuple[Cued, Outcome]:
        reward = (action == state.cue).astype(jnp.float32)
        time = state.time + 1
        state, view = self.reset(key)
        over = time >= self.spec.episode_limit
        return Cued(state.cue, time), outcome(view, reward, over)

    def view(self, cue: Array) -> View:
        obs = jax.nn.one_hot(cue, self.spec.action_size)
        return open_view(self.spec, obs, obs.reshape(-1))

    def draw(self, state: Any) -> Scene:
        cues = zip(self.spec.agents, state.cue, strict=True)
        return board({name: [i == cue for i in range(self.spec.action_size)] for name, cue in cues})


def cue(num_agents: Count = 2, horizon: Count = 1, num_cues: Cues = 3) -> TimeLimit[Cued]:
    """A feed-forward probe; ends truly after `horizon` steps."""
    return TimeLimit(Cue(num_agents, horizon, num_cues))


class Reach:
    """Each agent sees its goal in [-1, 1] and pays its action's squared distance to it."""

    def __init__(self, num_agents: int, episode_limit: int) -> None:
        self.spec = EnvSpec(
            name="toy/reach",
            agents=agent_names(num_agents),
            obs_sizes=(1,) * num_agents,
            action_kind="box",
            action_parts=((1,),) * num_agents,
            state_size=num_agents,
            episode_limit=episode_limit,
            teams=(0,) * num_agents,
            agent_features=(num_agents, 1),
        )

    def reset(self, key: Key) -> tuple[Array, View]:
        goal = jax.random.uniform(key, (self.spec.num_agents,), minval=-1.0, maxval=1.0)
        return goal, self.view(goal)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        reward = -((action[:, 0].clip(-1.0, 1.0) - state) ** 2)
        return state, outcome(self.view(state), reward)

    def view(self, goal: Array) -> View:
        return open_view(self.spec, goal[:, None], goal)

    def draw(self, state: Any) -> Scene:
        return scale(dict(zip(self.spec.agents, state.tolist(), strict=True)), "goals")


def reach(num_agents: Count = 2, episode_limit: Count = 5) -> TimeLimit[Array]:
    """A continuous probe: the best return is 0, a random policy's -2/3 a step."""
    return TimeLimit(Reach(num_agents, episode_limit))


class Parts:
    """Every part of an agent's action has a cue, new at each step; each is paid for those it names.

    The reward is the share of its parts that are right. The walker has a move of 3, the teller a
    message of 2, the third both; each sees the cues of its own parts as one-hots. As a simplex,
    a part earns the probability given to its cue.
    """

    def __init__(self, actions: ActionKind, episode_limit: int) -> None:
        parts = ((3,), (2,), (3, 2))
        self.spec = EnvSpec(
            name="toy/parts",
            agents=("walker", "teller", "both"),
            obs_sizes=(3, 2, 5),
            action_kind=actions,
            action_parts=parts,
            state_size=10,
            episode_limit=episode_limit,
            teams=(0, 0, 0),
        )

    def reset(self, key: Key) -> tuple[Array, View]:
        """The state holds each agent's cue as a flat choice [A], like its action."""
        sizes = [math.prod(parts) for parts in self.spec.action_parts]
        cue = jax.random.randint(key, (3,), 0, jnp.array(sizes), jnp.int32)
        return cue, self.view(cue)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        rewards = []
        for agent, wanted in enumerate(self.wanted(state)):
            chosen = action[agent]
            if self.spec.action_kind == "discrete":
                chosen = one_hots(chosen, self.spec.action_parts[agent])
            rewards.append(chosen[: wanted.size] @ wanted / len(self.spec.action_parts[agent]))
        next_state, view = self.reset(key)
        return next_state, outcome(view, jnp.stack(rewards))

    def wanted(self, cue: Array) -> list[Array]:
        """For each agent the one-hots of its parts' cues, one after another."""
        return [one_hots(c, parts) for c, parts in zip(cue, self.spec.action_parts, strict=True)]

    def view(self, cue: Array) -> View:
        rows = self.wanted(cue)
        obs = jnp.stack([jnp.pad(row, (0, self.spec.obs_size - row.size)) for row in rows])
        return open_view(self.spec, obs, jnp.concatenate(rows))

    def draw(self, state: Any) -> Scene:
        """A row for each part."""
        rows = {}
        for name, cue, parts in zip(self.spec.agents, state, self.spec.action_parts, strict=True):
            for part, size in enumerate(parts):
                rows[f"{name} {part}"] = [index == cue % size for index in range(size)]
                cue = cue // size
        return board(rows)


def parts(
    actions: Literal["discrete", "simplex"] = "discrete", episode_limit: Count = 4
) -> TimeLimit[Array]:
    """A probe of padding and of actions in parts; random earns 1/3, 1/2 and 5/12 a step."""
    return TimeLimit(Parts(actions, episode_limit))
