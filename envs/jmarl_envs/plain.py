"""From device to host."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array


def plain(tree: Any) -> Any:
    """The same in numpy; random keys as the numbers inside them."""

    def convert(leaf: Array) -> np.ndarray:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        return np.asarray(leaf)

    return jax.tree.map(convert, tree)
