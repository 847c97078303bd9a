"""What all of jumanji's environments need to stand behind the protocol.

jumanji's states carry their own random key, drawn from at reset, so dynamics need none of ours. Its
time limit is put out of reach: what is left of its endings are the true ones, and `TimeLimit` cuts.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import EnvSpec, Key, Outcome, View
from jmarl_envs.common import agent_names
from jmarl_envs.libraries import import_library, quietly

NEVER = 2**30  # the library's own limit, out of reach


class Adapter:
    """One of jumanji's environments. Subclasses tell what is seen, measured and drawn."""

    def __init__(self, library: Any, spec: EnvSpec) -> None:
        self.library, self.spec = library, spec

    def reset(self, key: Key) -> tuple[Any, View]:
        state, timestep = self.library.reset(key)
        state = firm(state)
        return state, self.view(state, timestep.observation)

    def step(self, state: Any, action: Array, key: Key) -> tuple[Any, Outcome]:
        state, timestep = self.library.step(state, action)
        state = firm(state)
        over = self.over(state, timestep)
        view = self.view(state, timestep.observation)
        reward = jnp.broadcast_to(timestep.reward.astype(jnp.float32), self.spec.num_agents)
        never = jnp.zeros((), bool)
        return state, Outcome(view, reward, over, never, self.info(state, timestep, over))

    def over(self, state: Any, timestep: Any) -> Array:
        """Whether this is a true ending []; the library's limit never is one here."""
        return timestep.last()

    def view(self, state: Any, seen: Any) -> View:
        """`seen` is the library's observation of `state`."""
        raise NotImplementedError

    def info(self, state: Any, timestep: Any, over: Array) -> Mapping[str, Array]:
        raise NotImplementedError


def team_spec(
    name: str,
    num_agents: int,
    obs_size: int,
    num_actions: int,
    state_size: int,
    episode_limit: int,
    **others: Any,
) -> EnvSpec:
    """The spec of one team whose agents are all alike and choose one of `num_actions`."""
    return EnvSpec(
        name=name,
        agents=agent_names(num_agents),
        obs_sizes=(obs_size,) * num_agents,
        action_kind=others.pop("action_kind", "discrete"),
        action_parts=((num_actions,),) * num_agents,
        state_size=state_size,
        episode_limit=episode_limit,
        teams=(0,) * num_agents,
        **others,
    )


def build(make: Callable[[Any], Any]) -> Any:
    """`make(jumanji.environments)`, outside any trace and without the library's words."""
    library = import_library("jumanji")
    with quietly(), jax.ensure_compile_time_eval():
        return make(library.environments)


def firm(tree: Any) -> Any:
    """The same without weak types: the library's change between reset and step, and retrace."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), tree)


def numbers(*columns: Array) -> Array:
    """Columns [N] side by side as [N, columns] float32."""
    return jnp.stack([column.astype(jnp.float32) for column in columns], -1)


def flat(*parts: Array) -> Array:
    """All parts' numbers in one vector, float32."""
    return jnp.concatenate([part.reshape(-1).astype(jnp.float32) for part in parts])
