"""1D pursuit, the study of the LIIR paper (Du et al. 2019), as the project's specs recall it.

The paper's code does not hold it and the paper states no horizon: the 20 steps are ours.
"""

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import EnvSpec, Key, Outcome, View
from jmarl_envs.catalogue import Count, Entry, Listing, options_of
from jmarl_envs.common import agent_names, open_view, outcome
from jmarl_envs.scene import FAINT, INK, PAPER, Circle, Line, Scene, Shape, Text, colour
from jmarl_envs.time_limit import TimeLimit

MOVES = (1, -1, 0)  # by action
PAY = 0.01


class Pursuit:
    """Two agents on the integers, each drawn from -extent..extent; the target, 0, is not told.

    Both earn 0.01 if both moves approach the target, -0.01 if both lead away from it, else 0. At
    the target every move leads away, and to stay is neither. The game never ends by itself.
    Best without going back: 0.01 * min(|x|, |y|) in all, 0.0349 on average for an extent of 10.
    """

    def __init__(self, extent: int, episode_limit: int) -> None:
        self.extent = extent
        self.spec = EnvSpec(
            name="pursuit/line",
            agents=agent_names(2),
            obs_sizes=(2, 2),
            action_kind="discrete",
            action_parts=((3,), (3,)),
            state_size=2,
            episode_limit=episode_limit,
            teams=(0, 0),
            team_reward="shared",
            agent_features=(2, 1),
            info=(("distance", "last"), ("solved_rate", "last")),
        )

    def reset(self, key: Key) -> tuple[Array, View]:
        """The state is where the agents are [2] int32."""
        places = jax.random.randint(key, (2,), -self.extent, self.extent + 1, jnp.int32)
        return places, self.view(places)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        """`distance` is the agents' mean distance to the target; solved: both stand on it."""
        places = state + jnp.array(MOVES, jnp.int32)[action]
        farther = jnp.abs(places) - jnp.abs(state)  # [2]: -1 closer, 0 as far, 1 farther
        both = (farther < 0).all().astype(jnp.float32) - (farther > 0).all()
        distance = jnp.abs(places).mean(dtype=jnp.float32)
        info = {"distance": distance, "solved_rate": (distance == 0).astype(jnp.float32)}
        out = outcome(self.view(places), jnp.full(2, PAY * both))
        return places, out.replace(info=info)

    def view(self, places: Array) -> View:
        """Each sees its own place and the other's; the state is both, in units of the extent."""
        numbers = places.astype(jnp.float32)
        obs = jnp.stack([numbers, numbers[::-1]], -1)
        return open_view(self.spec, obs, numbers / self.extent)

    def draw(self, state: Array) -> Scene:
        """The line, the target as a ring on it, agent 0 above and agent 1 below."""
        places = [int(place) for place in state]
        reach = max(self.extent, *map(abs, places))
        unit = reach / 10  # letters and discs grow with the window
        edge = reach + unit
        shapes: list[Shape] = [Line(-edge, 0, edge, 0, INK)]
        for tick in range(-reach, reach + 1):
            labelled = tick % 5 == 0
            shapes.append(Line(tick, -0.25 * unit, tick, 0.25 * unit, INK if labelled else FAINT))
            if labelled:
                shapes.append(Text(tick, -2.6 * unit, str(tick), 0.6 * unit))
        shapes += [Circle(0, 0, r * unit, outline=colour(2)) for r in (0.36, 0.4, 0.44)]
        for agent, (place, height) in enumerate(
            zip(places, (1.1 * unit, -1.1 * unit), strict=True)
        ):
            shapes += [
                Line(place, 0, place, height, colour(agent)),
                Circle(place, height, 0.6 * unit, colour(agent), agent=agent),
                Text(place, height, str(agent), 0.7 * unit, PAPER),
            ]
        caption = f"agent 0 at {places[0]}, agent 1 at {places[1]}, target at 0"
        return Scene(-edge, -3.2 * unit, 2 * edge, 5.4 * unit, tuple(shapes), caption)


def line(extent: Count = 10, episode_limit: Count = 20) -> TimeLimit[Array]:
    """Cut at the limit, never terminated."""
    return TimeLimit(Pursuit(extent, episode_limit))


ENTRIES = (
    Entry(
        "pursuit/line",
        line,
        Listing(
            "LIIR's study: two agents on a line look for an untold target",
            "shared: 0.01 if both moves approach the target, -0.01 if both lead away, else 0",
            lacks=("entities", "true endings"),
            defects=(
                "stepping away one at a time costs nothing, so a cycle of three steps (both "
                "closer, one away, the other away) earns 0.01 for ever: judge by the distance",
            ),
        ),
        options_of(line),
    ),
)
