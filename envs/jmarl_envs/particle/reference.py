"""The particle world's reference game: two agents, each knows where the other should go."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import ActionKind, Key
from jmarl_envs.catalogue import Count
from jmarl_envs.common import agent_names
from jmarl_envs.particle.drawing import arena, landmark
from jmarl_envs.particle.geometry import any_of, chosen, colour, one_hot, opening, towards
from jmarl_envs.particle.physics import Variant, bodies
from jmarl_envs.particle.world import Particles, Scenario, World
from jmarl_envs.scene import Scene
from jmarl_envs.scene import colour as paint
from jmarl_envs.time_limit import TimeLimit

REACHED = 0.15  # from the goal
LOCAL = 0.5  # pettingzoo: the share of the guided agent's distance, beside the mean of both
DARK, LIGHT = 0.25, 0.75  # the entries of a landmark's colour


class Reference(Scenario):
    """An agent's own reward: minus the squared distance of the other to the other's goal.

    openai pays both the sum, maac the own; pettingzoo half of the own and half of the mean of both,
    with plain distances. Observed: own velocity, offsets to landmarks, the colour of the other's
    goal (an entry for each landmark, at least three), the other's message of this step.
    `state.goal` holds each agent's own goal.
    """

    name = "simple_reference"
    agents = agent_names(2)
    teams, team_names = (0, 0), ("team",)
    speaks = (True, True)
    vocabulary = 10
    info = (("distance", "last"), ("targets_reached", "last"))

    def __init__(self, variant: Variant, landmarks: int) -> None:
        self.variant: Variant = variant
        self.landmarks, self.colours = landmarks, max(3, landmarks)
        self.team_reward = "shared" if variant == "openai" else None
        self.bodies = bodies(
            radius=[0.05] * (2 + landmarks),
            collides=[False] * (2 + landmarks),
            movable=[True, True],
        )
        self.obs_sizes = (2 + 2 * landmarks + self.colours + self.vocabulary,) * 2

    def reset(self, key: Key) -> Particles:
        place_key, goal_key = jax.random.split(key)
        return opening(self, place_key, any_of(goal_key, self.landmarks, (2,)))

    def observe(self, state: Particles) -> Array:
        goals = colour(state.goal[::-1], self.colours, DARK, LIGHT).astype(state.pos.dtype)
        offsets = towards(state.pos, state.landmarks)
        return jnp.concatenate([state.vel, offsets, goals, state.message[::-1]], -1)

    def reward(self, state: Particles) -> Array:
        own = -self.squares(state)[::-1]
        if self.variant == "openai":
            return jnp.full_like(own, own.sum())
        if self.variant == "maac":
            return own
        own = -jnp.sqrt(-own)
        return (1 - LOCAL) * own.mean() + LOCAL * own

    def measure(self, state: Particles) -> Mapping[str, Array]:
        """The mean distance to the own goal, and how many are within 0.15 of it."""
        gaps = jnp.sqrt(self.squares(state))
        reached = (gaps < REACHED).sum().astype(gaps.dtype)
        return {"distance": gaps.mean(), "targets_reached": reached}

    def features(self, state: Particles) -> Array:
        return one_hot(state.goal, self.landmarks).astype(state.pos.dtype).reshape(-1)

    def squares(self, state: Particles) -> Array:
        """[2] each agent's squared distance to its own goal."""
        return ((state.pos - chosen(state.landmarks, state.goal)) ** 2).sum(-1)

    def draw(self, state: Particles) -> Scene:
        inks = paint(0), paint(1)
        goals = [(int(goal), ink) for goal, ink in zip(state.goal, inks, strict=True)]
        words = "goals: " + ", ".join(
            f"agent {index} {landmark(goal)}" for index, (goal, _) in enumerate(goals)
        )
        return arena(self, state, goals, words, inks)


def simple_reference(
    variant: Variant = "openai",
    actions: ActionKind = "discrete",
    episode_limit: Count = 25,
    num_landmarks: Count = 3,
) -> TimeLimit[Particles]:
    """The reference game."""
    return TimeLimit(World(Reference(variant, num_landmarks), actions, episode_limit))
