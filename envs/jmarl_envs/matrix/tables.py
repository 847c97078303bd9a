"""Two players and tables of payoffs: QMIX's two-step game, and games of one joint choice.

Sources: the QMIX paper's two-step game (Rashid et al. 2018, section 5); PyMARL2's one-step matrix
game, whose file names the three tables below.
"""

from collections.abc import Sequence
from math import isfinite
from numbers import Real
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jmarl.types import EnvSpec, Key, Outcome, View
from jmarl_envs.catalogue import BadOption
from jmarl_envs.common import agent_names, open_view, outcome
from jmarl_envs.matrix.drawing import draw_tables
from jmarl_envs.scene import Scene
from jmarl_envs.time_limit import TimeLimit

Table = tuple[tuple[float, ...], ...]  # rows: agent 0's actions, columns: agent 1's

MILD: Table = ((12.0, -0.1, -0.1), (-0.1, 0.0, 0.0), (-0.1, 0.0, 0.0))
HARSH: Table = ((12.0, -12.0, -12.0), (-12.0, 0.0, 0.0), (-12.0, 0.0, 0.0))
SAFE: Table = ((12.0, 0.0, 10.0), (0.0, 0.0, 10.0), (10.0, 10.0, 10.0))
CHOICE: Table = ((0.0, 0.0), (0.0, 0.0))  # the two-step game's first step pays nothing
SEVEN: Table = ((7.0, 7.0), (7.0, 7.0))
EIGHT: Table = ((0.0, 1.0), (1.0, 8.0))


class Played(struct.PyTreeNode):
    """Which table is to be played, and what was done last (-1 at the start), for pictures."""

    table: Array  # [] int32; the number of tables once the game is over
    last_table: Array  # [] int32
    last_action: Array  # [2] int32


class Tables:
    """Both players see which table is played (one-hot), and are paid the entry they choose.

    After table k comes table `successor[k][agent 0's action]`; the game truly ends where that is
    the number of tables. `obs_size` leaves room for the end to have a one-hot of its own, or not:
    then it is seen as zeros. The global state is what each player sees; with `agent_ids` each
    player's one-hot name stands before it, for mixers that attend to agents by their features.
    """

    def __init__(
        self,
        name: str,
        tables: tuple[Table, ...],
        titles: tuple[str, ...],
        successor: tuple[tuple[int, ...], ...],
        steps: int,
        obs_size: int,
        agent_ids: bool,
    ) -> None:
        self.agent_ids = agent_ids
        self.tables, self.titles = tables, titles
        self.payoffs = np.array(tables, np.float32)  # [K, U, U']
        self.successor = np.array(successor, np.int32)  # [K, U]
        _, rows, columns = self.payoffs.shape
        self.spec = EnvSpec(
            name=f"matrix/{name}",
            agents=agent_names(2),
            obs_sizes=(obs_size, obs_size),
            action_kind="discrete",
            action_parts=((rows,), (columns,)),
            state_size=obs_size + 4 * agent_ids,
            episode_limit=steps,
            teams=(0, 0),
            team_reward="shared",
            agent_features=(2, 2) if agent_ids else None,
        )

    def reset(self, key: Key) -> tuple[Played, View]:
        """Always the first table."""
        first, nothing = jnp.zeros((), jnp.int32), jnp.full(2, -1, jnp.int32)
        return Played(first, first, nothing), self.view(first)

    def step(self, state: Played, action: Array, key: Key) -> tuple[Played, Outcome]:
        action = action.astype(jnp.int32)
        payoff = jnp.asarray(self.payoffs)[state.table, action[0], action[1]]
        table = jnp.asarray(self.successor)[state.table, action[0]]
        out = outcome(self.view(table), jnp.full(2, payoff), table == len(self.tables))
        return Played(table, state.table, action), out

    def view(self, table: Array) -> View:
        seen = jax.nn.one_hot(table, self.spec.obs_size)
        state = jnp.append(jnp.eye(2), seen) if self.agent_ids else seen
        return open_view(self.spec, jnp.broadcast_to(seen, (2, seen.size)), state)

    def draw(self, state: Played) -> Scene:
        """All tables side by side, the one to be played outlined, the last choice highlighted."""
        row, column = (int(action) for action in state.last_action)
        chosen = int(state.last_table), row, column
        return draw_tables(self.tables, self.titles, int(state.table), chosen)


def two_step(agent_ids: bool = False) -> TimeLimit[Played]:
    """Agent 0's first choice decides which table is played second; the first step pays nothing.

    Its action 0 leads to 2A, which pays 7 whatever is done; its action 1 to 2B. Best: 8, by 1 and
    then both 1. Uniform play earns 4.75. The end is seen as zeros.
    """
    titles, successor = ("1", "2A", "2B"), ((1, 2), (3, 3), (3, 3))
    tables = CHOICE, SEVEN, EIGHT
    return TimeLimit(Tables("two_step", tables, titles, successor, 2, 3, agent_ids))


def mild_penalty(agent_ids: bool = False) -> TimeLimit[Played]:
    """12 for both first actions, -0.1 for one of them alone: QMIX finds the 12."""
    return _single("mild_penalty", MILD, agent_ids)


def penalty(agent_ids: bool = False) -> TimeLimit[Played]:
    """12 for both first actions, -12 for one of them alone: not monotonic, the case for QTRAN."""
    return _single("penalty", HARSH, agent_ids)


def safe_choice(agent_ids: bool = False) -> TimeLimit[Played]:
    """12 for both first actions, and a third action that is worth 10 whatever the other does."""
    return _single("safe_choice", SAFE, agent_ids)


def one_step(payoff: Table = MILD, agent_ids: bool = False) -> TimeLimit[Played]:
    """`payoff[agent 0's action][agent 1's action]` to both: any table, square or not."""
    return _single("one_step", _checked(payoff), agent_ids)


def _single(name: str, table: Table, agent_ids: bool) -> TimeLimit[Played]:
    """One step; what is seen is the one-hot of the step, the end's included (2)."""
    successor = ((1,) * len(table),)
    return TimeLimit(Tables(name, (table,), ("payoff",), successor, 1, 2, agent_ids))


def _checked(payoff: Any) -> Table:
    """`payoff` as floats, or a BadOption that says what is wrong with it."""
    if not (_is_row(payoff) and all(_is_row(row) for row in payoff)):
        raise _bad(payoff, "rows of numbers, such as ((1, 0), (0, 2))")
    if not all(isinstance(entry, Real) and isfinite(entry) for row in payoff for entry in row):
        raise _bad(payoff, "a table of finite numbers")
    if len({len(row) for row in payoff}) > 1:
        raise _bad(payoff, "a table whose rows are equally long")
    return tuple(tuple(float(entry) for entry in row) for row in payoff)


def _is_row(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0


def _bad(payoff: Any, expected: str) -> BadOption:
    return BadOption(f"matrix/one_step: payoff must be {expected}, not {payoff!r}")
