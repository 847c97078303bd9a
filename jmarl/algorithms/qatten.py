"""Qatten (Yang et al., 2020, arXiv 2002.03939): attention over agents weighs their values.

Q_tot = c(s) + sum_h w_h(s) sum_i lambda_{h,i}(s) Q_i. A head's weights lambda over the agents come
from a query of the state and a key of each agent's own features. The released
code never trained its queries and keys; `frozen_attention` does the same.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import block_diag

from jmarl.algorithms import value_decomposition as vd
from jmarl.algorithms.value_decomposition import Mixed
from jmarl.fields import ConfigError, knob, static
from jmarl.networks.base import functional
from jmarl.networks.initialisers import linear
from jmarl.networks.layers import TwoLayers
from jmarl.networks.rows import rows
from jmarl.types import Attention, EnvSpec, Transition, View


class Config(vd.Config):
    """Defaults are the released configuration, but that attention is trained."""

    attention_penalty: float = knob(0.0, low=0)  # of the mean squared logit of every head
    heads: int = static(4, low=1)  # attention heads
    query_dim: int = static(64, low=1)  # hidden width of the queries
    attention_dim: int = static(32, low=1)  # width of queries and keys
    weight_dim: int = static(64, low=1)  # hidden width of the head weights
    bias_dim: int = static(32, low=1)  # hidden width of the state bias
    weighted_heads: bool = static(True)  # the state weighs the heads; otherwise they add up
    state_bias: bool = static(True)  # add c(s)
    attention_bias: bool = static(True)  # keys and queries end with a bias
    mask_dead: bool = static(False)  # dead agents get no attention
    nonlinear: bool = static(False)  # keys see the values too: monotonicity is lost
    frozen_attention: bool = static(False)  # queries and keys stay random, as in the released code


class Heads(nn.Module):
    """A layer as torch's for each head, [H, in + 1, width]: the last row is the bias."""

    count: int
    width: int
    use_bias: bool

    @nn.compact
    def __call__(self, size: int) -> Array:
        kernel_init, bias_init = linear("torch", *(jnp.ones(n, bool) for n in (size, self.width)))
        kernel = self.param("kernel", kernel_init, (self.count, size, self.width))
        bias = jnp.zeros((self.count, self.width))
        if self.use_bias:
            bias = self.param("bias", bias_init, bias.shape)
        return jnp.concatenate([kernel, bias[:, None]], -2)


class Queries(nn.Module):
    """State [..., S] and keys' matrices [H, U + 1, D] to a vector [..., H, U + 1] for each head.

    Its product with an agent's features [U] and a one is the logit: query, which is
    fc2(relu(fc1(state))), times key. The matrices of fc2 and the keys meet before either meets
    data, so no agent's key is computed, and all heads are one product (benchmarks/NOTES.md).
    """

    cfg: Config

    @nn.compact
    def __call__(self, state: Array, keys: Array) -> Array:
        cfg, size = self.cfg, state.shape[-1]
        first = Heads(cfg.heads, cfg.query_dim, True, name="fc1")(size)
        first = first.swapaxes(0, 1).reshape(size + 1, -1)  # heads side by side
        last = Heads(cfg.heads, cfg.attention_dim, cfg.attention_bias, name="fc2")(cfg.query_dim)
        both = jnp.einsum("hqd,hud->hqu", last, keys)
        hidden = nn.relu(rows(state) @ first[:-1] + first[-1])
        asked = hidden @ block_diag(*both[:, :-1]) + both[:, -1].ravel()
        return asked.reshape(*state.shape[:-1], cfg.heads, -1)


class AttentionMixer(nn.Module):
    """q [..., A] and a view to the joint value [..., 1]; attention [..., H, A]."""

    features: tuple[int, int]  # of each agent, that the state opens with: (A, size)
    cfg: Config

    @nn.compact
    def __call__(self, q: Array, view: View, action: Array) -> Mixed:
        cfg, state = self.cfg, view.state
        assert state is not None, "a memory that keeps the state"
        logits = self.logits(q, state)
        scaled = logits / math.sqrt(cfg.attention_dim)
        if cfg.mask_dead:
            scaled = jnp.where(view.alive[..., None, :], scaled, -99_999_999.0)
        attention = jax.nn.softmax(scaled)
        heads = jnp.einsum("...ha,...a->...h", attention, q)
        weights = jnp.abs(TwoLayers(cfg.weight_dim, cfg.heads, name="head")(state))
        if cfg.weighted_heads:
            heads = heads * weights
        joint = heads.sum(-1, keepdims=True)
        if cfg.state_bias:
            joint = joint + TwoLayers(cfg.bias_dim, 1, name="constraint")(state)
        penalty = cfg.attention_penalty * (logits**2).mean(-1).sum(-1)
        return Mixed(joint, penalty, attention, weights if cfg.weighted_heads else None)

    def logits(self, q: Array, state: Array) -> Array:
        """[..., H, A], not yet scaled."""
        cfg, (agents, size) = self.cfg, self.features
        own = state[..., : agents * size].reshape(*state.shape[:-1], agents, size)
        if cfg.nonlinear:
            own = jnp.concatenate([own, q[..., None]], -1)
        own = jnp.concatenate([own, jnp.ones_like(own[..., :1])], -1)  # meets the keys' bias
        keys = Heads(cfg.heads, cfg.attention_dim, cfg.attention_bias, name="key")
        asked = Queries(cfg, name="query")(state, keys(own.shape[-1] - 1))
        return jnp.einsum("...hu,...au->...ha", asked, own)


class Qatten(vd.ValueDecomposition):
    """The learner, which tells whom its mixer attends to."""

    def attention(self, learner: vd.Learner, batch: Transition) -> Attention:
        """Weights at the steps of a batch, under the online network."""
        (online,) = self.agents.unroll((learner.params["agent"],), batch)
        mixed = self.join(learner.params, online, batch)
        assert mixed.attention is not None
        return Attention(mixed.attention, mixed.head_weights)


def make(spec: EnvSpec, cfg: Config) -> Qatten:
    """Qatten for an environment of this spec."""
    assert spec.agent_features is not None, "`refuse` says so to users"
    mixer = functional(AttentionMixer(spec.agent_features, cfg))
    fixed = ("query", "key") if cfg.frozen_attention else ()
    return Qatten(spec, cfg, vd.agents_of(spec, cfg), mixer, fixed)


def refuse(spec: EnvSpec, cfg: Config) -> None:
    """ConfigError for environments whose state does not open with each agent's own features."""
    vd.refuse(spec, cfg)
    if spec.agent_features is None:
        raise ConfigError(
            f"env must say which part of its state describes each agent (agent_features) for "
            f"qatten, got {spec.name}, which does not; qmix and vdn do without"
        )


def warn(cfg: Config) -> str:
    """Of what is lost with `nonlinear`."""
    if not cfg.nonlinear:
        return ""
    return "with nonlinear, what is best for each agent need not be best for the team"


RECIPE = vd.recipe(
    "qatten",
    "attention weighs the agents (Yang et al., 2020)",
    Config(),
    make,
    refuse=refuse,
    warn=warn,
    shows=("attention",),
)
