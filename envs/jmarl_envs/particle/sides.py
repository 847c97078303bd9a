"""Adversaries and good agents: who is who, and the scenarios round a goal that the good know."""

import jax
from jax import Array

from jmarl.types import Key
from jmarl_envs.particle.drawing import arena
from jmarl_envs.particle.geometry import any_of, chosen, distances, one_hot, opening
from jmarl_envs.particle.world import Particles, Scenario
from jmarl_envs.scene import Scene, colour


def sides(adversaries: int, good: int) -> tuple[tuple[str, ...], tuple[int, ...], tuple[str, str]]:
    """Agents' names, their teams and the teams' names, adversaries first as in the original."""
    names = [f"adversary_{index}" for index in range(adversaries)]
    names += [f"agent_{index}" for index in range(good)]
    return tuple(names), (0,) * adversaries + (1,) * good, ("adversaries", "good")


class Contest(Scenario):
    """Two sides and one goal, a landmark drawn uniformly. Everybody moves, nobody speaks."""

    adversaries: int

    def reset(self, key: Key) -> Particles:
        place_key, goal_key = jax.random.split(key)
        landmarks = len(self.bodies.radius) - len(self.agents)
        return opening(self, place_key, any_of(goal_key, landmarks))

    def features(self, state: Particles) -> Array:
        """Which landmark is the goal."""
        return one_hot(state.goal, len(state.landmarks)).astype(state.pos.dtype)

    def gaps(self, state: Particles) -> tuple[Array, Array]:
        """The adversaries' and the good agents' distances to the goal."""
        gaps = distances(state.pos, chosen(state.landmarks, state.goal))
        return gaps[: self.adversaries], gaps[self.adversaries :]

    def draw(self, state: Particles) -> Scene:
        chasers, good = (float(gaps.min()) for gaps in self.gaps(state))
        words = f"from the goal: good {good:.2f}, adversary {chasers:.2f}"
        return arena(self, state, [(int(state.goal), colour(1))], words)
