"""STORM: players collect coins of two kinds, then meet to play a matrix game with what they hold.

From Khan et al., Scaling Opponent Shaping to High Dimensional Games (2023), in two of jaxmarl's
three versions: `storm_2p` and `storm_np`. A player that interacts with another in reach plays the
row (or column) mixed in proportion to its coins; by default a prisoners' dilemma, red coins stand
for cooperation. Both then stand still for some steps, lose their coins, and start anew elsewhere.

The third version, `storm`, is left out: it shuffles 43,758 rows in each step, which takes 0.1 s.
The library's own inner limit is out of reach, so an episode's last view and rewards are true.
"""

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import View
from jmarl_envs.catalogue import Count, Entry, Listing, Peer, Range, options_of
from jmarl_envs.common import open_view
from jmarl_envs.jaxmarl_suite.base import Adapter, flat, load, team_spec
from jmarl_envs.libraries import NEVER
from jmarl_envs.scene import (
    FAINT,
    INK,
    PALETTE,
    PAPER,
    WALL,
    Box,
    Circle,
    Line,
    Scene,
    Shape,
    Text,
    colour,
    faded,
)
from jmarl_envs.time_limit import TimeLimit

RED, BLUE = 3, 4  # coins on the library's grid
COINS = 6.0  # of each kind: a scale for inventories
PLAYER = 9  # numbers of one player in the global state
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))  # where a player looks, as (x, y)
LIMIT = 152


class Storm(Adapter):
    """What both versions share. `beam` is how the library's grid marks where was zapped, `stay` the
    action of those who must stand still."""

    beam: int
    stay: int

    def __init__(self, library: Any, name: str, num_actions: int, episode_limit: int) -> None:
        agents = tuple(f"agent_{index}" for index in library.agents)
        spec = team_spec(
            name,
            library,
            num_actions,
            state_size=PLAYER * len(agents) + 2 * 64,
            episode_limit=episode_limit,
            agents=agents,
            teams=tuple(range(len(agents))),
            team_names=agents,
            agent_features=(len(agents), PLAYER),
            info=(("interactions", "sum"),),
        )
        super().__init__(library, spec)

    def players(self, state: Any) -> tuple[Array, Array, Array]:
        """Places and directions [A, 3], coins held [A, 2], who must stand still [A]."""
        raise NotImplementedError

    def over(self, state: Any, endings: Any) -> bool:
        return False

    def actions(self, state: Any, action: Array) -> Any:
        return tuple(action)

    def rows(self, obs: Any) -> Array:
        parts = [jax.tree.leaves(obs[agent]) for agent in self.library.agents]
        return jnp.stack([flat(*leaves) for leaves in parts])

    def view(self, state: Any, obs: Array) -> View:
        """State: of each player its place (0..1), direction one-hot, coins held, must it stand
        still; then of each cell is there a red coin, and is there a blue one."""
        places, held, still = self.players(state)
        facing = jax.nn.one_hot(places[:, 2], 4)
        rows = jnp.concatenate([places[:, :2] / 7, facing, held / COINS, still[:, None]], 1)
        view = open_view(self.spec, obs, flat(rows, state.grid == RED, state.grid == BLUE))
        only = jnp.arange(self.spec.action_size) == self.stay
        return view.replace(available=~still[:, None] | only)

    def draw(self, state: Any) -> Scene:
        """Coins small, players large with what they hold (red, blue); grey if they stand still,
        cells that were zapped yellow."""
        side = len(state.grid)
        shapes: list[Shape] = [Box(x, y, 1, 1, PAPER, FAINT) for x, y in np.ndindex(side, side)]
        fills = {RED: PALETTE[1], BLUE: PALETTE[0]}
        for x, y in np.argwhere(state.grid == self.beam).tolist():
            shapes += [Box(x, y, 1, 1, faded(PALETTE[6], 0.6))]
        for kind, fill in fills.items():
            for x, y in np.argwhere(state.grid == kind).tolist():
                shapes += [Circle(x + 0.5, y + 0.5, 0.18, fill)]
        places, held, still = self.players(state)
        for index, (x, y, facing) in enumerate(np.asarray(places).tolist()):
            right, up = STEPS[facing]
            x, y = x + 0.5, y + 0.5
            fill = WALL if still[index] else colour(index + 2)
            coins = ", ".join(str(int(count)) for count in held[index])
            shapes += [Line(x, y, x + 0.5 * right, y + 0.5 * up, INK, 0.1)]
            shapes += [Circle(x, y, 0.4, fill, INK, index), Text(x, y, coins, 0.26, PAPER)]
        words = f"players hold red, blue coins; step {int(state.step)}"
        return Scene(0, 0, side, side, tuple(shapes), words)


class StormOfTwo(Storm):
    """`library` is jaxmarl's InTheGrid_2p. Actions: turn left, right, forward, interact, stay."""

    beam, stay = 6, 4

    def players(self, state: Any) -> tuple[Array, Array, Array]:
        places = jnp.stack([state.red_pos, state.blue_pos])
        held = jnp.stack([state.red_inventory, state.blue_inventory])
        return places, held, jnp.broadcast_to(state.freeze > 0, 2)

    def info(
        self, before: Any, state: Any, over: Array | bool, rewards: Array, told: Any
    ) -> dict[str, Array]:
        return {"interactions": (state.freeze > before.freeze).astype(jnp.float32)}


class StormOfMany(Storm):
    """`library` is jaxmarl's InTheMatrix. Actions: turn left, right, forward, stay, then zap the
    cell before one, the one beyond, the one to its right, the one to its left."""

    beam, stay = 2, 3

    def players(self, state: Any) -> tuple[Array, Array, Array]:
        return state.agent_locs, state.agent_invs, state.freeze.max(-1) > 0

    def info(
        self, before: Any, state: Any, over: Array | bool, rewards: Array, told: Any
    ) -> dict[str, Array]:
        pairs = (state.freeze > before.freeze).sum() / 2
        return {"interactions": pairs.astype(jnp.float32)}


def storm_2p(
    fixed_coin_location: bool = True, freeze_penalty: Count = 5, episode_limit: Count = LIMIT
) -> TimeLimit[Any]:
    made = load(
        "storm_2p",
        num_inner_steps=NEVER,
        fixed_coin_location=fixed_coin_location,
        freeze_penalty=freeze_penalty,
    )
    return TimeLimit(StormOfTwo(made, "storm/storm_2p", 5, episode_limit))


def storm_np(
    num_agents: Annotated[int, Range(2, 8)] = 2,
    freeze_penalty: Count = 5,
    episode_limit: Count = LIMIT,
) -> TimeLimit[Any]:
    made = load(
        "storm_np", num_inner_steps=NEVER, num_agents=num_agents, freeze_penalty=freeze_penalty
    )
    return TimeLimit(StormOfMany(made, "storm/storm_np", 8, episode_limit))


LACKS = (
    "true endings (every episode is truncated)",
    "entities",
    "other payoffs than the dilemma",
    "the library's third version, `storm`: a step of it takes 0.1 s, to shuffle 43,758 rows",
)
REWARD = "each: its payoff in the prisoners' dilemma, when it interacts"
ENTRIES = (
    Entry(
        name="storm/storm_2p",
        factory=storm_2p,
        listing=Listing(
            "two players collect coins and meet in a prisoners' dilemma; seen: inventories (6), "
            "then 5 x 5 cells x 10 layers",
            REWARD,
            LACKS,
            (
                "players never start looking left",
                "the library redraws the board after step 152 and drops that step's rewards; "
                "here it does not",
            ),
        ),
        options=options_of(storm_2p),
        aliases=("storm_2p",),
        peer=Peer("jaxmarl", lambda: load("storm_2p")),
    ),
    Entry(
        name="storm/storm_np",
        factory=storm_np,
        listing=Listing(
            "players collect coins and zap each other into a prisoners' dilemma; seen: 5 x 5 "
            "cells x 14 layers",
            REWARD,
            LACKS,
            (
                "not a benchmark: a zapper's payoff goes to the one it zapped; it earns nothing "
                "itself (agent 0: the same)",
                "zapping to the left looks for somebody on the right",
            ),
        ),
        options=options_of(storm_np),
        aliases=("storm_np",),
        peer=Peer("jaxmarl", lambda: load("storm_np")),
    ),
)
