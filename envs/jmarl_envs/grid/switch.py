"""Switch: agents cross a narrow corridor in opposite directions."""

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jmarl.types import EnvSpec, Key, Outcome, View
from jmarl_envs.catalogue import Count, Range
from jmarl_envs.common import agent_names, open_view
from jmarl_envs.grid.cells import (
    MOVES,
    Plan,
    picture,
    square,
    take_turns,
    token,
    told,
    told_size,
    words,
)
from jmarl_envs.scene import Scene, colour, faded
from jmarl_envs.time_limit import TimeLimit

PLAN = Plan(("  ###  ", "       ", "  ###  "))
STARTS, GOALS = np.array(((1, 5, 15, 19), (6, 0, 20, 14)), np.int32)  # cells, by agent
ARRIVAL = 5.0


class Crossing(struct.PyTreeNode):
    """Where everybody is."""

    cell: Array  # [A] int32
    arrived: Array  # [A] bool
    time: Array  # [] int32


class Switch:
    """ma-gym's version of the VDN paper's game (github.com/koulanurag/ma-gym, switch).

    The map has 3 rows of 7; of rows 0 and 2 only columns 0, 1, 5 and 6 are free. Agents start at
    (0, 1), (0, 5), (2, 1), (2, 5) and go to (0, 6), (0, 0), (2, 6), (2, 0): the first two or more
    of them. They move one after the other by index, never into a wall or an occupied cell. Each
    earns minus `step_cost` at a step, instead of it 5 when it arrives, and nothing afterwards: it
    stays where it is and still stands in the way. The episode ends when all have arrived.

    All moves stay available to one that has arrived, as in ma-gym, but it is no longer `alive`:
    what it chooses has no effect, so it must not weigh in a policy's loss. Observed [2]: row / 2
    and column / 6, rounded; with `clock` the share of the time gone; with `full_obs` everybody's.
    """

    def __init__(
        self, num_agents: int, clock: bool, full_obs: bool, step_cost: float, episode_limit: int
    ) -> None:
        self.clock, self.full_obs, self.step_cost = clock, full_obs, step_cost
        self.starts, self.goals = STARTS[:num_agents], GOALS[:num_agents]
        self.moves, self.coordinates = PLAN.moves(), PLAN.coordinates(2, 6).round(2)
        self.spec = EnvSpec(
            name=f"grid/switch{num_agents}",
            agents=agent_names(num_agents),
            obs_sizes=(told_size(2, num_agents, clock, full_obs),) * num_agents,
            action_kind="discrete",
            action_parts=((MOVES,),) * num_agents,
            state_size=3 * num_agents + clock,
            episode_limit=episode_limit,
            teams=(0,) * num_agents,
            team_reward="sum",
            agent_features=(num_agents, 3),
            info=(("solved_rate", "last"), ("arrivals", "sum")),
        )

    def reset(self, key: Key) -> tuple[Crossing, View]:
        nobody = jnp.zeros(self.spec.num_agents, bool)
        state = Crossing(jnp.asarray(self.starts), nobody, jnp.zeros((), jnp.int32))
        return state, self.view(state)

    def step(self, state: Crossing, action: Array, key: Key) -> tuple[Crossing, Outcome]:
        wanted = jnp.asarray(self.moves)[state.cell, action]
        cell = take_turns(state.cell, jnp.where(state.arrived, state.cell, wanted))
        arrived = cell == self.goals
        new = arrived & ~state.arrived
        active = jnp.where(new, jnp.float32(ARRIVAL), jnp.float32(-self.step_cost))
        reward = jnp.where(state.arrived, jnp.float32(0), active)
        over = arrived.all()
        info = {"solved_rate": over.astype(jnp.float32), "arrivals": new.sum(dtype=jnp.float32)}
        state = Crossing(cell, arrived, state.time + 1)
        return state, Outcome(self.view(state), reward, over, jnp.zeros((), bool), info)

    def view(self, state: Crossing) -> View:
        """The state [S]: each agent's row, column and whether it has arrived; the clock if seen."""
        place = jnp.asarray(self.coordinates)[state.cell]
        time = state.time / self.spec.episode_limit if self.clock else None
        features = jnp.concatenate([place, state.arrived[:, None]], -1).reshape(-1)
        whole = features if time is None else jnp.append(features, time)
        view = open_view(self.spec, told(place, time, self.full_obs), whole)
        return view.replace(alive=~state.arrived)

    def draw(self, state: Any) -> Scene:
        """Goals are framed in their agents' colours; who has arrived turns pale."""
        shapes = []
        for agent, goal in enumerate(self.goals):
            shapes += [square(PLAN, goal, faded(colour(agent), 0.15), colour(agent), 0.06)]
            if not state.arrived[agent]:
                shapes += [words(PLAN, goal, f"goal {agent}", 0.2, colour(agent))]
        for agent, cell in enumerate(state.cell):
            fill = faded(colour(agent), 0.6) if state.arrived[agent] else colour(agent)
            shapes += token(PLAN, cell, fill, str(agent), agent=agent)
        there, all_of_them = int(state.arrived.sum()), self.spec.num_agents
        time = f"step {int(state.time)} of {self.spec.episode_limit}"
        return picture(PLAN, tuple(shapes), f"{time}, arrived: {there} of {all_of_them}")


def switch(
    num_agents: Annotated[int, Range(2, 4)] = 2,
    clock: bool = False,
    full_obs: bool = False,
    step_cost: Annotated[float, Range(0.0)] = 0.1,
    episode_limit: Count = 50,
) -> TimeLimit[Crossing]:
    """Switch as in ma-gym. `step_cost` is subtracted at each step (ma-gym adds -0.1)."""
    return TimeLimit(Switch(num_agents, clock, full_obs, step_cost, episode_limit))
