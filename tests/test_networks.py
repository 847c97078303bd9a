"""Networks of padded layers: true fans, silent padding."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import assert_same

from jmarl.networks.base import functional
from jmarl.networks.initialisers import Scheme, linear
from jmarl.networks.mlp import Moments, batch_moments, mlp

REAL_IN, REAL_OUT = jnp.arange(7) < 5, jnp.arange(4) < 3
PLAIN = Moments(jnp.zeros(7), jnp.ones(7))


def check_uniform(x: Any, bound: float) -> None:
    """Within +-bound and, of many, close to it and spread as a uniform draw is."""
    x = np.asarray(x)
    assert np.all(np.abs(x) <= bound) and np.abs(x).max() > 0.97 * bound
    np.testing.assert_allclose(x.std(), bound / np.sqrt(3), rtol=0.05)
    np.testing.assert_allclose(x.mean(), 0, atol=0.1 * bound)


@pytest.mark.parametrize("scheme", ["torch", "glorot"])
def test_initial_weights_count_real_units_alone(scheme: Scheme) -> None:
    """torch: U(+-1/sqrt(in)) for kernel and bias; glorot: U(+-sqrt(6/(in + out))), bias 0."""
    inputs, outputs = jnp.arange(90) < 50, jnp.arange(300) < 200
    kernel_init, bias_init = linear(scheme, inputs, outputs)
    kernel = np.asarray(kernel_init(jax.random.key(0), (90, 300), jnp.float32))
    bias = np.asarray(bias_init(jax.random.key(1), (300,), jnp.float32))
    check_uniform(kernel[:50, :200], {"torch": 50**-0.5, "glorot": (6 / 250) ** 0.5}[scheme])
    if scheme == "torch":
        check_uniform(bias[:200], 50**-0.5)
    assert not bias[200:].any() and (scheme == "torch" or not bias.any())
    assert not kernel[50:].any() and not kernel[:, 200:].any()


@pytest.mark.parametrize("scheme", ["torch", "glorot"])
def test_an_agent_may_see_nothing(scheme: Scheme) -> None:
    """No input is real: finite weights all the same."""
    kernel, bias = linear(scheme, jnp.zeros(3, bool), jnp.ones(4, bool))
    assert not np.any(kernel(jax.random.key(0), (3, 4), jnp.float32))
    assert np.all(np.isfinite(bias(jax.random.key(0), (4,), jnp.float32)))


def test_mlp_is_two_relu_layers_and_a_linear_one() -> None:
    net = mlp((6, 5), 4, "torch")
    params = net.init(jax.random.key(0), REAL_IN, REAL_OUT)
    shapes = {name: params[name]["kernel"].shape for name in params}
    assert shapes == {"fc1": (7, 6), "fc2": (6, 5), "fc3": (5, 4)}
    x = jax.random.normal(jax.random.key(1), (2, 3, 7))
    h = x
    for name in ("fc1", "fc2"):
        h = np.maximum(h @ params[name]["kernel"] + params[name]["bias"], 0)
    expected = h @ params["fc3"]["kernel"] + params["fc3"]["bias"]
    np.testing.assert_allclose(net.apply(params, x, PLAIN), expected, rtol=1e-5, atol=1e-6)


def test_hidden_layers_may_differ_in_number_and_width() -> None:
    params = mlp((3, 8, 2), 4, "glorot").init(jax.random.key(0), REAL_IN, REAL_OUT)
    shapes = [params[f"fc{i}"]["kernel"].shape for i in range(1, 5)]
    assert shapes == [(7, 3), (3, 8), (8, 2), (2, 4)]


@pytest.mark.parametrize("norm", [False, True])
def test_padding_is_silent_and_stays_so(norm: bool) -> None:
    """Zero weights, zero outputs, zero gradients: whatever loss is put on real outputs."""
    net = mlp((6, 5), 4, "torch", norm)
    params = net.init(jax.random.key(0), REAL_IN, REAL_OUT)
    assert not np.any(params["fc1"]["kernel"][5:]) and np.all(params["fc1"]["kernel"][:5])
    assert not np.any(params["fc3"]["kernel"][:, 3:]) and not np.any(params["fc3"]["bias"][3:])
    assert np.all(params["fc3"]["kernel"][:, :3]) and np.all(params["fc1"]["bias"])
    x = jax.random.normal(jax.random.key(1), (9, 7)) * REAL_IN
    moments = batch_moments(x, jnp.ones(9))
    assert not np.any(net.apply(params, x, moments)[:, 3:])
    loss = lambda p: (net.apply(p, x, moments)[:, :3] ** 3).sum()
    grads = jax.grad(loss)(params)
    assert not np.any(grads["fc1"]["kernel"][5:]) and np.any(grads["fc1"]["kernel"][:5])
    assert not np.any(grads["fc3"]["kernel"][:, 3:]) and not np.any(grads["fc3"]["bias"][3:])
    if norm:
        assert not np.any(grads["norm"]["scale"][5:]) and not np.any(grads["norm"]["bias"][5:])


def test_agents_on_one_axis_have_their_own_fans() -> None:
    """Under vmap, as algorithms do: each agent's layer is bounded by its own input size."""
    real_in = jnp.arange(64) < jnp.array([[4], [64]])
    net = mlp((200, 5), 2, "torch")
    init = jax.vmap(net.init)
    params = init(jax.random.split(jax.random.key(0)), real_in, jnp.ones((2, 2), bool))
    kernel = np.asarray(params["fc1"]["kernel"])
    check_uniform(kernel[0, :4], 0.5)
    check_uniform(kernel[1], 0.125)
    assert not kernel[0, 4:].any()
    assert not np.array_equal(params["fc2"]["kernel"][0], params["fc2"]["kernel"][1])


def test_last_bound_draws_the_last_kernel_alone() -> None:
    """maddpg-pytorch's 3e-3; the bias keeps torch's default."""
    plain, small = (
        mlp((6, 50), 40, "torch", False, bound).init(
            jax.random.key(0), REAL_IN, jnp.arange(40) < 30
        )
        for bound in (None, 3e-3)
    )
    check_uniform(small["fc3"]["kernel"][:, :30], 3e-3)
    assert not np.any(small["fc3"]["kernel"][:, 30:])
    check_uniform(plain["fc3"]["kernel"][:, :30], 50**-0.5)
    del plain["fc3"]["kernel"], small["fc3"]["kernel"]
    assert_same(plain, small)


def test_input_norm_by_hand() -> None:
    """(x - mean) / sqrt(variance + 1e-5), scaled by one and shifted by nothing at first."""
    x = jax.random.normal(jax.random.key(1), (50, 7)) * 4 + 2
    moments = batch_moments(x, jnp.ones(50))
    normed, plain = (mlp((6, 5), 4, "torch", norm) for norm in (True, False))
    params = normed.init(jax.random.key(0), REAL_IN, REAL_OUT)
    by_hand = (x - np.mean(x, 0)) / np.sqrt(np.var(x, 0) + 1e-5)
    bare = {name: params[name] for name in ("fc1", "fc2", "fc3")}
    np.testing.assert_allclose(
        normed.apply(params, x, moments), plain.apply(bare, by_hand, PLAIN), rtol=1e-4, atol=1e-5
    )


def test_batch_moments_leave_out_what_weighs_nothing() -> None:
    x = np.random.default_rng(0).normal(3, 2, (40, 7)).astype(np.float32)
    weight = np.arange(40) % 3 > 0
    moments = batch_moments(jnp.asarray(x), jnp.asarray(weight, jnp.float32))
    np.testing.assert_allclose(moments.mean, x[weight].mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, x[weight].var(0), rtol=1e-4)
    empty = batch_moments(jnp.asarray(x), jnp.zeros(40))
    assert np.all(np.isfinite(empty.mean)) and np.all(np.isfinite(empty.variance))


def test_functional_is_a_modules_init_and_apply() -> None:
    module = nn.Dense(3)
    net = functional(module)
    x = jnp.ones((2, 4))
    params = net.init(jax.random.key(0), x)
    assert_same({"params": params}, module.init(jax.random.key(0), x))
    assert_same(net.apply(params, x), module.apply({"params": params}, x))
