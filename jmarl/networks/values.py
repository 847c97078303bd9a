"""Critics of a team: what is known of each agent, to numbers for it; one network for all agents."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.networks.agents import QNetwork
from jmarl.networks.base import Net, functional
from jmarl.types import EnvSpec, Key, Params, View

# state: of the team; obs: the agent's; others: what the others do, one-hot, zeros for the agent;
# last: what it did before; all_last: what all did before; id: who it is
Seen = Literal["state", "obs", "others", "last", "all_last", "id"]
SEES_ALL: tuple[Seen, ...] = ("state", "obs", "others", "all_last", "id")  # PyMARL's COMA critic


@dataclass(frozen=True)
class Values:
    """A perceptron with ReLU on what it `sees` of each agent, in this order."""

    spec: EnvSpec
    sees: tuple[Seen, ...]
    hidden: tuple[int, ...]
    outputs: int

    @cached_property
    def net(self) -> Net[Array]:
        return functional(QNetwork(self.hidden, 0, self.outputs))

    def init(self, key: Key) -> Params:
        spec = self.spec
        nobody = jnp.full(spec.num_agents, -1)
        x = self.inputs(spec.example_view(), nobody, nobody)
        return self.net.init(key, x, jnp.zeros(0))

    def apply(self, params: Params, x: Array) -> Array:
        """[..., A, in] -> [..., A, outputs]."""
        return self.net.apply(params, x, jnp.zeros(0))

    def inputs(self, view: View, action: Array, before: Array) -> Array:
        """[..., A, in] from views, actions [..., A] and the actions before (-1 for none)."""
        agents, dtype = self.spec.num_agents, view.obs.dtype
        one_hot = lambda index: jax.nn.one_hot(index, self.spec.action_size, dtype=dtype)
        own = jnp.eye(agents, dtype=dtype)
        to_all = lambda x: jnp.broadcast_to(x[..., None, :], (*x.shape[:-1], agents, x.shape[-1]))
        joined = lambda x: x.reshape(*x.shape[:-2], -1)
        parts: dict[str, Any] = {
            "state": lambda: to_all(view.state),
            "obs": lambda: view.obs,
            "others": lambda: joined(one_hot(action)[..., None, :, :] * (1 - own)[..., None]),
            "last": lambda: one_hot(before),
            "all_last": lambda: to_all(joined(one_hot(before))),
            "id": lambda: jnp.broadcast_to(own, (*before.shape, agents)),
        }
        return jnp.concatenate([parts[name]() for name in self.sees], -1)
