# pyright: reportMissingImports=false
"""A stand-in for the `multiagent` package (openai/multiagent-particle-envs and its fork), for where
there is no checkout of it: on the world of mpe2, which goes on from the same code.

What a step costs is like there: the loops over entities and pairs are mpe2's, tasks are the
checkout's own but `simple_spread`, which is mpe2's. Speeds and forces differ in details that
mpe2 changed. Distances that MAAC's tasks ask for are one numpy expression here.
"""

from types import ModuleType, SimpleNamespace
from typing import Any

import gym
import mpe2._mpe_utils.core as core
import numpy as np
from mpe2._mpe_utils.scenario import BaseScenario
from mpe2.simple_spread import simple_spread


class World(core.World):
    """With the distances between all entities that the fork keeps."""

    collaborative = cache_dists = False

    def calculate_distances(self) -> None:
        """vect[a, b] leads from b to a."""
        where = np.array([entity.state.p_pos for entity in self.entities])
        self.cached_dist_vect = where[:, None] - where
        self.cached_dist_mag = np.sqrt((self.cached_dist_vect**2).sum(-1))

    def step(self) -> None:
        super().step()
        if self.cache_dists:
            self.calculate_distances()


class MultiAgentEnv:
    """Lists of observations and rewards, one for each agent; actions are one-hot."""

    def __init__(
        self,
        world: Any,
        reset_callback: Any,
        reward_callback: Any,
        observation_callback: Any,
        post_step_callback: Any = None,
        discrete_action: bool = True,
    ) -> None:
        if not discrete_action:
            raise ValueError("discrete_action must be true in the stand-in for multiagent")
        self.world, self.agents = world, world.policy_agents
        self.restart, self.earn, self.observe = (
            reset_callback,
            reward_callback,
            observation_callback,
        )
        self.after = post_step_callback or (lambda world: None)
        self.action_space = [
            gym.spaces.Discrete(5 if agent.movable else world.dim_c) for agent in self.agents
        ]
        self.observation_space = [
            gym.spaces.Box(-np.inf, np.inf, observed.shape) for observed in self.reset()
        ]

    def seed(self, seed: int) -> None:
        """Tasks draw from numpy's global state, which whoever makes the environment seeds."""

    def reset(self) -> list[np.ndarray]:
        self.restart(self.world)
        return self.observations()

    def observations(self) -> list[np.ndarray]:
        return [self.observe(agent, self.world) for agent in self.agents]

    def step(self, actions: Any) -> tuple[list[np.ndarray], list[Any], list[bool], Any]:
        for agent, action in zip(self.agents, actions, strict=True):
            self.act(agent, action)
        self.world.step()
        seen = self.observations()
        earned = [self.earn(agent, self.world) for agent in self.agents]
        if self.world.collaborative:
            earned = [sum(earned)] * len(earned)
        self.after(self.world)
        return seen, earned, [False] * len(earned), {"n": [{} for _ in earned]}

    def act(self, agent: Any, action: np.ndarray) -> None:
        if not agent.movable:
            agent.action.c = action
            return
        push = np.array([action[1] - action[2], action[3] - action[4]])
        agent.action.u = push * (agent.accel or 5.0)


class Spread:
    """mpe2's simple_spread, with the first release's signatures."""

    def __init__(self) -> None:
        self.task: Any = simple_spread.Scenario()
        self.observation = self.task.observation

    def make_world(self) -> Any:
        world = self.task.make_world(3)
        self.reset_world(world)
        return world

    def reset_world(self, world: Any) -> None:
        self.task.reset_world(world, np.random)

    def reward(self, agent: Any, world: Any) -> float:
        return self.task.reward(agent, world) + self.task.global_reward(world)


def load(name: str) -> Any:
    """As a module that has a Scenario."""
    return SimpleNamespace(Scenario={"simple_spread.py": Spread}[name])


def package() -> list[ModuleType]:
    """`multiagent` and what official code imports of it."""
    parts = {
        "multiagent": {},
        "multiagent.core": {
            "World": World,
            "Agent": core.Agent,
            "Landmark": core.Landmark,
            "Wall": object,
        },
        "multiagent.scenario": {"BaseScenario": BaseScenario},
        "multiagent.environment": {"MultiAgentEnv": MultiAgentEnv},
        "multiagent.scenarios": {"load": load},
    }
    made = []
    for name, content in parts.items():
        module = ModuleType(name)
        vars(module).update(content)
        made.append(module)
    for module in made[1:]:
        setattr(made[0], module.__name__.split(".")[1], module)
    return made
