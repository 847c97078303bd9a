"""Networks of a team: what each agent sees and remembers, to a number for each action."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jmarl.networks.base import Net, functional
from jmarl.networks.layers import GruCell, Linear
from jmarl.networks.recurrent import Cell, Weights, through_time
from jmarl.types import EnvSpec, Key, Params, Transition, View


class QNetwork(nn.Module):
    """Layers fc1, ... with ReLU, a GRU of width `rnn` (none if 0), and a linear head.

    With one layer of 64 and a GRU of 64 it is PyMARL's agent. `encode` is what does not depend on
    the recurrent state; `remember` is the step that does; `head` values the actions.
    """

    hidden: tuple[int, ...]
    rnn: int
    out: int
    real_in: Array | None = None  # [in] bool; only `init` asks who is real
    real_out: Array | None = None  # [out] bool

    def setup(self) -> None:
        real = (self.real_in, *[None] * (len(self.hidden) - 1))
        self.fc = [Linear(w, real_in=r) for w, r in zip(self.hidden, real, strict=True)]
        self.gru = GruCell(self.rnn) if self.rnn else None
        self.last = Linear(self.out, real_out=self.real_out)

    def encode(self, x: Array) -> Array:
        for layer in self.fc:
            x = nn.relu(layer(x))
        return x

    def remember(self, h: Array, encoded: Array) -> Array:
        return encoded if self.gru is None else self.gru(h, encoded)

    def head(self, h: Array) -> Array:
        return self.last(h)

    def __call__(self, x: Array, h: Array) -> Array:
        return self.head(self.remember(h, self.encode(x)))


class Carry(struct.PyTreeNode):
    """What a team remembers within an episode."""

    hidden: Array  # [B, A, H]
    last: Array  # [B, A] the action before, -1 as an episode opens


class Unrolled(NamedTuple):
    """What one set of parameters makes of all views of a batch."""

    q: Array  # [T+1, B, A, U]
    hidden: Array  # [T+1, B, A, H] what the head saw


class RecurrentTeam:
    """How a team acts and learns from whole episodes, whatever its networks are shown."""

    spec: EnvSpec
    rnn_dim: int
    shared: bool

    def init(self, key: Key) -> Params:
        raise NotImplementedError

    def inputs(self, view: View, last: Array) -> Any:
        """What the networks are shown of a view, after the actions `last` [..., A]."""
        raise NotImplementedError

    def apply(self, method: str, params: Params, *inputs: Any) -> Array:
        """A method of the networks: encode, remember or head."""
        raise NotImplementedError

    def reset(self, num_envs: int) -> Carry:
        agents = self.spec.num_agents
        none = jnp.full((num_envs, agents), -1, jnp.int32)
        return Carry(jnp.zeros((num_envs, agents, self.rnn_dim)), none)

    def step(self, params: Params, carry: Carry, view: View) -> tuple[Array, Array]:
        """Values [B, A, U] of a view, and the hidden state to carry on."""
        encoded = self.apply("encode", params, self.inputs(view, carry.last))
        h = self.apply("remember", params, carry.hidden, encoded)
        q = self.apply("head", params, h)
        return q, h if self.rnn_dim else carry.hidden

    def unroll(self, teams: Sequence[Params], batch: Transition) -> list[Unrolled]:
        """Each team's values of all views, from zero states wherever an episode opens."""
        inputs = self.inputs(batch.view, actions_before(batch))
        return self.unrolled(teams, [inputs] * len(teams), batch.start)

    def unrolled(
        self, teams: Sequence[Params], inputs: Sequence[Any], start: Array
    ) -> list[Unrolled]:
        """The teams (online, then target) go through time together, in one scan; with a GRU only
        the first one's parameters have a gradient.
        """
        pairs = zip(teams, inputs, strict=True)
        encoded = [self.apply("encode", params, x) for params, x in pairs]
        hidden = encoded if not self.rnn_dim else self.through_time(teams, encoded, start)
        heads = [self.apply("head", p, h) for p, h in zip(teams, hidden, strict=True)]
        return [Unrolled(q, h) for q, h in zip(heads, hidden, strict=True)]

    def through_time(
        self, teams: Sequence[Params], encoded: list[Array], start: Array
    ) -> list[Array]:
        """Hidden states [T+1, B, A, H] of each team; only the first team's have a gradient."""
        first, *others = (
            Cell(Weights(**params["gru"]["state"]), Weights(**params["gru"]["input"]), seen)
            for params, seen in zip(teams, encoded, strict=True)
        )
        run = through_time
        if not self.shared:
            axes: Any = jax.tree.map(lambda x: 0, first)._replace(seen=-2)
            run = jax.vmap(run, (axes, (axes,) * len(others), None), -2)
        own, rest = run(first, tuple(others), start)
        return [own, *rest]


@dataclass(frozen=True)
class Agents(RecurrentTeam):
    """All agents' networks: one that all share, or one each (leaves [A, ...]).

    An agent sees its observation (or the team's state, if the network is `central`), its action
    before (one-hot) and who it is (one-hot). Outputs are one for each action, or `outputs`.
    """

    spec: EnvSpec
    hidden_dim: tuple[int, ...]
    rnn_dim: int
    shared: bool
    last_action: bool
    agent_id: bool
    central: bool = False
    outputs: int | None = None

    def net(self, *real: Array) -> Net[Array]:
        width = self.spec.action_size if self.outputs is None else self.outputs
        return functional(QNetwork(self.hidden_dim, self.rnn_dim, width, *real))

    def init(self, key: Key) -> Params:
        spec, rows = self.spec, len(self.spec.agents)
        extra = [np.ones((rows, width), bool) for width in self.extra_widths]
        acts = [spec.action_mask()] * self.last_action
        seen = np.ones((rows, spec.state_size), bool) if self.central else spec.obs_mask()
        real_in = np.concatenate([seen, *acts, *extra], -1)
        made = spec.action_mask() if self.outputs is None else np.ones((rows, self.outputs), bool)

        def one(key: Key, real_in: Array, real_out: Array) -> Params:
            x, h = jnp.zeros(real_in.shape), jnp.zeros(self.rnn_dim)
            return self.net(real_in, real_out).init(key, x, h)

        if self.shared:  # padding is an input like any other, as in PyMARL
            return one(key, jnp.ones(real_in.shape[1], bool), jnp.ones(made.shape[1], bool))
        keys = jax.random.split(key, rows)
        return jax.vmap(one)(keys, jnp.asarray(real_in), jnp.asarray(made))

    @property
    def extra_widths(self) -> tuple[int, ...]:
        return (self.spec.num_agents,) * self.agent_id

    def apply(self, method: str, params: Params, *inputs: Array) -> Array:
        """A method of the network over the agents, who are the second last axis."""
        apply = lambda params, *x: self.net().apply(params, *x, method=method)
        if not self.shared:
            apply = jax.vmap(apply, (0, *[-2] * len(inputs)), -2)
        return apply(params, *inputs)

    def inputs(self, view: View, last: Array) -> Array:
        """[..., A, in]."""
        parts = [self.seen(view)]
        if self.last_action:
            parts.append(jax.nn.one_hot(last, self.spec.action_size, dtype=view.obs.dtype))
        if self.agent_id:
            ids = jnp.eye(self.spec.num_agents, dtype=view.obs.dtype)
            parts.append(jnp.broadcast_to(ids, (*last.shape, self.spec.num_agents)))
        return jnp.concatenate(parts, -1)

    def seen(self, view: View) -> Array:
        """[..., A, O] or [..., A, S]."""
        if not self.central:
            return view.obs
        assert view.state is not None, "a memory that keeps the state"
        shape = *view.obs.shape[:-1], self.spec.state_size
        return jnp.broadcast_to(view.state[..., None, :], shape)


def actions_before(batch: Transition) -> Array:
    """[T+1, B, A]: what was done one step earlier, -1 where an episode opens."""
    none = jnp.full_like(batch.action[:1], -1)
    before = jnp.concatenate([none, batch.action])
    return jnp.where(batch.start[..., None], -1, before)
