"""Step B environments for T steps under one policy. The only place that resets and re-opens."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl.types import (
    Environment,
    EnvSpec,
    Key,
    Metrics,
    Outcome,
    Policy,
    Step,
    Transition,
    tree_where,
)

MANY = 1 / 8  # of the environments waiting for a reset: more are not worth gathering


class Episode(struct.PyTreeNode):
    """An episode up to and including this step."""

    returns: Array  # [B, A] undiscounted sum of rewards
    length: Array  # [B] steps
    info: Metrics  # [B] each; summed or last-valued, as the spec says


class Actors(struct.PyTreeNode):
    """B environments in mid-flight."""

    env_state: Any
    view: Any  # View [B, ...]
    carry: Any  # the policy's, as it was before seeing `view`
    start: Array  # [B] `view` opens an episode
    ended: Array  # [B] `view` is a truncated episode's last: the next position only resets
    episode: Episode


def open_actors(env: Environment[Any], policy: Policy[Any], num_envs: int, key: Key) -> Actors:
    """Fresh episodes in all of `num_envs` environments."""
    env_key, carry_key = jax.random.split(key)
    env_state, view = jax.vmap(env.reset)(jax.random.split(env_key, num_envs))
    none = jnp.zeros(num_envs, bool)
    return Actors(
        env_state, view, policy.reset(carry_key, num_envs), ~none, none, no_episode(env, num_envs)
    )


def no_episode(env: Environment[Any], num_envs: int) -> Episode:
    info = {name: jnp.zeros(num_envs) for name, _ in env.spec.info}
    returns = jnp.zeros((num_envs, env.spec.num_agents))
    return Episode(returns, jnp.zeros(num_envs, jnp.int32), info)


def rollout(
    env: Environment[Any],
    policy: Policy[Any],
    actors: Actors,
    key: Key,
    length: int,
    spread: bool = False,
) -> tuple[Actors, tuple[Step, Episode]]:
    """Act for `length` positions; returns steps and running episodes, [T, B, ...] each.

    A truncated episode's last view fills one position with `valid` false, as it is bootstrapped
    from; after a true end nothing is, and the next position opens the next episode at once.
    `spread`: the environments lie on several devices.
    """
    one = lambda actors, key: advance(env, policy, actors, key, spread)
    return jax.lax.scan(one, actors, jax.random.split(key, length))


def advance(
    env: Environment[Any], policy: Policy[Any], actors: Actors, key: Key, spread: bool = False
) -> tuple[Actors, tuple[Step, Episode]]:
    """One position of a rollout, [B, ...]: a step, or the reset after a truncation."""
    num_envs = actors.start.shape[0]
    carry_key, act_key, step_key, reset_key = jax.random.split(key, 4)
    carry = tree_where(actors.start, policy.reset(carry_key, num_envs), actors.carry)
    carry, action, extras = policy.step(carry, actors.view, act_key)
    step_keys = jax.random.split(step_key, num_envs)
    env_state, out = jax.vmap(env.step)(actors.env_state, action, step_keys)

    valid = ~actors.ended
    step = Step(
        view=actors.view,
        action=action,
        reward=jnp.where(valid[:, None], out.reward, 0),
        terminated=out.terminated & valid,
        truncated=out.truncated & valid,
        start=actors.start,
        valid=valid,
        extras=extras,
    )
    episode = continued(env.spec, actors, out)
    opens = step.terminated | actors.ended
    reset = reset_all if spread else reset_ended
    env_state, view = reset(env, opens, env_state, out.view, reset_key)
    ended = step.truncated & ~opens
    return Actors(env_state, view, carry, opens, ended, episode), (step, episode)


def continued(spec: EnvSpec, actors: Actors, out: Outcome) -> Episode:
    """The episodes with this step's outcome added; episodes that open begin from nothing."""
    past = tree_where(actors.start, jax.tree.map(jnp.zeros_like, actors.episode), actors.episode)
    info = {
        name: out.info[name] + (past.info[name] if rule == "sum" else 0.0)
        for name, rule in spec.info
    }
    return Episode(past.returns + out.reward, past.length + 1, info)


def reset_ended(
    env: Environment[Any], ended: Array, state: Any, view: Any, key: Key
) -> tuple[Any, Any]:
    """Reset where `ended` [B], each environment with its own key; the others keep state and view.
    The keys are split where somebody waits for one.

    Resets can cost more than steps. On a CPU, as long as few environments wait, a group of them at
    a time is gathered, reset and scattered back; elsewhere, where loops cost a round trip, and
    where many wait, all are reset and the wanted ones selected. Both use the same keys and so give
    the same episodes.
    """
    return jax.lax.platform_dependent(
        ended,
        (state, view),
        key,
        cpu=lambda *args: reset_compact(env, *args),
        default=lambda *args: reset_select(env, *args),
    )


def reset_all(
    env: Environment[Any], ended: Array, state: Any, view: Any, key: Key
) -> tuple[Any, Any]:
    """What `reset_ended` does, without looking how many have ended, which devices would have to
    tell each other."""
    return reset_select(env, ended, (state, view), key)


def reset_select(env: Environment[Any], ended: Array, old: Any, key: Key) -> Any:
    return tree_where(ended, jax.vmap(env.reset)(jax.random.split(key, len(ended))), old)


def reset_compact(env: Environment[Any], ended: Array, old: Any, key: Key) -> Any:
    num_envs = ended.shape[0]
    group = max(1, num_envs // 16)

    def all_of_them(loop: tuple[Array, Any]) -> tuple[Array, Any]:
        waiting, old = loop
        return jnp.zeros_like(waiting), reset_select(env, waiting, old, key)

    def some(loop: tuple[Array, Any]) -> tuple[Array, Any]:
        waiting, old = loop
        at = jnp.nonzero(waiting, size=group, fill_value=num_envs)[0]
        keys = jax.random.split(key, num_envs)[jnp.minimum(at, num_envs - 1)]
        fresh = jax.vmap(env.reset)(keys)
        new = jax.tree.map(lambda all_, some: all_.at[at].set(some, mode="drop"), old, fresh)
        return waiting.at[at].set(False, mode="drop"), new

    def fitting(loop: tuple[Array, Any]) -> tuple[Array, Any]:
        return jax.lax.cond(loop[0].sum() > MANY * num_envs, all_of_them, some, loop)

    # one environment alone is a fifth faster without gathering and scattering
    body = all_of_them if num_envs == 1 else fitting
    return jax.lax.while_loop(lambda loop: loop[0].any(), body, (ended, old))[1]


def transition(steps: Step, after: Actors) -> Transition:
    """The steps of a rollout [T, B], and the T+1 views around them."""
    join = lambda first, last: jnp.concatenate([first, last[None]])
    return Transition(
        view=jax.tree.map(join, steps.view, after.view),
        start=join(steps.start, after.start),
        action=steps.action,
        reward=steps.reward,
        terminated=steps.terminated,
        truncated=steps.truncated,
        valid=steps.valid,
        extras=steps.extras,
    )


class Tally(struct.PyTreeNode):
    """What the finished episodes of a rollout came to. All sums, so tallies add up."""

    env_steps: Array  # [] true steps; positions that only reset are not counted
    episodes: Array  # [] finished
    returns: Array  # [A]
    length: Array  # []
    info: Metrics  # [] each


def tally(steps: Step, episodes: Episode, *, first: bool = False) -> Tally:
    """Sums over [T, B] of the episodes that finish there; with `first`, of each environment's first
    alone: where rollouts cut what follows, it is short episodes that still finish."""
    counted = first_ends(steps) if first else steps.terminated | steps.truncated
    total = lambda x: tree_where(counted, x, jnp.zeros_like(x)).sum((0, 1))
    return Tally(
        env_steps=steps.valid.sum(),
        episodes=counted.sum(),
        returns=total(episodes.returns),
        length=total(episodes.length),
        info=jax.tree.map(total, episodes.info),
    )


def first_episodes(steps: Step, episodes: Episode) -> Episode:
    """Each environment's first finished episode, [B, ...]; T must be at least the limit.

    Zeros where none finishes."""
    first = first_ends(steps)
    return jax.tree.map(lambda x: tree_where(first, x, jnp.zeros_like(x)).sum(0), episodes)


def first_ends(steps: Step) -> Array:
    """[T, B] where each environment's first episode finishes."""
    ended = steps.terminated | steps.truncated
    return ended & (jnp.cumsum(ended, 0) == 1)
