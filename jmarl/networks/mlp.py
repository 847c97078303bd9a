"""A multi-layer perceptron whose inputs and outputs may be padded."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl.networks.base import Net, functional
from jmarl.networks.initialisers import Scheme, linear, uniform
from jmarl.types import Key, Params


class Moments(struct.PyTreeNode):
    """Mean and variance of each input over a batch, or their running averages."""

    mean: Array  # [in]
    variance: Array  # [in]


class Mlp(nn.Module):
    """fc3(relu(fc2(relu(fc1(x))))) for two `hidden` widths, optionally of a batch-normed x.

    `last_bound` draws the last kernel from U(+-last_bound) instead of the scheme's.
    """

    hidden: tuple[int, ...]
    out: int
    scheme: Scheme
    norm_input: bool
    last_bound: float | None
    real_in: Array  # [in] bool
    real_out: Array  # [out] bool

    @nn.compact
    def __call__(self, x: Array, moments: Moments) -> Array:
        if self.norm_input:
            x = InputNorm(name="norm")(x, moments)
        real = self.real_in
        for depth, width in enumerate((*self.hidden, self.out), start=1):
            last = depth > len(self.hidden)
            outputs = self.real_out if last else jnp.ones(width, bool)
            kernel, bias = linear(self.scheme, real, outputs)
            if last and self.last_bound is not None:
                kernel = uniform(jnp.asarray(self.last_bound), outputs)
            x = nn.Dense(width, kernel_init=kernel, bias_init=bias, name=f"fc{depth}")(x)
            x, real = (x if last else nn.relu(x)), outputs
        return x


class InputNorm(nn.Module):
    """Batch normalisation with scale and bias; whoever calls decides which moments to use."""

    @nn.compact
    def __call__(self, x: Array, moments: Moments) -> Array:
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        return (x - moments.mean) * jax.lax.rsqrt(moments.variance + 1e-5) * scale + bias


def mlp(
    hidden: tuple[int, ...],
    out: int,
    scheme: Scheme,
    norm_input: bool = False,
    last_bound: float | None = None,
) -> Net[Array]:
    """`init(key, real_in [in], real_out [out])`; `apply(params, x [..., in], moments)`."""

    def net(real_in: Array, real_out: Array) -> Net[Any]:
        return functional(Mlp(hidden, out, scheme, norm_input, last_bound, real_in, real_out))

    def init(key: Key, real_in: Array, real_out: Array) -> Params:
        x = jnp.zeros(real_in.shape)
        return net(real_in, real_out).init(key, x, Moments(x, x))

    def apply(params: Params, x: Array, moments: Moments) -> Array:
        nobody = jnp.ones(x.shape[-1], bool), jnp.ones(out, bool)  # only `init` reads them
        return net(*nobody).apply(params, x, moments)

    return Net(init, apply)


def batch_moments(x: Array, weight: Array) -> Moments:
    """Mean and population variance of x [N, in] under weights [N]."""
    share = (weight / jnp.maximum(weight.sum(), 1))[:, None]
    mean = (share * x).sum(0)
    return Moments(mean, (share * (x - mean) ** 2).sum(0))
