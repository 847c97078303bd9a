"""QMIX (Rashid et al., 2018, arXiv 1803.11485): a monotonic mixer whose weights the state decides.

Q_tot = elu(q W1(s) + b1(s)) . w2(s) + V(s), with W1, w2 >= 0: what is best for each agent is then
best for the team. Exact to PyMARL's mixer (oxwhirl/pymarl c971afd).
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from jmarl.algorithms import value_decomposition as vd
from jmarl.algorithms.value_decomposition import Mixed
from jmarl.fields import static
from jmarl.networks.base import functional
from jmarl.networks.layers import Linear, TwoLayers
from jmarl.types import EnvSpec, View


class Config(vd.Config):
    mixing_dim: int = static(32, low=1)  # width of the mixer's hidden layer
    hypernet_dim: int = static(64, low=0)  # hidden width of the weights' networks; 0: linear ones


class Monotonic(nn.Module):
    """q [..., A] and the view's state [..., S] to the joint value [..., 1]."""

    width: int
    hypernet: int

    @nn.compact
    def __call__(self, q: Array, view: View, action: Array) -> Mixed:
        state, agents = view.state, q.shape[-1]
        assert state is not None, "a memory that keeps the state"
        w1 = jnp.abs(self.weights("hyper_w_1", agents * self.width)(state))
        w1 = w1.reshape(*q.shape, self.width)  # the agent runs slowest
        b1 = Linear(self.width, name="hyper_b_1")(state)
        w2 = jnp.abs(self.weights("hyper_w_final", self.width)(state))
        hidden = nn.elu(jnp.einsum("...a,...ae->...e", q, w1) + b1)
        value = TwoLayers(self.width, 1, name="V")(state)
        return Mixed((hidden * w2).sum(-1, keepdims=True) + value)

    def weights(self, name: str, width: int) -> nn.Module:
        if not self.hypernet:
            return Linear(width, name=name)
        return TwoLayers(self.hypernet, width, name=name)


def make(spec: EnvSpec, cfg: Config) -> vd.ValueDecomposition:
    """QMIX for an environment of this spec."""
    mixer = functional(Monotonic(cfg.mixing_dim, cfg.hypernet_dim))
    return vd.ValueDecomposition(spec, cfg, vd.agents_of(spec, cfg), mixer)


RECIPE = vd.recipe("qmix", "a monotonic mixer (Rashid et al., 2018)", Config(), make)
