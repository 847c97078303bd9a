"""The robotic warehouse: robots carry requested shelves to the goal, and must not collide.

The game of https://github.com/semitable/robotic-warehouse in jumanji's version. Robots go forward,
turn, and load the shelf they stand under; who carries cannot pass under other shelves. A requested
shelf on a goal earns the team 1, and another shelf is requested in its place. Robots act one after
another; an episode ends for good as soon as one drives into another (the original lets it wait).

jumanji draws the floor; the rules (`rware_rules`) are our own, equal to jumanji's and faster.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import Key, Outcome, View
from jmarl_envs.catalogue import BadOption, Count
from jmarl_envs.jumanji_suite.base import NEVER, build, flat, numbers, team_spec
from jmarl_envs.jumanji_suite.rware_rules import (
    COLUMNS,
    FORWARD,
    ROWS,
    STAY,
    TURN,
    Floor,
    Layout,
    Robots,
    delivered,
    moved,
    observations,
)
from jmarl_envs.scene import PALETTE, Line, Scene, Shape, cell, disc, grid_lines
from jmarl_envs.time_limit import TimeLimit

FACTS = 7  # of a robot: row, column, carries, direction one-hot


class Warehouse:
    """`library` is jumanji's RobotWarehouse."""

    def __init__(self, library: Any, name: str, episode_limit: int) -> None:
        self.spawn = build(
            lambda all_: all_.routing.robot_warehouse.utils_spawn
        ).spawn_random_entities
        goals = np.array(library.goals)[:, ::-1]
        idle = int(library.not_in_queue_size)
        self.layout = Layout(np.array(library.highways, bool), goals, idle, library.sensor_range)
        self.generator = library._generator
        rows, columns = np.array(self.generator._shelf_positions).T
        self.plan = np.zeros(library.grid_size, np.int32)  # the same at every reset
        self.plan[rows, columns] = 1 + np.arange(len(rows))
        agents = library.num_agents
        self.spec = team_spec(
            name,
            num_agents=agents,
            obs_size=int(library.num_obs_features),
            num_actions=len(TURN),
            state_size=FACTS * agents + 3 * len(library.shelf_ids),
            episode_limit=episode_limit,
            team_reward="shared",
            agent_features=(agents, FACTS),
            info=(("deliveries", "sum"), ("collision_rate", "last")),
        )

    def reset(self, key: Key) -> tuple[Floor, View]:
        made = self.generator
        key, robots, shelves, _ = self.spawn(
            key,
            made.grid_size,
            made.agent_ids,
            made.shelf_ids,
            made._shelf_positions,
            made.request_queue_size,
        )
        none = jnp.zeros(self.spec.num_agents, bool)
        place = robots.position
        floor = Floor(
            robots=Robots(place.x, place.y, robots.direction, none, none, none),
            row=shelves.position.x,
            column=shelves.position.y,
            requested=shelves.is_requested > 0,
            plan=jnp.asarray(self.plan),
            key=key,
        )
        return floor, self.view(floor)

    def step(self, state: Floor, action: Array, key: Key) -> tuple[Floor, Outcome]:
        floor = moved(state, action, self.layout)
        floor, deliveries = delivered(floor, self.layout)
        reward = jnp.full(self.spec.num_agents, deliveries)
        over = floor.robots.crushed.any()
        info = {"deliveries": deliveries, "collision_rate": over.astype(jnp.float32)}
        return floor, Outcome(self.view(floor), reward, over, jnp.zeros((), bool), info)

    def view(self, floor: Floor) -> View:
        """State: of each robot row, column (0..1), whether it carries, its direction one-hot; of
        each shelf row, column, whether it is requested."""
        robots, facing = floor.robots, jax.nn.one_hot(floor.robots.direction, 4)
        rows, columns = (size - 1 for size in floor.plan.shape)
        own = numbers(robots.row / rows, robots.column / columns, robots.carries)
        shelves = numbers(floor.row / rows, floor.column / columns, floor.requested)
        can = jnp.ones((len(facing), len(TURN)), bool)
        return View(
            obs=observations(floor, self.layout),
            available=can.at[:, FORWARD].set(~robots.blocked),
            alive=can[:, STAY],
            state=flat(jnp.concatenate([own, facing], 1), shelves),
        )

    def draw(self, state: Floor) -> Scene:
        """Goals green, shelves grey, requested ones yellow; who carries is orange."""
        height, width = state.plan.shape
        shapes: list[Shape] = [*grid_lines(height, width)]
        shapes += [cell(row, column, height, PALETTE[2]) for row, column in self.layout.goals]
        for row, column, wanted in zip(state.row, state.column, state.requested, strict=True):
            shapes.append(
                cell(row, column, height, PALETTE[4 if wanted else 7] + "AA", margin=0.08)
            )
        robots = state.robots
        for agent, (row, column, facing, carries) in enumerate(
            zip(robots.row, robots.column, robots.direction, robots.carries, strict=True)
        ):
            body = disc(row, column, height, PALETTE[1 if carries else 0], agent=agent)
            to = body.x + 0.48 * COLUMNS[facing], body.y - 0.48 * ROWS[facing]
            shapes += [body, Line(body.x, body.y, *to, width=0.12)]
        caption = f"{int(state.requested.sum())} shelves requested, {robots.carries.sum()} carried"
        return Scene(0, 0, width, height, tuple(shapes), caption)


def library(
    shelf_rows: int = 2,
    shelf_columns: int = 3,
    column_height: int = 8,
    num_agents: int = 4,
    sensor_range: int = 1,
    request_queue_size: int = 8,
    time_limit: int = 500,
) -> Any:
    """jumanji's environment itself."""

    def make(environments: Any) -> Any:
        generator = environments.routing.robot_warehouse.generator.RandomGenerator(
            shelf_rows, shelf_columns, column_height, num_agents, sensor_range, request_queue_size
        )
        return environments.RobotWarehouse(generator, time_limit=time_limit)

    return build(make)


def warehouse(
    name: str,
    shelf_rows: Count = 2,
    shelf_columns: Count = 3,
    column_height: Count = 8,
    num_agents: Count = 4,
    sensor_range: Count = 1,
    request_queue_size: Count = 8,
    episode_limit: Count = 500,
) -> TimeLimit[Floor]:
    """Clusters of shelves, two cells wide and `column_height` high, in rows and an odd number of
    columns; the middle one of the last row makes way for the goals."""
    if shelf_columns % 2 == 0:
        raise BadOption(f"{name}: {shelf_columns=} must be odd, for the goals are in the middle")
    shelves = 2 * column_height * (shelf_rows * shelf_columns - 1)
    if request_queue_size >= shelves:
        raise BadOption(f"{name}: {request_queue_size=} must be less than the {shelves} shelves")
    rows, columns = (column_height + 1) * shelf_rows + 2, 3 * shelf_columns + 1
    if num_agents > rows * columns:
        raise BadOption(f"{name}: {num_agents=} do not fit into {rows} x {columns} cells")
    made = library(
        shelf_rows,
        shelf_columns,
        column_height,
        num_agents,
        sensor_range,
        request_queue_size,
        time_limit=NEVER,
    )
    return TimeLimit(Warehouse(made, name, episode_limit))
