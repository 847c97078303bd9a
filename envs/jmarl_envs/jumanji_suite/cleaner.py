"""Cleaner: agents sweep the corridors of a random maze, starting in its upper left corner.

The team earns 1 for every tile that it cleans and pays 0.5 per step. An episode ends for good when
all is clean, and when an agent walks into a wall (masks keep it from doing so).
"""

from collections.abc import Mapping
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import View
from jmarl_envs.catalogue import Count, Range
from jmarl_envs.jumanji_suite.base import NEVER, Adapter, build, flat, team_spec
from jmarl_envs.scene import INK, PALETTE, PAPER, Scene, Shape, cell, disc, grid_lines, label
from jmarl_envs.time_limit import TimeLimit

MOVES = np.array([[-1, 0], [0, 1], [1, 0], [0, -1]])  # up, right, down, left
PLANES = 4  # of an observation
DIRTY, CLEAN, WALL = 0, 1, 2  # tiles


class Cleaner(Adapter):
    """`library` is jumanji's Cleaner."""

    def __init__(self, library: Any, name: str, episode_limit: int) -> None:
        agents, cells = library.num_agents, library.num_rows * library.num_cols
        spec = team_spec(
            name,
            num_agents=agents,
            obs_size=PLANES * cells,
            num_actions=len(MOVES),
            state_size=2 * agents + 2 * cells,
            episode_limit=episode_limit,
            team_reward="shared",
            agent_features=(agents, 2),
            info=(("solved_rate", "last"), ("cleaned_share", "last")),
        )
        # the library's takes rows for columns: wrong where there are more of one than of the other
        library._compute_action_mask = open_ways
        super().__init__(library, spec)

    def view(self, state: Any, seen: Any) -> View:
        """Observed, a plane of tiles each: dirty, wall, how many agents are there, am I there.
        State: the agents' rows and columns (0..1), dirty tiles, walls."""
        grid, (rows, columns) = seen.grid, seen.agents_locations.T
        own = jnp.arange(grid.size) == (rows * grid.shape[1] + columns)[:, None]  # [A, cells]
        tiles = jnp.stack([grid == DIRTY, grid == WALL]).reshape(2, -1)
        shared = jnp.concatenate([tiles, own.sum(0)[None]])
        shared = jnp.broadcast_to(shared, (len(own), *shared.shape))
        obs = jnp.concatenate([shared, own[:, None]], 1)
        far = np.maximum(np.array(grid.shape) - 1, 1)
        return View(
            obs=obs.reshape(len(own), -1).astype(jnp.float32),
            available=seen.action_mask,
            alive=jnp.ones(self.spec.num_agents, bool),
            state=flat(seen.agents_locations / far, tiles),
        )

    def info(self, state: Any, timestep: Any, over: Array) -> Mapping[str, Array]:
        dirty = (state.grid == DIRTY).sum(dtype=jnp.float32)
        floor = (state.grid != WALL).sum(dtype=jnp.float32)
        solved = (dirty == 0).astype(jnp.float32)
        return {"solved_rate": solved, "cleaned_share": 1 - dirty / floor}

    def draw(self, state: Any) -> Scene:
        """Walls black, dirty tiles brown, clean ones white."""
        rows, columns = state.grid.shape
        fills = {DIRTY: "#D8B98A", CLEAN: PAPER, WALL: INK}
        shapes: list[Shape] = [
            cell(row, column, rows, fills[int(tile)])
            for (row, column), tile in np.ndenumerate(state.grid)
        ]
        shapes += grid_lines(rows, columns)
        spots: dict[tuple[int, int], list[str]] = {}
        for index, (row, column) in enumerate(state.agents_locations.tolist()):
            spots.setdefault((row, column), []).append(str(index + 1))
        for (row, column), names in spots.items():
            shapes += [disc(row, column, rows, PALETTE[0], 0.4)]
            words = ",".join(names) if len(names) < 4 else f"{len(names)} agents"
            shapes += [label(row, column, rows, words, 0.5 / max(len(words) - 1, 1) + 0.05, PAPER)]
        dirty = int((state.grid == DIRTY).sum())
        return Scene(0, 0, columns, rows, tuple(shapes), f"{dirty} dirty, step {state.step_count}")


def open_ways(grid: Array, locations: Array) -> Array:
    """[A, 4]: whether a step leads to a tile that is not a wall."""
    row, column = (locations[:, None] + MOVES).transpose(2, 0, 1)
    rows, columns = grid.shape
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    return inside & (grid[row.clip(0, rows - 1), column.clip(0, columns - 1)] != WALL)


def library(
    num_rows: int = 10, num_cols: int = 10, num_agents: int = 3, time_limit: int | None = None
) -> Any:
    """jumanji's environment itself."""

    def make(environments: Any) -> Any:
        generator = environments.routing.cleaner.generator.RandomGenerator(
            num_rows, num_cols, num_agents
        )
        return environments.Cleaner(generator, time_limit=time_limit)

    return build(make)


def cleaner(
    name: str,
    num_rows: Annotated[int, Range(2)] = 10,
    num_cols: Annotated[int, Range(2)] = 10,
    num_agents: Count = 3,
    episode_limit: Annotated[int, Range(0)] = 0,
) -> TimeLimit[Any]:
    """`episode_limit` 0: as many steps as there are tiles."""
    made = library(num_rows, num_cols, num_agents, NEVER)
    return TimeLimit(Cleaner(made, name, episode_limit or num_rows * num_cols))
