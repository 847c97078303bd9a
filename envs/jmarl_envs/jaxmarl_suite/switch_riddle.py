"""The switch riddle: prisoners who meet through a light bulb alone.

From Foerster et al., Learning to Communicate to Solve Riddles with Deep Distributed Recurrent
Q-Networks (2016), in jaxmarl's version. Each day one prisoner, drawn uniformly, is in the room and
sees the bulb. Whoever tells that all have been there frees all if it is true, and else none.
"""

from typing import Annotated, Any

import jax.numpy as jnp
from jax import Array

from jmarl.types import View
from jmarl_envs.catalogue import Entry, Listing, Peer, Range, options_of
from jmarl_envs.common import open_view
from jmarl_envs.jaxmarl_suite.base import Adapter, flat, load, team_spec
from jmarl_envs.libraries import NEVER
from jmarl_envs.scene import FAINT, INK, PALETTE, PAPER, Box, Circle, Scene, Shape, Text, colour
from jmarl_envs.time_limit import TimeLimit

ACTIONS = 3  # nothing, switch the light, tell
NAME = "switch_riddle/switch_riddle"


class SwitchRiddle(Adapter):
    """`library` is jaxmarl's SwitchRiddle."""

    def __init__(self, library: Any, episode_limit: int) -> None:
        agents = library.num_agents
        spec = team_spec(
            NAME,
            library,
            ACTIONS,
            state_size=2 * agents + 1,
            episode_limit=episode_limit,
            team_reward="shared",
            agent_features=(agents, 2),
            info=(("win_rate", "last"),),
        )
        super().__init__(library, spec)

    def view(self, state: Any, obs: Array) -> View:
        """Observed: am I in the room, is the light on (if I am). State: of each, is it in the room,
        has it been; then the light. Who is not in the room can do nothing."""
        inside = state.agent_in_room == self.library.agent_range
        people = jnp.stack([inside, state.has_been > 0], axis=1)
        view = open_view(self.spec, obs, flat(people, state.bulb_state))
        return view.replace(available=inside[:, None] | (jnp.arange(ACTIONS) == 0))

    def info(
        self, before: Any, state: Any, over: Array | bool, rewards: Array, told: Any
    ) -> dict[str, Array]:
        won = jnp.asarray(over) & (state.has_been > 0).all()
        return {"win_rate": won.astype(jnp.float32)}

    def draw(self, state: Any) -> Scene:
        """The room with its bulb; below it those outside. Who has been in the room is filled."""
        agents = self.library.num_agents
        inside, lit = int(state.agent_in_room), bool(state.bulb_state)
        width = max(agents, 4)
        middle = width / 2
        shapes: list[Shape] = [Box(middle - 1.5, 1.5, 3, 2, FAINT, INK)]
        shapes += [Circle(middle + 0.8, 2.9, 0.3, PALETTE[6] if lit else PAPER, INK)]
        for index in range(agents):
            x = middle - 0.4 if index == inside else index + 0.5 + (width - agents) / 2
            y = 2.2 if index == inside else 0.7
            been = bool(state.has_been[index])
            shapes += [Circle(x, y, 0.36, colour(index) if been else PAPER, colour(index))]
            shapes += [Text(x, y, str(index), 0.4, PAPER if been else INK)]
        been = int((state.has_been > 0).sum())
        words = f"day {int(state.step)}: {been} of {agents} have been in the room (filled)"
        return Scene(0, 0, width, 3.7, tuple(shapes), words)


def library(**options: Any) -> Any:
    """jaxmarl's environment itself, with its own limit of 4 num_agents - 6 days."""
    return load("switch_riddle", **options)


def switch_riddle(
    num_agents: Annotated[int, Range(3)] = 3,
    initial_bulb_state: bool = False,
    reward_all_live: float = 1.0,
    reward_all_die: float = -1.0,
    episode_limit: Annotated[int, Range(0)] = 0,
) -> TimeLimit[Any]:
    """`episode_limit` 0 stands for the riddle's own, 4 num_agents - 6 days."""
    made = library(
        num_agents=num_agents,
        initial_bulb_state=initial_bulb_state,
        reward_all_live=reward_all_live,
        reward_all_die=reward_all_die,
    )
    limit = episode_limit or made.max_steps
    made.max_steps = NEVER
    return TimeLimit(SwitchRiddle(made, limit))


ENTRIES = (
    Entry(
        name=NAME,
        factory=switch_riddle,
        listing=Listing(
            summary="prisoners learn through one light bulb when all of them have been in a room",
            reward="all: 1 if somebody tells rightly that all have been there, -1 if wrongly",
            lacks=("entities", "the day in observations"),
        ),
        options=options_of(switch_riddle),
        aliases=("switch_riddle",),
        peer=Peer("jaxmarl", library),
    ),
)
