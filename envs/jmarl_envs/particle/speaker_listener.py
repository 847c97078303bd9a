"""Cooperative communication (Lowe et al., 2017): a still speaker names the listener's goal."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import ActionKind, Key
from jmarl_envs.catalogue import Count
from jmarl_envs.particle.drawing import arena, landmark
from jmarl_envs.particle.geometry import any_of, chosen, colour, one_hot, opening, stacked, towards
from jmarl_envs.particle.physics import Variant, bodies
from jmarl_envs.particle.world import Particles, Scenario, World
from jmarl_envs.scene import Scene
from jmarl_envs.scene import colour as paint
from jmarl_envs.time_limit import TimeLimit

REACHED = 0.15  # from the goal; the paper does not tell its own threshold
DARK, LIGHT = 0.15, 0.65  # the entries of a landmark's colour


class SpeakerListener(Scenario):
    """Both earn minus the listener's squared distance to the goal; openai pays them twice that.

    Observed by the speaker: the goal's colour, an entry for each landmark but at least three. By
    the listener: its velocity, the offsets to all landmarks, the speaker's message of this step.
    """

    name = "simple_speaker_listener"
    agents = ("speaker", "listener")
    teams, team_names = (0, 0), ("team",)
    team_reward = "shared"
    speaks = (True, False)
    info = (("distance", "last"), ("target_reached", "last"))

    def __init__(self, variant: Variant, landmarks: int, symbols: int) -> None:
        self.variant: Variant = variant
        self.vocabulary = symbols
        self.colours = max(3, landmarks)
        self.bodies = bodies(
            radius=[0.075] * 2 + [0.04] * landmarks,
            collides=[False] * (2 + landmarks),
            movable=[False, True],
        )
        self.obs_sizes = (self.colours, 2 + 2 * landmarks + symbols)

    @property
    def landmarks(self) -> int:
        return len(self.bodies.radius) - 2

    def reset(self, key: Key) -> Particles:
        place_key, goal_key = jax.random.split(key)
        return opening(self, place_key, any_of(goal_key, self.landmarks))

    def observe(self, state: Particles) -> Array:
        goal = colour(state.goal, self.colours, DARK, LIGHT).astype(state.pos.dtype)
        offsets = towards(state.pos[1:], state.landmarks)
        heard = jnp.concatenate([state.vel[1:], offsets, state.message[:1]], -1)
        return stacked(goal[None], heard)

    def reward(self, state: Particles) -> Array:
        times = 2 if self.variant == "openai" else 1
        return jnp.full(2, -times * self.square(state))

    def measure(self, state: Particles) -> Mapping[str, Array]:
        """`target_reached`: the listener's centre is within 0.15 of the goal's."""
        distance = jnp.sqrt(self.square(state))
        reached = (distance < REACHED).astype(distance.dtype)
        return {"distance": distance, "target_reached": reached}

    def features(self, state: Particles) -> Array:
        return one_hot(state.goal, self.landmarks).astype(state.pos.dtype)

    def square(self, state: Particles) -> Array:
        """[] the listener's squared distance to its goal."""
        return ((state.pos[1] - chosen(state.landmarks, state.goal)) ** 2).sum()

    def draw(self, state: Particles) -> Scene:
        goal, distance = int(state.goal), float(self.measure(state)["distance"])
        words = f"the listener is {distance:.2f} away from {landmark(goal)}, its goal"
        return arena(self, state, [(goal, paint(0))], words)


def simple_speaker_listener(
    variant: Variant = "openai",
    actions: ActionKind = "discrete",
    episode_limit: Count = 25,
    num_landmarks: Count = 3,
    num_symbols: Count = 3,
) -> TimeLimit[Particles]:
    """Cooperative communication."""
    task = SpeakerListener(variant, num_landmarks, num_symbols)
    return TimeLimit(World(task, actions, episode_limit))
