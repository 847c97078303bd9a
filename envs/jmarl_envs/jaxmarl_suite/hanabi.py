"""Hanabi: players who see all hands but their own build fireworks from 1 to 5 in each colour.

The game of Bard et al., The Hanabi Challenge (2020), in jaxmarl's version. The player on turn plays
a card, discards one (which wins back a hint) or spends a hint on a colour or rank in the hand of
another; the others can only wait. A wrong card costs a life; with the last life all points are
lost. The game ends with the lives, with all fireworks complete, or one round after the deck.
"""

from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import View
from jmarl_envs.catalogue import BadOption, Count, Entry, Listing, Peer, Range, options_of
from jmarl_envs.jaxmarl_suite.base import Adapter, flat, load, team_spec
from jmarl_envs.scene import FAINT, INK, PAPER, Box, Scene, Shape, Text
from jmarl_envs.time_limit import TimeLimit

NAME = "hanabi/hanabi"
SUITS = ("#D7433B", "#E6C400", "#3E9B4F", "#8A8A8A", "#3B6FB6", "#9A55A8")  # R Y G W B M


class Hanabi(Adapter):
    """`library` is jaxmarl's HanabiEnv."""

    def __init__(self, library: Any, episode_limit: int) -> None:
        agents, hand = library.num_agents, library.hand_size
        kinds, hints = (
            library.num_colors * library.num_ranks,
            library.num_colors + library.num_ranks,
        )
        row = 1 + hand * (kinds + hints)
        public = kinds + library.max_info_tokens + library.max_life_tokens + 1
        spec = team_spec(
            NAME,
            library,
            int(library.num_moves),
            state_size=agents * row + public + kinds,
            episode_limit=episode_limit,
            team_reward="shared",
            agent_features=(agents, row),
            info=(("score", "last"), ("solved_rate", "last"), ("lost_rate", "last")),
        )
        super().__init__(library, spec)

    def view(self, state: Any, obs: Array) -> View:
        """State: of each player is it on turn, its cards one-hot, the colours and ranks it was
        told; then fireworks, hint and life tokens, how much of the deck is left (0..1), and how
        many of each card are discarded (1: all three)."""
        seat = jnp.argsort(state.seat_order)  # where each agent sits
        parts = (
            state.cur_player_idx,
            state.player_hands,
            state.colors_revealed,
            state.ranks_revealed,
        )
        players = [part[seat].reshape(self.spec.num_agents, -1) for part in parts]
        legal = self.library.get_legal_moves(state)
        return View(
            obs=obs,
            available=jnp.stack([legal[name] for name in self.spec.agents]) > 0,
            alive=jnp.ones(self.spec.num_agents, bool),
            state=flat(
                jnp.concatenate(players, 1),
                state.fireworks,
                state.info_tokens,
                state.life_tokens,
                state.remaining_deck_size.mean(),
                state.discard_pile.sum(0) / 3,
            ),
        )

    def info(
        self, before: Any, state: Any, over: Array | bool, rewards: Array, told: Any
    ) -> dict[str, Array]:
        lost = state.out_of_lives
        best = self.library.num_colors * self.library.num_ranks
        return {
            "score": state.score.astype(jnp.float32),
            "solved_rate": (state.score == best).astype(jnp.float32),
            "lost_rate": lost.astype(jnp.float32),
        }

    def draw(self, state: Any) -> Scene:
        """Hands row by row, fireworks above. Below a card what its holder was told of it."""
        agents, size = self.library.num_agents, self.library.hand_size
        width = 1.6 + max(size, self.library.num_colors)
        height = 1.5 + 1.45 * agents
        shapes: list[Shape] = []
        for colour, stack in enumerate(state.fireworks.sum(1).astype(int)):
            shapes += _card(1.5 + colour, height - 1.2, colour, str(stack), bool(stack))
        shapes += [Text(0.75, height - 0.7, "fireworks", 0.24)]
        for seat in range(agents):
            base = height - 1.2 - 1.45 * (seat + 1)
            turn = bool(state.cur_player_idx[seat])
            name = f"{'> ' * turn}player {int(state.seat_order[seat])}"
            shapes += [Text(0.75, base + 0.5, name, 0.24)]
            told = (state.colors_revealed[seat], state.ranks_revealed[seat])
            for slot, card in enumerate(state.player_hands[seat]):
                if card.any():
                    colour, rank = np.argwhere(card)[0]
                    shapes += _card(1.5 + slot, base, int(colour), str(rank + 1), True)
                shapes += [Text(1.9 + slot, base - 0.13, self._told(*told, slot), 0.22)]
        words = f"hints {int(state.info_tokens.sum())}, lives {int(state.life_tokens.sum())}, "
        words += f"deck {int(state.deck.any((1, 2)).sum())}, score {int(state.score)}, "
        return Scene(0, 0, width, height, tuple(shapes), f"{words}turn {int(state.step)}")

    def _told(self, colours: np.ndarray, ranks: np.ndarray, slot: int) -> str:
        suits = [self.library.color_map[i] for i in np.flatnonzero(colours[slot])]
        return "".join([*suits, *(str(i + 1) for i in np.flatnonzero(ranks[slot]))])


def _card(x: float, y: float, colour: int, words: str, filled: bool) -> list[Shape]:
    fill = SUITS[colour % len(SUITS)]
    box = Box(x, y, 0.8, 1.05, fill if filled else FAINT, fill)
    return [box, Text(x + 0.4, y + 0.52, words, 0.5, PAPER if filled else INK)]


def longest(library: Any) -> int:
    """No game has more turns: all cards that can be drawn, a hint for each hint token and for each
    that a card can win back, and the last round."""
    draws = int(library.deck_size) - library.num_agents * library.hand_size
    return library.max_info_tokens + 2 * draws + library.num_agents


def library(**options: Any) -> Any:
    """jaxmarl's environment itself; it knows no time limit."""
    return load("hanabi", **options)


def hanabi(
    num_agents: Annotated[int, Range(2, 5)] = 2,
    num_colors: Annotated[int, Range(1, len(SUITS))] = 5,
    num_ranks: Annotated[int, Range(2, 5)] = 5,
    hand_size: Annotated[int, Range(0)] = 0,
    max_info_tokens: Count = 8,
    max_life_tokens: Count = 3,
    shuffle_player_order: bool = False,
    episode_limit: Annotated[int, Range(0)] = 0,
) -> TimeLimit[Any]:
    """`hand_size` 0: five cards, four from four players on. Of each colour there are three cards of
    the lowest rank, one of the highest, two of the others. `episode_limit` 0: longer than any game
    can be."""
    hand = hand_size or (5 if num_agents < 4 else 4)
    copies = np.array([3, *[2] * (num_ranks - 2), 1])
    if num_agents * hand >= copies.sum() * num_colors:
        raise BadOption(
            f"{NAME}: {num_agents} hands of {hand} leave nothing of {copies.sum() * num_colors} "
            "cards to draw"
        )
    made = library(
        num_agents=num_agents,
        num_colors=num_colors,
        num_ranks=num_ranks,
        hand_size=hand,
        max_info_tokens=max_info_tokens,
        max_life_tokens=max_life_tokens,
        num_cards_of_rank=copies,
        shuffle_player_order=shuffle_player_order,
    )
    return TimeLimit(Hanabi(made, episode_limit or longest(made)))


ENTRIES = (
    Entry(
        name=NAME,
        factory=hanabi,
        listing=Listing(
            summary="a card game of hints: everybody sees all hands but its own",
            reward="all: 1 for each card that continues a firework; with the last life all points "
            "won so far are taken back",
            lacks=("entities",),
        ),
        options=options_of(hanabi),
        aliases=("hanabi",),
        peer=Peer("jaxmarl", library),
    ),
)
