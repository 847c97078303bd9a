"""MABrax: brax's robots, the joints of each shared out among agents.

After Peng et al., FACMAC: Factored Multi-Agent Centralised Policy Gradients (2021), which did so
with MuJoCo's robots; in jaxmarl's version. An agent moves some joints and sees the parts of the
robot near them; the reward is the robot's. A robot that falls ends its episode (not the cheetah).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import EnvSpec, View
from jmarl_envs.catalogue import Count, Entry, Listing, Needs, Peer, options_of
from jmarl_envs.common import open_view
from jmarl_envs.jaxmarl_suite.base import Adapter, load
from jmarl_envs.libraries import NEVER, quietly
from jmarl_envs.scene import INK, Circle, Line, Scene, Shape, colour
from jmarl_envs.time_limit import TimeLimit

TASKS: Mapping[str, str] = {  # names and the library's ids
    "ant_4x2": "ant_4x2",
    "halfcheetah_6x1": "halfcheetah_6x1",
    "hopper_3x1": "hopper_3x1",
    "humanoid_9_8": "humanoid_9|8",
    "walker2d_2x3": "walker2d_2x3",
}
DEPRECATED = "deprecated by jaxmarl, as brax's environments are by brax"
DEFECTS = {
    "humanoid_9_8": (
        "93 of agent_0's 248 observed numbers and 51 of agent_1's 176 lie beyond the 244 that "
        "brax now gives: they repeat its last one",
    )
}
WINDOW = 4.0  # metres to be seen in a picture


class Mabrax(Adapter):
    """`library` is jaxmarl's MABraxEnv."""

    def __init__(self, library: Any, name: str, episode_limit: int) -> None:
        agents = tuple(library.agents)
        sizes = tuple(library.agent_action_mapping[agent].size for agent in agents)
        with quietly():
            width = jax.eval_shape(library.env.reset, jax.random.key(0)).obs.size
        spec = EnvSpec(
            name=name,
            agents=agents,
            obs_sizes=tuple(library.agent_obs_mapping[agent].size for agent in agents),
            action_kind="box",
            action_parts=tuple((size,) for size in sizes),
            state_size=width,
            episode_limit=episode_limit,
            teams=(0,) * len(agents),
            team_reward="shared",
            info=(("fall_rate", "last"),),
        )
        super().__init__(library, spec)

    def rows(self, obs: Any) -> Array:
        """Padded to the widest agent."""
        wide = self.spec.obs_size
        rows = [obs[agent].astype(jnp.float32) for agent in self.spec.agents]
        return jnp.stack([jnp.pad(row, (0, wide - row.size)) for row in rows])

    def actions(self, state: Any, action: Array) -> dict[str, Array]:
        """Torques from -1 to 1, each agent's own."""
        rows = zip(self.spec.agents, action, self.spec.action_sizes, strict=True)
        return {agent: row[:size].clip(-1.0, 1.0) for agent, row, size in rows}

    def view(self, state: Any, obs: Array) -> View:
        """State: brax's own observation of the whole robot."""
        return open_view(self.spec, obs, state.obs)

    def info(
        self, before: Any, state: Any, over: Array | bool, rewards: Array, told: Any
    ) -> dict[str, Array]:
        return {"fall_rate": jnp.asarray(over).astype(jnp.float32)}

    def draw(self, state: Any) -> Scene:
        """From the side (ants from above): each body a disc, joined to the one that carries it."""
        places = np.asarray(state.pipeline_state.x.pos)
        across, up = (0, 1) if "ant" in self.spec.name else (0, 2)
        points = places[:, [across, up]]
        middle = points[0]
        left = float(middle[0]) - WINDOW / 2
        bottom = float(middle[1]) - WINDOW / 2 if up == 1 else -0.5
        shapes: list[Shape] = []
        if up == 2:
            shapes += [Line(left, 0, left + WINDOW, 0, INK, 0.03)]
        for mark in range(int(np.floor(left)), int(np.ceil(left + WINDOW)) + 1):
            shapes += [Circle(mark, 0.0 if up == 2 else bottom + 0.05, 0.04, INK)]
        for body, parent in enumerate(self.library.env.sys.link_parents):
            if parent >= 0:
                (x, y), (to_x, to_y) = points[parent].tolist(), points[body].tolist()
                shapes += [Line(x, y, to_x, to_y, colour(body), 0.1)]
        for body, (x, y) in enumerate(points.tolist()):
            shapes += [Circle(x, y, 0.1 if body else 0.16, colour(body))]
        distance = round(float(middle[0]), 1) + 0.0  # no minus zero
        words = f"{distance} m from the start (marks: metres)"
        return Scene(left, bottom, WINDOW, WINDOW, tuple(shapes), words)


def library(task: str, **options: Any) -> Any:
    """jaxmarl's environment itself; by default with brax's own limit and resets."""
    return load(TASKS[task], **options)


def mabrax(
    task: str,
    backend: Literal["positional", "generalized", "spring"] = "positional",
    episode_limit: Count = 1000,
) -> TimeLimit[Any]:
    """`backend` is brax's way to compute contacts and joints."""
    made = library(task, backend=backend, episode_length=NEVER, auto_reset=False)
    return TimeLimit(Mabrax(made, f"mabrax/{task}", episode_limit))


def _entry(task: str) -> Entry:
    factory = partial(mabrax, task)
    robot, parts = task.split("_", 1)
    count = "two agents" if "_" in parts else f"{parts[0]} agents"
    return Entry(
        name=f"mabrax/{task}",
        factory=factory,
        listing=Listing(
            summary=f"{count} share the joints of brax's {robot} and make it run forward",
            reward="all: the robot's own, for its speed, less its effort, and for not falling",
            lacks=("entities", "action masks (torques are continuous)"),
            defects=(DEPRECATED, *DEFECTS.get(task, ())),
        ),
        options=options_of(factory),
        aliases=(TASKS[task],),
        needs=Needs("brax", "mabrax"),
        peer=Peer("jaxmarl", partial(library, task)),
    )


ENTRIES = tuple(_entry(task) for task in TASKS)
