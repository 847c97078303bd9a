"""The rules of jumanji's robotic warehouse, for all robots at once.

Equal to jumanji's step by step (which goes robot by robot, cell by cell, goal by goal) up to a
collision's last view, where jumanji's puts the numbers of a robot that was run over out of place.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jmarl.types import Key
from jmarl_envs.jumanji_suite.base import numbers

STAY, FORWARD, LEFT, RIGHT, TOGGLE = range(5)
TURN = (0, 0, -1, 1, 0)
ROWS, COLUMNS = (-1, 0, 1, 0), (0, 1, 0, -1)  # a step up, right, down, left
ONE_ROUND = 1600  # jax shuffles fewer entries than this by sorting them once


class Robots(struct.PyTreeNode):
    row: Array  # [A] int32
    column: Array  # [A] int32
    direction: Array  # [A] int32, clockwise from up
    carries: Array  # [A] bool
    blocked: Array  # [A] bool: carries a shelf and has another one ahead
    crushed: Array  # [A] bool: another robot drove into it


class Floor(struct.PyTreeNode):
    robots: Robots
    row: Array  # [S] int32, of each shelf
    column: Array  # [S] int32
    requested: Array  # [S] bool
    plan: Array  # [H, W] int32: 1 + the shelf that stands there, or 0
    key: Key  # what requests are drawn from


class Layout(NamedTuple):
    """What never changes."""

    highway: np.ndarray  # [H, W] bool: no shelf may be put down here
    goals: np.ndarray  # [2, 2] row and column of each
    idle: int  # shelves that are not requested
    reach: int  # cells that a robot sees to each side


def moved(floor: Floor, action: Array, layout: Layout) -> Floor:
    """The floor after all robots have acted, the first one first."""
    old, plan = floor.robots, floor.plan
    action = jnp.where((action == FORWARD) & old.blocked, STAY, action)
    forward = action == FORWARD
    row, column = ahead(old, plan.shape)
    row, column = jnp.where(forward, row, old.row), jnp.where(forward, column, old.column)
    taken = jnp.where(forward & old.carries, plan[old.row, old.column], -1)  # [A] a shelf's number
    brought = crossings(row, column, row, column) & (taken > 0)  # [A, A] j puts a shelf on i's cell
    order = jnp.arange(len(row))
    shelf = (plan[row, column] > 0) | (brought & (order < order[:, None])).any(1)
    toggle, puts = action == TOGGLE, ((action == TOGGLE) & old.carries) | (action == STAY)
    carries = (old.carries | (toggle & shelf)) & ~(puts & ~jnp.asarray(layout.highway)[row, column])
    # j wipes i out by driving onto its cell, or off it, after i's last step
    onto = crossings(row, column, row, column) | crossings(row, column, old.row, old.column)
    crushed = (onto & forward & ((order > order[:, None]) | ~forward[:, None])).any(1)
    direction = (old.direction + jnp.asarray(TURN)[action]) % 4
    robots = Robots(row, column, direction, carries, old.blocked, crushed)
    floor = carried(floor, old, robots, taken)
    return floor.replace(robots=robots.replace(blocked=walled(robots, floor.plan)))


def crossings(row: Array, column: Array, other_row: Array, other_column: Array) -> Array:
    """[A, A]: whether i is where another one, j, is in the other lists."""
    same = (row[:, None] == other_row) & (column[:, None] == other_column)
    return same & ~jnp.eye(len(row), dtype=bool)


def ahead(robots: Robots, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Each robot's next cell [A], [A]; its own if it faces the wall."""
    row = robots.row + jnp.asarray(ROWS)[robots.direction]
    column = robots.column + jnp.asarray(COLUMNS)[robots.direction]
    return row.clip(0, shape[0] - 1), column.clip(0, shape[1] - 1)


def walled(robots: Robots, plan: Array) -> Array:
    """[A]: carries a shelf and cannot go on for another one; the wall is no obstacle."""
    row, column = ahead(robots, plan.shape)
    still = (row == robots.row) & (column == robots.column)
    return robots.carries & ~still & (plan[row, column] > 0)


def carried(floor: Floor, old: Robots, new: Robots, taken: Array) -> Floor:
    """Shelves go with the robots: `taken` [A] holds 1 + the shelf, where one is moved."""
    height, width = floor.plan.shape
    cells = jnp.arange(height * width).reshape(height, width)
    plan, row, column, shelves = floor.plan, floor.row, floor.column, jnp.arange(len(floor.row)) + 1
    for index in range(len(taken)):
        shelf, moves = taken[index], taken[index] > 0
        here = old.row[index] * width + old.column[index]
        there = new.row[index] * width + new.column[index]
        plan = jnp.where(moves & (cells == here), 0, plan)
        plan = jnp.where(moves & (cells == there), shelf, plan)
        row = jnp.where(shelves == shelf, new.row[index], row)
        column = jnp.where(shelves == shelf, new.column[index], column)
    return floor.replace(plan=plan, row=row, column=column)


def delivered(floor: Floor, layout: Layout) -> tuple[Floor, Array]:
    """Requested shelves on goals are paid, and others requested; how many there were []."""
    requested, key, count = floor.requested, floor.key, jnp.zeros(())
    shelves = jnp.arange(len(requested))
    for row, column in layout.goals:
        shelf = floor.plan[row, column] - 1
        paid = (shelf >= 0) & requested[shelf]
        kept_key, draw_key = jax.random.split(key)
        new = any_idle(draw_key, requested, layout.idle)
        changed = (requested & (shelves != shelf)) | (shelves == new)
        requested, key = jnp.where(paid, changed, requested), jnp.where(paid, kept_key, key)
        count += paid
    return floor.replace(requested=requested, key=key), count


def any_idle(key: Key, requested: Array, idle: int) -> Array:
    """One of the `idle` shelves that are not requested []: the one that jumanji takes, which
    shuffles them all and takes the first. A shuffle sorts by random bits: the least one is first.
    """
    if idle < ONE_ROUND:
        index = jax.random.bits(jax.random.split(key)[1], (idle,)).argmin()
    else:
        index = jax.random.permutation(key, idle)[0]
    return ((~requested).cumsum() == index + 1).argmax()


def observations(floor: Floor, layout: Layout) -> Array:
    """[A, O] Of oneself: row, column, whether one carries, direction one-hot, whether one stands on
    a highway. Of the cells in reach but one's own, row by row: is a robot there, its direction
    one-hot. Of all cells in reach: is a shelf there, is it requested."""
    robots, agents = floor.robots, len(floor.robots.row)
    facing = jax.nn.one_hot(robots.direction, 4)
    highway = jnp.asarray(layout.highway)[robots.row, robots.column]
    own = numbers(robots.row, robots.column, robots.carries)
    others = robots_around(robots, facing, layout.reach).reshape(agents, -1)
    shelves = shelves_around(floor, layout.reach).reshape(agents, -1)
    return jnp.concatenate([own, facing, numbers(highway), others, shelves], 1)


def robots_around(robots: Robots, facing: Array, reach: int) -> Array:
    """[A, cells - 1, 5]: is a robot there, its direction. Crushed ones are not seen."""
    side = 2 * reach + 1
    down = robots.row - robots.row[:, None] + reach  # [A, A]
    right = robots.column - robots.column[:, None] + reach
    near = (down >= 0) & (down < side) & (right >= 0) & (right < side)
    place = jnp.where(near & ~robots.crushed, down * side + right, -1)
    others = np.delete(np.arange(side * side), side * side // 2)  # all cells but one's own
    there = (place[:, None] == others[:, None]).astype(jnp.float32)  # [A, cells - 1, A]
    facts = jnp.concatenate([jnp.ones_like(facing[:, :1]), facing], 1)  # [A, 5]
    return jnp.einsum("acb,bf->acf", there, facts)


def shelves_around(floor: Floor, reach: int) -> Array:
    """[A, cells, 2]: is a shelf there, is it requested."""
    height, width = floor.plan.shape
    down, right = np.indices((2 * reach + 1,) * 2).reshape(2, -1) - reach
    row, column = floor.robots.row[:, None] + down, floor.robots.column[:, None] + right
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    shelf = floor.plan[row.clip(0, height - 1), column.clip(0, width - 1)]
    there = inside & (shelf > 0)
    return numbers(there, there & floor.requested[shelf - 1])
