"""Predator-prey (Lowe et al., 2017): slow predators chase faster prey between obstacles."""

from collections.abc import Mapping

import jax.numpy as jnp
from jax import Array

from jmarl.types import ActionKind, Key
from jmarl_envs.catalogue import Count
from jmarl_envs.particle.drawing import arena
from jmarl_envs.particle.geometry import (
    opening,
    repeated,
    squares,
    stacked,
    touching,
    towards,
    towards_others,
)
from jmarl_envs.particle.physics import Variant, bodies, off_diagonal
from jmarl_envs.particle.sides import sides
from jmarl_envs.particle.world import Particles, Scenario, World
from jmarl_envs.scene import Scene
from jmarl_envs.time_limit import TimeLimit

CATCH = 10.0  # what a contact brings every predator, and costs the prey
SHAPING = 0.1  # maac: for distance to the other side
EXTENT = 0.9  # obstacles begin within, and prey that leaves it pays


class Tag(Scenario):
    """Predators share 10 for each contact with prey; prey loses 10 for each, and for leaving.

    maac shapes: predators lose 0.1 of the summed distances from each of them to its nearest prey,
    prey gains 0.1 of its summed distances to them. All bodies collide.
    Observed: velocity, position, offsets to obstacles and the others, the other prey's velocities.
    """

    name = "simple_tag"
    vocabulary = 2
    info = (("touches", "sum"),)

    def __init__(self, variant: Variant, adversaries: int, good: int, landmarks: int) -> None:
        self.variant: Variant = variant
        self.adversaries = adversaries
        self.agents, self.teams, self.team_names = sides(adversaries, good)
        count = len(self.agents)
        self.speaks = (False,) * count
        self.team_reward = "shared" if good == 1 else None
        self.bodies = bodies(
            radius=[0.075] * adversaries + [0.05] * good + [0.2] * landmarks,
            collides=[True] * (count + landmarks),
            movable=[True] * count,
            acceleration=[3.0] * adversaries + [4.0] * good,
            max_speed=[1.0] * adversaries + [1.3] * good,
        )
        width = 4 + 2 * landmarks + 2 * (count - 1) + 2 * good
        self.obs_sizes = (width,) * adversaries + (width - 2,) * good

    def reset(self, key: Key) -> Particles:
        return opening(self, key, jnp.zeros((), jnp.int32), EXTENT)

    def observe(self, state: Particles) -> Array:
        pos, split = state.pos, self.adversaries
        prey = repeated(state.vel[split:], len(pos))  # [A, G, 2] as each would see them
        offsets = towards(pos, state.landmarks), towards_others(pos)
        seen = jnp.concatenate([state.vel, pos, *offsets], -1)
        others = off_diagonal(prey[split:]).reshape(len(pos) - split, -1)
        return stacked(
            jnp.concatenate([seen[:split], prey[:split].reshape(split, -1)], -1),
            jnp.concatenate([seen[split:], others], -1),
        )

    def reward(self, state: Particles) -> Array:
        touches, split = self.touches(state), self.adversaries
        hunt = jnp.full(split, CATCH * touches.sum())
        flight = -CATCH * touches.sum(0) - leaving(jnp.abs(state.pos[split:])).sum(-1)
        if self.variant == "maac":
            gaps = jnp.sqrt(squares(state.pos[:split], state.pos[split:]))
            hunt = hunt - SHAPING * gaps.min(1).sum()
            flight = flight + SHAPING * gaps.sum(0)
        return jnp.concatenate([hunt, flight])

    def measure(self, state: Particles) -> Mapping[str, Array]:
        return {"touches": self.touches(state).sum()}

    def touches(self, state: Particles) -> Array:
        """[predators, prey] 1 where they touch."""
        pos, split, radius = state.pos, self.adversaries, self.bodies.radius[: len(self.agents)]
        touched = touching(pos[:split], radius[:split], pos[split:], radius[split:])
        return touched.astype(pos.dtype)

    def draw(self, state: Particles) -> Scene:
        touches = int(self.touches(state).sum())
        return arena(self, state, caption=f"{touches} contacts between predators and prey")


def leaving(x: Array) -> Array:
    """What prey pays for |x|: nothing below 0.9, then a slope up to 1, then up to 10."""
    slope = CATCH * (x - EXTENT)
    return jnp.where(x < EXTENT, 0.0, jnp.where(x < 1.0, slope, jnp.exp(2 * x - 2).clip(max=10)))


def simple_tag(
    variant: Variant = "openai",
    actions: ActionKind = "discrete",
    episode_limit: Count = 25,
    num_adversaries: Count = 3,
    num_good_agents: Count = 1,
    num_landmarks: Count = 2,
) -> TimeLimit[Particles]:
    """Predator-prey."""
    task = Tag(variant, num_adversaries, num_good_agents, num_landmarks)
    return TimeLimit(World(task, actions, episode_limit))
