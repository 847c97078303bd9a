"""Layers as torch draws and computes them, for numbers equal to the papers' code."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from jmarl.networks.initialisers import linear, uniform
from jmarl.networks.recurrent import gates, split, updated
from jmarl.networks.rows import rows


class Linear(nn.Module):
    """x kernel + bias, both drawn from U(+-bound): [..., in] -> [..., width].

    The bound is 1/sqrt(fan_in) if None. Inputs and outputs that are not real (bool masks) are
    padding, with zero weights.
    """

    width: int
    use_bias: bool = True
    real_in: Array | None = None  # [in]
    real_out: Array | None = None  # [width]
    bound: float | None = None

    def __call__(self, x: Array) -> Array:
        kernel, bias = self.matrix(x.shape[-1])
        y = rows(x) @ kernel
        if bias is not None:
            y = y + bias
        return y.reshape(*x.shape[:-1], self.width)

    @nn.compact
    def matrix(self, fan_in: int) -> tuple[Array, Array | None]:
        """The kernel [in, width] and the bias [width]."""
        real_in = jnp.ones(fan_in, bool) if self.real_in is None else self.real_in
        real_out = jnp.ones(self.width, bool) if self.real_out is None else self.real_out
        kernel_init, bias_init = linear("torch", real_in, real_out)
        if self.bound is not None:
            kernel_init = bias_init = uniform(jnp.asarray(self.bound), real_out)
        kernel = self.param("kernel", kernel_init, (fan_in, self.width))
        return kernel, self.param("bias", bias_init, (self.width,)) if self.use_bias else None


class TwoLayers(nn.Module):
    """fc2(relu(fc1(x)))."""

    hidden: int
    width: int
    use_bias: bool = True  # of the second layer

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = nn.relu(Linear(self.hidden, name="fc1")(x))
        return Linear(self.width, self.use_bias, name="fc2")(x)


class GruCell(nn.Module):
    """torch's GRU cell: gates r, z, n side by side; input and state have biases of their own.

    r = sigmoid(x_r + h_r), z = sigmoid(x_z + h_z), n = tanh(x_n + r h_n), h' = (1 - z) n + z h.
    """

    width: int

    def setup(self) -> None:
        part = lambda: Linear(3 * self.width, bound=1 / math.sqrt(self.width))
        self.input, self.state = part(), part()

    def __call__(self, h: Array, x: Array) -> Array:
        """[..., H] and [..., in] -> [..., H]."""
        return updated(h, gates(split(self.state(h)), split(self.input(x))))
