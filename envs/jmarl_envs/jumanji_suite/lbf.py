"""Level-based foraging: agents eat food together that no one could eat alone.

The game of https://github.com/semitable/lb-foraging in jumanji's version. Agents walk on a grid; a
food is eaten when agents next to it load in the same step and their levels reach the food's. Its
level is shared out among them by their levels, and all food together is worth 1.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import Entities, View
from jmarl_envs.catalogue import BadOption, Count, Range
from jmarl_envs.jumanji_suite.base import NEVER, Adapter, build, flat, numbers, team_spec
from jmarl_envs.scene import PALETTE, PAPER, Circle, Scene, Shape, cell, disc, grid_lines, label
from jmarl_envs.time_limit import TimeLimit

ACTIONS = 6  # stay, up, down, left, right, load
FACTS = 4  # of an entity: row, column, level, is it food


class Foraging(Adapter):
    """`library` is jumanji's LevelBasedForaging, `most` the highest level that a food may have."""

    def __init__(self, library: Any, most: int, name: str, episode_limit: int) -> None:
        agents, food = library.num_agents, library.num_food
        self.most = most
        spec = team_spec(
            name,
            num_agents=agents,
            obs_size=3 * (agents + food),
            num_actions=ACTIONS,
            state_size=3 * (agents + food),
            episode_limit=episode_limit,
            team_reward="sum",
            num_entities=agents + food,
            entity_size=FACTS,
            agent_features=(agents, 3),
            info=(("solved_rate", "last"), ("eaten_share", "last")),
        )
        super().__init__(library, spec)

    def view(self, state: Any, seen: Any) -> View:
        """Observed: (row, column, level) of every food, of oneself, of the others, as the library
        has it: counted from the corner of what is in sight, (-1, -1, 0) if out of sight or eaten.

        State: (row, column, level) of agents, then of food, scaled to 0..1; zeros once eaten.
        """
        entities = self.entities(state)
        return View(
            obs=seen.agents_view.astype(jnp.float32),
            available=seen.action_mask,
            alive=jnp.ones(self.spec.num_agents, bool),
            state=flat(entities.features[:, :3]),
            entities=entities,
        )

    def entities(self, state: Any) -> Entities:
        """Agents, then food [E, 4]; what is further away than the field of view is hidden."""
        agents, food = state.agents, state.food_items
        spots = jnp.concatenate([agents.position, food.position])  # [E, 2]
        levels = jnp.concatenate([agents.level, food.level])
        is_food = jnp.arange(len(levels)) >= len(agents.level)
        absent = jnp.concatenate([jnp.zeros_like(agents.loading), food.eaten])
        far = self.library.grid_size - 1
        rows, columns = spots[:, 0], spots[:, 1]
        features = numbers(rows / far, columns / far, levels / self.most, is_food)
        apart = lambda x: jnp.abs(x[: len(agents.level), None] - x) > self.library.fov
        hidden = apart(rows) | apart(columns) | absent
        return Entities(jnp.where(absent[:, None], 0.0, features), absent, hidden)

    def info(self, state: Any, timestep: Any, over: Array) -> Mapping[str, Array]:
        eaten = state.food_items.eaten.mean(dtype=jnp.float32)
        return {"solved_rate": over.astype(jnp.float32), "eaten_share": eaten}

    def draw(self, state: Any) -> Scene:
        """Agents round, food square, each with its level; who loads has a ring."""
        rows = self.library.grid_size
        shapes: list[Shape] = [*grid_lines(rows, rows)]
        food, agents = state.food_items, state.agents
        left = ~food.eaten
        for (row, column), level in zip(food.position[left], food.level[left], strict=True):
            shapes += [cell(row, column, rows, PALETTE[2], margin=0.14)]
            shapes += [label(row, column, rows, str(level), colour=PAPER)]
        for agent, ((row, column), level, loads) in enumerate(
            zip(agents.position, agents.level, agents.loading, strict=True)
        ):
            shapes += [disc(row, column, rows, PALETTE[0], agent=agent)]
            shapes += [label(row, column, rows, str(level), colour=PAPER)]
            if loads:
                ring = disc(row, column, rows, "", 0.44)
                shapes += [Circle(ring.x, ring.y, ring.radius, outline=PALETTE[1])]
        caption = f"eaten {np.sum(food.eaten)} of {len(food.eaten)}, step {state.step_count}"
        return Scene(0, 0, rows, rows, tuple(shapes), caption)


def library(
    grid_size: int = 8,
    fov: int = 0,
    num_agents: int = 2,
    num_food: int = 2,
    max_agent_level: int = 2,
    force_coop: bool = True,
    time_limit: int = 100,
) -> Any:
    """jumanji's environment itself."""
    options = {
        "grid_size": grid_size,
        "fov": min(fov or grid_size, grid_size),
        "num_agents": num_agents,
        "num_food": num_food,
        "max_agent_level": max_agent_level,
        "force_coop": force_coop,
    }

    def make(environments: Any) -> Any:
        generator = environments.routing.lbf.generator.RandomGenerator(**options)
        return environments.LevelBasedForaging(generator, time_limit=time_limit)

    return build(make)


def foraging(
    name: str,
    grid_size: Annotated[int, Range(5)] = 8,
    fov: Annotated[int, Range(0)] = 0,
    num_agents: Count = 2,
    num_food: Count = 2,
    max_agent_level: Annotated[int, Range(2)] = 2,
    force_coop: bool = True,
    episode_limit: Count = 100,
) -> TimeLimit[Any]:
    """`fov` cells are seen to each side (0: everything); `force_coop`: each food takes the three
    agents of the lowest levels together (all, if there are fewer)."""
    room = (grid_size - 2) ** 2 - num_agents
    if room <= 5 * num_food:
        raise BadOption(
            f"{name}: {num_food} food and {num_agents} agents need a larger grid than "
            f"{grid_size} x {grid_size}: (grid_size - 2)^2 - num_agents = {room} must exceed "
            f"5 x num_food = {5 * num_food}"
        )
    free = grid_size * max(2, grid_size - 2 * num_food)  # see the listing's defects
    if num_agents > free:
        raise BadOption(f"{name}: {num_agents=} must be at most {free} on this grid")
    made = library(
        grid_size, fov, num_agents, num_food, max_agent_level, force_coop, time_limit=NEVER
    )
    most = max_agent_level * min(num_agents, 3)
    return TimeLimit(Foraging(made, most, name, episode_limit))
