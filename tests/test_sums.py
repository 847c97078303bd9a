"""Sums that are written as products are those sums, and so are their slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from jmarl.sums import for_all, softmax, total, weighted

X = jax.random.normal(jax.random.key(0), (5, 3, 4))
HIDDEN = jnp.where(jnp.arange(4) == 1, -jnp.inf, X)  # as attention hides whom it does not ask


def test_a_weighted_sum_is_over_the_first_axis() -> None:
    weight = jnp.arange(5.0)
    np.testing.assert_allclose(weighted(weight, X), (weight[:, None, None] * X).sum(0), rtol=1e-5)


def test_a_total_stands_in_every_place() -> None:
    want = jnp.broadcast_to(X.sum(-1, keepdims=True), X.shape)
    np.testing.assert_allclose(total(X), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("one", [X[0, 0], X[0]], ids=["vector", "matrix"])
def test_what_is_for_all_rows_has_the_rows_slopes_together(one: Array) -> None:
    rows = tuple(range(X.ndim - one.ndim))
    np.testing.assert_array_equal(for_all(one, X), jnp.broadcast_to(one, X.shape))
    slope = jax.grad(lambda one: (X * for_all(one, X)).sum())(one)
    np.testing.assert_allclose(slope, X.sum(rows), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("x", [X, HIDDEN], ids=["all", "one hidden"])
def test_softmax_and_its_slopes_are_jaxs(x: Array) -> None:
    np.testing.assert_array_equal(softmax(x), jax.nn.softmax(x))
    score = lambda f: lambda x: (f(x) ** 2 * jnp.arange(4.0)).sum()
    first = [jax.grad(score(f))(x) for f in (softmax, jax.nn.softmax)]
    np.testing.assert_allclose(*first, rtol=1e-5, atol=1e-6)
    steep = [
        jax.grad(lambda x, f=f: jax.grad(score(f))(x)[0].sum())(X)
        for f in (softmax, jax.nn.softmax)
    ]
    np.testing.assert_allclose(*steep, rtol=1e-5, atol=1e-6)
