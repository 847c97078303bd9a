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


def epsilon_greedy(key: Key, scores: Array, available: Array, epsilon: Any) -> Array:
    """The best available choice, or with probability `epsilon` a uniform available one."""
    coin_key, random_key = jax.random.split(key)
    best = greedy(scores, available)
    other = jax.random.categorical(random_key, jnp.where(available, 0.0, -jnp.inf))
    return jnp.where(jax.random.uniform(coin_key, best.shape) < epsilon, other, best)


def ornstein_uhlenbeck(key: Key, noise: Array, theta: Any, sigma: Any) -> Array:
    """The next value of a noise process that is drawn back to zero; time step 1."""
    return noise - theta * noise + sigma * jax.random.normal(key, noise.shape, noise.dtype)


def uniform_policy(spec: EnvSpec) -> Policy[tuple[()]]:
    """Uniform over available choices, over each part's one-hots, or over the box."""

    def step(carry: tuple[()], view: View, key: Key) -> tuple[tuple[()], Array, tuple[()]]:
        available = view.available
        if spec.action_kind == "discrete":
            action = jax.random.categorical(key, jnp.where(available, 0.0, -jnp.inf))
        elif spec.action_kind == "simplex":
            head = Choices(spec, "straight_through")
            action = head.hard(head.noise(key, available.shape), available)
        else:
            action = jax.random.uniform(key, available.shape, minval=-1, maxval=1) * available
        return carry, action, ()

    return Policy(lambda key, num_envs: (), step)
