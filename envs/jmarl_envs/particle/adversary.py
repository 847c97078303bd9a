"""Physical deception (Lowe et al., 2017): reach the goal without showing which landmark it is."""

from collections.abc import Mapping

import jax.numpy as jnp
from jax import Array

from jmarl.types import ActionKind
from jmarl_envs.catalogue import Count
from jmarl_envs.particle.geometry import (
    chosen,
    stacked,
    towards,
    towards_others,
)
from jmarl_envs.particle.physics import Variant, bodies
from jmarl_envs.particle.sides import Contest, sides
from jmarl_envs.particle.world import Particles, World
from jmarl_envs.time_limit import TimeLimit

REACHED = 0.16  # twice a landmark's radius: the threshold of the original's unshaped rewards


class Adversary(Contest):
    """Good agents share the adversaries' summed distance to the goal less their nearest one's.

    An adversary earns minus its own distance, squared but in pettingzoo. Nobody touches anybody.
    Observed: offsets to landmarks and to the others; before them, by good agents, to the goal.
    """

    name = "simple_adversary"
    vocabulary = 2
    info = (("good_success", "last"), ("adversary_success", "last"))

    def __init__(self, variant: Variant, adversaries: int, good: int, landmarks: int) -> None:
        self.variant: Variant = variant
        self.adversaries = adversaries
        self.agents, self.teams, self.team_names = sides(adversaries, good)
        count = len(self.agents)
        self.speaks = (False,) * count
        self.team_reward = "shared" if adversaries == 1 else None
        self.bodies = bodies(
            radius=[0.15] * count + [0.08] * landmarks,
            collides=[False] * (count + landmarks),
            movable=[True] * count,
        )
        width = 2 * landmarks + 2 * (count - 1)
        self.obs_sizes = (width,) * adversaries + (width + 2,) * good

    def observe(self, state: Particles) -> Array:
        pos, split = state.pos, self.adversaries
        seen = jnp.concatenate([towards(pos, state.landmarks), towards_others(pos)], -1)
        goal = chosen(state.landmarks, state.goal) - pos[split:]
        return stacked(seen[:split], jnp.concatenate([goal, seen[split:]], -1))

    def reward(self, state: Particles) -> Array:
        chasers, good = self.gaps(state)
        shared = chasers.sum() - good.min()
        own = -chasers if self.variant == "pettingzoo" else -(chasers**2)
        return jnp.concatenate([own, jnp.full_like(good, shared)])

    def measure(self, state: Particles) -> Mapping[str, Array]:
        """Whether any of a side is within 0.16 of the goal."""
        chasers, good = self.gaps(state)
        reached = lambda gaps: (gaps.min() < REACHED).astype(gaps.dtype)
        return {"good_success": reached(good), "adversary_success": reached(chasers)}


def simple_adversary(
    variant: Variant = "openai",
    actions: ActionKind = "discrete",
    episode_limit: Count = 25,
    num_adversaries: Count = 1,
    num_good_agents: Count = 2,
    num_landmarks: Count = 2,
) -> TimeLimit[Particles]:
    """Physical deception."""
    task = Adversary(variant, num_adversaries, num_good_agents, num_landmarks)
    return TimeLimit(World(task, actions, episode_limit))
