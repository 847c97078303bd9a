"""A multi-layer perceptron whose inputs and outputs may be padded."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl.networks.base import Net, functional
from jmarl.networks.initialisers import Scheme, linear, uniform
from jmarl.optim import polyak
from jmarl.sums import for_all, weighted
from jmarl.types import Key, Params


class Moments(struct.PyTreeNode):
    """Mean and variance of each input over a batch, or their running averages."""

    mean: Array  # [..., in]
    variance: Array  # [..., in]


class Mlp(nn.Module):
    """fc3(relu(fc2(relu(fc1(x))))) for two `hidden` widths, optionally of a batch-normed x.

    `last_bound` draws the last kernel from U(+-last_bound) instead of the scheme's; `slope` is
    what the activations keep of negative numbers.
    """

    hidden: tuple[int, ...]
    out: int
    scheme: Scheme
    norm_input: bool
    last_bound: float | None
    slope: float
    real_in: Array  # [in] bool
    real_out: Array  # [out] bool

    @nn.compact
    def __call__(self, x: Array, moments: Moments | None) -> Array:
        if self.norm_input:
            assert moments is not None, "what to norm by"
            x = InputNorm(name="norm")(x, moments)
        real = self.real_in
        for depth, width in enumerate((*self.hidden, self.out), start=1):
            last = depth > len(self.hidden)
            outputs = self.real_out if last else jnp.ones(width, bool)
            kernel, bias = linear(self.scheme, real, outputs)
            if last and self.last_bound is not None:
                kernel = uniform(jnp.asarray(self.last_bound), outputs)
            x = nn.Dense(width, kernel_init=kernel, bias_init=bias, name=f"fc{depth}")(x)
            x, real = (x if last else rectified(x, self.slope)), outputs
        return x


class InputNorm(nn.Module):
    """Batch normalisation with scale and bias; whoever calls decides which moments to use."""

    @nn.compact
    def __call__(self, x: Array, moments: Moments) -> Array:
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        x = normalised(x, moments)
        return x * for_all(scale, x) + for_all(bias, x)


def normalised(x: Array, moments: Moments) -> Array:
    """Batch normalisation without scale and bias."""
    steepness = jax.lax.rsqrt(moments.variance + 1e-5)
    return (x - for_all(moments.mean, x)) * for_all(steepness, x)


def rectified(x: Array, slope: float) -> Array:
    """The larger of x and slope x."""
    return nn.leaky_relu(x, slope) if slope else nn.relu(x)


def mlp(
    hidden: tuple[int, ...],
    out: int,
    scheme: Scheme,
    norm_input: bool = False,
    last_bound: float | None = None,
    slope: float = 0.0,
) -> Net[Array]:
    """`init(key, real_in [in], real_out [out])`; `apply(params, x [..., in], moments)`.

    Without `norm_input` moments may be None.
    """

    def net(real_in: Array, real_out: Array) -> Net[Any]:
        style = scheme, norm_input, last_bound, slope
        return functional(Mlp(hidden, out, *style, real_in, real_out))

    def init(key: Key, real_in: Array, real_out: Array) -> Params:
        x = jnp.zeros(real_in.shape)
        return net(real_in, real_out).init(key, x, Moments(x, x))

    def apply(params: Params, x: Array, moments: Moments | None) -> Array:
        nobody = jnp.ones(x.shape[-1], bool), jnp.ones(out, bool)  # only `init` reads them
        return net(*nobody).apply(params, x, moments)

    return Net(init, apply)


def batch_moments(x: Array, weight: Array) -> Moments:
    """Mean and population variance of x [N, ...] under weights [N]."""
    share = weight / jnp.maximum(weight.sum(), 1)
    mean = weighted(share, x)
    return Moments(mean, weighted(share, (x - mean) ** 2))


# --- one network for each agent -------------------------------------------------------------------


def per_agent(net: Net[Array]) -> Net[Array]:
    """Such a network for each agent: parameters, masks and moments [A, ...], x [..., A, in]."""

    def init(key: Key, real_in: Array, real_out: Array) -> Params:
        return jax.vmap(net.init)(jax.random.split(key, len(real_in)), real_in, real_out)

    return Net(init, jax.vmap(net.apply, (0, -2, 0), -2))


def running(seen: Moments, x: Array, weight: Array) -> Moments:
    """Averages [A, in] after one more batch: torch's momentum 0.1 and unbiased variance."""
    new, count = batch_moments(x, weight), weight.sum()
    new = new.replace(variance=new.variance * count / jnp.maximum(count - 1, 1))
    return polyak(new, seen, 0.1)
