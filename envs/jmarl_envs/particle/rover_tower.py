"""Rover-Tower (Iqbal and Sha, "Actor-Attention-Critic for Multi-Agent Reinforcement Learning",
2019; the scenario `multi_speaker_listener` of the authors' release).

Each rover has a tower that sees it and its goal, one of the landmarks; the rover sees neither the
goal nor any landmark, but hears its tower. Who belongs to whom is drawn anew in each episode.
Nothing collides. A message is heard in the observation that follows it.
"""

from collections.abc import Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jmarl.types import ActionKind, Key
from jmarl_envs.catalogue import Count
from jmarl_envs.particle.geometry import any_of, chosen, one_hot, opening, stacked
from jmarl_envs.particle.ordering import order, ranks
from jmarl_envs.particle.physics import bodies
from jmarl_envs.particle.world import Particles, Scenario, World
from jmarl_envs.particles_drawing import LETTERS, Body, particle_scene
from jmarl_envs.scene import INK, PAPER, WALL, Box, Circle, Line, Scene, Shape, Text, colour
from jmarl_envs.time_limit import TimeLimit

AGENT, LANDMARK = 0.075, 0.04  # radii
PRIZE = 10.0
# The original compares this length with a squared distance: the goal's true radius is 0.415.
REACH = (AGENT + LANDMARK) * 1.5


class Pairs(struct.PyTreeNode):
    """Who belongs to whom: two permutations, each the other's inverse."""

    rover: Array  # [P] int32 of each tower
    tower: Array  # [P] int32 of each rover


class RoverTower(Scenario):
    """P rovers, then P towers. `state.goal` [P] is the landmark to which each tower's rover must
    go; several may have the same.
    """

    name = "rover_tower"
    variant = "maac"
    team_names = ("team",)
    team_reward = None
    info = (("reached_rate", "last"), ("distance", "last"))

    def __init__(self, pairs: int, landmarks: int, messages: int) -> None:
        self.pairs, self.landmarks, self.vocabulary = pairs, landmarks, messages
        self.agents = tuple(f"{kind}_{i}" for kind in ("rover", "tower") for i in range(pairs))
        self.teams = (0,) * 2 * pairs
        self.speaks = (False,) * pairs + (True,) * pairs
        self.bodies = bodies(
            radius=[AGENT] * 2 * pairs + [LANDMARK] * landmarks,
            collides=[False] * (2 * pairs + landmarks),
            movable=[True] * pairs + [False] * pairs,
            acceleration=1.5,
            max_speed=1.0,
        )
        self.obs_sizes = (pairs + messages + 4,) * pairs + (pairs + 4,) * pairs

    def reset(self, key: Key) -> Particles:
        body_key, pair_key, goal_key = jax.random.split(key, 3)
        draw = jax.random.uniform(pair_key, (self.pairs,))  # its order is a random permutation
        goal = any_of(goal_key, self.landmarks, (self.pairs,))
        return opening(self, body_key, goal).replace(extra=Pairs(order(draw), ranks(draw)))

    def observe(self, state: Particles) -> Array:
        """Rovers: whose they are, what that tower says, own place and speed. Towers: whose they
        are, that rover's place, its goal's place.
        """
        p, rover, tower = self.pairs, state.extra.rover, state.extra.tower
        said, goal = chosen(state.message[p:], tower), chosen(state.landmarks, state.goal)
        rovers = [one_hot(tower, p), said, state.pos[:p], state.vel[:p]]
        towers = [one_hot(rover, p), chosen(state.pos[:p], rover), goal]
        return stacked(jnp.concatenate(rovers, -1), jnp.concatenate(towers, -1))

    def away(self, state: Particles) -> Array:
        """[P] each rover's squared distance to its goal."""
        goal = chosen(state.landmarks, chosen(state.goal, state.extra.tower))
        return ((state.pos[: self.pairs] - goal) ** 2).sum(-1)

    def reward(self, state: Particles) -> Array:
        """Both of a pair: minus the squared distance, and 10 within reach."""
        away = self.away(state)
        rovers = PRIZE * (away < REACH) - away
        return jnp.concatenate([rovers, chosen(rovers, state.extra.rover)])

    def measure(self, state: Particles) -> Mapping[str, Array]:
        """The share of rovers within reach of their goals, and their mean distance."""
        away = self.away(state)
        found = {"reached_rate": (away < REACH).mean(), "distance": jnp.sqrt(away).mean()}
        return {name: value.astype(jnp.float32) for name, value in found.items()}

    def features(self, state: Particles) -> Array:
        """Of each tower one-hots of its rover and of its goal."""
        rover, goal = one_hot(state.extra.rover, self.pairs), one_hot(state.goal, self.landmarks)
        return jnp.concatenate([rover.reshape(-1), goal.reshape(-1)]).astype(state.pos.dtype)

    def draw(self, state: Particles) -> Scene:
        """Pairs share a colour; towers are boxes that show what they say; lines lead to goals."""
        p, goals, owners = self.pairs, state.goal.tolist(), state.extra.tower.tolist()
        landmarks = [
            Body(x, y, LANDMARK, WALL, rings=tuple(colour(i) for i in range(p) if goals[i] == j))
            for j, (x, y) in enumerate(state.landmarks.tolist())
        ]
        rovers = [
            Body(x, y, AGENT, colour(tower), f"{rover}", agent=rover)
            for rover, (tower, (x, y)) in enumerate(zip(owners, state.pos.tolist(), strict=False))
        ]
        reached = int((np.asarray(self.away(state)) < REACH).sum())
        caption = f"{reached} of {p} rovers within reach of their goals"
        scene = particle_scene(rovers, landmarks, caption=caption)
        start, *discs = scene.shapes
        towers = [shape for tower in range(p) for shape in self.tower(state, tower)]
        return replace(scene, shapes=(start, *self.ways(state), *discs, *towers))

    def ways(self, state: Particles) -> list[Shape]:
        """Lines from rovers to their goals."""
        ends = np.concatenate([state.pos[state.extra.rover], state.landmarks[state.goal]], -1)
        return [Line(*end, colour=colour(tower)) for tower, end in enumerate(ends.tolist())]

    def tower(self, state: Particles, tower: int) -> list[Shape]:
        """A box with the loudest word of its message."""
        x, y = state.pos[self.pairs + tower].tolist()
        said = state.message[self.pairs + tower]
        letter = LETTERS[int(said.argmax()) % len(LETTERS)] if said.any() else ""
        box = Box(x - AGENT, y - AGENT, 2 * AGENT, 2 * AGENT, colour(tower), INK)
        place = Circle(x, y, AGENT, agent=self.pairs + tower)  # without a colour: to be found
        return [place, box, Text(x, y, letter, 1.5 * AGENT, PAPER)]


def rover_tower(
    num_pairs: Count = 4,
    num_landmarks: Count = 6,
    num_messages: Count = 5,
    actions: ActionKind = "discrete",
    episode_limit: Count = 25,
) -> TimeLimit[Particles]:
    """Rover-Tower with any number of pairs."""
    scenario = RoverTower(num_pairs, num_landmarks, num_messages)
    return TimeLimit(World(scenario, actions, episode_limit))
