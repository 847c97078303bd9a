"""The switch riddle: prisoners who meet through a light bulb alone.

From Foerster et al., Learning to Communicate to Solve Riddles with Deep Distributed Recurrent
Q-Networks (2016), by jaxmarl's rules on arrays of our own, and, unless jaxmarl's are asked for, on
fewer random numbers. Each day one prisoner, drawn uniformly, is in the room and sees the bulb.
Whoever tells that all have been there frees all if it is true, and else none.
"""

from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl.types import EnvSpec, Key, Outcome, View
from jmarl_envs.catalogue import Entry, Listing, Peer, Range, options_of
from jmarl_envs.common import agent_names, open_view
from jmarl_envs.jaxmarl_suite.base import flat, load
from jmarl_envs.scene import FAINT, INK, PALETTE, PAPER, Box, Circle, Scene, Shape, Text, colour
from jmarl_envs.time_limit import TimeLimit

NOTHING, SWITCH, TELL = range(3)
NAME = "switch_riddle/switch_riddle"


class Prison(struct.PyTreeNode):
    """A morning: somebody has just been called into the room."""

    inside: Array  # [] int32
    lit: Array  # [] bool
    been: Array  # [A] bool: has been in the room on a day before
    day: Array  # [] int32 from 0


class SwitchRiddle:
    """`initially` is the light of the first day; `live` and `die` are what telling earns.

    `call(key, num_agents)` draws who comes into the room.
    """

    def __init__(
        self,
        num_agents: int,
        initially: bool,
        live: float,
        die: float,
        episode_limit: int,
        call: Callable[[Key, int], Array],
    ) -> None:
        self.initially, self.live, self.die, self.call = initially, live, die, call
        self.spec = EnvSpec(
            name=NAME,
            agents=agent_names(num_agents),
            obs_sizes=(2,) * num_agents,
            action_kind="discrete",
            action_parts=((3,),) * num_agents,
            state_size=2 * num_agents + 1,
            episode_limit=episode_limit,
            teams=(0,) * num_agents,
            team_reward="shared",
            agent_features=(num_agents, 2),
            info=(("win_rate", "last"),),
        )

    def reset(self, key: Key) -> tuple[Prison, View]:
        agents = self.spec.num_agents
        nobody = jnp.zeros(agents, bool)
        lit = jnp.asarray(self.initially, bool)
        state = Prison(self.call(key, agents), lit, nobody, jnp.zeros((), jnp.int32))
        return state, self.view(state)

    def step(self, state: Prison, action: Array, key: Key) -> tuple[Prison, Outcome]:
        inside = self.inside(state)
        choice = jnp.where(inside, action, NOTHING).sum()
        been = state.been | inside
        told, free = choice == TELL, been.all()
        reward = jnp.where(told, jnp.where(free, self.live, self.die), 0.0)
        lit = state.lit ^ (choice == SWITCH)
        state = Prison(self.call(key, len(inside)), lit, been, state.day + 1)
        return state, Outcome(
            view=self.view(state),
            reward=jnp.full(inside.shape, reward, jnp.float32),
            terminated=told,
            truncated=jnp.zeros((), bool),
            info={"win_rate": (told & free).astype(jnp.float32)},
        )

    def inside(self, state: Prison) -> Array:
        """[A] bool"""
        return state.inside == jnp.arange(self.spec.num_agents)

    def view(self, state: Prison) -> View:
        """Observed: am I in the room, is the light on (if I am). State: of each, is it in the room,
        has it been; then the light. Who is not in the room can do nothing."""
        inside = self.inside(state)
        obs = jnp.stack([inside, inside & state.lit], axis=1).astype(jnp.float32)
        people = jnp.stack([inside, state.been], axis=1)
        view = open_view(self.spec, obs, flat(people, state.lit))
        return view.replace(available=inside[:, None] | (jnp.arange(3) == NOTHING))

    def draw(self, state: Any) -> Scene:
        """The room with its bulb; below it those outside. Who has been in the room is filled."""
        agents = self.spec.num_agents
        inside, lit = int(state.inside), bool(state.lit)
        width = max(agents, 4)
        middle = width / 2
        shapes: list[Shape] = [Box(middle - 1.5, 1.5, 3, 2, FAINT, INK)]
        shapes += [Circle(middle + 0.8, 2.9, 0.3, PALETTE[6] if lit else PAPER, INK)]
        for index in range(agents):
            x = middle - 0.4 if index == inside else index + 0.5 + (width - agents) / 2
            y = 2.2 if index == inside else 0.7
            been = bool(state.been[index])
            shapes += [Circle(x, y, 0.36, colour(index) if been else PAPER, colour(index), index)]
            shapes += [Text(x, y, str(index), 0.4, PAPER if been else INK)]
        been = int(state.been.sum())
        words = f"day {int(state.day)}: {been} of {agents} have been in the room (filled)"
        return Scene(0, 0, width, 3.7, tuple(shapes), words)


def called(key: Key, agents: int) -> Array:
    """Uniform int32 below `agents`, from one block of random bits: `jax.random.randint` takes four,
    which is much of a step's time (benchmarks/NOTES.md)."""
    return (jax.random.bits(key) % agents).astype(jnp.int32)


def called_by_library(key: Key, agents: int) -> Array:
    """Whom jaxmarl calls with the same key."""
    return jax.random.randint(key, (), 0, agents)


def library(**options: Any) -> Any:
    """jaxmarl's environment itself, with its own limit of 4 num_agents - 6 days."""
    return load("switch_riddle", **options)


def switch_riddle(
    num_agents: Annotated[int, Range(3)] = 3,
    initial_bulb_state: bool = False,
    reward_all_live: float = 1.0,
    reward_all_die: float = -1.0,
    episode_limit: Annotated[int, Range(0)] = 0,
    library_draws: bool = False,
) -> TimeLimit[Prison]:
    """`episode_limit` 0 stands for the riddle's own, 4 num_agents - 6 days.

    With `library_draws` the same keys call whom they call in jaxmarl, a third slower.
    """
    rewards, call = (
        (reward_all_live, reward_all_die),
        called_by_library if library_draws else called,
    )
    limit = episode_limit or 4 * num_agents - 6
    return TimeLimit(SwitchRiddle(num_agents, initial_bulb_state, *rewards, limit, call))


ENTRIES = (
    Entry(
        name=NAME,
        factory=switch_riddle,
        listing=Listing(
            summary="prisoners learn through one light bulb when all of them have been in a room",
            reward="all: 1 if somebody tells rightly that all have been there, -1 if wrongly",
            lacks=("entities", "the day in observations"),
        ),
        options=options_of(switch_riddle),
        aliases=("switch_riddle",),
        peer=Peer("jaxmarl", library),
    ),
)
