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

SIGNS = (1.0, -1.0)  # beside random episodes: all last choices (upper corner), all first ones


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


class Lone(NamedTuple):
    """A reset and the step after it, of one environment by itself."""

    state: Any
    view: View
    next_state: Any
    outcome: Outcome


@dataclass(frozen=True)
class Episodes:
    """All that the rules on behaviour look at. Episodes run on past their ends: see `live`."""

    spec: EnvSpec
    record: Record
    again: Record  # the same program, run a second time
    alone: Lone  # the first episode's first step
    padded: Lone  # the same with other numbers in the action's padding

    @property
    def first_step(self) -> Lone:
        """What `alone` should be."""
        state, view, _, out = jax.tree.map(lambda leaf: leaf[0, 0], self.record)
        return Lone(state, view, jax.tree.map(lambda leaf: leaf[1, 0], self.record.state), out)

    @property
    def over(self) -> np.ndarray:
        """[T, N] bool: this step ended an episode, by either flag."""
        out = self.record.outcome
        return np.asarray(out.terminated | out.truncated)

    @property
    def live(self) -> np.ndarray:
        """[T, N] bool: this step was taken before its episode had ended."""
        return np.cumsum(self.over, 0) - self.over == 0


def record_episodes(env: Environment[Any], episodes: int, key: Key) -> Episodes:
    """Random episodes and two of extreme actions, `episode_limit` steps each."""
    signs = jnp.array([0.0] * episodes + list(SIGNS))
    split = jax.jit(jax.vmap(partial(keys_of, limit=env.spec.episode_limit)))
    keys = split(jax.random.split(key, len(signs)))
    run = jax.jit(jax.vmap(partial(_episode, env), out_axes=1), compiler_options=HASTE)
    record, again = plain(run(keys, signs)), plain(run(keys, signs))
    lone = jax.jit(partial(_lone, env), compiler_options=HASTE)
    first, action = jax.tree.map(lambda leaf: leaf[0], keys), record.action[0, 0]
    mask = env.spec.action_mask()
    padded = action if action.ndim < mask.ndim else np.where(mask, action, PAD).astype("float32")
    alone, other = (plain(lone(first, numbers)) for numbers in (action, padded))
    return Episodes(env.spec, record, again, alone, other)


def keys_of(key: Key, limit: int) -> Keys:
    reset, act, step = jax.random.split(key, 3)
    return Keys(reset, jax.random.split(act, limit), jax.random.split(step, limit))


def _lone(env: Environment[Any], keys: Keys, action: Array) -> Lone:
    state, view = env.reset(keys.reset)
    return Lone(state, view, *env.step(state, action, keys.step[0]))


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


def plain(tree: Any) -> Any:
    """The same in numpy; random keys as the numbers inside them."""

    def convert(leaf: Array) -> np.ndarray:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return np.asarray(leaf)

    return jax.tree.map(convert, tree)
