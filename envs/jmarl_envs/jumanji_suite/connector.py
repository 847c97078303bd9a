"""Connector: each agent draws a wire to its target, and no wire may cross another one.

An agent leaves a path behind that nobody can enter, not even itself; other agents' targets are
closed to it too. Who reaches its target is connected; who has no free cell next to it is blocked.
An episode ends for good when all are the one or the other.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import jax.numpy as jnp
from jax import Array

from jmarl.types import View
from jmarl_envs.catalogue import BadOption, Count, Range
from jmarl_envs.jumanji_suite.base import NEVER, Adapter, build, flat, numbers, team_spec
from jmarl_envs.scene import Scene, Shape, cell, colour, disc, faded, grid_lines, ink_on, label
from jmarl_envs.time_limit import TimeLimit

ACTIONS = 5  # stay, up, right, down, left
PLANES = 5  # of an observation
FACTS = 6  # of an agent: row, column, its target's, is it connected, is it blocked
PATH, HEAD, TARGET = 1, 2, 3  # in the library's grid, plus 3 for each agent; 0 is a free cell


class Connector(Adapter):
    """`library` is jumanji's Connector."""

    def __init__(self, library: Any, name: str, episode_limit: int) -> None:
        agents, cells = library.num_agents, library.grid_size**2
        spec = team_spec(
            name,
            num_agents=agents,
            obs_size=PLANES * cells,
            num_actions=ACTIONS,
            state_size=FACTS * agents + cells,
            episode_limit=episode_limit,
            team_reward="sum",
            agent_features=(agents, FACTS),
            info=(("solved_rate", "last"), ("connected_share", "last")),
        )
        super().__init__(library, spec)

    def view(self, state: Any, seen: Any) -> View:
        """Observed, a plane of cells each: all heads, all targets, all paths, one's own head, one's
        own target. State: the agents' facts, and where paths are.

        Alive is who can move: neither the connected nor the blocked ever will again.
        """
        free = seen.action_mask[:, 1:].any(-1)
        return View(
            obs=self.planes(seen.grid),
            available=seen.action_mask,
            alive=free,
            state=flat(self.facts(state.agents, free), kind(seen.grid) == PATH),
        )

    def planes(self, grid: Array) -> Array:
        """[A, O]."""
        kinds, agents = kind(grid), self.spec.num_agents
        shared = jnp.stack([kinds == HEAD, kinds == TARGET, kinds == PATH])
        own = jnp.stack([grid - HEAD, grid - TARGET]) == 3 * jnp.arange(agents)[:, None, None, None]
        shared = jnp.broadcast_to(shared, (agents, *shared.shape))
        return jnp.concatenate([shared, own], 1).reshape(agents, -1).astype(jnp.float32)

    def facts(self, agents: Any, free: Array) -> Array:
        """[A, 6], positions from 0 to 1."""
        spots = jnp.concatenate([agents.position, agents.target], 1) / (self.library.grid_size - 1)
        connected = agents.connected
        return jnp.concatenate([spots, numbers(connected, ~connected & ~free)], 1)

    def info(self, state: Any, timestep: Any, over: Array) -> Mapping[str, Array]:
        share = state.agents.connected.mean(dtype=jnp.float32)
        return {"solved_rate": (share == 1).astype(jnp.float32), "connected_share": share}

    def draw(self, state: Any) -> Scene:
        """A colour and a number for each agent: a disc for its head, a frame for its target."""
        rows, grid, agents = self.library.grid_size, state.grid, state.agents
        shapes: list[Shape] = []
        for row in range(rows):
            for column in range(rows):
                if kind(grid[row, column]) == PATH:
                    shade = faded(colour((grid[row, column] - 1) // 3), 0.5)
                    shapes.append(cell(row, column, rows, shade))
        shapes += grid_lines(rows, rows)
        connected = (agents.position == agents.target).all(-1)
        for index in range(self.spec.num_agents):
            own, (row, column) = colour(index), agents.position[index]
            goal_row, goal_column = agents.target[index]
            shapes += [cell(goal_row, goal_column, rows, faded(own, 0.15), own, margin=0.06)]
            shapes += [label(goal_row, goal_column, rows, str(index + 1), 0.3)]
            shapes += [disc(row, column, rows, own, 0.46 if connected[index] else 0.36, index)]
            shapes += [label(row, column, rows, str(index + 1), 0.36, ink_on(own))]
        caption = f"connected {connected.sum()} of {len(connected)}, step {state.step_count}"
        return Scene(0, 0, rows, rows, tuple(shapes), caption)


def kind(grid: Any) -> Any:
    """PATH, HEAD or TARGET, whosever it is; 0 for free cells."""
    return (grid > 0) * ((grid - 1) % 3 + 1)


def library(grid_size: int = 10, num_agents: int = 10, time_limit: int = 50) -> Any:
    """jumanji's environment itself."""

    def make(environments: Any) -> Any:
        generators = environments.routing.connector.generator.random_walk_generator
        generator = generators.RandomWalkGenerator(grid_size, num_agents)
        return environments.Connector(generator, time_limit=time_limit)

    return build(make)


def connector(
    name: str,
    grid_size: Annotated[int, Range(3)] = 10,
    num_agents: Count = 10,
    episode_limit: Count = 50,
) -> TimeLimit[Any]:
    """Every board can be solved: its targets are where random walks have ended."""
    # Each agent starts as a pair of neighbouring cells. However pairs are laid until none fits,
    # they are at least half as many as fit at best.
    most = (grid_size**2 // 2 + 1) // 2
    if num_agents > most:
        raise BadOption(f"{name}: {num_agents=} must be at most {most} for {grid_size=}")
    return TimeLimit(Connector(library(grid_size, num_agents, NEVER), name, episode_limit))
