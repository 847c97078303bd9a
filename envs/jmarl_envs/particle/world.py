"""The environment made of a scenario and the physics: actions in, views and rewards out."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jmarl.types import ActionKind, Entities, EnvSpec, Key, Outcome, View
from jmarl_envs.common import open_view
from jmarl_envs.particle.physics import Bodies, Variant, move
from jmarl_envs.scene import Scene

MOVES = 5  # none, and four directions


class Particles(struct.PyTreeNode):
    """Where everything is, and what has been said."""

    pos: Array  # [N, 2]
    vel: Array  # [N, 2]
    message: Array  # [N, C] as sent in the last step
    landmarks: Array  # [L, 2]
    goal: Array  # [...] int32, as the scenario reads it
    extra: Any = ()  # what else a scenario must remember


class Scenario(Protocol):
    """What one task adds to the physics. All arrays are those of one environment.

    Subclasses inherit what has a body here: no metrics, nothing more to know, nothing after a step.
    """

    name: str
    variant: Variant
    agents: tuple[str, ...]
    teams: tuple[int, ...]
    team_names: tuple[str, ...]
    team_reward: Literal["mean", "sum", "shared"] | None
    bodies: Bodies
    speaks: tuple[bool, ...]  # who sends messages
    vocabulary: int  # C, the width of a message
    obs_sizes: tuple[int, ...]
    info: tuple[tuple[str, Literal["sum", "last"]], ...] = ()

    def reset(self, key: Key) -> Particles: ...

    def observe(self, state: Particles) -> Array:
        """[A, O] padded with zeros."""
        ...

    def reward(self, state: Particles) -> Array:
        """[A] for having come to `state`."""
        ...

    def measure(self, state: Particles) -> Mapping[str, Array]:
        """The metrics that `info` lists, float32."""
        return {}

    def features(self, state: Particles) -> Array:
        """[...] what the global state holds beside bodies, messages and landmarks."""
        return jnp.zeros(0)

    def entities(self, state: Particles) -> Entities | None:
        """Where agents see the same; None where some know what others do not."""
        return None

    def after(self, state: Particles, key: Key) -> Particles:
        """What happens once observations and rewards are given (maac's post-step hook)."""
        return state

    def draw(self, state: Particles) -> Scene: ...


class World:
    """A scenario behind the protocol; ends only by its time limit."""

    def __init__(self, scenario: Scenario, actions: ActionKind, episode_limit: int) -> None:
        self.scenario = scenario
        self.moves, self.speaks = scenario.bodies.movable, np.array(scenario.speaks)
        self.draw = scenario.draw
        size = 4 + scenario.vocabulary * bool(self.speaks.any())
        landmarks = len(scenario.bodies.radius) - len(scenario.agents)
        opened = jax.eval_shape(scenario.reset, jax.random.key(0))
        entities = jax.eval_shape(scenario.entities, opened)
        slots, width = (0, 0) if entities is None else entities.features.shape
        self.spec = EnvSpec(
            name=f"particle/{scenario.name}",
            agents=scenario.agents,
            obs_sizes=scenario.obs_sizes,
            action_kind=actions,
            action_parts=tuple(
                parts(moves, scenario.vocabulary * speaks, actions)
                for moves, speaks in zip(self.moves, scenario.speaks, strict=True)
            ),
            state_size=len(scenario.agents) * size
            + 2 * landmarks
            + jax.eval_shape(scenario.features, opened).size,
            episode_limit=episode_limit,
            teams=scenario.teams,
            team_names=scenario.team_names,
            team_reward=scenario.team_reward,
            num_entities=slots,
            entity_size=width,
            agent_features=(len(scenario.agents), size),
            info=scenario.info,
        )

    def reset(self, key: Key) -> tuple[Particles, View]:
        state = self.scenario.reset(key)
        return state, self.view(state)

    def step(self, state: Particles, action: Array, key: Key) -> tuple[Particles, Outcome]:
        """`action` is [A] or [A, U] by the spec's kind; entries beyond an agent's are ignored."""
        push, message = self.read(action)
        return self.advance(state, push, message, key)

    def advance(
        self, state: Particles, push: Array, message: Array, key: Key
    ) -> tuple[Particles, Outcome]:
        """One step under pushes [A, 2] and messages [A, C]."""
        task = self.scenario
        pos, vel = move(task.bodies, task.variant, state.pos, state.vel, state.landmarks, push)
        state = state.replace(pos=pos, vel=vel, message=message.astype(state.message.dtype))
        never = jnp.zeros((), bool)
        info = dict(task.measure(state))
        out = Outcome(self.view(state), task.reward(state), never, never, info)
        return task.after(state, key), out

    def view(self, state: Particles) -> View:
        said = (state.message,) if self.speaks.any() else ()
        agents = jnp.concatenate([state.pos, state.vel, *said], -1)
        rest = state.landmarks.reshape(-1), self.scenario.features(state)
        whole = jnp.concatenate([agents.reshape(-1), *rest])
        task = self.scenario
        return open_view(self.spec, task.observe(state), whole, task.entities(state))

    def read(self, action: Array) -> tuple[Array, Array]:
        """Pushes [A, 2] and messages [A, C] of an action; nobody's are zero."""
        moves, speaks = self.moves[:, None], self.speaks[:, None]
        width = self.scenario.vocabulary
        sign = -1.0 if self.scenario.variant == "pettingzoo" else 1.0
        if self.spec.action_kind == "discrete":
            index = action[:, None]
            move = jnp.where(moves, index % MOVES, 0)
            said = jnp.where(moves, index // MOVES, index)
            steps = (move == np.arange(MOVES)).astype(jnp.float32)
            message = (said == np.arange(width)).astype(jnp.float32)
            return sign * directions(steps) * moves, message * speaks
        begin = 2 if self.spec.action_kind == "box" else MOVES
        wide = jnp.pad(action, ((0, 0), (0, begin + width)))
        message = jnp.where(moves, wide[:, begin : begin + width], wide[:, :width])
        if self.spec.action_kind == "simplex":
            return sign * directions(wide[:, :MOVES]) * moves, message * speaks
        wide, message = wide.clip(-1.0, 1.0), (message.clip(-1.0, 1.0) + 1) / 2
        return wide[:, :2] * moves, message * speaks


def directions(moves: Array) -> Array:
    """[A, 2] of weights [A, 5] on: none, right, left, up, down."""
    return jnp.stack([moves[:, 1] - moves[:, 2], moves[:, 3] - moves[:, 4]], -1)


def parts(moves: bool, vocabulary: int, kind: ActionKind) -> tuple[int, ...]:
    """The sizes of an agent's action parts: its move and its message, where it has them."""
    if kind == "box":
        return (2 * bool(moves) + vocabulary,)
    return tuple(size for size in (MOVES * bool(moves), vocabulary) if size)
