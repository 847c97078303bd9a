"""Fetch: two agents carry one item after another, and earn most by turns."""

from typing import Annotated, Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jmarl.types import EnvSpec, Key, Outcome, View
from jmarl_envs.catalogue import Count, Range
from jmarl_envs.common import agent_names, open_view
from jmarl_envs.grid.cells import MOVES, Plan, picture, square, stay_apart, token, words
from jmarl_envs.scene import Scene, colour, faded
from jmarl_envs.time_limit import TimeLimit

PICK_UP, DROP = 3.0, 5.0
MARGIN = 2  # columns at either end that no wall narrows
ITEM, BASE = "#E69F00", "#666666"


class Errand(struct.PyTreeNode):
    """Where both are, and who carries the item. If nobody does, it lies at the pick-up."""

    cell: Array  # [2] int32
    carries: Array  # [2] bool
    time: Array  # [] int32


class Work(NamedTuple):
    """What came of being somewhere."""

    carries: Array  # [2] bool
    reward: Array  # [] the team's
    info: dict[str, Array]


def work(cell: Array, carries: Array, base: int, pick_up: int) -> Work:
    """Who carries the item and stands at the base drops it; who stands at the pick-up takes it.

    The item lies there again at once, so one can take it in the step in which the other drops it.
    """
    drops = carries & (cell == base)
    carries = carries & ~drops
    takes = (cell == pick_up) & ~carries.any()
    taken, dropped = takes.sum(dtype=jnp.float32), drops.sum(dtype=jnp.float32)
    info = {"pickups": taken, "deliveries": dropped}
    return Work(carries | takes, PICK_UP * taken + DROP * dropped, info)


class Fetch:
    """The VDN paper's game on a small map of our own, since the paper's map is not published.

    The map has 3 rows of `width`; with `lane` 1 only the middle row is free between the first two
    and the last two columns, with 3 all is. Base and pick-up are the ends of the middle row, the
    agents start at (0, 1) and (2, 1). They move at once, not into walls; if both would come to
    stand on one cell both stay where they were, but they may change places, even in the lane.
    The team gets 3 when the item is picked up and 5 when it is dropped at the base (see `work`), as
    in the paper; each agent is told the team's reward. Best is to go by turns: one comes to the
    pick-up as the other comes to the base. There is no end but the time limit.

    Observed [7]: own row and column, the other's, each as a share of the map, whether one carries
    the item, whether the other does, whether it lies at the pick-up.
    """

    def __init__(self, width: int, lane: int, episode_limit: int) -> None:
        side = (" " if lane == 3 else "#") * (width - 2 * MARGIN)
        self.plan = Plan((f" 0{side}  ", "b" + " " * (width - 2) + "p", f" 1{side}  "))
        self.base, self.pick_up = self.plan.cell("b"), self.plan.cell("p")
        self.starts = np.array([self.plan.cell(sign) for sign in "01"], np.int32)
        self.moves = self.plan.moves()
        self.coordinates = self.plan.coordinates(2, width - 1)
        self.spec = EnvSpec(
            name="grid/fetch",
            agents=agent_names(2),
            obs_sizes=(7, 7),
            action_kind="discrete",
            action_parts=((MOVES,),) * 2,
            state_size=7,
            episode_limit=episode_limit,
            teams=(0, 0),
            team_reward="shared",
            agent_features=(2, 3),
            info=(("pickups", "sum"), ("deliveries", "sum")),
        )

    def reset(self, key: Key) -> tuple[Errand, View]:
        state = Errand(jnp.asarray(self.starts), jnp.zeros(2, bool), jnp.zeros((), jnp.int32))
        return state, self.view(state)

    def step(self, state: Errand, action: Array, key: Key) -> tuple[Errand, Outcome]:
        cell = stay_apart(state.cell, jnp.asarray(self.moves)[state.cell, action])
        came = work(cell, state.carries, self.base, self.pick_up)
        state = Errand(cell, came.carries, state.time + 1)
        never, reward = jnp.zeros((), bool), jnp.broadcast_to(came.reward, (2,))
        return state, Outcome(self.view(state), reward, never, never, came.info)

    def view(self, state: Errand) -> View:
        """The state [S]: each agent's row, column, whether it carries; whether the item lies."""
        place = jnp.asarray(self.coordinates)[state.cell]
        lies = ~state.carries.any()
        mine = [place, place[::-1], jnp.stack([state.carries, state.carries[::-1]], -1)]
        obs = jnp.concatenate([*mine, jnp.broadcast_to(lies, (2, 1))], -1)
        agents = jnp.concatenate([place, state.carries[:, None]], -1)
        return open_view(self.spec, obs, jnp.append(agents.reshape(-1), lies))

    def draw(self, state: Any) -> Scene:
        """The item is a yellow disc, at the pick-up or on who carries it."""
        shapes = [square(self.plan, self.base, faded(BASE, 0.3), BASE, 0.06)]
        shapes += [words(self.plan, self.base, "base", 0.25)]
        shapes += [square(self.plan, self.pick_up, faded(ITEM, 0.2), ITEM, 0.06)]
        if not state.carries.any():
            shapes += token(self.plan, self.pick_up, ITEM, radius=0.2)
        for agent, place in enumerate(state.cell):
            shapes += token(self.plan, place, colour(agent), str(agent), agent=agent)
            shapes += token(self.plan, place, ITEM, str(agent), 0.2) if state.carries[agent] else ()
        bearer = f"agent {int(state.carries.argmax())}" if state.carries.any() else "nobody"
        caption = f"step {int(state.time)} of {self.spec.episode_limit}, {bearer} carries the item"
        return picture(self.plan, tuple(shapes), caption)


def fetch(
    width: Annotated[int, Range(5)] = 9, lane: Literal[1, 3] = 1, episode_limit: Count = 50
) -> TimeLimit[Errand]:
    """Fetch on the small map; `lane` is how many rows are free between its ends."""
    return TimeLimit(Fetch(width, lane, episode_limit))
