"""Choosing among available actions, and noise on continuous ones."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.actions import Choices
from jmarl.types import EnvSpec, Key, Policy, View


def greedy(scores: Array, available: Array) -> Array:
    """The best available choice: [..., U], [..., U] -> [...]."""
    return jnp.where(available, scores, -jnp.inf).argmax(-1)


def uniform_choice(key: Key, available: Array) -> Array:
    """Any available choice as likely as the others: [..., U] -> [...]; 0 where there is none.

    The n-th one, by counting, for a random n: one random number, where a categorical draw takes
    one and two logarithms for every choice (benchmarks/NOTES.md).
    """
    count = available.sum(-1)
    nth = jax.random.uniform(key, count.shape) * count  # below count, rounding or not
    passed = chosen = jnp.zeros_like(count)
    for column in jnp.unstack(available, axis=-1):  # a cumulative sum would be slow on a CPU
        passed = passed + column
        chosen = chosen + (passed <= nth)
    return chosen % available.shape[-1]


def epsilon_greedy(key: Key, scores: Array, available: Array, epsilon: Any) -> Array:
    """The best available choice, or with probability `epsilon` a uniform available one."""
    coin_key, random_key = jax.random.split(key)
    best = greedy(scores, available)
    other = uniform_choice(random_key, available)
    return jnp.where(jax.random.uniform(coin_key, best.shape) < epsilon, other, best)


def ornstein_uhlenbeck(key: Key, noise: Array, theta: Any, sigma: Any) -> Array:
    """The next value of a noise process that is drawn back to zero; time step 1."""
    return noise - theta * noise + sigma * jax.random.normal(key, noise.shape, noise.dtype)


def uniform_policy(spec: EnvSpec) -> Policy[tuple[()]]:
    """Uniform over available choices, over each part's one-hots, or over the box."""

    def step(carry: tuple[()], view: View, key: Key) -> tuple[tuple[()], Array, tuple[()]]:
        available = view.available
        if spec.action_kind == "discrete":
            action = uniform_choice(key, available)
        elif spec.action_kind == "simplex":
            head = Choices(spec, "straight_through")
            action = head.hard(head.noise(key, available.shape), available)
        else:
            action = jax.random.uniform(key, available.shape, minval=-1, maxval=1) * available
        return carry, action, ()

    return Policy(lambda key, num_envs: (), step)
