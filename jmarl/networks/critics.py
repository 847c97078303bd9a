"""Centralised critics: they see all agents, and value all actions of each, given the others'.

An agent's own action never enters its own values, so that their mean under its policy is a
baseline. Agents are the leading axis [A, ...] of parameters that are not shared.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.actions import vector_mask
from jmarl.networks.base import Net, functional
from jmarl.networks.layers import Linear
from jmarl.networks.mlp import mlp, per_agent, rectified
from jmarl.sums import softmax
from jmarl.types import EnvSpec, Key, Params

SLOPE = 0.01  # of the leaky rectifiers


class Judged(NamedTuple):
    """What a critic says of [..., A] agents."""

    q: Array  # [..., A, U] of each agent's own actions, given what the others do
    penalty: Any = 0.0  # [..., A] joins the loss
    attention: Array | None = None  # [..., A, heads, A] whom agents attend to, not themselves


class Critic(Protocol):
    """Values from observations [..., A, O] and action vectors [..., A, W]."""

    @property
    def shared(self) -> tuple[str, ...]:
        """Groups of parameters that every agent's loss moves."""
        ...

    def init(self, key: Key) -> Params: ...
    def apply(self, params: Params, obs: Array, vector: Array) -> Judged: ...


@dataclass(frozen=True)
class AttentionCritic:
    """MAAC's: an agent's query meets the others' keys in each head.

    s_i encodes o_i, e_j encodes (o_j, a_j); x_i^h is the sum over j != i of
    softmax_j(s_i query_h . e_j key_h / sqrt(d)) value_h(e_j); Q_i(.) = head_i(s_i, x_i^1, ...).
    """

    spec: EnvSpec
    width: int
    heads: int
    penalty: Any  # weight of the heads' mean squared logits
    uniform: bool  # attend to all others alike

    @property
    def shared(self) -> tuple[str, ...]:
        return ("action_encoder", *self.projections)

    @cached_property
    def encoder(self) -> Net[Array]:
        return per_agent(mlp((), self.width, "torch"))

    @cached_property
    def head(self) -> Net[Array]:
        return per_agent(mlp((self.width,), self.spec.action_size, "torch", slope=SLOPE))

    @cached_property
    def projections(self) -> dict[str, Net[Array]]:
        """To all heads side by side, [..., width] -> [..., width]."""
        net = lambda bias: functional(Linear(self.width, use_bias=bias))
        asked = {} if self.uniform else {"query": net(False), "key": net(False)}
        return {**asked, "value": net(True)}

    def init(self, key: Key) -> Params:
        spec, agents = self.spec, self.spec.num_agents
        state_key, action_key, head_key, *keys = jax.random.split(key, 3 + len(self.projections))
        all_real = lambda size: jnp.ones((agents, size), bool)
        sees, wide = spec.obs_mask(), all_real(self.width)
        both = np.concatenate([sees, vector_mask(spec)], -1)
        x = jnp.zeros(self.width)
        return {
            "state_encoder": self.encoder.init(state_key, sees, wide),
            "action_encoder": self.encoder.init(action_key, both, wide),
            "head": self.head.init(head_key, all_real(2 * self.width), spec.action_mask()),
            **{n: p.init(k, x) for k, (n, p) in zip(keys, self.projections.items(), strict=True)},
        }

    def apply(self, params: Params, obs: Array, vector: Array) -> Judged:
        both = jnp.concatenate([obs, vector], -1)
        state = rectified(self.encoder.apply(params["state_encoder"], obs, None), SLOPE)
        done = rectified(self.encoder.apply(params["action_encoder"], both, None), SLOPE)
        logits = self.logits(params, state, done)
        others = ~jnp.eye(self.spec.num_agents, dtype=bool)[:, None]  # [A, 1, A]
        scaled = jnp.where(others, logits / math.sqrt(self.width // self.heads), -jnp.inf)
        attention = softmax(scaled)
        value = self.by_head(rectified(self.project(params, "value", done), SLOPE))
        heard = jnp.einsum("...ihj,...jhd->...ihd", attention, value).reshape(state.shape)
        q = self.head.apply(params["head"], jnp.concatenate([state, heard], -1), None)
        squared = jnp.where(others, logits**2, 0).sum(-1) / (self.spec.num_agents - 1)
        return Judged(q, self.penalty * squared.sum(-1), attention)

    def logits(self, params: Params, state: Array, done: Array) -> Array:
        """[..., A, heads, A], not yet scaled."""
        agents = self.spec.num_agents
        if self.uniform:
            return jnp.zeros((*state.shape[:-1], self.heads, agents), state.dtype)
        query = self.by_head(self.project(params, "query", state))
        key = self.by_head(self.project(params, "key", done))
        return jnp.einsum("...ihd,...jhd->...ihj", query, key)

    def project(self, params: Params, name: str, x: Array) -> Array:
        return self.projections[name].apply(params[name], x)

    def by_head(self, x: Array) -> Array:
        """[..., width] -> [..., heads, d]."""
        return x.reshape(*x.shape[:-1], self.heads, -1)


@dataclass(frozen=True)
class JoinedCritic:
    """A perceptron on all observations and the others' actions, one after another.

    One for each agent, or one for all, which is told whose values it gives.
    """

    spec: EnvSpec
    hidden: tuple[int, ...]
    one_for_all: bool

    @property
    def shared(self) -> tuple[str, ...]:
        return ("joined",) * self.one_for_all

    @cached_property
    def net(self) -> Net[Array]:
        net = mlp(self.hidden, self.spec.action_size, "torch", slope=SLOPE)
        return net if self.one_for_all else per_agent(net)

    def init(self, key: Key) -> Params:
        inputs, outputs = self.real(), self.spec.action_mask()
        if self.one_for_all:
            inputs, outputs = inputs.any(0), outputs.any(0)
        return {"joined": self.net.init(key, inputs, outputs)}

    def real(self) -> np.ndarray:
        """[A, in] bool: inputs that are neither padding nor always zero."""
        agents = self.spec.num_agents
        seen = np.tile(self.spec.obs_mask().reshape(-1), (agents, 1))
        others = vector_mask(self.spec) & ~np.eye(agents, dtype=bool)[..., None]  # [A, A, W]
        who = np.ones((agents, agents * self.one_for_all), bool)
        return np.concatenate([seen, others.reshape(agents, -1), who], -1)

    def apply(self, params: Params, obs: Array, vector: Array) -> Judged:
        agents, lead = self.spec.num_agents, obs.shape[:-2]
        own = jnp.eye(agents, dtype=obs.dtype)
        seen = jnp.broadcast_to(obs.reshape(*lead, 1, -1), (*lead, agents, agents * obs.shape[-1]))
        others = jnp.expand_dims(vector, -3) * (1 - own)[..., None]  # [..., A, A, W]
        who = [jnp.broadcast_to(own, (*lead, agents, agents))] * self.one_for_all
        x = jnp.concatenate([seen, others.reshape(*lead, agents, -1), *who], -1)
        return Judged(self.net.apply(params["joined"], x, None))
