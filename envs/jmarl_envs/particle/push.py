"""Keep-away (Lowe et al., 2017): an adversary pushes the good agent away from its landmark."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import ActionKind
from jmarl_envs.catalogue import Count
from jmarl_envs.particle.geometry import (
    chosen,
    colour,
    repeated,
    stacked,
    towards,
    towards_others,
)
from jmarl_envs.particle.physics import Variant, bodies
from jmarl_envs.particle.sides import Contest, sides
from jmarl_envs.particle.world import Particles, World
from jmarl_envs.time_limit import TimeLimit

# what colours are made of: an agent's own entries, the goal's among them, and a landmark's
OWN, GOAL, DARK, LIGHT = 0.25, 0.75, 0.1, 0.9
REACHED = 0.05  # an agent's radius: the threshold of the paper's code


class Push(Contest):
    """Good agents earn minus their distance to the goal; an adversary the least of these distances
    less its own. Agents collide with each other.

    Observed by all: own velocity, offsets to landmarks and to the others. By good agents between
    these: the offset to the goal, their colour, which tells the goal, and the landmarks' colours.
    A colour has one entry more than there are landmarks, but at least three.
    """

    name = "simple_push"
    vocabulary = 2
    info = (("goal_distance", "last"), ("adversary_distance", "last"), ("goal_reached", "last"))

    def __init__(self, variant: Variant, adversaries: int, good: int, landmarks: int) -> None:
        self.variant: Variant = variant
        self.adversaries, self.colours = adversaries, max(3, landmarks + 1)
        marked = np.eye(landmarks, self.colours, k=1) > 0
        self.paints = np.where(marked, LIGHT, DARK).reshape(-1)
        self.agents, self.teams, self.team_names = sides(adversaries, good)
        count = len(self.agents)
        self.speaks = (False,) * count
        self.team_reward = "shared" if adversaries == good == 1 else None
        self.bodies = bodies(
            radius=[0.05] * (count + landmarks),
            collides=[True] * count + [False] * landmarks,
            movable=[True] * count,
        )
        width = 2 + 2 * landmarks + 2 * (count - 1)
        more = 2 + self.colours * (1 + landmarks)
        self.obs_sizes = (width,) * adversaries + (width + more,) * good

    def observe(self, state: Particles) -> Array:
        pos, split = state.pos, self.adversaries
        offsets, others = towards(pos, state.landmarks), towards_others(pos)
        goal = chosen(state.landmarks, state.goal) - pos[split:]
        own = colour(state.goal + 1, self.colours, OWN, GOAL).astype(pos.dtype)
        own, paints = (repeated(row, len(goal)) for row in (own, self.paints.astype(pos.dtype)))
        known = [state.vel[split:], goal, own, offsets[split:], paints, others[split:]]
        unknowing = jnp.concatenate([state.vel, offsets, others], -1)[:split]
        return stacked(unknowing, jnp.concatenate(known, -1))

    def reward(self, state: Particles) -> Array:
        chasers, good = self.gaps(state)
        return jnp.concatenate([good.min() - chasers, -good])

    def measure(self, state: Particles) -> Mapping[str, Array]:
        """The least distance to the goal on each side; whether a good agent's is within 0.05."""
        chasers, good = self.gaps(state)
        nearest = good.min()
        return {
            "goal_distance": nearest,
            "adversary_distance": chasers.min(),
            "goal_reached": (nearest <= REACHED).astype(nearest.dtype),
        }


def simple_push(
    variant: Variant = "openai",
    actions: ActionKind = "discrete",
    episode_limit: Count = 25,
    num_adversaries: Count = 1,
    num_good_agents: Count = 1,
    num_landmarks: Count = 2,
) -> TimeLimit[Particles]:
    """Keep-away."""
    task = Push(variant, num_adversaries, num_good_agents, num_landmarks)
    return TimeLimit(World(task, actions, episode_limit))
