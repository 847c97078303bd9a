"""jax's own random numbers, several times faster on a CPU.

SMAX draws one number for each unit in each of 8 sub-steps, each from a key split for it alone. On a
CPU jax compiles its generator (Threefry-2x32: Salmon et al., 2011) as a loop over rounds, with the
two words of a key side by side; that took longer than all of the physics. Here a key is a pair of
arrays, the rounds are written out, and all of it compiles to one pass. The numbers are those of
`jax.random` with its default generator, and so those of jaxmarl.
"""

import jax
import jax.numpy as jnp
from jax import Array

Words = tuple[Array, Array]  # uint32, of any one shape: the two halves of a key

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA


def words_of(key: Array) -> Words:
    """A key's two words."""
    data = jax.random.key_data(key)
    return data[..., 0], data[..., 1]


def nth(words: Words, index: int | Array) -> Words:
    """`jax.random.split(key, n)[index]`, which is the same for every n > index."""
    return _hash(words, jnp.asarray(index, jnp.uint32))


def uniform(words: Words, low: float = 0.0, high: float = 1.0) -> Array:
    """`jax.random.uniform(key, (), minval=low, maxval=high)` for every key."""
    first, second = _hash(words, jnp.uint32(0))
    mantissa = ((first ^ second) >> 9) | jnp.uint32(0x3F800000)  # a number in [1, 2)
    number = jax.lax.bitcast_convert_type(mantissa, jnp.float32) - 1.0
    return jnp.maximum(low, number * (high - low) + low)


def _hash(words: Words, count: Array) -> Words:
    """Threefry-2x32 of the counter (0, count)."""
    keys = (*words, words[0] ^ words[1] ^ jnp.uint32(PARITY))
    left, right = jnp.broadcast_arrays(keys[0], count + keys[1])
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            left = left + right
            right = left ^ ((right << rotation) | (right >> (32 - rotation)))
        left = left + keys[(group + 1) % 3]
        right = right + keys[(group + 2) % 3] + jnp.uint32(group + 1)
    return left, right
