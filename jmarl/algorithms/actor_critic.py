"""What learners of actors and centralised critics share: their parts, and what they remember."""

import math
from typing import Any

from flax import struct

from jmarl.fields import ConfigError
from jmarl.grouped import Groups, grouped_replay
from jmarl.memory import replay
from jmarl.networks.mlp import Moments
from jmarl.types import Memory, Transition


class Nets(struct.PyTreeNode):
    """Actors and critics, or what belongs to each."""

    actor: Any  # leaves [A, ...]
    critic: Any


class Learner(struct.PyTreeNode):
    nets: Nets
    target: Nets
    opt: Nets
    seen: Moments  # [A, in] running moments of what agents see; acting normalises with them
    guesses: Any = None  # [A, A, ...] approximations of each other's policies (inference.py)


def transitions(
    cfg: Any,
    num_envs: int,
    rollout_length: int,
    batch_size: int,
    latest: int = 0,
    groups: Groups | None = None,
) -> Memory[Any]:
    """A replay of `cfg.buffer_size` single transitions, without states and entities.

    With `groups`, `batch_size` of each.
    """
    rollouts = math.ceil(cfg.buffer_size / (num_envs * rollout_length))
    if rollouts * rollout_length < 2:
        raise ConfigError(f"buffer_size must be above num_envs, {num_envs}, got {cfg.buffer_size}")

    def lean(rollout: Transition) -> Transition:
        return rollout.replace(view=rollout.view.replace(state=None, entities=None))

    sizes, standardise = (rollout_length, rollouts, batch_size), cfg.standardise_rewards
    if groups:
        return grouped_replay(*sizes, groups, standardise_rewards=standardise, keep=lean)
    return replay(*sizes, standardise_rewards=standardise, keep=lean, latest=latest)
