"""A replay that gives batches of one group of positions each, drawn exactly.

Beside one ring stand lists of where each group's positions are, a list for every rollout, made as
the rollout is added. A draw picks one of a group's positions by its number: uniform, without
rejections and without a pass over the ring. A ring for each group would hold every position once
for each agent that it concerns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl.memory import Keep, Replay, Ring, segments, standardised
from jmarl.types import Clock, Key, Memory, Transition


@dataclass(frozen=True)
class Groups:
    """Ways of splitting positions: each way puts a position into one of `groups`."""

    ways: int  # W
    groups: int  # G
    of: Callable[[Transition], Array]  # [T, B, W] integers below G, of a rollout


class Lists(struct.PyTreeNode):
    """Of every rollout, positions that hold a step, counted through [T, B], group by group."""

    at: Array  # [rollouts, W, T * B]
    counts: Array  # [rollouts, W, G]
    last: Array  # [rollouts, W, G] how many of them are in the rollout's last position


class Grouped(struct.PyTreeNode):
    ring: Ring
    lists: Lists


@dataclass(frozen=True)
class GroupedReplay:
    """The functions of `grouped_replay`."""

    replay: Replay
    groups: Groups

    def init(self, rollout: Transition) -> Grouped:
        blank = lambda x: jnp.zeros((self.replay.rollouts, *x.shape), x.dtype)
        lists = jax.tree.map(blank, jax.eval_shape(self.lists_of, rollout))
        return Grouped(self.replay.init(rollout), lists)

    def add(self, old: Grouped, rollout: Transition, clock: Clock) -> Grouped:
        nth = clock.iteration % self.replay.rollouts
        put = lambda old, new: jax.lax.dynamic_update_index_in_dim(old, new, nth, 0)
        lists = jax.tree.map(put, old.lists, self.lists_of(rollout))
        return Grouped(self.replay.add(old.ring, rollout, clock), lists)

    def lists_of(self, rollout: Transition) -> Lists:
        """A rollout's own: [W, ...]."""
        groups = jnp.arange(self.groups.groups)
        mine = self.groups.of(rollout).astype(jnp.int32)
        mine = jnp.where(rollout.valid[..., None], mine, len(groups))  # behind all lists
        count = lambda x: (x.reshape(-1, x.shape[-1], 1) == groups).sum(0, dtype=jnp.int32)
        at = jnp.argsort(jax.lax.collapse(mine, 0, 2), axis=0, stable=True).T.astype(jnp.int32)
        return Lists(at, count(mine), count(mine[-1:]))

    def sample(self, old: Grouped, key: Key, clock: Clock) -> Transition:
        rollouts, length = self.replay.rollouts, self.replay.rollout_length
        num_envs = old.ring.steps.valid.shape[1]
        # the newest position's successor is not stored yet, and it is the last of its lists
        newest = (clock.iteration - 1) % rollouts
        counts = old.lists.counts.at[newest].add(-old.lists.last[newest])
        ways, groups = (x.reshape(-1) for x in jnp.indices(counts.shape[1:]))
        keys = jax.random.split(key, len(ways))
        draw = jax.vmap(self.draw, (0, None, None, 0, 0), 0)
        nth, at = draw(keys, old.lists, counts, ways, groups)
        first = (nth * length + at // num_envs).reshape(-1)
        batch = segments(old.ring.steps, first, (at % num_envs).reshape(-1), 1)
        some = jnp.repeat(counts.sum(0).reshape(-1) > 0, self.replay.batch_size)
        batch = batch.replace(valid=batch.valid & some)
        if old.ring.moments is None:
            return batch
        return batch.replace(reward=standardised(batch.reward, old.ring.moments))

    def draw(
        self, key: Key, lists: Lists, counts: Array, way: Array, group: Array
    ) -> tuple[Array, Array]:
        """Rollouts and places in their [T, B], uniform over a group, [batch_size] each."""
        ends = jnp.cumsum(counts[:, way, group])
        number = jax.random.randint(key, (self.replay.batch_size,), 0, jnp.maximum(ends[-1], 1))
        nth = jnp.searchsorted(ends, number, side="right")
        nth = jnp.minimum(nth, len(ends) - 1)  # a group of nobody
        rank = number - (ends - counts[:, way, group])[nth]
        before = jnp.where(jnp.arange(self.groups.groups) < group, lists.counts[:, way], 0).sum(-1)
        return nth, lists.at[nth, way, before[nth] + rank]


def grouped_replay(
    rollout_length: int,
    rollouts: int,
    batch_size: int,
    groups: Groups,
    standardise_rewards: bool = False,
    keep: Keep = lambda rollout: rollout,
) -> Memory[Grouped]:
    """Off-policy: batches [1, W * G * batch_size] of single steps that were taken, `batch_size` of
    each group, the groups of the first way first; uniform over the stored steps of the group.

    Columns of a group of which nothing is stored are not valid. Else as `memory.replay`.
    """
    ring = Replay(
        rollout_length, rollouts, batch_size, 1, False, standardise_rewards, keep, latest=0
    )
    grouped = GroupedReplay(ring, groups)
    return Memory(grouped.init, grouped.add, grouped.sample)
