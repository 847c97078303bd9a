"""Tiny environments for tests of the core, and what tests share."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax import Array

from jmarl.algorithms import ALL
from jmarl.exploration import uniform_policy
from jmarl.rollout import open_actors, rollout, transition
from jmarl.types import (
    ActionKind,
    Entities,
    EnvSpec,
    Key,
    Outcome,
    Policy,
    Transition,
    View,
    tree_where,
)

MARKS = 2**20  # so that marks are exact in float32
# Of the algorithms in ALL, those that stand for their kin in `make test`: each way to update once,
# and again where a twin adds more than another network. `make test-slow` goes through the others.
STANDING = ("maddpg", "maac", "qmix", "qtran", "refil", "coma", "liir", "mappo")


def algorithms(*standing: str) -> list[Any]:
    """All algorithms as parameters of a test, slow where others stand for them."""
    soon = standing or STANDING
    return [pytest.param(name, marks=[pytest.mark.slow] * (name not in soon)) for name in ALL]


def spec_of(
    parts: tuple[tuple[int, ...], ...],
    kind: ActionKind = "discrete",
    obs_sizes: tuple[int, ...] | None = None,
    limit: int = 4,
    **changes: Any,
) -> EnvSpec:
    """A spec of one team, whose agents see three numbers if nothing else is said."""
    return EnvSpec(
        **{
            "name": "probe",
            "agents": tuple(f"agent_{i}" for i in range(len(parts))),
            "obs_sizes": obs_sizes or (3,) * len(parts),
            "action_kind": kind,
            "action_parts": parts,
            "state_size": 1,
            "episode_limit": limit,
            "teams": (0,) * len(parts),
            **changes,
        }
    )


class Marked(struct.PyTreeNode):
    key: Key  # typed; random environments of libraries keep one in their state
    mark: Array  # [] int32
    length: Array  # [] int32
    time: Array  # [] int32


class Marks:
    """Each view has a mark drawn from its step's key and action, so its successor is known.

    Episodes last a number of steps drawn from `lengths`; even ones terminate, odd ones are
    truncated. Steps beyond an episode's end are poison: NaN rewards, both flags, mark -1.
    """

    def __init__(self, lengths: tuple[int, int]) -> None:
        self.lengths = lengths
        info = (("food", "sum"), ("won", "last"))
        self.spec = spec_of(((2,), (2,)), limit=lengths[1], team_reward=None, info=info)

    def reset(self, key: Key) -> tuple[Marked, View]:
        mark_key, length_key, own_key = jax.random.split(key, 3)
        length = jax.random.randint(length_key, (), self.lengths[0], self.lengths[1] + 1)
        mark = jax.random.randint(mark_key, (), 0, MARKS)
        state = Marked(own_key, mark, length, jnp.zeros((), jnp.int32))
        return state, self.view(state)

    def step(self, state: Marked, action: Array, key: Key) -> tuple[Marked, Outcome]:
        own_key, draw_key = jax.random.split(state.key)
        draw = jax.random.randint(key, (), 0, MARKS) + jax.random.randint(draw_key, (), 0, MARKS)
        time = state.time + 1
        poison = time > state.length
        mark = jnp.where(poison, -1, (draw + action.sum()) % MARKS)
        state = Marked(own_key, mark, state.length, time)
        over, even = time >= state.length, state.length % 2 == 0
        reward = jnp.where(poison, jnp.nan, mark % 7 * jnp.array([1.0, 2.0]) + action)
        info = {"food": jnp.where(poison, jnp.nan, mark % 5.0), "won": mark % 2 == 0}
        out = Outcome(
            self.view(state), reward, poison | (over & even), poison | (over & ~even), info
        )
        return state, out

    def view(self, state: Marked) -> View:
        row = jnp.stack([state.mark, state.time, state.length]).astype(jnp.float32)
        obs = row + jnp.array([[0.0, 0, 0], [1, 0, 0]])  # agents see different marks
        return View(obs, jnp.ones((2, 2), bool), jnp.ones(2, bool), state.mark[None] * 1.0)


class Remembered(struct.PyTreeNode):
    """What the recurrent policy below carries through an episode, [B] each."""

    steps: Array
    drawn: Array


def counting_policy() -> Policy[Remembered]:
    """Acts at random by what it sees and remembers; tells of its carry in `extras`.

    `steps` counts the views of the episode so far, `drawn` is drawn as the episode opens.
    """

    def reset(key: Key, num_envs: int) -> Remembered:
        return Remembered(jnp.zeros(num_envs, jnp.int32), jax.random.uniform(key, (num_envs,)))

    def step(carry: Remembered, view: View, key: Key) -> tuple[Remembered, Array, Any]:
        action = jax.random.randint(key, view.obs.shape[:2], 0, 2)
        action = (action + view.obs[..., 0].astype(jnp.int32) + carry.steps[:, None]) % 2
        now = carry.replace(steps=carry.steps + 1)
        return now, action, (carry.steps, carry.drawn)

    return Policy(reset, step)


class Hashed(struct.PyTreeNode):
    seed: Array  # [] in [0, 1)
    time: Array


class Zoo:
    """Something of everything: unequal agents, entities, death, choices that come and go.

    Everybody earns how well the actions fit what is seen. The first agent dies after two steps and
    may then take its first choice alone. Half of the episodes are a step shorter than the limit;
    half terminate, the others are truncated. All follows from one number drawn at the reset:
    random draws are most of what compiles slowly.
    """

    def __init__(
        self,
        parts: tuple[tuple[int, ...], ...] = ((3,), (2,)),
        obs_sizes: tuple[int, ...] = (4, 3),
        kind: ActionKind = "discrete",
        limit: int = 4,
    ) -> None:
        agents = len(parts)
        self.spec = spec_of(
            parts,
            kind,
            obs_sizes,
            limit,
            team_reward="shared",
            state_size=agents * 2,
            agent_features=(agents, 2),
            num_entities=agents + 2,
            entity_size=3,
            info=(("won", "last"),),
        )

    def reset(self, key: Key) -> tuple[Hashed, View]:
        state = Hashed(jax.random.uniform(key), jnp.zeros((), jnp.int32))
        return state, self.view(state)

    def step(self, state: Hashed, action: Array, key: Key) -> tuple[Hashed, Outcome]:
        chosen = (
            action
            if self.spec.action_kind == "discrete"
            else action @ jnp.arange(1.0, 1.0 + action.shape[-1])
        )
        fit = jnp.cos(chosen + hashed(state, (self.spec.num_agents,))).mean()
        state = state.replace(time=state.time + 1)
        bits = (state.seed * 4).astype(jnp.int32)
        over = state.time >= self.spec.episode_limit - bits % 2
        ends = bits // 2 == 0
        reward = jnp.broadcast_to(fit, (self.spec.num_agents,))
        info = {"won": over & (fit > 0)}
        return state, Outcome(self.view(state), reward, over & ends, over & ~ends, info)

    def view(self, state: Hashed) -> View:
        spec, a, e = self.spec, self.spec.num_agents, self.spec.num_entities
        alive = (jnp.arange(a) > 0) | (state.time < 2)
        first = jnp.arange(spec.action_size) == 0
        free = spec.action_kind == "box" or any(len(parts) > 1 for parts in spec.action_parts)
        may = (hashed(state, (a, spec.action_size)) > -0.5) & alive[:, None]
        available = (free | first | may) & jnp.asarray(spec.action_mask())
        entities = Entities(
            hashed(state, (e, spec.entity_size)),
            jnp.arange(e) == e - 1,
            (jnp.arange(e) == a) & (jnp.arange(a)[:, None] == 0),
        )
        obs = hashed(state, (a, spec.obs_size)) * spec.obs_mask()
        return View(obs, available, alive, obs[:, :2].reshape(-1), entities)


def hashed(state: Hashed, shape: tuple[int, ...]) -> Array:
    """Numbers in [-1, 1] that look random."""
    each = np.arange(1, 1 + np.prod(shape)).reshape(shape)
    return jnp.sin(each * (100 * state.seed + 1.7 * state.time + each))


class Steady:
    """Everybody earns 1 at every step. Seen is the time where it means something: if it ends."""

    def __init__(self, limit: int, terminates: bool) -> None:
        self.terminates = terminates
        self.spec = spec_of(
            ((2,), (2,)), "discrete", (limit + 1,) * 2, limit, team_reward="shared", state_size=0
        )

    def reset(self, key: Key) -> tuple[Array, View]:
        time = jnp.zeros((), jnp.int32)
        return time, self.view(time)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        time = state + 1
        over, ends = time >= self.spec.episode_limit, jnp.asarray(self.terminates)
        return time, Outcome(self.view(time), jnp.ones(2), over & ends, over & ~ends)

    def view(self, time: Array) -> View:
        seen = jax.nn.one_hot(time * self.terminates, self.spec.obs_size)
        obs = jnp.broadcast_to(seen, (2, self.spec.obs_size))
        return View(obs, jnp.ones((2, 2), bool), jnp.ones(2, bool), jnp.zeros(0))


class Corridor:
    """One agent walks from the left of `cells` to the right, where 1 is paid and all ends."""

    def __init__(self, cells: int, limit: int) -> None:
        self.spec = spec_of(((2,),), "discrete", (cells,), limit, team_reward="shared")

    def reset(self, key: Key) -> tuple[Array, View]:
        where = jnp.zeros(2, jnp.int32)  # cell, time
        return where, self.view(where)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        last = self.spec.obs_size - 1
        cell = jnp.clip(state[0] + 2 * action[0] - 1, 0, last)
        state = jnp.stack([cell, state[1] + 1])
        there = cell == last
        late = (state[1] >= self.spec.episode_limit) & ~there
        return state, Outcome(self.view(state), there[None] * 1.0, there, late)

    def view(self, state: Array) -> View:
        obs = jax.nn.one_hot(state[:1], self.spec.obs_size)
        return View(obs, jnp.ones((1, 2), bool), jnp.ones(1, bool), jnp.zeros(1))


def assert_same(one: Any, other: Any, rtol: float = 0.0, atol: float = 0.0) -> None:
    """Equal trees: bit for bit, or within a tolerance. Typed keys are compared by their data."""
    leaves, others = jax.tree.leaves_with_path(one), jax.tree.leaves_with_path(other)
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for (path, x), (_, y) in zip(leaves, others, strict=True):
        x, y = bare(x), bare(y)
        where = jax.tree_util.keystr(path)
        assert (x.shape, x.dtype) == (y.shape, y.dtype), where
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol, err_msg=where)


def bare(x: Any) -> np.ndarray:
    typed = isinstance(x, Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(x) if typed else x)


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled without optimisation: a quarter of the time, for programs that run but once."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def pick(tree: Any, index: Any) -> Any:
    return jax.tree.map(lambda x: x[index], tree)


def played(env: Any, num_envs: int, length: int, key: Key) -> Transition:
    """A rollout of random play from fresh episodes, as a learner reads it."""
    open_key, play_key = jax.random.split(key)
    policy = uniform_policy(env.spec)
    actors = open_actors(env, policy, num_envs, open_key)
    after, (steps, _) = rollout(env, policy, actors, play_key, length)
    return transition(steps, after)


def random_batch(spec: EnvSpec, steps: int, seed: int = 0) -> Transition:
    """One-step transitions [1, steps] of random numbers within the spec's sizes."""
    rng, agents = np.random.default_rng(seed), spec.num_agents
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    mask = jnp.asarray(spec.action_mask())
    action = jax.nn.softmax(jnp.where(mask, normal(1, steps, *mask.shape), -jnp.inf))
    if spec.action_kind == "box":
        action = jnp.tanh(normal(1, steps, *mask.shape)) * mask
    flag = lambda *shape: jnp.asarray(rng.random(shape) < 0.3)
    return Transition(
        view=View(
            normal(2, steps, agents, spec.obs_size) * spec.obs_mask(),
            jnp.broadcast_to(mask, (2, steps, *mask.shape)),
            jnp.ones((2, steps, agents), bool),
        ),
        start=flag(2, steps),
        action=action,
        reward=normal(1, steps, agents),
        terminated=flag(1, steps),
        truncated=flag(1, steps),
        valid=jnp.ones((1, steps), bool),
    )


def by_hand(
    env: Any, policy: Policy[Any], keys: tuple[Key, Key], num_envs: int, length: int
) -> list[dict[str, Any]]:
    """What a rollout should be, one environment and one step at a time, with plain branches."""
    env_key, carry_key = jax.random.split(keys[0])
    reset, step = jax.jit(env.reset), jax.jit(env.step)
    act: Callable[..., Any] = jax.jit(policy.step)
    worlds = [reset(key) for key in jax.random.split(env_key, num_envs)]
    carry = policy.reset(carry_key, num_envs)
    start, ended, rows = [True] * num_envs, [False] * num_envs, []
    for key in jax.random.split(keys[1], length):
        carry_key, act_key, step_key, reset_key = jax.random.split(key, 4)
        carry = tree_where(jnp.array(start), policy.reset(carry_key, num_envs), carry)
        views = jax.tree.map(lambda *xs: jnp.stack(xs), *[view for _, view in worlds])
        carry, action, extras = act(carry, views, act_key)
        row = {"view": views, "action": action, "extras": extras}
        row |= {"start": start.copy(), "ended": ended.copy()}
        step_keys = jax.random.split(step_key, num_envs)
        reset_keys = jax.random.split(reset_key, num_envs)
        outs: list[Any] = []
        for b, (state, _) in enumerate(worlds):
            out: Any = None
            if not ended[b]:
                state, out = step(state, action[b], step_keys[b])
                worlds[b] = state, out.view
            opens = ended[b] or bool(out.terminated)
            if opens:
                worlds[b] = reset(reset_keys[b])
            start[b], ended[b] = opens, not opens and bool(out.truncated)
            outs.append(out)
        rows.append({**row, "outs": outs})
    return rows
