"""The leading axes of what a layer multiplies: merged into one, or left apart.

The gradient of a product over one leading axis is several times faster on a CPU
(benchmarks/NOTES.md). Where devices share out the second of them, as those of an `env` mesh do
with [T, B, ...], merging would have to bring the shares together first.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax.numpy as jnp
from jax import Array

merging = ContextVar("merging", default=True)


@contextmanager
def apart(really: bool = True) -> Iterator[None]:
    """Programs traced in here leave the axes apart."""
    token = merging.set(not really)
    try:
        yield
    finally:
        merging.reset(token)


def rows(x: Array) -> Array:
    """[..., U] to [N, U], or as it is."""
    return x.reshape(-1, x.shape[-1]) if merging.get() else x


def products(x: Array, y: Array) -> Array:
    """The sum over all leading axes of x [..., U] times y [..., V]: [U, V]."""
    x, y = rows(x), rows(y)
    leading = tuple(range(x.ndim - 1))
    return jnp.tensordot(x, y, (leading, leading))
