"""QTRAN-base (Son et al., 2019, arXiv 1905.05408), as in PyMARL (c971afd): a free joint
value, and agents whose summed values are held to it.

Q_jt(s, h, u) learns by itself; the sum of the agents' values plus V(s) must equal it at the greedy
joint action (L_opt) and must not fall below it elsewhere (L_nopt).
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.lax import stop_gradient

from jmarl.algorithms import value_decomposition as vd
from jmarl.algorithms.batch import mean
from jmarl.algorithms.value_decomposition import Mixed, take
from jmarl.exploration import greedy
from jmarl.fields import knob, static
from jmarl.networks.agents import Unrolled
from jmarl.networks.base import functional
from jmarl.networks.layers import Linear, TwoLayers
from jmarl.types import EnvSpec, Metrics, Params, Transition, View


class Config(vd.Config):
    opt_weight: float = knob(1.0, low=0)  # of the loss at greedy actions
    nopt_weight: float = knob(0.1, low=0)  # of the loss at the actions taken
    mixing_dim: tuple[int, ...] = static((64, 64), low=1)  # widths of the joint value's layers


class Joint(nn.Module):
    """Q_jt of state [..., S], hidden states [..., A, H] and one-hot actions [..., A, U]; and V."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, state: Array, hidden: Array, actions: Array) -> tuple[Array, Array]:
        pairs = jnp.concatenate([hidden, actions], -1)
        encoder = TwoLayers(pairs.shape[-1], pairs.shape[-1], name="action_encoding")
        x = jnp.concatenate([state, encoder(pairs).sum(-2)], -1)
        return self.value("Q", x), self.value("V", state)

    def value(self, name: str, x: Array) -> Array:
        for i, width in enumerate(self.widths, start=1):
            x = nn.relu(Linear(width, name=f"{name}_fc{i}")(x))
        return Linear(1, name=f"{name}_fc{len(self.widths) + 1}")(x)


class Qtran(vd.ValueDecomposition):
    """The learner with a loss of its own; `mixer` is Joint."""

    cfg: Config

    def mixer_inputs(self, q: Array) -> tuple[Array, ...]:
        shape = self.spec.num_agents, self.cfg.rnn_dim or self.cfg.hidden_dim[-1]
        actions = jnp.zeros((self.spec.num_agents, self.spec.action_size))
        return jnp.zeros(self.spec.state_size), jnp.zeros(shape), actions

    def joint(self, params: Params, net: Unrolled, view: View, action: Array) -> tuple[Any, Any]:
        """Q_jt of an action and V, [..., 1] each."""
        actions = jax.nn.one_hot(action, self.spec.action_size, dtype=net.hidden.dtype)
        return self.mixer.apply(params["mixer"], view.state, net.hidden, actions)

    def loss(self, params: Params, target: Params, batch: Transition) -> tuple[Array, Metrics]:
        """L_td + opt_weight L_opt + nopt_weight L_nopt; Q_jt trains the agents' networks too."""
        online, old = self.agents.unroll((params["agent"], target["agent"]), batch)
        best = self.best(online, old, batch.view)
        now = lambda tree: jax.tree.map(lambda x: x[:-1], tree)
        here, view = now(online), now(batch.view)
        taken, value = self.joint(params, here, view, batch.action)
        future, _ = self.joint(target, old, batch.view, best)
        top, _ = self.joint(params, here, view, greedy(here.q, view.available))
        sums = lambda action: take(here.q, action).sum(-1, keepdims=True)
        opt = sums(greedy(here.q, view.available)) - stop_gradient(top) + value
        nopt = jnp.minimum(sums(batch.action) - stop_gradient(taken) + value, 0)
        td, metrics = self.error(Mixed(taken), self.returns(future, batch), batch)
        square = lambda error: mean((error[..., 0]) ** 2, batch.valid.astype(error.dtype))
        opt_loss, nopt_loss = square(opt), square(nopt)
        loss = td + self.cfg.opt_weight * opt_loss + self.cfg.nopt_weight * nopt_loss
        return loss, {**metrics, "opt_loss": opt_loss, "nopt_loss": nopt_loss}


def make(spec: EnvSpec, cfg: Config) -> Qtran:
    """QTRAN-base for an environment of this spec."""
    return Qtran(spec, cfg, vd.agents_of(spec, cfg), functional(Joint(cfg.mixing_dim)))


RECIPE = vd.recipe(
    "qtran",
    "a free joint value that agents' sums are held to (Son et al., 2019)",
    Config(),
    make,
    lr=5e-4,
    td_lambda=0.0,
    loss_scale=1.0,
)
