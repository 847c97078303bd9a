"""Attention over entities: what is multiplied early says the same as what is multiplied in turn."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import assert_same, jit

from jmarl.algorithms.flex_mixers import Hypernet, Sizes
from jmarl.networks.entities import Attention, Seen, by_heads, over_heads
from jmarl.networks.layers import Linear
from jmarl.networks.rows import apart
from jmarl.types import Params

T, N, A, E, FEATURES, HEADS, WIDTH, UNITS = 2, 5, 2, 4, 6, 2, 8, 3


class InTurn(nn.Module):
    """Attention, then fc2, then zeros for the absent: [T, N, R, U]."""

    @nn.compact
    def __call__(self, seen: Seen) -> Array:
        rows = Linear(UNITS, name="fc2")(Attention(A, HEADS, WIDTH, name="attn")(seen))
        return jnp.where(seen.rows(A)[..., None], rows, 0)


def draw(seed: int, *shape: int) -> Array:
    return jax.random.normal(jax.random.key(seed), shape)


def seen() -> Seen:
    """T times N, with rows of two passes. In the first case the second agent is absent, in the
    second the first agent's rows attend to nobody, in the last nobody is there."""
    absent = jnp.zeros((T, N, E), bool).at[:, 0, 1].set(True).at[:, -1].set(True)
    blocked = jax.random.bernoulli(jax.random.key(1), 0.3, (T, N, 2 * A, E))
    blocked = blocked.at[:, 1, ::A].set(True) | absent[..., None, :]
    return Seen(draw(0, T, N, E, FEATURES), absent, blocked)


def parameters() -> Params:
    return InTurn().init(jax.random.key(2), seen())["params"]


@pytest.mark.parametrize("axes_apart", [False, True], ids=["merged", "apart"])
@pytest.mark.parametrize("over_agents", [False, True])
@pytest.mark.parametrize("over_units", [False, True])
def test_early_products(over_agents: bool, over_units: bool, axes_apart: bool) -> None:
    """What networks of mixers give out, and the gradients of all parameters."""
    net: Any = Hypernet(Sizes(A, HEADS, WIDTH, UNITS), over_agents, over_units)
    params = parameters()

    def plain(params: Params) -> Array:
        rows: Any = InTurn().apply({"params": params}, seen())
        rows = rows.mean(-1, keepdims=True) if over_units else rows
        return rows.mean(-2) if over_agents else rows

    def both(function: Callable[[Params], Array]) -> tuple[Array, Any]:
        out = function(params)
        loss = lambda params: (function(params) * draw(5, *out.shape)).sum()
        return out, jax.grad(loss)(params)

    with apart(axes_apart):
        told = jit(lambda: both(lambda params: net.apply({"params": params}, seen())))()
    expected = jit(lambda: both(plain))()
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, told, expected)
    assert all(np.abs(x).max() > 0.01 for x in jax.tree.leaves(expected)), "all have a gradient"


def test_parameters_are_those_of_layers_in_turn() -> None:
    """Drawn alike, so that nobody's seeds or checkpoints change."""
    for over in (False, True):
        net: Any = Hypernet(Sizes(A, HEADS, WIDTH, UNITS), over, over)
        assert_same(net.init(jax.random.key(2), seen())["params"], parameters())


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
