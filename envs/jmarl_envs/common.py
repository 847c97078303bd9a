"""What environments of our own share: names, and views in which everybody lives and may do all."""

import jax.numpy as jnp
from jax import Array

from jmarl.types import Entities, EnvSpec, Outcome, View


def agent_names(num_agents: int) -> tuple[str, ...]:
    return tuple(f"agent_{index}" for index in range(num_agents))


def open_view(spec: EnvSpec, obs: Array, state: Array, entities: Entities | None = None) -> View:
    """A view in which everybody lives and may choose all of its own actions."""
    alive = jnp.ones(spec.num_agents, bool)
    return View(obs, jnp.asarray(spec.action_mask()), alive, state, entities)


def open_entities(features: Array, absent: Array, agents: int) -> Entities:
    """Everybody sees all that is there: features [E, F], absent [E]."""
    return Entities(features, absent, jnp.broadcast_to(absent, (agents, len(features))))


def outcome(view: View, reward: Array, terminated: Array | bool = False) -> Outcome:
    """Never truncated: that is TimeLimit's to say."""
    return Outcome(view, reward, jnp.asarray(terminated), jnp.zeros((), bool))
