"""Covert communication (Lowe et al., 2017): Alice tells Bob a colour, Eve listens."""

from collections.abc import Mapping
from typing import Annotated

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import ActionKind, Key
from jmarl_envs.catalogue import Count, Range
from jmarl_envs.particle.drawing import arena, landmark
from jmarl_envs.particle.geometry import any_of, one_hot, opening, stacked
from jmarl_envs.particle.physics import Variant, bodies
from jmarl_envs.particle.world import Particles, Scenario, World
from jmarl_envs.scene import Scene
from jmarl_envs.scene import colour as paint
from jmarl_envs.time_limit import TimeLimit

EVE, BOB, ALICE = range(3)


class Crypto(Scenario):
    """Eve earns minus her message's squared error; Alice and Bob Eve's squared error less Bob's.

    The goal and the key are colours of landmarks, one-hot in four entries; whoever says nothing
    (all zeros) has no error. Nobody moves. Observed by Alice: goal, key; by Bob: key, Alice's
    message; by Eve: Alice's message. `state.goal` holds both landmarks' indices.
    """

    name = "simple_crypto"
    agents = ("eve", "bob", "alice")
    teams, team_names = (0, 1, 1), ("adversaries", "good")
    team_reward = "shared"
    speaks = (True, True, True)
    vocabulary = 4
    obs_sizes = (4, 8, 8)
    info = (("bob_right", "sum"), ("eve_right", "sum"))

    def __init__(self, variant: Variant, landmarks: int, episode_limit: int) -> None:
        self.variant: Variant = variant
        self.landmarks, self.episode_limit = landmarks, episode_limit
        self.bodies = bodies(
            radius=[0.05] * (3 + landmarks),
            collides=[False] * (3 + landmarks),
            movable=[False] * 3,
        )

    def reset(self, key: Key) -> Particles:
        place_key, goal_key = jax.random.split(key)
        return opening(self, place_key, any_of(goal_key, self.landmarks, (2,)))

    def observe(self, state: Particles) -> Array:
        goal, secret = self.colours(state)
        heard = state.message[ALICE]
        rows = heard, jnp.append(secret, heard), jnp.append(goal, secret)
        return stacked(*(row[None] for row in rows))

    def reward(self, state: Particles) -> Array:
        goal, _ = self.colours(state)
        error = ((state.message - goal) ** 2).sum(-1) * (state.message != 0).any(-1)
        good = error[EVE] - error[BOB]
        return jnp.stack([-error[EVE], good, good])

    def measure(self, state: Particles) -> Mapping[str, Array]:
        """Shares of an episode's steps: something was said, and the goal is nearest to it."""
        right = (state.message.argmax(-1) == state.goal[0]) & (state.message != 0).any(-1)
        share = right.astype(state.pos.dtype) / self.episode_limit
        return {"bob_right": share[BOB], "eve_right": share[EVE]}

    def features(self, state: Particles) -> Array:
        return jnp.concatenate(self.colours(state))

    def colours(self, state: Particles) -> tuple[Array, Array]:
        """The goal's and the key's, [4] each."""
        goal, secret = one_hot(state.goal, self.vocabulary).astype(state.pos.dtype)
        return goal, secret

    def draw(self, state: Particles) -> Scene:
        goal, secret = (int(index) for index in state.goal)
        words = f"the goal is {landmark(goal)}, the key {landmark(secret)}"
        return arena(self, state, [(goal, paint(1))], words)


def simple_crypto(
    variant: Variant = "openai",
    actions: ActionKind = "discrete",
    episode_limit: Count = 25,
    num_landmarks: Annotated[int, Range(1, 4)] = 2,
) -> TimeLimit[Particles]:
    """Covert communication."""
    task = Crypto(variant, num_landmarks, episode_limit)
    return TimeLimit(World(task, actions, episode_limit))
