"""Initialisers that match the papers' code, for layers of which only some units are real.

Agents of unequal sizes share one padded shape. A unit is real or padding; fans count real units
alone, and the weights of padding are zero (and stay so: they see zeros and feed nothing).
"""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import Key

Scheme = Literal["torch", "glorot"]
Initialiser = Callable[[Key, tuple[int, ...], Any], Array]


def uniform(bound: Array, real: Array) -> Initialiser:
    """U(-bound, bound) where `real`, which broadcasts to the shape; zero elsewhere."""

    def init(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return jnp.where(real, jax.random.uniform(key, shape, dtype, -1, 1) * bound, 0)

    return init


def linear(scheme: Scheme, inputs: Array, outputs: Array) -> tuple[Initialiser, Initialiser]:
    """Kernel and bias initialisers of a layer with real `inputs` [in] and `outputs` [out].

    torch: both U(+-1/sqrt(fan_in)), `torch.nn.Linear`'s default.
    glorot: kernel U(+-sqrt(6/(fan_in + fan_out))), bias zero, TensorFlow's `fully_connected`.
    """
    fan_in, fan_out = inputs.sum(), outputs.sum()
    real = inputs[:, None] & outputs
    if scheme == "torch":
        bound = 1 / jnp.sqrt(jnp.maximum(fan_in, 1))  # an agent may see nothing
        return uniform(bound, real), uniform(bound, outputs)
    zero = uniform(jnp.zeros(()), outputs)
    return uniform(jnp.sqrt(6 / (fan_in + fan_out)), real), zero
