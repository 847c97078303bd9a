"""The coin game: two players on a 3 x 3 torus, each with a coin of its colour.

From Lerer and Peysakhovich, Maintaining Cooperation in Complex Social Dilemmas Using Deep
Reinforcement Learning (2017), in jaxmarl's version with both coins always there. Taking any coin
earns 1; when it was the other's, that other loses 2. A coin taken lies elsewhere in the next step.

A game of games: each `num_inner_steps` steps the board is drawn anew. That belongs to its dynamics,
so the view that follows an episode's last step may be that of a new board.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import Entities, View
from jmarl_envs.catalogue import Count, Entry, Listing, Peer, Range, options_of
from jmarl_envs.common import open_view
from jmarl_envs.jaxmarl_suite.base import Adapter, flat, load, team_spec
from jmarl_envs.scene import INK, PAPER, Circle, Scene, Shape, colour, disc, grid_lines, label
from jmarl_envs.time_limit import TimeLimit

ACTIONS = 5  # right, left, up, down, stay
SIDE = 3
NAME = "coin_game/coin_game"


class CoinGame(Adapter):
    """`library` is jaxmarl's CoinGame."""

    def __init__(self, library: Any, shared: bool, episode_limit: int) -> None:
        spec = team_spec(
            NAME,
            library,
            ACTIONS,
            state_size=4 * SIDE * SIDE,
            episode_limit=episode_limit,
            teams=(0, 0) if shared else (0, 1),
            team_names=("team",) if shared else ("red", "blue"),
            team_reward="shared" if shared else None,
            num_entities=4,
            entity_size=4,
            agent_features=(2, 2 * SIDE * SIDE),
            info=(("own_coins", "sum"), ("others_coins", "sum")),
        )
        super().__init__(library, spec)

    def over(self, state: Any, endings: Mapping[str, Array]) -> bool:
        return False

    def view(self, state: Any, obs: Array) -> View:
        """State: of each player the cells, one-hot, where it and its coin are."""
        spots = jnp.stack([state.red_pos, state.red_coin_pos, state.blue_pos, state.blue_coin_pos])
        cells = jax.nn.one_hot(spots @ jnp.array([SIDE, 1]), SIDE * SIDE)
        return open_view(self.spec, obs, flat(cells), self.entities(spots))

    def entities(self, spots: Array) -> Entities:
        """Players, then coins [4, 4]: row and column (0..1), is it a coin, is it blue."""
        spots = spots[np.array([0, 2, 1, 3])] / (SIDE - 1)
        kinds = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        features = jnp.concatenate([spots, kinds], 1)
        return Entities(features, jnp.zeros(4, bool), jnp.zeros((2, 4), bool))

    def info(
        self, before: Any, state: Any, over: Array | bool, rewards: Array, told: Any
    ) -> dict[str, Array]:
        """Coins taken in this step, from the library's counts."""
        own = state.red_coop - before.red_coop + state.blue_coop - before.blue_coop
        others = state.red_defect - before.red_defect + state.blue_defect - before.blue_defect
        return {
            "own_coins": own.sum().astype(jnp.float32),
            "others_coins": others.sum().astype(jnp.float32),
        }

    def draw(self, state: Any) -> Scene:
        """Coins are rings, players discs; the first coordinate is the row."""
        shapes: list[Shape] = [*grid_lines(SIDE, SIDE)]
        coins = (state.red_coin_pos, state.blue_coin_pos)
        for (row, column), fill in zip(coins, FILLS, strict=True):
            coin = disc(row, column, SIDE, fill, 0.42)
            shapes += [coin, Circle(coin.x, coin.y, 0.32, PAPER)]
        meet = bool((state.red_pos == state.blue_pos).all())
        players = zip((state.red_pos, state.blue_pos), FILLS, "RB", (-1, 1), strict=True)
        for (row, column), fill, letter, side in players:
            spot = (row, column + 0.18 * side * meet, SIDE)
            body = disc(*spot, fill, 0.22)
            shapes += [body, Circle(body.x, body.y, 0.22, outline=INK)]
            shapes += [label(*spot, letter, 0.22, PAPER)]
        words = f"game {int(state.outer_t)}, step {int(state.step)}"
        return Scene(0, 0, SIDE, SIDE, tuple(shapes), words)


FILLS = (colour(1), colour(0))  # red, blue


def library(**options: Any) -> Any:
    """jaxmarl's environment itself."""
    return load("coin_game", **options)


def coin_game(
    num_inner_steps: Count = 10,
    num_outer_steps: Count = 10,
    egocentric: bool = False,
    shared_rewards: bool = False,
    episode_limit: Annotated[int, Range(0)] = 0,
) -> TimeLimit[Any]:
    """Games of `num_inner_steps` steps follow each other until `episode_limit` (0: until
    `num_outer_steps` games are played)."""
    limit = episode_limit or num_inner_steps * num_outer_steps
    made = library(
        num_inner_steps=num_inner_steps,
        num_outer_steps=-(-limit // num_inner_steps),  # as many as it keeps count of
        egocentric=egocentric,
        shared_rewards=shared_rewards,
    )
    return TimeLimit(CoinGame(made, shared_rewards, limit))


ENTRIES = (
    Entry(
        name=NAME,
        factory=coin_game,
        listing=Listing(
            summary="a social dilemma: two players, two coins, and a new board every few steps",
            reward="each: 1 for any coin, -2 when the other takes its coin; with shared_rewards "
            "both: the sum",
            lacks=("true endings (every episode is truncated)", "action masks"),
            defects=(
                "the rewards of each game's last step (every num_inner_steps) are lost: the "
                "library sets them to 0; num_inner_steps beyond episode_limit avoids it",
            ),
        ),
        options=options_of(coin_game),
        aliases=("coin_game",),
        peer=Peer("jaxmarl", library),
    ),
)
