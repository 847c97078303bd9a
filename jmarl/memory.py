"""What an update reads: the last rollout, or a ring of past ones.

A ring keeps rollouts as they come, [slots, B, ...]; one position's successor is the next position,
so next views are never stored. The loop's clock says how much was written, so a memory's state
is data alone: under vmap over seeds the write index stays a scalar and writes stay in place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl.sums import weighted
from jmarl.types import Clock, Key, Memory, Transition

Keep = Callable[[Transition], Transition]


def latest(keep: Keep = lambda rollout: rollout) -> Memory[Transition]:
    """On-policy: remembers exactly the rollout just made, but for what `keep` drops."""
    return Memory(
        init=keep,
        add=lambda old, rollout, clock: keep(rollout),
        sample=lambda rollout, key, clock: rollout,
    )


class Moments(struct.PyTreeNode):
    """Count, mean and summed squared deviation of the rewards of each stored rollout.

    Kept per rollout, so that what the ring overwrites leaves without a rounding drift.
    """

    count: Array  # [rollouts]
    mean: Array  # [rollouts, A]
    spread: Array  # [rollouts, A]


class Ring(struct.PyTreeNode):
    """The last `slots` positions of B environments."""

    steps: Transition  # [slots, B, ...], views too
    moments: Moments | None


@dataclass(frozen=True)
class Replay:
    """The functions of `replay`, whose arguments are the fields."""

    rollout_length: int
    rollouts: int
    batch_size: int
    length: int
    whole_rollouts: bool
    standardise_rewards: bool
    keep: Keep
    latest: int

    @property
    def slots(self) -> int:
        return self.rollout_length * self.rollouts

    def init(self, rollout: Transition) -> Ring:
        empty = lambda x: jnp.zeros((self.slots, *x.shape[1:]), x.dtype)
        blank = lambda x: jnp.zeros((self.rollouts, *x.shape), x.dtype)
        moments = jax.tree.map(blank, jax.eval_shape(moments_of, rollout))
        steps = jax.tree.map(empty, self.keep(rollout))
        return Ring(steps, moments if self.standardise_rewards else None)

    def add(self, ring: Ring, rollout: Transition, clock: Clock) -> Ring:
        """Over the oldest rollout; the rollout's last view is the next one's first."""
        nth, size = clock.iteration % self.rollouts, self.rollout_length
        write = lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new[:size], nth * size, 0)
        put = lambda old, new: jax.lax.dynamic_update_index_in_dim(old, new, nth, 0)
        steps = jax.tree.map(write, ring.steps, self.keep(rollout))
        moments = ring.moments and jax.tree.map(put, ring.moments, moments_of(rollout))
        return Ring(steps, moments)

    def sample(self, ring: Ring, key: Key, clock: Clock) -> Transition:
        when_key, where_key = jax.random.split(key)
        num_envs = ring.steps.valid.shape[1]
        env = jax.random.randint(where_key, (self.batch_size,), 0, num_envs)
        first = self.first(when_key, clock)
        if self.latest:
            newest = jnp.arange(self.latest)
            first = jnp.concatenate([self.newest(newest // num_envs, clock), first])
            env = jnp.concatenate([newest % num_envs, env])
        batch = segments(ring.steps, first, env, self.length)
        if ring.moments is None:
            return batch
        return batch.replace(reward=standardised(batch.reward, ring.moments))

    def first(self, key: Key, clock: Clock) -> Array:
        """Positions where drawn segments open, [batch_size]."""
        stored, shape = jnp.minimum(clock.iteration, self.rollouts), (self.batch_size,)
        if self.whole_rollouts:
            return jax.random.randint(key, shape, 0, stored) * self.rollout_length
        age = jax.random.randint(key, shape, self.length, stored * self.rollout_length)
        return self.aged(age, clock)

    def newest(self, nth: Array, clock: Clock) -> Array:
        """Positions where an environment's `nth` newest segments open, from 0; over again where
        fewer are stored."""
        stored = jnp.minimum(clock.iteration, self.rollouts)
        if self.whole_rollouts:
            return (clock.iteration - 1 - nth % stored) % self.rollouts * self.rollout_length
        ages = stored * self.rollout_length - self.length
        return self.aged(self.length + nth % ages, clock)

    def aged(self, age: Array, clock: Clock) -> Array:
        """Positions; ages count back from the newest one, whose successor is not stored yet."""
        newest = clock.iteration % self.rollouts * self.rollout_length - 1
        return (newest - age) % self.slots


def replay(
    rollout_length: int,
    rollouts: int,
    batch_size: int,
    length: int = 1,
    whole_rollouts: bool = False,
    standardise_rewards: bool = False,
    keep: Keep = lambda rollout: rollout,
    latest: int = 0,
) -> Memory[Ring]:
    """Off-policy: batches [length, batch_size] of steps that followed each other, drawn uniformly.

    Remembers the last `rollouts` rollouts of `rollout_length` positions. Segments open anywhere,
    or, with `whole_rollouts`, where a rollout opened: then `length` is ignored and a segment is a
    whole rollout, whose last view only bootstraps. Positions without a step are drawn too;
    learners weigh by `valid`. `standardise_rewards` gives rewards less the mean over the stored
    steps, divided by their standard deviation, per agent (so do maddpg-pytorch and MAAC).
    `keep` may drop what the learner never reads. The first `latest` columns of a batch, before the
    `batch_size` drawn ones, are the newest segments there are, one of each environment after
    another and the newest first. Rollouts that open with fresh episodes
    (`LoopConfig.episodic`) need `whole_rollouts`: their first view follows nothing.

    Raises ValueError if less than one segment and its last view fits.
    """
    length = rollout_length - 1 if whole_rollouts else length
    if not 1 <= length < rollout_length * rollouts:
        slots = rollout_length * rollouts
        raise ValueError(f"segments of {length=} steps do not fit {slots=} of {rollout_length=}")
    ring = Replay(
        rollout_length,
        rollouts,
        batch_size,
        length,
        whole_rollouts,
        standardise_rewards,
        keep,
        latest,
    )
    return Memory(ring.init, ring.add, ring.sample)


def segments(steps: Transition, first: Array, env: Array, length: int) -> Transition:
    """`length` steps from positions `first` [batch] of environments `env`, and the views around."""
    slots = steps.valid.shape[0]
    at = (first + jnp.arange(length + 1)[:, None]) % slots
    take: Callable[[Any], Any] = lambda tree: jax.tree.map(lambda x: x[at[:-1], env], tree)
    views = jax.tree.map(lambda x: x[at, env], (steps.view, steps.start))
    rest = take(steps.replace(view=None, start=None))
    return rest.replace(view=views[0], start=views[1])


def moments_of(rollout: Transition) -> Moments:
    """Moments of the rewards [T, B, A] of valid steps, per agent."""
    weight = rollout.valid[..., None].astype(rollout.reward.dtype)
    count = weight.sum()
    # about one of them: equal rewards then deviate by nothing, where sums would leave rounding
    about = rollout.reward.reshape(-1, rollout.reward.shape[-1])[rollout.valid.argmax()]
    mean = about + (weight * (rollout.reward - about)).sum((0, 1)) / jnp.maximum(count, 1)
    return Moments(count, mean, (weight * (rollout.reward - mean) ** 2).sum((0, 1)))


def standardised(reward: Array, moments: Moments) -> Array:
    """Rewards [..., A] less the mean of all stored, over their population standard deviation.

    A constant reward has no deviation; it is only centred.
    """
    share = moments.count / moments.count.sum()
    about = moments.mean[moments.count.argmax()]
    mean = about + weighted(share, moments.mean - about)
    within = moments.spread / jnp.maximum(moments.count, 1)[:, None]
    variance = weighted(share, within + (moments.mean - mean) ** 2)
    return (reward - mean) / jnp.sqrt(jnp.where(variance > 0, variance, 1))
