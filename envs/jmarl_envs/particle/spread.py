"""Cooperative navigation (Lowe et al., 2017): cover all landmarks, touch nobody."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import ActionKind, Entities, Key
from jmarl_envs.catalogue import Count
from jmarl_envs.common import agent_names, open_entities
from jmarl_envs.particle.drawing import arena
from jmarl_envs.particle.geometry import opening, squares, touching, towards, towards_others
from jmarl_envs.particle.physics import Variant, bodies
from jmarl_envs.particle.world import Particles, Scenario, World
from jmarl_envs.scene import Scene
from jmarl_envs.time_limit import TimeLimit

CLOSE = 0.1  # a landmark with an agent nearer than this is occupied
LOCAL = 0.5  # pettingzoo: the share of an agent's own contacts in its reward


class Spread(Scenario):
    """An agent's own reward: minus each landmark's distance to its nearest agent, minus contacts.

    openai pays everybody the sum of all own rewards, in which each counts as touching itself; maac
    pays the own rewards; pettingzoo averages both parts and counts no contact with oneself.
    """

    name = "simple_spread"
    team_names = ("team",)
    vocabulary = 2  # nobody speaks, yet silence is observed
    info = (("collisions", "sum"), ("landmark_distance", "last"), ("occupied", "last"))

    def __init__(self, variant: Variant, agents: int, landmarks: int) -> None:
        self.variant: Variant = variant
        self.agents = agent_names(agents)
        self.teams, self.speaks = (0,) * agents, (False,) * agents
        self.team_reward = "shared" if variant == "openai" or agents == 1 else None
        self.bodies = bodies(
            radius=[0.15] * agents + [0.05] * landmarks,
            collides=[True] * agents + [False] * landmarks,
            movable=[True] * agents,
        )
        self.obs_sizes = (4 + 2 * landmarks + (2 + self.vocabulary) * (agents - 1),) * agents

    def reset(self, key: Key) -> Particles:
        return opening(self, key, jnp.zeros((), jnp.int32))

    def observe(self, state: Particles) -> Array:
        """Velocity, position; offsets to landmarks and to the others; the others' silence."""
        pos, count = state.pos, len(self.agents)
        silence = jnp.zeros((count, self.vocabulary * (count - 1)), pos.dtype)
        return jnp.concatenate(
            [state.vel, pos, towards(pos, state.landmarks), towards_others(pos), silence], -1
        )

    def reward(self, state: Particles) -> Array:
        distance, contacts = -self.gaps(state).sum(), self.contacts(state)
        if self.variant == "pettingzoo":
            return (1 - LOCAL) * distance - LOCAL * contacts
        own = distance - contacts - 1.0
        return jnp.full_like(own, own.sum()) if self.variant == "openai" else own

    def measure(self, state: Particles) -> Mapping[str, Array]:
        gaps = self.gaps(state)
        return {
            "collisions": self.contacts(state).sum() / 2,
            "landmark_distance": gaps.mean(),
            "occupied": (gaps < CLOSE).sum().astype(gaps.dtype),
        }

    def gaps(self, state: Particles) -> Array:
        """[L] each landmark's distance to its nearest agent."""
        return jnp.sqrt(squares(state.pos, state.landmarks).min(0))

    def contacts(self, state: Particles) -> Array:
        """[A] how many others each agent touches."""
        radius = self.bodies.radius[: len(self.agents)]
        touched = touching(state.pos, radius, state.pos, radius)
        return touched.sum(-1).astype(state.pos.dtype) - 1

    def entities(self, state: Particles) -> Entities:
        """[N+L, 6] agents, then landmarks: which of them it is, place, speed."""
        agents, landmarks = len(self.agents), len(state.landmarks)
        kind = np.repeat(np.eye(2), (agents, landmarks), 0)
        place = jnp.concatenate([state.pos, state.landmarks])
        speed = jnp.pad(state.vel, ((0, landmarks), (0, 0)))
        features = jnp.concatenate([kind, place, speed], -1, dtype=place.dtype)
        return open_entities(features, jnp.zeros(len(kind), bool), agents)

    def draw(self, state: Particles) -> Scene:
        found = self.measure(state)
        covered, touching_ = int(found["occupied"]), int(found["collisions"])
        words = f"{covered} of {len(state.landmarks)} landmarks occupied, {touching_} contacts"
        return arena(self, state, caption=words)


def simple_spread(
    variant: Variant = "openai",
    actions: ActionKind = "discrete",
    episode_limit: Count = 25,
    num_agents: Count = 3,
    num_landmarks: Count = 3,
) -> TimeLimit[Particles]:
    """Cooperative navigation."""
    return TimeLimit(World(Spread(variant, num_agents, num_landmarks), actions, episode_limit))
