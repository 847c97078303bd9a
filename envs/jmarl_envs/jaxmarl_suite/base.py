"""What jaxmarl's environments need to stand behind the protocol.

The library deals in dicts by agents' names; here agents are rows, in `library.agents`' order. It is
stepped by `step_env`, which does not reset, and its own time limit is out of reach or ignored:
what is left of its endings are the true ones, and `TimeLimit` cuts.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import EnvSpec, Key, Outcome, View
from jmarl_envs.libraries import firm, import_library, quietly


class Adapter:
    """One of jaxmarl's environments. Subclasses tell what is seen, earned, measured and drawn."""

    def __init__(self, library: Any, spec: EnvSpec) -> None:
        self.library, self.spec = library, spec

    def reset(self, key: Key) -> tuple[Any, View]:
        with quietly():  # while it is traced, the library prints, and jax warns of its scatters
            obs, state = self.library.reset(key)
        state = firm(state)
        return state, self.view(state, self.rows(obs))

    def step(self, state: Any, action: Array, key: Key) -> tuple[Any, Outcome]:
        actions = self.actions(state, action)
        with quietly():
            obs, after, rewards, endings, told = self.library.step_env(key, state, actions)
        after = firm(after)
        over = self.over(after, endings)
        earned = {"rewards": self.stacked(rewards), "told": told}
        return after, Outcome(
            view=self.view(after, self.rows(obs)),
            reward=self.reward(**earned),
            terminated=jnp.asarray(over),
            truncated=jnp.zeros((), bool),
            info=self.info(state, after, over, **earned),
        )

    def view(self, state: Any, obs: Array) -> View:
        """`obs` [A, O] is what the library shows of `state`."""
        raise NotImplementedError

    def over(self, state: Any, endings: Mapping[str, Array]) -> Array | bool:
        """Whether `state` is a true ending []."""
        return endings["__all__"]

    def reward(self, rewards: Array, told: Any) -> Array:
        """[A] from the library's rewards [A] and its own info."""
        return rewards

    def info(
        self, before: Any, state: Any, over: Array | bool, rewards: Array, told: Any
    ) -> dict[str, Array]:
        return {}

    def actions(self, state: Any, action: Array) -> Any:
        """The library's actions for [A] or [A, U]."""
        return dict(zip(self.library.agents, action, strict=True))

    def rows(self, obs: Any) -> Array:
        """Each agent's observation as one vector: [A, O] float32, where all are of one size."""
        return self.stacked({name: obs[name].reshape(-1) for name in self.library.agents})

    def stacked(self, by_agent: Any) -> Array:
        """[A, ...] float32."""
        return jnp.stack([by_agent[name].astype(jnp.float32) for name in self.library.agents])


def team_spec(
    name: str, library: Any, num_actions: int, state_size: int, episode_limit: int, **others: Any
) -> EnvSpec:
    """The spec of agents who are all alike and choose one of `num_actions`."""
    with quietly():
        obs = jax.eval_shape(
            lambda key: library.reset(key)[0][library.agents[0]], jax.random.key(0)
        )
    agents = tuple(str(name) for name in library.agents)
    given = {
        "name": name,
        "agents": agents,
        "obs_sizes": (sum(leaf.size for leaf in jax.tree.leaves(obs)),) * len(agents),
        "action_kind": "discrete",
        "action_parts": ((num_actions,),) * len(agents),
        "state_size": state_size,
        "episode_limit": episode_limit,
        "teams": (0,) * len(agents),
    }
    return EnvSpec(**(given | others))


def load(library_id: str, **options: Any) -> Any:
    """The library's environment, built outside any trace and without its words."""
    jaxmarl = import_library("jaxmarl")
    with quietly(), jax.ensure_compile_time_eval():
        return jaxmarl.make(library_id, **options)


def flat(*parts: Array) -> Array:
    """All parts' numbers in one vector, float32."""
    return jnp.concatenate([part.reshape(-1).astype(jnp.float32) for part in parts])
