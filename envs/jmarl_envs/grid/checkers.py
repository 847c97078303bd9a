"""Checkers: one agent should clear the way, and leave the apples to the other."""

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jmarl.types import EnvSpec, Key, Outcome, View
from jmarl_envs.catalogue import Count, Range
from jmarl_envs.common import agent_names, open_view
from jmarl_envs.grid.cells import MOVES, Plan, picture, places, take_turns, token, told, told_size
from jmarl_envs.scene import Scene, colour
from jmarl_envs.time_limit import TimeLimit

PLAN = Plan(("alalal0 ", "lalala  ", "alalal1 "))  # apples, lemons, the two agents
WORTH = np.array((10.0, 1.0), np.float32)  # of an apple to each agent; a lemon costs as much
SIGHT = 9 * 5  # the nine cells around, each: lemon, apple, agent 0, agent 1, wall (never)
APPLE, LEMON = "#6AB04C", "#F2C500"


class Orchard(struct.PyTreeNode):
    """Where both are, and what is left."""

    cell: Array  # [2] int32
    left: Array  # [cells] bool: apples and lemons not yet eaten
    time: Array  # [] int32


def eat(
    cell: Array, left: Array, apples: np.ndarray, lemons: np.ndarray
) -> tuple[Array, Array, Array]:
    """How many apples and lemons [2] those at `cell` eat, and what is left [cells].

    Nobody eats twice: one who follows to where the other was finds it bare.
    """
    here = cell[:, None] == np.arange(len(left))  # [2, cells]
    eaten = here & left
    return (eaten & apples).sum(-1), (eaten & lemons).sum(-1), left & ~here.any(0)


class Checkers:
    """ma-gym's version of the VDN paper's game (github.com/koulanurag/ma-gym, checkers).

    The map has 3 rows of 8. In columns 0 to 5 lie 9 apples (where row + column is even) and 9
    lemons; the agents start at (0, 6) and (2, 6). They move one after the other, never out of the
    map or into each other; who enters the cell of an apple or a lemon eats it. Agent 0 is
    sensitive: an apple earns it 10 and a lemon -10; agent 1 earns 1 and -1; each earns minus
    `step_cost` at every step besides. The episode ends when no apple is left.

    Observed [47]: row / 3 and column / 7, rounded, then the 3x3 cells around by rows, each as five
    bits: lemon, apple, agent 0, agent 1, wall (ma-gym has that bit, and nothing that sets it).
    Outside of the map all are zero. With `clock` the share of the time gone, with `full_obs`
    everybody's observation.
    """

    def __init__(self, clock: bool, full_obs: bool, step_cost: float, episode_limit: int) -> None:
        self.clock, self.full_obs, self.step_cost = clock, full_obs, step_cost
        self.starts = np.array([PLAN.cell(sign) for sign in "01"], np.int32)
        self.moves, self.near = PLAN.moves(), PLAN.near(1)
        self.coordinates = PLAN.coordinates(3, 7).round(2)
        self.apples, self.lemons = PLAN.find("a"), PLAN.find("l")
        self.near_lemons = np.append(self.lemons, False)[self.near]
        self.items = np.flatnonzero(self.apples | self.lemons)
        self.spec = EnvSpec(
            name="grid/checkers",
            agents=agent_names(2),
            obs_sizes=(told_size(2 + SIGHT, 2, clock, full_obs),) * 2,
            action_kind="discrete",
            action_parts=((MOVES,),) * 2,
            state_size=2 * 2 + len(self.items) + clock,
            episode_limit=episode_limit,
            teams=(0, 0),
            team_reward="sum",
            agent_features=(2, 2),
            info=(("solved_rate", "last"), ("apples", "sum"), ("lemons", "sum")),
        )

    def reset(self, key: Key) -> tuple[Orchard, View]:
        left = jnp.asarray(self.apples | self.lemons)
        state = Orchard(jnp.asarray(self.starts), left, jnp.zeros((), jnp.int32))
        return state, self.view(state)

    def step(self, state: Orchard, action: Array, key: Key) -> tuple[Orchard, Outcome]:
        cell = take_turns(state.cell, jnp.asarray(self.moves)[state.cell, action])
        apples, lemons, left = eat(cell, state.left, self.apples, self.lemons)
        reward = WORTH * (apples - lemons) - jnp.float32(self.step_cost)
        over = ~(left & self.apples).any()
        info = {
            "solved_rate": over.astype(jnp.float32),
            "apples": apples.sum(dtype=jnp.float32),
            "lemons": lemons.sum(dtype=jnp.float32),
        }
        state = Orchard(cell, left, state.time + 1)
        return state, Outcome(self.view(state), reward, over, jnp.zeros((), bool), info)

    def view(self, state: Orchard) -> View:
        """The state [S]: each agent's row and column, each item if left; the clock if seen."""
        place = jnp.asarray(self.coordinates)[state.cell]
        near = jnp.asarray(self.near)[state.cell]  # [2, 9]
        lies = jnp.append(state.left, False)[near]
        lemon = jnp.asarray(self.near_lemons)[state.cell]
        standing = (near == cell for cell in state.cell)
        bits = (lies & lemon, lies & ~lemon, *standing, jnp.zeros_like(lies))
        marks = jnp.stack(bits, -1)  # [2, 9, 5]
        own = jnp.concatenate([place, marks.reshape(2, SIGHT)], -1)
        time = state.time / self.spec.episode_limit if self.clock else None
        whole = jnp.concatenate([place.reshape(-1), state.left[self.items]])
        whole = whole if time is None else jnp.append(whole, time)
        return open_view(self.spec, told(own, time, self.full_obs), whole)

    def draw(self, state: Any) -> Scene:
        """Apples are green, lemons yellow, both smaller than agents."""
        shapes = []
        for place in places(state.left):
            shapes += token(PLAN, place, APPLE if self.apples[place] else LEMON, radius=0.2)
        for agent, place in enumerate(state.cell):
            shapes += token(PLAN, place, colour(agent), f"±{WORTH[agent]:.0f}", 0.4, agent)
        apples, lemons = (int((state.left & kind).sum()) for kind in (self.apples, self.lemons))
        time = f"step {int(state.time)} of {self.spec.episode_limit}"
        return picture(PLAN, tuple(shapes), f"{time}, {apples} apples and {lemons} lemons left")


def checkers(
    clock: bool = False,
    full_obs: bool = False,
    step_cost: Annotated[float, Range(0.0)] = 0.01,
    episode_limit: Count = 100,
) -> TimeLimit[Orchard]:
    """Checkers as in ma-gym. `step_cost` is subtracted at each step (ma-gym adds -0.01)."""
    return TimeLimit(Checkers(clock, full_obs, step_cost, episode_limit))
