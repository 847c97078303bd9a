"""Group Matching, the REFIL paper's own task (Iqbal et al. 2021; rules of its code at ffe23a1)."""

from math import cos, pi, sin
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jmarl.types import Entities, EnvSpec, Key, Outcome, View
from jmarl_envs.catalogue import Count, Entry, Listing, Range, options_of
from jmarl_envs.common import agent_names, open_view, outcome
from jmarl_envs.scene import FAINT, INK, PAPER, Circle, Line, Scene, Shape, Text, colour, ink_on
from jmarl_envs.time_limit import TimeLimit

Sees = Literal["all", "group"]
COST, PRIZE = 0.1, 2.5  # each step's; a gathered group's, taken back if it parts


class Ring(struct.PyTreeNode):
    """Where everybody is, and who belongs together."""

    cell: Array  # [A] int32
    group: Array  # [A] int32
    gathered: Array  # [] int32: groups whose members all share a cell


class GroupMatching:
    """Agents on a ring of cells; each group is to gather in one cell, whichever.

    Start: cells uniform. The agents, shuffled, are cut at G-1 places uniform in 0..A-1 into G
    groups, of which some may be empty: an empty group counts as gathered. More than two groups are
    ours (the code leaves the cuts unsorted, so its groups overlap). `fixed_groups`: equal shares
    by index instead, as equal as they go.
    Step: each agent moves left (0), stays (1) or moves right (2); with probability `random_moves`
    its action is replaced by one of the three at random. Cells hold any number of agents.
    Reward: -0.1 + 2.5 * (groups gathered now - groups gathered before), the same for all.
    End: all groups gathered after a step. A start that is solved already needs a step as well.

    Entities are the agents: one-hot cell [S], group [G], index [A]. Who is in another group is
    `outside`, at every step, for the oracles that the paper compares with (there, too, by the
    intent: its parallel runner keeps these masks for the first step alone).
    """

    def __init__(
        self,
        num_agents: int,
        num_cells: int,
        num_groups: int,
        random_moves: float,
        episode_limit: int,
        sees: Sees,
        fixed_groups: bool,
    ) -> None:
        self.num_cells, self.num_groups = num_cells, num_groups
        self.random_moves, self.fixed_groups = random_moves, fixed_groups
        self.sees: Sees = sees
        size = num_cells + num_groups + num_agents
        agents = np.arange(num_agents)
        # row a: agent a, then the others in order
        self.own_first = np.stack([np.append(a, agents[agents != a]) for a in agents])
        self.spec = EnvSpec(
            name="refil/group_matching",
            agents=agent_names(num_agents),
            obs_sizes=(num_agents * size,) * num_agents,
            action_kind="discrete",
            action_parts=((3,),) * num_agents,
            state_size=num_agents * size,
            episode_limit=episode_limit,
            teams=(0,) * num_agents,
            team_reward="shared",
            num_entities=num_agents,
            entity_size=size,
            true_groups=True,
            agent_features=(num_agents, size),
            info=(("solved_rate", "last"),),
        )

    def reset(self, key: Key) -> tuple[Ring, View]:
        cell_key, group_key = jax.random.split(key)
        count = self.spec.num_agents
        cell = jax.random.randint(cell_key, (count,), 0, self.num_cells, jnp.int32)
        state = self.ring(cell, self.groups(group_key))
        return state, self.view(state)

    def step(self, state: Ring, action: Array, key: Key) -> tuple[Ring, Outcome]:
        before, moves = state.gathered, self.executed(action, key) - 1
        state = self.ring((state.cell + moves) % self.num_cells, state.group)
        reward = PRIZE * (state.gathered - before).astype(jnp.float32) - COST
        solved = state.gathered == self.num_groups
        out = outcome(self.view(state), jnp.full(self.spec.num_agents, reward), solved)
        return state, out.replace(info={"solved_rate": solved.astype(jnp.float32)})

    def executed(self, action: Array, key: Key) -> Array:
        """[A] actions, here and there replaced: one number says whether, and by which."""
        draw, p = jax.random.uniform(key, action.shape), self.random_moves
        chance = (draw >= p / 3).astype(jnp.int32) + (draw >= 2 * p / 3)
        return jnp.where(draw < p, chance, action.astype(jnp.int32))

    def groups(self, key: Key) -> Array:
        """Each agent's group [A]: the number of cuts before or at its place among the shuffled."""
        count, groups = self.spec.num_agents, self.num_groups
        if self.fixed_groups:
            return jnp.arange(count, dtype=jnp.int32) * groups // count
        place_key, cut_key = jax.random.split(key)
        draw = jax.random.bits(place_key, (count,))
        place = (draw[:, None] > draw).sum(-1)  # a sort would take longer than the whole reset
        cuts = jax.random.randint(cut_key, (groups - 1,), 0, count)
        return (place[:, None] >= cuts).sum(-1, dtype=jnp.int32)

    def ring(self, cell: Array, group: Array) -> Ring:
        """The state that cells [A] and groups [A] make: of each group, do the outermost meet?"""
        member = group == jnp.arange(self.num_groups)[:, None]  # [G, A]
        lowest = jnp.where(member, cell, self.num_cells).min(-1)
        highest = jnp.where(member, cell, -1).max(-1)  # below the lowest in an empty group
        return Ring(cell, group, (highest <= lowest).sum(dtype=jnp.int32))

    def view(self, state: Ring) -> View:
        """Observations: the agent's own entity, then the others' in order, zeros for the hidden."""
        entities = self.entities(state)
        rows = entities.features[self.own_first]  # [A, E, F]
        if self.sees == "group":
            hidden = jnp.take_along_axis(entities.hidden, jnp.asarray(self.own_first), 1)
            rows = jnp.where(hidden[..., None], 0.0, rows)
        obs = rows.reshape(self.spec.num_agents, -1)
        return open_view(self.spec, obs, entities.features.reshape(-1), entities)

    def entities(self, state: Ring) -> Entities:
        count = self.spec.num_agents
        cell = jax.nn.one_hot(state.cell, self.num_cells)
        group = jax.nn.one_hot(state.group, self.num_groups)
        outside = state.group[:, None] != state.group
        return Entities(
            features=jnp.concatenate([cell, group, jnp.eye(count)], -1),
            absent=jnp.zeros(count, bool),
            hidden=outside if self.sees == "group" else jnp.zeros_like(outside),
            outside=outside,
        )

    def draw(self, state: Ring) -> Scene:
        """Cells clockwise from the top, agents in their group's colour; rings: a gathered group."""
        radius = 1.15 / sin(pi / self.num_cells)  # so that neighbouring cells, of radius 1, part
        turns = [pi / 2 - 2 * pi * cell / self.num_cells for cell in range(self.num_cells)]
        centres = [(radius * cos(turn), radius * sin(turn)) for turn in turns]
        shapes: list[Shape] = [
            Line(*centre, *centres[index - 1], FAINT, 0.12) for index, centre in enumerate(centres)
        ]
        for cell, (x, y) in enumerate(centres):
            inside = np.flatnonzero(state.cell == cell)
            shapes += [Circle(x, y, 1, PAPER, INK), *_rings(x, y, self._gathered_in(state, cell))]
            for agent, place in _spread(x, y, inside):
                shapes += _agent(agent, int(state.group[agent]), *place)
        empty = self.num_groups - len(set(state.group.tolist()))
        told = f" ({empty} empty)" if empty else ""
        caption = f"{int(state.gathered)} of {self.num_groups} groups gathered{told}"
        edge = radius + 1.1
        return Scene(-edge, -edge, 2 * edge, 2 * edge, tuple(shapes), caption)

    def _gathered_in(self, state: Ring, cell: int) -> list[int]:
        """The groups all of whose members are in `cell`."""
        here = {group: set(state.cell[state.group == group].tolist()) for group in state.group}
        return sorted(int(group) for group, cells in here.items() if cells == {cell})


def _rings(x: float, y: float, groups: list[int]) -> list[Shape]:
    """Round a cell, for each group gathered in it, a thick ring in its colour."""
    discs = [Circle(x, y, 0.97 - 0.09 * at, colour(group)) for at, group in enumerate(groups)]
    return [*discs, Circle(x, y, 0.97 - 0.09 * len(groups), PAPER)]


def _spread(x: float, y: float, agents: np.ndarray) -> list[tuple[int, tuple[float, float, float]]]:
    """Each agent with its place in the cell round (x, y), and its radius."""
    if agents.size == 1:
        return [(int(agents[0]), (x, y, 0.36))]
    radius = min(0.36, 0.9 * 0.5 * sin(pi / max(agents.size, 2)))
    turns = [2 * pi * place / agents.size for place in range(agents.size)]
    places = [(x + 0.5 * sin(turn), y + 0.5 * cos(turn), radius) for turn in turns]
    return list(zip(agents.tolist(), places, strict=True))


def _agent(agent: int, group: int, x: float, y: float, radius: float) -> list[Shape]:
    body = Circle(x, y, radius, colour(group), agent=agent)
    return [body, Text(x, y, str(agent), radius, ink_on(body.fill))]


def group_matching(
    num_agents: Count = 8,
    num_cells: Annotated[int, Range(2)] = 6,
    num_groups: Count = 2,
    random_moves: Annotated[float, Range(0, 1)] = 0.1,
    episode_limit: Count = 50,
    sees: Sees = "all",
    fixed_groups: bool = False,
) -> TimeLimit[Ring]:
    """The paper's sizes by default (its code's: 4 agents, 10 cells); cut at the limit."""
    env = GroupMatching(
        num_agents, num_cells, num_groups, random_moves, episode_limit, sees, fixed_groups
    )
    return TimeLimit(env)


ENTRIES = (
    Entry(
        "refil/group_matching",
        group_matching,
        Listing(
            "REFIL's task: agents on a ring of cells gather, each group in one cell",
            "shared: -0.1 a step, 2.5 for each group that gathers, -2.5 for each that parts",
            defects=(
                "a group may be empty and then counts as gathered",
                "a start that is solved already pays for a step, and may lose by it",
            ),
        ),
        options_of(group_matching),
    ),
)
