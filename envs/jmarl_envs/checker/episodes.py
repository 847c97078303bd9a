"""Episodes on record, for the rules to look at."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import Environment, EnvSpec, Key, Outcome, View
from jmarl_envs.actions import extreme_actions, random_actions
from jmarl_envs.plain import plain

SIGNS = (1.0, -1.0)  # beside random episodes: all last choices (upper corner), all first ones
PLACES = 6  # steps that are taken again, by one environment alone
PAD = 0.7  # what stands in an action's padding to see whether it matters
HASTE = {"xla_backend_optimization_level": 0}  # these programs compile far longer than they run


class Keys(NamedTuple):
    """The keys of an episode."""

    reset: Array
    act: Array  # [T]
    step: Array  # [T]


class Record(NamedTuple):
    """What happened, as numpy: T steps of N episodes, and the T+1 positions around them."""

    state: Any  # [T+1, N, ...]
    view: View  # [T+1, N, ...]
    action: Any  # [T, N, A] or [T, N, A, U]
    outcome: Outcome  # [T, N, ...]; its views are those from position 1 on


class Again(NamedTuple):
    """A few resets [R, ...], and steps [R, ...] from recorded states and actions."""

    opening: tuple[Any, View]
    state: Any
    outcome: Outcome


@dataclass(frozen=True)
class Episodes:
    """All that the rules on behaviour look at. Episodes run on past their ends: see `live`."""

    spec: EnvSpec
    record: Record
    again: Record  # the same program, run a second time
    batched: Again  # steps of the record
    alone: Again  # the same, by one environment alone
    padded: Again  # the same with other numbers in the action's padding

    @property
    def over(self) -> np.ndarray:
        """[T, N] bool: this step ended an episode, by either flag."""
        return over(self.record.outcome)

    @property
    def live(self) -> np.ndarray:
        """[T, N] bool: this step was taken before its episode had ended."""
        return live(self.record.outcome)

    @property
    def reached(self) -> np.ndarray:
        """[T+1, N] bool: this position belongs to its episode."""
        return np.concatenate([np.ones_like(self.live[:1]), self.live])


def over(outcome: Outcome) -> np.ndarray:
    return np.asarray(outcome.terminated | outcome.truncated)


def live(outcome: Outcome) -> np.ndarray:
    ended = over(outcome)
    return np.cumsum(ended, 0) - ended == 0


class Trial:
    """An environment and the programs that record it: compiled once, for key after key.

    Each record holds `episodes` random episodes and two of extreme actions, `episode_limit` steps
    each.
    """

    def __init__(self, env: Environment[Any], episodes: int = 6) -> None:
        self.env, self.signs = env, jnp.array([0.0] * max(episodes, 2) + list(SIGNS))
        self.keys = jax.jit(jax.vmap(partial(keys_of, limit=env.spec.episode_limit)))
        self.run = jax.jit(jax.vmap(partial(_episode, env), out_axes=1), compiler_options=HASTE)
        self.reset = jax.jit(env.reset, compiler_options=HASTE)
        self.step = jax.jit(env.step, compiler_options=HASTE)

    def record(self, key: Key) -> Episodes:
        keys = self.keys(jax.random.split(key, len(self.signs)))
        raw = self.run(keys, self.signs)
        again = plain(self.run(keys, self.signs))
        places = _places(key, live(raw.outcome))
        mask = self.env.spec.action_mask()
        actions = [raw.action[place] for place in places]
        others = actions
        if self.env.spec.action_kind != "discrete":
            others = [jnp.where(mask, action, PAD) for action in actions]
        return Episodes(
            spec=self.env.spec,
            record=plain(raw),
            again=again,
            batched=_batched(raw, places),
            alone=self._alone(keys, raw, places, actions),
            padded=self._alone(keys, raw, places, others),
        )

    def _alone(
        self, keys: Keys, raw: Record, places: list[tuple[int, int]], actions: list[Array]
    ) -> Again:
        """The recorded steps at `places` once more, each by itself."""
        openings, states, outs = [], [], []
        for (t, n), action in zip(places, actions, strict=True):
            before = jax.tree.map(lambda leaf, t=t, n=n: leaf[t, n], raw.state)
            openings.append(plain(self.reset(keys.reset[n])))
            state, out = plain(self.step(before, action, keys.step[n, t]))
            states.append(state)
            outs.append(out)
        return Again(*(_stacked(rows) for rows in (openings, states, outs)))


def _places(key: Key, live: np.ndarray) -> list[tuple[int, int]]:
    """The first step of all, and others before an episode's end."""
    among = np.argwhere(live)
    chosen = jax.random.choice(key, len(among), (min(PLACES, len(among)) - 1,), replace=False)
    return [(0, 0), *((int(t), int(n)) for t, n in among[np.asarray(chosen)])]


def _batched(raw: Record, places: list[tuple[int, int]]) -> Again:
    """The same steps, as the record has them."""
    times, rows = np.array(places).T
    opening = jax.tree.map(lambda leaf: leaf[0, rows], (raw.state, raw.view))
    state = jax.tree.map(lambda leaf: leaf[times + 1, rows], raw.state)
    outcome = jax.tree.map(lambda leaf: leaf[times, rows], raw.outcome)
    return Again(*plain((opening, state, outcome)))


def _stacked(trees: list[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def keys_of(key: Key, limit: int) -> Keys:
    reset, act, step = jax.random.split(key, 3)
    return Keys(reset, jax.random.split(act, limit), jax.random.split(step, limit))


def _episode(env: Environment[Any], keys: Keys, sign: Array) -> Record:
    """One episode [T, ...]; `sign` 0 acts at random, else at the extremes."""

    def step(carry: tuple[Any, View], now: tuple[Array, Array]) -> tuple[tuple[Any, View], Any]:
        (state, view), (act_key, step_key) = carry, now
        usual = random_actions(env.spec, view.available, act_key)
        extreme = extreme_actions(env.spec, view.available, sign)
        action = jnp.where(sign == 0, usual, extreme)
        state, out = env.step(state, action, step_key)
        return (state, out.view), (state, action, out)

    opening = env.reset(keys.reset)
    _, (states, actions, outs) = jax.lax.scan(step, opening, (keys.act, keys.step))
    state, view = jax.tree.map(_prepend, opening, (states, outs.view))
    return Record(state, view, actions, outs)


def _prepend(first: Array, rest: Array) -> Array:
    return jnp.concatenate([first[None], rest])
