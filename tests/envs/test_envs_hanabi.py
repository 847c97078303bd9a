"""Hanabi against jaxmarl itself, and games whose decks are known."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from jaxmarl_peers import Played, side_by_side

import jmarl_envs
from jmarl_envs.jaxmarl_suite.hanabi import library
from jmarl_envs.libraries import firm
from jmarl_envs.plain import plain
from jmarl_envs.scene import Text

WAIT = 20  # of two players with five cards: 5 discards, 5 plays, 5 colours, 5 ranks, then this


@pytest.fixture(scope="module")
def played() -> Played:
    return side_by_side(jmarl_envs.make("hanabi/hanabi"), library(), episodes=32)


def test_episodes_are_the_librarys_own(played: Played) -> None:
    played.assert_alike()
    live, out = played.live, played.outcome
    np.testing.assert_array_equal(out.terminated[live], played.over[live])
    assert not out.truncated.any()
    assert out.terminated.any(1).all()
    assert played.spec.episode_limit == 8 + 2 * (50 - 10) + 2


def test_the_other_players_can_only_wait(played: Played) -> None:
    available = played.view.available[:, :-1][played.live]
    turn = np.argmin(available[..., WAIT], -1)
    np.testing.assert_array_equal(available[..., WAIT].sum(-1), 1)
    waiting = np.take_along_axis(available, (1 - turn)[:, None, None], 1)
    np.testing.assert_array_equal(waiting.sum((1, 2)), 1)
    first = played.view.available[:, 0, 0]
    assert not first[:, :5].any()  # no discard: all hints are there
    assert first[:, 5:10].all()


def test_one_may_hint_what_the_other_holds(played: Played) -> None:
    hand = played.view.state[:, 0, 1 + 5 * 35 :][:, 1 : 1 + 5 * 25].reshape(-1, 5, 5, 5)
    hints = played.view.available[:, 0, 0, 10:20]
    np.testing.assert_array_equal(hints[:, :5], hand.any((1, 3)))
    np.testing.assert_array_equal(hints[:, 5:], hand.any((1, 2)))


def test_points_add_up_and_are_lost_with_the_lives(played: Played) -> None:
    live, info = played.live, played.outcome.info
    returns = (played.outcome.reward[..., 0] * live).sum(1)
    last = live.sum(1) - 1
    ending = {name: values[np.arange(len(last)), last] for name, values in info.items()}
    np.testing.assert_array_equal(returns, ending["score"])
    assert ending["lost_rate"].mean() > 0.5  # random play
    assert not returns[ending["lost_rate"] == 1].any()


def test_seats_may_be_shuffled() -> None:
    env = jmarl_envs.make("hanabi/hanabi", num_agents=3, shuffle_player_order=True)
    theirs = library(num_agents=3, shuffle_player_order=True)
    played = side_by_side(env, theirs, episodes=6, steps=12)
    played.assert_alike()
    rows = played.view.state[..., : 3 * 176].reshape(6, 13, 3, 176)
    turn = played.view.available[..., -1].argmin(-1)  # whoever need not wait
    live = np.concatenate([np.ones((6, 1), bool), played.live], 1)
    np.testing.assert_array_equal(rows[..., 0].argmax(-1)[live], turn[live])
    assert len(np.unique(turn[:, 0])) > 1
    before, after = played.state.inner.seat_order[:, 0], turn[:, 0]
    np.testing.assert_array_equal(before[:, 0], after)


RED, YELLOW = 0, 1
# two hands (red 1 and 2; yellow 1 and 2), then what is drawn
DECK = [(RED, 0), (RED, 1), (YELLOW, 0), (YELLOW, 1), (RED, 0), (RED, 0), (YELLOW, 0), (YELLOW, 0)]
FIRST, SECOND = 2, 3  # play this card; 0 and 1 discard it


def game(actions: list[int], max_life_tokens: int) -> tuple[Any, list[Any], list[Any]]:
    """What follows from DECK if the player on turn does this: env, states, outcomes."""
    env: Any = jmarl_envs.make(
        "hanabi/hanabi", num_colors=2, num_ranks=2, hand_size=2, max_life_tokens=max_life_tokens
    )
    state = firm(env.env.library.reset_game_from_deck_of_pairs(jnp.array(DECK)))
    states, outs = [state], []
    for turn, action in enumerate(actions):
        both = jnp.full(2, env.spec.action_size - 1).at[turn % 2].set(action)
        state, out = env.env.step(states[-1], both, jnp.zeros(2, jnp.uint32))
        states.append(state)
        outs.append(out)
    return env.env, states, outs


def test_a_perfect_game() -> None:
    _, _, outs = game([FIRST, FIRST, FIRST, FIRST], 3)
    assert [out.reward.tolist() for out in outs] == [[1.0, 1.0]] * 4
    assert [bool(out.terminated) for out in outs] == [False, False, False, True]
    assert [float(out.info["solved_rate"]) for out in outs] == [0, 0, 0, 1]
    assert float(outs[-1].info["lost_rate"]) == 0


def test_the_last_life_takes_all_points() -> None:
    env, states, outs = game([FIRST, SECOND], 1)
    assert [out.reward.tolist() for out in outs] == [[1.0, 1.0], [-1.0, -1.0]]
    assert bool(outs[-1].terminated)
    assert float(outs[-1].info["score"]) == 0
    assert float(outs[-1].info["lost_rate"]) == 1
    words = [shape.words for shape in env.draw(plain(states[1])).shapes if isinstance(shape, Text)]
    assert words[:2] == ["1", "0"]  # red has its 1, yellow nothing
    assert "> player 1" in words


def test_the_state_tells_everything() -> None:
    env, _, outs = game([FIRST], 3)
    assert env.spec.state_size == 2 * (1 + 2 * 8) + 4 + 8 + 3 + 1 + 4
    state = np.asarray(outs[0].view.state)
    hand = [[0, 1, 0, 0], [1, 0, 0, 0]]  # red 2 moved up, red 1 was drawn
    assert state[:17].tolist() == [0, *hand[0], *hand[1], *[0] * 8]
    assert state[17] == 1  # the other one's turn
    assert state[34:38].tolist() == [1, 0, 0, 0]
    assert state[38:49].tolist() == [1] * 11
    assert state[49] == np.float32(3 / 8)
    assert not state[50:].any()


@pytest.mark.slow
@pytest.mark.parametrize("num_agents", [3, 5])
def test_more_players_keep_the_contract(num_agents: int) -> None:
    env = jmarl_envs.make("hanabi/hanabi", num_agents=num_agents, episode_limit=30)
    assert env.spec.episode_limit == 30
    jmarl_envs.check(env, episodes=3)


def test_hands_must_leave_cards_to_draw() -> None:
    with pytest.raises(jmarl_envs.BadOption, match="2 hands of 5 leave nothing of 10 cards"):
        jmarl_envs.make("hanabi/hanabi", num_colors=1)
