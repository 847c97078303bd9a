"""Gradient steps, clipping and averages against their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jmarl.optim import clip_each, clip_global, descend, every, global_norm, polyak

GRADS = {"a": jnp.array([[3.0, 0.0], [0.0, 0.0]]), "b": jnp.array([0.0, 4.0, 12.0])}  # norm 13


def clipped(tx: optax.GradientTransformation) -> dict[str, jax.Array]:
    state = tx.init(GRADS)
    return descend(tx, GRADS, state, jax.tree.map(jnp.zeros_like, GRADS))[0]


def test_global_norm() -> None:
    assert global_norm(GRADS) == 13


@pytest.mark.parametrize("limit", [0.5, 6.5, 13.0, 20.0])
def test_clip_global_is_torchs(limit: float) -> None:
    """clip_grad_norm_: times limit / (norm + 1e-6), unless that is above one."""
    scale = min(1.0, limit / (13 + 1e-6))
    for name, grad in clipped(clip_global(limit)).items():
        np.testing.assert_allclose(grad, scale * GRADS[name], rtol=1e-7)


def test_clip_global_adds_a_millionth_to_the_norm() -> None:
    """Of a norm of a millionth that is half."""
    tx, tiny = clip_global(1e-6), jnp.float32([1e-6])
    moved, _ = descend(tx, tiny, tx.init(tiny), jnp.zeros(1))
    np.testing.assert_allclose(moved, [5e-7], rtol=1e-5)


def test_clip_each_takes_every_array_by_its_own_norm() -> None:
    """TensorFlow's clip_by_norm: norms 3 and sqrt(160) become 6 (left alone) and 6."""
    each = clipped(clip_each(6.0))
    np.testing.assert_allclose(each["a"], GRADS["a"], rtol=1e-7)
    np.testing.assert_allclose(each["b"], GRADS["b"] * 6 / np.sqrt(160), rtol=1e-6)
    np.testing.assert_allclose(jnp.linalg.norm(clipped(clip_each(1.0))["a"]), 1, rtol=1e-6)


def test_clipping_nothing_gives_nothing() -> None:
    nothing = jax.tree.map(jnp.zeros_like, GRADS)
    for tx in (clip_global(0.5), clip_each(0.5)):
        moved, _ = descend(tx, nothing, tx.init(GRADS), GRADS)
        assert all(np.array_equal(moved[name], GRADS[name]) for name in GRADS)


def test_descend_goes_downhill() -> None:
    """Plain descent with step 1/2 on x^2 from 3: gradient 6, so 0; types are kept."""
    tx = optax.sgd(0.5)
    params = {"x": jnp.float32(3)}
    new, _ = descend(tx, jax.grad(lambda p: p["x"] ** 2)(params), tx.init(params), params)
    assert new == {"x": 0.0} and new["x"].dtype == jnp.float32


def test_descend_carries_the_optimisers_state() -> None:
    """Adam's first two steps under a constant gradient are both of the step size."""
    tx = optax.adam(0.1)
    params, state = {"x": jnp.float32(1)}, tx.init({"x": jnp.float32(1)})
    for expected in (0.9, 0.8):
        params, state = descend(tx, {"x": jnp.float32(7)}, state, params)
        np.testing.assert_allclose(params["x"], expected, rtol=1e-5)


def test_polyak_by_hand() -> None:
    """A quarter of the new: 3/4 * 4 + 1/4 * 8 = 5."""
    assert polyak({"x": jnp.float32(8)}, {"x": jnp.float32(4)}, 0.25) == {"x": 5.0}
    assert polyak(jnp.float32(8), jnp.float32(4), 0.0) == 4
    assert polyak(jnp.float32(8), jnp.float32(4), 1.0) == 8


@pytest.mark.parametrize("tau", [1.0, 0.25])
def test_every_moves_after_each_period(tau: float) -> None:
    """The third update and the sixth, of two others done before and five: 4 + tau (8 - 4)."""
    move = jax.jit(lambda done: every(3, done, tau, jnp.float32(8), jnp.float32(4)))
    after = [float(move(jnp.int32(done))) for done in range(7)]
    moved = 4 + tau * 4
    assert after == [4, 4, moved, 4, 4, moved, 4]
    assert every(1, jnp.int32(0), tau, jnp.float32(8), jnp.float32(4)) == moved
