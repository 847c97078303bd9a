"""Attention over entities, for teams of any size: the agents ask, all that is there may answer.

Slots are fixed, agents first; who is absent or unseen is masked, so that one program serves all
teams. In masks true is blocked.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jmarl.networks.agents import Carry, RecurrentTeam, Unrolled, actions_before
from jmarl.networks.base import Net, functional
from jmarl.networks.initialisers import linear
from jmarl.networks.layers import GruCell, Linear
from jmarl.networks.rows import rows
from jmarl.sums import EXACT, softmax
from jmarl.types import Entities, EnvSpec, Key, Params, Transition, View


class Seen(NamedTuple):
    """Entities under one mask for each agent, or under several: rows R are A, or times A."""

    features: Array  # [..., E, F] agents first
    absent: Array  # [..., E] bool
    blocked: Array  # [..., R, E] bool: whom a row does not attend to

    def rows(self, agents: int) -> Array:
        """[..., R] bool: whose agent is there."""
        return again(~self.absent[..., :agents], self.blocked.shape[-2], -1)


def again(x: Array, rows: int, axis: int) -> Array:
    """The agents behind each other again, until there are `rows` of them."""
    return jnp.concatenate([x] * (rows // x.shape[axis]), axis)


def hearing(out: str) -> Callable[[Array, Array], Array]:
    """Attention [..., heads, R, E] to values [..., E, heads, d], summed up into `out`.

    XLA would multiply for the values' gradient in an order that wants every row turned round, twice
    as slow as all the rest of the attention (benchmarks/NOTES.md). Leading axes must be the same in
    both; there is no forward mode.
    """

    @jax.custom_vjp
    def heard(weights: Array, values: Array) -> Array:
        return jnp.einsum(f"...hre,...ehd->...{out}", weights, values)

    def back(kept: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
        weights, values = kept
        of_values = jnp.einsum(f"...hre,...{out}->...hed", weights, slope)
        of_weights = jnp.einsum(f"...{out},...ehd->...hre", slope, values)
        return of_weights, jnp.moveaxis(of_values, -3, -2)

    heard.defvjp(lambda *both: (heard(*both), both), back)
    return heard


by_heads, over_heads = hearing("rhd"), hearing("rd")  # [..., R, heads, d] and [..., R, d]


class Attention(nn.Module):
    """What each row's agent makes of the entities that it attends to, [..., R, width].

    relu(fc1 e) for every entity; of the agents queries, of all keys and values, without a bias;
    softmax(q k / sqrt(width / heads)) v; out_trans. A row that is blocked everywhere attends to
    nothing, so out_trans sees zeros; rows of absent agents are zero.
    """

    agents: int
    heads: int
    width: int

    def setup(self) -> None:
        width, real = self.width, (jnp.ones(size, bool) for size in (self.width, 3 * self.width))
        self.fc1, self.out_trans = Linear(width), Linear(width)
        self.in_trans = self.param("in_trans", linear("torch", *real)[0], (width, 3 * width))

    def __call__(self, seen: Seen) -> Array:
        x = nn.relu(self.fc1(seen.features))
        value = self.projected(x, 2)
        heard = by_heads(self.among(x, seen.blocked), value)
        out = self.out_trans(heard.reshape(*heard.shape[:-2], self.width))
        return jnp.where(seen.rows(self.agents)[..., None], out, 0)

    def linear(self, seen: Seen, kernel: Array, bias: Array) -> Array:
        """What a linear layer [width, U] makes of each row, [..., R, U]; rows of absent agents are
        zero."""
        x = nn.relu(self.fc1(seen.features))
        maps, bias = self.early(kernel, bias)
        values = rows(x) @ maps.reshape(self.width, -1)
        values = values.reshape(*x.shape[:-1], self.heads, -1)
        out = over_heads(self.among(x, seen.blocked), values) + bias
        return jnp.where(seen.rows(self.agents)[..., None], out, 0)

    def mean(self, seen: Seen, kernel: Array, bias: Array) -> Array:
        """The mean of such rows, [..., U]: the attention's mean looks at the entities."""
        x = nn.relu(self.fc1(seen.features))
        maps, bias = self.early(kernel, bias)
        there = seen.rows(self.agents).astype(x.dtype) / seen.blocked.shape[-2]
        weights = self.among(x, seen.blocked)
        share = jnp.einsum("...r,...hre->...he", there, weights, precision=EXACT)
        heard = jnp.einsum("...he,...ew->...hw", share, x)
        maps = jnp.moveaxis(maps, 1, 0).reshape(self.heads * self.width, -1)
        out = rows(heard.reshape(*heard.shape[:-2], -1)) @ maps
        return out.reshape(*heard.shape[:-2], -1) + there.sum(-1, keepdims=True) * bias

    def early(self, kernel: Array, bias: Array) -> tuple[Array, Array]:
        """Maps [width, heads, U] from encoded entities to what the layer makes of them under each
        head's attention, and what it adds, [U].

        Values, out_trans and the layer behind it are linear, so the matrices meet before anything
        of the batch does.
        """
        out, constant = self.out_trans.matrix(self.width)
        assert constant is not None, "out_trans has a bias"
        values = self.in_trans[:, 2 * self.width :].reshape(self.width, self.heads, -1)
        heads = (out @ kernel).reshape(self.heads, -1, kernel.shape[-1])
        return jnp.einsum("whd,hdu->whu", values, heads), constant @ kernel + bias

    def weights(self, seen: Seen) -> Array:
        """[..., heads, R, E]: where the attention goes."""
        return self.among(nn.relu(self.fc1(seen.features)), seen.blocked)

    def among(self, x: Array, blocked: Array) -> Array:
        """[..., heads, R, E] of encoded entities [..., E, width]."""
        query, key = self.projected(x[..., : self.agents, :], 0), self.projected(x, 1)
        logits = jnp.einsum("...ahd,...ehd->...hae", query, key)
        logits = again(logits / math.sqrt(query.shape[-1]), blocked.shape[-2], -2)
        blocked = blocked[..., None, :, :]
        weights = softmax(jnp.where(blocked, jnp.finfo(x.dtype).min, logits))
        return jnp.where(blocked.all(-1, keepdims=True), 0, weights)

    def projected(self, x: Array, nth: int) -> Array:
        """Queries, keys and values stand side by side in `in_trans`: [..., heads, d]."""
        kernel = self.in_trans[:, nth * self.width : (nth + 1) * self.width]
        y = rows(x) @ kernel
        return y.reshape(*x.shape[:-1], self.heads, -1)


class EntityNetwork(nn.Module):
    """Attention, fc2 with ReLU, a GRU of width `rnn`, and a linear head; without a GRU (0) a ReLU
    stands in the place of fc2 and GRU."""

    agents: int
    heads: int
    width: int
    rnn: int
    out: int

    def setup(self) -> None:
        self.attn = Attention(self.agents, self.heads, self.width)
        if self.rnn:
            self.fc2, self.gru = Linear(self.rnn), GruCell(self.rnn)
        self.last = Linear(self.out)

    def encode(self, seen: Seen) -> Array:
        heard = self.attn(seen)
        return nn.relu(self.fc2(heard) if self.rnn else heard)

    def remember(self, h: Array, encoded: Array) -> Array:
        return self.gru(h, encoded) if self.rnn else encoded

    def head(self, h: Array) -> Array:
        return self.last(h)

    def attention(self, seen: Seen) -> Array:
        return self.attn.weights(seen)

    def __call__(self, seen: Seen, h: Array) -> Array:
        return self.head(self.remember(h, self.encode(seen)))


@dataclass(frozen=True)
class EntityAgents(RecurrentTeam):
    """Agents that share one network, which attends to the entities that each of them sees.

    An agent's entity tells of its action before (one-hot; nobody else's does). Absent agents value
    everything at 0.
    """

    spec: EnvSpec
    heads: int
    width: int
    rnn_dim: int
    last_action: bool
    shared: bool = True

    @property
    def net(self) -> Net[Array]:
        agents, out = self.spec.num_agents, self.spec.action_size
        return functional(EntityNetwork(agents, self.heads, self.width, self.rnn_dim, out))

    def init(self, key: Key) -> Params:
        agents = self.spec.num_agents
        seen = self.inputs(self.spec.example_view(), jnp.zeros(agents, jnp.int32))
        return self.net.init(key, seen, jnp.zeros((agents, self.rnn_dim)))

    def apply(self, method: str, params: Params, *inputs: Any) -> Array:
        return self.net.apply(params, *inputs, method=method)

    def inputs(self, view: View, last: Array) -> Seen:
        entities = self.entities(view, last)
        blocked = entities.hidden | entities.absent[..., None, :]
        return Seen(entities.features, entities.absent, blocked)

    def entities(self, view: View, last: Array) -> Entities:
        """With the actions before, `last` [..., A], behind the features."""
        entities = view.entities
        assert entities is not None, "a memory that keeps entities"
        if not self.last_action:
            return entities
        features = entities.features
        acts = jax.nn.one_hot(last, self.spec.action_size, dtype=features.dtype)
        others = features.shape[-2] - self.spec.num_agents
        acts = jnp.pad(acts, [*[(0, 0)] * (acts.ndim - 2), (0, others), (0, 0)])
        return entities.replace(features=jnp.concatenate([features, acts], -1))

    def step(self, params: Params, carry: Carry, view: View) -> tuple[Array, Array]:
        q, hidden = super().step(params, carry, view)
        return self.of_present(q, self.inputs(view, carry.last)), hidden

    def unroll(
        self, teams: Sequence[Params], batch: Transition, imagined: Sequence[Array] = ()
    ) -> list[Unrolled]:
        """As of any team. With masks `imagined` [T+1, B, A, E] the first one's agents stand behind
        each other again, with memories of their own: as they see, then under each further mask."""
        seen = self.inputs(batch.view, actions_before(batch))
        further = [seen.blocked | mask for mask in imagined]
        first = seen._replace(blocked=jnp.concatenate([seen.blocked, *further], -2))
        inputs = [first, *[seen] * (len(teams) - 1)]
        nets = self.unrolled(teams, inputs, batch.start)
        pairs = zip(nets, inputs, strict=True)
        return [net._replace(q=self.of_present(net.q, shown)) for net, shown in pairs]

    def of_present(self, q: Array, seen: Seen) -> Array:
        """Values [..., R, U], zero for absent agents."""
        return jnp.where(seen.rows(self.spec.num_agents)[..., None], q, 0)
