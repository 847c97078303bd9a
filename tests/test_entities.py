"""Attention over entities: what is multiplied early says the same as what is multiplied in turn."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import jit

from jmarl.networks.entities import Attention, Seen, by_heads, over_heads
from jmarl.types import Params

N, A, E, FEATURES, HEADS, WIDTH, UNITS = 5, 2, 4, 6, 2, 8, 3
NET: Any = Attention(A, HEADS, WIDTH)


def draw(seed: int, *shape: int) -> Array:
    return jax.random.normal(jax.random.key(seed), shape)


def seen() -> Seen:
    """Rows of two passes. In the first case the second agent is absent, in the second case the
    first one's rows attend to nobody, in the last nobody is there."""
    absent = jnp.zeros((N, E), bool).at[0, 1].set(True).at[-1].set(True)
    blocked = jax.random.bernoulli(jax.random.key(1), 0.3, (N, 2 * A, E))
    blocked = blocked.at[1, ::A].set(True) | absent[:, None]
    return Seen(draw(0, N, E, FEATURES), absent, blocked)


def in_turn(params: Params, kernel: Array, bias: Array) -> Array:
    """[N, R, U]: attention, then the layer, then zeros for the absent."""
    rows = NET.apply({"params": params}, seen()) @ kernel + bias
    return jnp.where(seen().rows(A)[..., None], rows, 0)


@pytest.mark.parametrize(
    ("method", "plain"),
    [("linear", in_turn), ("mean", lambda *args: in_turn(*args).mean(-2))],
    ids=["linear", "mean"],
)
def test_linear_layers_behind_attention(method: str, plain: Callable[..., Array]) -> None:
    """Values and the gradients of all parameters."""
    params = NET.init(jax.random.key(2), seen())["params"]
    kernel, bias = draw(3, WIDTH, UNITS), draw(4, UNITS)
    early = lambda params, *layer: NET.apply({"params": params}, seen(), *layer, method=method)

    def both(function: Callable[..., Array]) -> tuple[Array, Any]:
        out = function(params, kernel, bias)
        loss = lambda *args: (function(*args) * draw(5, *out.shape)).sum()
        return out, jax.grad(loss, (0, 1, 2))(params, kernel, bias)

    told, expected = (jit(lambda f=f: both(f))() for f in (early, plain))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), told, expected)
    assert all(np.abs(x).max() > 0.01 for x in jax.tree.leaves(expected)), "all have a gradient"


@pytest.mark.parametrize(("heard", "out"), [(by_heads, "rhd"), (over_heads, "rd")])
def test_gradients_of_what_is_heard(heard: Callable[..., Array], out: str) -> None:
    """As autodiff has them."""
    weights, values = draw(0, N, HEADS, 3, E), draw(1, N, E, HEADS, UNITS)
    plain = lambda w, v: jnp.einsum(f"...hre,...ehd->...{out}", w, v)
    loss = lambda f: lambda w, v: (f(w, v) ** 2).sum()
    told, expected = (jax.grad(loss(f), (0, 1))(weights, values) for f in (heard, plain))
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), told, expected
    )
