"""JaxNav: robots with lidar drive to their goals between random blocks and each other.

From Rutherford et al., No Regrets: Investigating and Improving Regret Approximations for Curriculum
Discovery (2024). A robot that touches anything has crashed and stands still for the rest of the
episode; one that has reached its goal drives on, and may still crash. The episode truly ends when
each has done the one or the other.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import View
from jmarl_envs.catalogue import Count, Entry, Listing, Peer, Range, options_of
from jmarl_envs.common import open_view
from jmarl_envs.jaxmarl_suite.base import Adapter, flat, load, team_spec
from jmarl_envs.libraries import NEVER
from jmarl_envs.scene import INK, PAPER, WALL, Box, Circle, Line, Scene, Shape, Text, colour
from jmarl_envs.time_limit import TimeLimit

NAME = "jaxnav/jaxnav"
CHOICES = 15  # three speeds, the slowest first, by five turning rates from left to right
TURN = np.pi / 6  # the fastest turn to command, in rad/s
ROBOT = 10  # numbers of one robot in the global state


class JaxNav(Adapter):
    """`library` is jaxmarl's JaxNav, `kind` how a robot is told its speed and turning rate."""

    def __init__(self, library: Any, kind: Literal["box", "discrete"], episode_limit: int) -> None:
        agents = library.num_agents
        self.size = library.map_obj.width
        parts = {} if kind == "discrete" else {"action_parts": ((2,),) * agents}
        spec = team_spec(
            NAME,
            library,
            CHOICES,
            state_size=ROBOT * agents + (self.size - 2) ** 2,
            episode_limit=episode_limit,
            action_kind=kind,
            team_reward="shared" if library.rew_lambda == 0 or agents == 1 else "mean",
            agent_features=(agents, ROBOT),
            info=(("goals", "sum"), ("crashes", "sum"), ("solved_rate", "last")),
            **parts,
        )
        super().__init__(library, spec)

    def view(self, state: Any, obs: Array) -> View:
        """State: of each robot its place, cosine and sine of where it looks, speed and turning
        rate, its goal, has it been there, has it crashed (all within -1..1); then the map within
        its border, 1 where a block is."""
        fastest = jnp.array([self.library.max_v, self.library.max_w])
        theta = state.theta[:, None]
        robots = jnp.concatenate(
            [
                state.pos / self.size,
                jnp.cos(theta),
                jnp.sin(theta),
                state.vel / fastest,
                state.goal / self.size,
                state.goal_reached[:, None],
                state.move_term[:, None],
            ],
            axis=1,
        )
        view = open_view(self.spec, obs, flat(robots, state.map_data[1:-1, 1:-1]))
        return view.replace(alive=~state.move_term)

    def actions(self, state: Any, action: Array) -> Mapping[str, Array]:
        """In a box: -1..1 stands for the speed from 0 to the fastest, and for the turning rate."""
        if self.spec.action_kind == "box":
            numbers = action.clip(-1.0, 1.0)
            speed = (numbers[:, 0] + 1) / 2 * self.library.max_v
            action = jnp.stack([speed, numbers[:, 1] * TURN], 1)
        return super().actions(state, action)

    def info(
        self, before: Any, state: Any, over: Array | bool, rewards: Array, told: Any
    ) -> dict[str, Array]:
        crashed = state.move_term & ~before.move_term
        return {
            "goals": told["GoalR"].sum().astype(jnp.float32),
            "crashes": crashed.sum().astype(jnp.float32),
            "solved_rate": state.goal_reached.all().astype(jnp.float32),
        }

    def draw(self, state: Any) -> Scene:
        """Robots as discs that look along a line; rings and thin lines show their goals. Who has
        crashed is grey, who has arrived has a tick."""
        shapes: list[Shape] = [
            Box(float(x), float(y), 1, 1, WALL) for y, x in np.argwhere(state.map_data)
        ]
        for index, (x, y) in enumerate(state.pos.tolist()):
            goal_x, goal_y = state.goal[index].tolist()
            ink = colour(index)
            shapes += [Line(x, y, goal_x, goal_y, ink)]
            shapes += [Circle(goal_x, goal_y, self.library.goal_radius, outline=ink)]
            shapes += [Circle(goal_x, goal_y, 0.1, ink)]
        for index, (x, y) in enumerate(state.pos.tolist()):
            theta, radius = float(state.theta[index]), self.library.rad
            nose = (x + radius * np.cos(theta), y + radius * np.sin(theta))
            fill = WALL if state.move_term[index] else colour(index)
            shapes += [Circle(x, y, radius, fill, colour(index), index)]
            shapes += [Line(x, y, *nose, PAPER, 0.08)]
            if state.goal_reached[index]:
                shapes += [Text(x, y, "ok", 0.3, INK)]
        words = f"arrived {int(state.goal_reached.sum())}, crashed {int(state.move_term.sum())} "
        words += f"of {len(state.pos)}, step {int(state.step)}"
        return Scene(0, 0, self.size, self.size, tuple(shapes), words)


def library(
    map_size: int = 11, fill: float = 0.3, valid_path_check: bool = False, **options: Any
) -> Any:
    """jaxmarl's environment itself; its maps must be square."""
    params = {"map_size": (map_size,) * 2, "fill": fill, "valid_path_check": valid_path_check}
    return load("jaxnav", map_params=params, **options)


def jaxnav(
    num_agents: Count = 2,
    actions: Literal["box", "discrete"] = "box",
    map_size: Annotated[int, Range(5)] = 11,
    fill: Annotated[float, Range(0.0, 1.0)] = 0.3,
    valid_path_check: bool = False,
    rew_lambda: Annotated[float, Range(0.0, 1.0)] = 0.5,
    lidar_num_beams: Annotated[int, Range(2)] = 200,  # the library squeezes a single one away
    episode_limit: Count = 500,
) -> TimeLimit[Any]:
    """At most the share `fill` of the cells is blocked. `valid_path_check`: only goals that can be
    reached, drawn slowly. `rew_lambda` mixes a robot's own reward (1) with the team's mean (0)."""
    made = library(
        map_size,
        fill,
        valid_path_check,
        num_agents=num_agents,
        act_type="Discrete" if actions == "discrete" else "Continuous",
        rew_lambda=float(rew_lambda),
        lidar_num_beams=lidar_num_beams,
        max_steps=NEVER,
    )
    return TimeLimit(JaxNav(made, actions, episode_limit))


ENTRIES = (
    Entry(
        name=NAME,
        factory=jaxnav,
        listing=Listing(
            summary="robots with lidar drive to their goals between blocks and each other",
            reward="each, half its own and half the team's mean: 4 at the goal, -4 for a crash, "
            "0.25 x progress, -0.01 per step, -0.1 near an obstacle",
            lacks=("entities", "other maps and agents' shapes than those of jaxmarl's default"),
            defects=(
                "goals may be out of reach (see valid_path_check)",
                "a robot that crashed near an obstacle goes on losing 0.1 per step",
            ),
        ),
        options=options_of(jaxnav),
        aliases=("jaxnav",),
        peer=Peer("jaxmarl", library),
    ),
)
