"""Estimates of a policy gradient in the game of MADDPG's Proposition 1, and what is known of them.

N agents choose 0 or 1, each with probability 1/2, and all earn R = 1 if all choose 1. The gradient
with respect to an agent's probability of 1 is g = 2 b, b = 0.5^N the mean reward. Joint actions are
given relaxed, [M, N] uniform in (0, 1): the points of a binary Gumbel-softmax at probability 1/2
and temperature 1. Rounded, they are the joint actions themselves, so all estimators see the same
samples. Each gives an estimate of every agent's gradient, [M, N], or one for each batch [M/K, N].
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

BATCH = 64  # samples that the estimates of a batch see


@dataclass(frozen=True)
class Estimator:
    """The functions take the number of agents; `moments` are of one agent's estimate."""

    name: str
    estimate: Callable[[np.ndarray], np.ndarray]
    chance: Callable[[int], float]  # that the estimate points up the true gradient
    moments: Callable[[int], tuple[float, float]]  # mean and variance


def mean_reward(agents: int) -> float:
    """b, the chance that all choose 1."""
    return 0.5**agents


def split(relaxed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joint actions [M, N] of 0 and 1, and their rewards [M, 1]."""
    ones = relaxed > 0.5
    return ones.astype(float), ones.all(1, keepdims=True).astype(float)


def batches(x: np.ndarray) -> np.ndarray:
    """[M, ...] as [M/K, K, ...]."""
    return x.reshape(-1, BATCH, *x.shape[1:])


# --- the score function --------------------------------------------------------------------------


def reinforce(relaxed: np.ndarray) -> np.ndarray:
    """R times the score, which at probability 1/2 is +-2."""
    action, reward = split(relaxed)
    return 2 * reward * (2 * action - 1)


def reinforce_moments(agents: int) -> tuple[float, float]:
    b = mean_reward(agents)
    return 2 * b, 4 * (b - b**2)


def reinforce_batch(relaxed: np.ndarray) -> np.ndarray:
    return batches(reinforce(relaxed)).mean(1)


def batch_chance(agents: int) -> float:
    """That one of a batch's samples is rewarded."""
    return 1 - (1 - mean_reward(agents)) ** BATCH


def batch_moments(agents: int) -> tuple[float, float]:
    mean, variance = reinforce_moments(agents)
    return mean, variance / BATCH


def with_baseline(relaxed: np.ndarray) -> np.ndarray:
    """(R - b) times the score."""
    action, reward = split(relaxed)
    return 2 * (reward - mean_reward(relaxed.shape[1])) * (2 * action - 1)


def baseline_chance(agents: int) -> float:
    """All choose 1, or the smaller half does: unrewarded, what most chose is discouraged."""
    return mean_reward(agents) + float(binom.cdf((agents - 1) // 2, agents, 0.5))


def baseline_moments(agents: int) -> tuple[float, float]:
    b = mean_reward(agents)
    return 2 * b, 4 * b - 8 * b**2


# --- critics -------------------------------------------------------------------------------------


def independent_critic(relaxed: np.ndarray) -> np.ndarray:
    """Q_i(1) - Q_i(0) of each agent's own table, the mean rewards of its choices in a batch.

    A choice that is not in the batch is worth 0.
    """
    action, reward = (batches(x) for x in split(relaxed))
    worth = lambda chosen: (chosen * reward).sum(1) / np.maximum(chosen.sum(1), 1)
    return worth(action) - worth(1 - action)


def independent_moments(agents: int) -> tuple[float, float]:
    """A mean of n rewards of chance 2 b, n the agent's ones in a batch, or 0 if it has none.

    The other mean is 0: whoever chooses 0 earns nothing.
    """
    chance, counts = 2 * mean_reward(agents), np.arange(1, BATCH + 1)
    share = binom.pmf(counts, BATCH, 0.5)
    some = float(share.sum())
    spread = chance * (1 - chance) * float((share / counts).sum())
    return chance * some, spread + chance**2 * some * (1 - some)


def all_actions(relaxed: np.ndarray) -> np.ndarray:
    """Q(1, others) - Q(0, others) of the exact centralised critic: are all others' choices 1?"""
    action, _ = split(relaxed)
    return (action.sum(1, keepdims=True) - action == relaxed.shape[1] - 1).astype(float)


def all_actions_chance(agents: int) -> float:
    """All choose 1, or all but one."""
    return (agents + 1) * mean_reward(agents)


def all_actions_moments(agents: int) -> tuple[float, float]:
    chance = 2 * mean_reward(agents)
    return chance, chance * (1 - chance)


def path_derivative(relaxed: np.ndarray) -> np.ndarray:
    """MADDPG's: dQ/da_i da_i/dp_i, Q(a) = prod_j a_j exact, p_i the agent's probability of 1.

    a = sigmoid(log(p / (1 - p)) + noise), so da/dp = a (1 - a) / (p (1 - p)) = 4 a (1 - a).
    """
    others = relaxed.prod(1, keepdims=True) / relaxed
    return 4 * relaxed * (1 - relaxed) * others


def path_moments(agents: int) -> tuple[float, float]:
    """Of u uniform in (0, 1): E[u (1 - u)] = 1/6, E[u^2 (1 - u)^2] = 1/30, E[u^2] = 1/3."""
    mean = 4 / 6 * 0.5 ** (agents - 1)
    return mean, 16 / 30 * 3.0 ** (1 - agents) - mean**2


ESTIMATORS = (
    Estimator("REINFORCE", reinforce, mean_reward, reinforce_moments),
    Estimator("REINFORCE less E[R]", with_baseline, baseline_chance, baseline_moments),
    Estimator(f"REINFORCE, {BATCH} samples", reinforce_batch, batch_chance, batch_moments),
    Estimator(
        f"independent critic, {BATCH} samples",
        independent_critic,
        batch_chance,
        independent_moments,
    ),
    Estimator("central critic, all actions", all_actions, all_actions_chance, all_actions_moments),
    Estimator("central critic, path derivative", path_derivative, lambda agents: 1.0, path_moments),
)
