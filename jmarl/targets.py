"""Return targets. Axes [T, B, ...]; cut at episode ends, bootstrapped unless terminated.

What stands behind a termination is the next episode: `1 - terminated` keeps it out.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import Transition


def one_step(reward: Array, future: Array, terminated: Array, gamma: Any) -> Array:
    """r + gamma (1 - terminated) future, without a gradient. All of one shape.

    `future` is the value of the true next view, also after a truncation, which so needs no
    special case.
    """
    return jax.lax.stop_gradient(reward + gamma * (1 - terminated) * future)


def lambda_returns(values: Array, batch: Transition, gamma: Any, trace: Any) -> Array:
    """TD(lambda) targets [T, B, A] from values [T+1, B, A] of the views (Sutton & Barto, 12.2).

    G_t = r_t + gamma (1 - terminated_t) [(1 - trace) V_{t+1} + trace G_{t+1}], where G is V at a
    position that only holds a truncated episode's last view. Without a gradient.
    """
    return jax.lax.stop_gradient(lambda_sums(values, batch, gamma, trace))


def lambda_sums(values: Array, batch: Transition, gamma: Any, trace: Any) -> Array:
    """`lambda_returns` with gradients, of rewards and values. Less the values of the steps they
    are generalised advantage estimates (Schulman et al., 2016)."""
    widen = lambda x: x[..., None]

    def back(later: Array, x: tuple[Array, ...]) -> tuple[Array, Array]:
        reward, value, future, terminated, valid = x
        blend = (1 - trace) * future + trace * later
        goal = reward + gamma * (1 - terminated) * blend
        goal = jnp.where(valid, goal, value)
        return goal, goal

    flags = widen(batch.terminated), widen(batch.valid)
    xs = batch.reward, values[:-1], values[1:], *flags
    _, goals = jax.lax.scan(back, values[-1], xs, reverse=True)
    return goals


def n_step(values: Array, batch: Transition, gamma: Any, steps: int) -> Array:
    """Returns of `steps` rewards and then the value, [T, B, A]; fewer where the batch ends.

    Cut and bootstrapped as `lambda_returns`. Without a gradient.
    """
    ends, valid = batch.terminated[..., None], batch.valid[..., None]
    goal = values
    for _ in range(steps):
        later = batch.reward + gamma * (1 - ends) * goal[1:]
        goal = jnp.concatenate([jnp.where(valid, later, values[:-1]), values[-1:]])
    return jax.lax.stop_gradient(goal[:-1])
