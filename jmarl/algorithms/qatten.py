"""Qatten (Yang et al., 2020, arXiv 2002.03939): attention over agents weighs their values.

Q_tot = c(s) + sum_h w_h(s) sum_i lambda_{h,i}(s) Q_i. A head's weights lambda over the agents come
from a query of the state and a key of each agent's own features (specs/value.md 4). The released
code never trained its queries and keys; `frozen_attention` does the same.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jmarl.algorithms import value_decomposition as vd
from jmarl.algorithms.value_decomposition import Mixed
from jmarl.fields import ConfigError, knob, static
from jmarl.networks.base import functional
from jmarl.networks.layers import Linear, TwoLayers
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
    """One module for each head, side by side: outputs [..., H, width]."""

    count: int
    layer: Any  # a module's class, and its arguments
    args: tuple[Any, ...]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        many = nn.vmap(
            self.layer,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=None,  # pyright: ignore[reportArgumentType]
            out_axes=-2,
            axis_size=self.count,
        )
        return many(*self.args, name="heads")(x)


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
        args = cfg.query_dim, cfg.attention_dim, cfg.attention_bias
        query = Heads(cfg.heads, TwoLayers, args, name="query")(state)
        args = cfg.attention_dim, cfg.attention_bias
        key = Heads(cfg.heads, Linear, args, name="key")(own)  # [..., A, H, D]
        return jnp.einsum("...hd,...ahd->...ha", query, key)


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
