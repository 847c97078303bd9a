"""Switch, Checkers and Fetch with the VDN paper's players, on maps as a port of it has them.

The paper (arXiv 1706.05296) tells the rules and draws the maps without numbers. The sizes, starts
and goals here are a third party's; which way players look at first, the colours, and that the
checkerboard goes on as in ma-gym are our choice. Two may not pass each other in Switch's corridors,
since that is its point: they move one after the other. In Fetch they move at once and may.
"""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl_envs.catalogue import Count
from jmarl_envs.grid.cells import Plan, stay_apart, take_turns
from jmarl_envs.grid.checkers import WORTH, eat
from jmarl_envs.grid.fetch import work
from jmarl_envs.grid.players import (
    GREEN,
    LEFT,
    ORANGE,
    RIGHT,
    Counts,
    Players,
    Rule,
    Turn,
    World,
    ground,
)
from jmarl_envs.time_limit import TimeLimit

HALL, LONG = 7, 20  # columns at either end, and between them
CORRIDORS = {0: "       ", 1: "### ###", 2: " ##### "}  # by their number: the part between, by rows
ITEMS = 16  # columns of apples and lemons


def halls(between: str, **signs: tuple[int, int]) -> Plan:
    """34x7: two halls and what lies between; `signs` stand at (column, row)."""
    rows = [list(" " * HALL + middle * LONG + " " * HALL) for middle in between]
    for sign, (column, row) in signs.items():
        rows[row][column] = sign
    return Plan(tuple("".join(row) for row in rows))


class SwitchPaper:
    """Each earns 1 when it first comes to its goal; once both have, they begin anew."""

    name = "switch_paper"
    team_reward: Rule = "sum"
    info: Counts = (("arrivals", "sum"), ("rounds", "sum"))

    def __init__(self, corridors: int) -> None:
        self.plan = halls(CORRIDORS[corridors], a=(4, 2), b=(30, 4), A=(30, 3), B=(3, 3))
        self.starts = ((self.plan.cell("a"), RIGHT), (self.plan.cell("b"), LEFT))
        self.goals = np.array([self.plan.cell(sign) for sign in "AB"], np.int32)
        self.things = np.zeros(self.plan.cells, bool)
        self.ground = ground(self.plan, A=GREEN, B=ORANGE)
        self.colours = self.ground
        self.settle = take_turns

    def play(self, cell: Array, marked: Array, left: Array) -> Turn:
        """Marked are those who have arrived."""
        new = (cell == self.goals) & ~marked
        both = (marked | new).all()
        info = {"arrivals": new.sum(dtype=jnp.float32), "rounds": both.astype(jnp.float32)}
        return Turn(marked | new, left, new.astype(jnp.float32), both, info)


class CheckersPaper:
    """As in ma-gym without its step cost; when no apple is left, they begin anew."""

    name = "checkers_paper"
    team_reward: Rule = "sum"
    info: Counts = (("apples", "sum"), ("lemons", "sum"), ("rounds", "sum"))

    def __init__(self) -> None:
        rows = [
            ("al" * ITEMS)[row % 2 :][:ITEMS] + end for row, end in enumerate(("0 ", "  ", "1 "))
        ]
        self.plan = Plan(tuple(rows))
        self.starts = ((self.plan.cell("0"), LEFT), (self.plan.cell("1"), LEFT))
        self.apples, self.lemons = self.plan.find("a"), self.plan.find("l")
        self.things = self.apples | self.lemons
        self.ground = ground(self.plan)
        self.colours = ground(self.plan, a=GREEN, l=ORANGE)
        self.settle = take_turns

    def play(self, cell: Array, marked: Array, left: Array) -> Turn:
        """Nobody is marked."""
        apples, lemons, left = eat(cell, left, self.apples, self.lemons)
        bare = ~(left & self.apples).any()
        info = {
            "apples": apples.sum(dtype=jnp.float32),
            "lemons": lemons.sum(dtype=jnp.float32),
            "rounds": bare.astype(jnp.float32),
        }
        return Turn(marked, left, jnp.asarray(WORTH) * (apples - lemons), bare, info)


class FetchPaper:
    """3 to the team for picking the item up and 5 for bringing it to the base, again and again."""

    name = "fetch_paper"
    team_reward: Rule = "shared"
    info: Counts = (("pickups", "sum"), ("deliveries", "sum"))

    def __init__(self) -> None:
        signs = {"0": (4, 2), "1": (4, 4), "p": (30, 3), "b": (3, 3)}
        self.plan = halls(CORRIDORS[1], **signs)
        self.starts = ((self.plan.cell("0"), RIGHT), (self.plan.cell("1"), RIGHT))
        self.base, self.pick_up = self.plan.cell("b"), self.plan.cell("p")
        self.things = self.plan.find("p")
        self.ground = ground(self.plan, b=ORANGE)
        self.colours = ground(self.plan, p=GREEN)
        self.settle = stay_apart

    def play(self, cell: Array, marked: Array, left: Array) -> Turn:
        """Marked is who carries the item."""
        came = work(cell, marked, self.base, self.pick_up)
        left = jnp.asarray(self.things) & ~came.carries.any()
        reward = jnp.broadcast_to(came.reward, (2,))
        return Turn(came.carries, left, reward, jnp.zeros((), bool), came.info)


def switch_paper(corridors: Literal[0, 1, 2] = 1, episode_limit: Count = 2000) -> TimeLimit[World]:
    """Switch on the paper's maps: one corridor, two, or an open hall (0)."""
    return TimeLimit(Players(SwitchPaper(corridors), episode_limit))


def checkers_paper(episode_limit: Count = 2000) -> TimeLimit[World]:
    """Checkers with the paper's players."""
    return TimeLimit(Players(CheckersPaper(), episode_limit))


def fetch_paper(episode_limit: Count = 2000) -> TimeLimit[World]:
    """Fetch with the paper's players."""
    return TimeLimit(Players(FetchPaper(), episode_limit))
