"""What the grid worlds share: cells, moves, what is near, and how it is told and drawn.

A cell is one number, row * columns + column, with row 0 on top. `down` adds a row.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl_envs.scene import INK, WALL, Scene, Shape, cell, disc, grid_lines, ink_on, label

STEPS = ((1, 0), (0, -1), (-1, 0), (0, 1), (0, 0))  # of (row, column): down, left, up, right, stay
MOVES = len(STEPS)


@dataclass(frozen=True)
class Plan:
    """A map, drawn: '#' is wall, a space or any other sign is floor."""

    lines: tuple[str, ...]

    @property
    def rows(self) -> int:
        return len(self.lines)

    @property
    def columns(self) -> int:
        return len(self.lines[0])

    @property
    def cells(self) -> int:
        return self.rows * self.columns

    def find(self, sign: str) -> np.ndarray:
        """[cells] bool: where `sign` stands."""
        return np.array([found == sign for found in "".join(self.lines)])

    def cell(self, sign: str) -> int:
        """The first cell where `sign` stands."""
        return int(self.find(sign).argmax())

    def place(self, cell: int) -> tuple[int, int]:
        """Row and column."""
        return divmod(int(cell), self.columns)

    def beside(self, cell: int, rows: int, columns: int) -> int:
        """The cell so many rows below and columns to the right; `cells` if that is outside."""
        row, column = self.place(cell)
        row, column = row + rows, column + columns
        inside = 0 <= row < self.rows and 0 <= column < self.columns
        return row * self.columns + column if inside else self.cells

    def moves(self) -> np.ndarray:
        """[cells, 5] int32: where each move leads; into a wall or out of the map it stays."""
        wall = np.append(self.find("#"), True)
        table = np.empty((self.cells, MOVES), np.int32)
        for start in range(self.cells):
            ends = [self.beside(start, *step) for step in STEPS]
            table[start] = [start if wall[end] else end for end in ends]
        return table

    def near(self, reach: int) -> np.ndarray:
        """[cells, (2 reach + 1)^2] int32: the square around each cell by rows; outside, `cells`."""
        offsets = range(-reach, reach + 1)
        square = [(rows, columns) for rows in offsets for columns in offsets]
        return np.array(
            [[self.beside(centre, *step) for step in square] for centre in range(self.cells)],
            np.int32,
        )

    def coordinates(self, row_unit: int, column_unit: int) -> np.ndarray:
        """[cells, 2] float32: row and column over their units."""
        row, column = np.divmod(np.arange(self.cells), self.columns)
        return np.stack([row / row_unit, column / column_unit], -1).astype(np.float32)


def take_turns(cell: Array, goal: Array) -> Array:
    """[A] cells after each agent in turn went to its goal, unless somebody stands there by then."""
    places = list(cell)
    for agent, wanted in enumerate(goal):
        taken = [wanted == place for other, place in enumerate(places) if other != agent]
        places[agent] = jnp.where(jnp.stack(taken).any(), places[agent], wanted)
    return jnp.stack(places)


def stay_apart(cell: Array, goal: Array) -> Array:
    """[2] cells after both went to their goals at once; neither moved if they would meet there.

    They may change places.
    """
    return jnp.where(goal[0] == goal[1], cell, goal)


def told(own: Array, time: Array | None, everything: bool) -> Array:
    """Observations [A, O] of agents' own [A, K]: with the time if given, and all to all if so."""
    if time is not None:
        own = jnp.concatenate([own, jnp.broadcast_to(time, (len(own), 1))], -1)
    return jnp.broadcast_to(own.reshape(-1), (len(own), own.size)) if everything else own


def told_size(own: int, agents: int, clock: bool, everything: bool) -> int:
    """O of `told`."""
    return (own + clock) * (agents if everything else 1)


def picture(plan: Plan, shapes: tuple[Shape, ...], caption: str) -> Scene:
    """Walls, what lies between and above them, the lines of the grid."""
    walls = [square(plan, place, WALL) for place in places(plan.find("#"))]
    lines = grid_lines(plan.rows, plan.columns)
    return Scene(0, 0, plan.columns, plan.rows, (*lines, *walls, *shapes), caption)


def places(marked: np.ndarray) -> list[int]:
    """The cells that are marked in [cells] bool."""
    return np.flatnonzero(marked).tolist()


def square(plan: Plan, place: int, fill: str = "", outline: str = "", margin: float = 0.0) -> Shape:
    return cell(*plan.place(place), plan.rows, fill, outline, margin)


def words(plan: Plan, place: int, text: str, size: float = 0.4, ink: str = INK) -> Shape:
    return label(*plan.place(place), plan.rows, text, size, ink)


def token(
    plan: Plan,
    place: int,
    fill: str,
    text: str = "",
    radius: float = 0.35,
    agent: int | None = None,
) -> tuple[Shape, ...]:
    """A disc with a sign on it; `agent` as a circle has it."""
    body = disc(*plan.place(place), plan.rows, fill, radius, agent)
    size = 1.1 * radius / max(1.0, len(text) / 2)
    return (body, words(plan, place, text, size, ink_on(fill))) if text else (body,)
