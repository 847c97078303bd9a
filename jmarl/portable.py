"""A team's policy as two functions of single agents, for jax to run without jmarl.

An agent is handed its own view and memory and nothing else: around them stands a team of zeros, of
which the policy is asked and the agent's row is kept. So every algorithm goes the same way, and
draws what the team would draw with the same key. One file serves all agents, who say who they are:
where they share a network it is stored once. The price is that a row computes the whole team.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, export

from jmarl.checkpoint import paths
from jmarl.fields import ConfigError
from jmarl.types import Entities, EnvSpec, Policy, View

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
Row = Mapping[str, Any]  # arrays by name
WORDS = {  # of inputs and outputs; b rows are agents, of one environment or of many
    "agent": "who acts: its place in `agents`",
    "keys": "jax.random.key_data of a key; a new one for every step, the same for all of a team",
    "carry": "what the agent remembers: of `reset` as an episode opens, then of its last `act`",
    "obs": "what the agent observes, with zeros behind its own obs_size",
    "available": "which actions it may take; never those behind its own action_size",
    "features": "of the entities, agents first; those that are hidden may hold anything",
    "absent": "entities that are not there",
    "hidden": "entities that the agent does not see",
    "last": "actions before of the agents it sees, -1 as an episode opens; its own is not read",
    "action": "the choice, an index; or its numbers, with zeros behind its own action_size",
}


@dataclass(frozen=True)
class Agent:
    """Any one agent of a team. Arrays are without axes for environments and agents."""

    spec: EnvSpec
    policy: Policy[Any]
    sees_entities: bool  # instead of an observation
    sees_last: bool  # what the agents among them did

    def reset(self, agent: Array, keys: Array) -> Row:
        """What the agent remembers as an episode opens."""
        return self.row(self.policy.reset(jax.random.wrap_key_data(keys), 1), agent)

    def act(self, agent: Array, carry: Row, view: Row, keys: Array) -> tuple[Row, Array]:
        """Its next memory, and its action [] or [U]."""
        key = jax.random.wrap_key_data(keys)
        team, action, _ = self.policy.step(
            self.team(agent, carry, view), self.view(agent, view), key
        )
        return self.row(team, agent), action[0, agent]

    def exported(self) -> dict[str, export.Exported]:
        """Both functions over rows [b], one for each agent that acts."""
        who, keys = jnp.int32(0), jax.random.key_data(jax.random.key(0))
        carry = jax.eval_shape(self.reset, who, keys)
        return {
            "reset": over_rows(self.reset, who, keys),
            "act": over_rows(self.act, who, carry, self.example(), keys),
        }

    # --- between one agent and a team -----------------------------------------------------------

    def example(self) -> dict[str, Array]:
        """A view of zeros."""
        view = self.spec.example_view()
        seen = {"available": view.available[0]}
        if not self.sees_entities:
            return {"obs": view.obs[0], **seen}
        assert view.entities is not None, "the algorithm refuses environments without"
        entities = view.entities
        seen |= {"features": entities.features, "absent": entities.absent}
        seen |= {"hidden": entities.hidden[0]}
        last = jnp.zeros(self.spec.num_agents, jnp.int32)
        return {**seen, "last": last} if self.sees_last else seen

    def view(self, agent: Array, seen: Row) -> View:
        """One environment's, as far as the agent sees it."""
        agents = self.spec.num_agents
        put = lambda x: jnp.zeros((1, agents, *x.shape), x.dtype).at[0, agent].set(x)
        available, alive = put(seen["available"]), jnp.ones((1, agents), bool)
        if not self.sees_entities:
            return View(put(seen["obs"]), available, alive)
        features = jnp.where(seen["hidden"][:, None], 0, seen["features"])
        entities = Entities(features[None], seen["absent"][None], put(seen["hidden"]))
        return View(jnp.zeros((1, agents, 0)), available, alive, entities=entities)

    def team(self, agent: Array, carry: Row, seen: Row) -> Any:
        """The memory of a team, of which only the agent's row is real."""
        like = self.opened()
        zeros = {name: jnp.zeros(x.shape, x.dtype) for name, x in paths(like)}
        rows = [
            zero.at[0, agent].set(carry[name]) if name in carry else zero
            for name, zero in zeros.items()
        ]
        team = jax.tree.unflatten(jax.tree.structure(like), rows)
        if not self.sees_last:
            return team
        seen_last = jnp.where(seen["hidden"][: self.spec.num_agents], -1, seen["last"])
        return team.replace(last=seen_last.at[agent].set(carry["last"])[None])

    def row(self, team: Any, agent: Array) -> dict[str, Array]:
        """The agent's part of a team's memory; arrays without entries are left out."""
        return {name: x[0, agent] for name, x in paths(team) if x.size}

    def opened(self) -> Any:
        """Shapes of a team's memory. ConfigError if agents have no rows of their own in it."""
        like = jax.eval_shape(lambda key: self.policy.reset(key, 1), jax.random.key(0))
        for name, x in paths(like):
            if x.shape[:2] != (1, self.spec.num_agents):
                raise ConfigError(f"policies must remember agent by agent, got {name} {x.shape}")
        return like


def over_rows(function: Callable[..., Any], *args: Any) -> export.Exported:
    """Of a function of one agent, and examples of what it takes, with an axis [b] before all."""
    (b,) = export.symbolic_shape("b")
    rows = jax.tree.map(lambda x: jax.ShapeDtypeStruct((b, *x.shape), x.dtype), args)
    return export.export(jax.jit(jax.vmap(function)), platforms=PLATFORMS)(*rows)


def described(functions: Mapping[str, export.Exported]) -> dict[str, Any]:
    """Names and shapes of what the functions take and give, for people."""
    shapes = lambda tree, avals: jax.tree.map(str, jax.tree.unflatten(tree, avals))
    told = {}
    for name, function in functions.items():
        args, _ = shapes(function.in_tree, function.in_avals)
        out = shapes(function.out_tree, function.out_avals)
        names = ("agent", "keys") if name == "reset" else ("agent", "carry", "view", "keys")
        gives = (
            {"carry": out} if name == "reset" else dict(zip(("carry", "action"), out, strict=True))
        )
        told[name] = {"takes": dict(zip(names, args, strict=True)), "gives": gives}
    return told
