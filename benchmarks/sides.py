"""One environment behind two doors: jmarl's rollout, and its library's own auto-reset.

Both act uniformly over the available actions, drawn by the same function, and both hold all agents'
observations from one step to the next, as whoever chooses by them must: XLA would not so much as
write down an observation that nobody keeps. jaxmarl's are held as networks read them, rows of
float32 padded to the widest, which is how ours come and what jaxmarl's own training scripts make of
theirs. What was observed and earned is summed. Global states and entities are asked of neither.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.exploration import uniform_choice, uniform_policy
from jmarl.program import Without
from jmarl.rollout import Actors, advance, open_actors
from jmarl.types import Environment, Key
from jmarl_envs.libraries import import_library

GLOBAL = ("world_state", "__all__")  # entries of a library's dicts that are no agent's


@dataclass(frozen=True)
class Side:
    """A way to step B environments."""

    open: Callable[[Key, int], Any]  # (key, B) -> carry
    step: Callable[[Any, Key], tuple[Any, Array, Array]]  # -> carry, true steps, sum of all seen


def ours(env: Environment[Any]) -> Side:
    """jmarl's rollout; a position that only resets is no step."""
    only, policy = Without(env, "state", "entities"), uniform_policy(env.spec)

    def step(actors: Actors, key: Key) -> tuple[Actors, Array, Array]:
        actors, (step, _) = advance(only, policy, actors, key)
        return actors, step.valid.sum(), total((step.view.obs, step.reward))

    open_ = lambda key, num_envs: open_actors(only, policy, num_envs, key)
    return Side(open_, step)


def total(tree: Any) -> Array:
    """The sum of all numbers in a tree."""
    return sum((jnp.sum(x, dtype=jnp.float32) for x in jax.tree.leaves(tree)), jnp.float32(0))


# --- jaxmarl ------------------------------------------------------------------------------------


def jaxmarls(env: Any) -> Side:
    """`vmap(env.step)`, which resets where `dones["__all__"]`."""
    names = list(env.agents)
    act = chooser(env, names) if hasattr(env.action_space(names[0]), "n") else drawer(env, names)

    def open_(key: Key, num_envs: int) -> Any:
        obs, state = jax.vmap(env.reset)(jax.random.split(key, num_envs))
        return state, jax.vmap(partial(rows, names))(obs)

    def step(carry: Any, key: Key) -> tuple[Any, Array, Array]:
        state, before = carry
        act_key, step_key = jax.random.split(key)
        num_envs = jax.tree.leaves(state)[0].shape[0]
        keys = jax.random.split(step_key, num_envs)
        obs, state, rewards, _, _ = jax.vmap(env.step)(keys, state, act(state, act_key, num_envs))
        seen = total((before, of_agents(rewards)))
        return (state, jax.vmap(partial(rows, names))(obs)), jnp.int32(num_envs), seen

    return Side(open_, step)


Act = Callable[[Any, Key, int], Mapping[str, Array]]  # (states, key, B) -> each agent's [B, ...]


def chooser(env: Any, names: list[str]) -> Act:
    """Uniform choices, of the available ones where the library tells them."""
    sizes = np.array([int(env.action_space(name).n) for name in names])
    own = np.arange(sizes.max()) < sizes[:, None]
    masks = next((m for m in ("get_avail_actions", "get_legal_moves") if tells(env, m)), None)

    def act(state: Any, key: Key, num_envs: int) -> Mapping[str, Array]:
        allowed = jnp.broadcast_to(own, (num_envs, *own.shape))
        if masks is not None:
            told = jax.vmap(getattr(env, masks))(state)
            rows = [jnp.pad(told[n], ((0, 0), (0, own.shape[1] - told[n].shape[1]))) for n in names]
            allowed = jnp.stack(rows, 1) > 0
        action = uniform_choice(key, allowed)
        return {name: action[:, i] for i, name in enumerate(names)}

    return act


def tells(env: Any, method: str) -> bool:
    """Whether the environment has this function of a state."""
    if not hasattr(env, method):
        return False
    try:
        jax.eval_shape(lambda key: getattr(env, method)(env.reset(key)[1]), jax.random.key(0))
    except NotImplementedError:
        return False
    return True


def drawer(env: Any, names: list[str]) -> Act:
    """Uniform numbers within each agent's box."""
    spaces = [env.action_space(name) for name in names]

    def act(state: Any, key: Key, num_envs: int) -> Mapping[str, Array]:
        width = max(space.shape[0] for space in spaces)
        numbers = jax.random.uniform(key, (num_envs, len(names), width))
        return {
            name: space.low + (space.high - space.low) * numbers[:, i, : space.shape[0]]
            for i, (name, space) in enumerate(zip(names, spaces, strict=True))
        }

    return act


def rows(names: list[str], obs: Any) -> Array:
    """Each agent's observation as one vector, padded to the widest: [A, O] float32."""
    flat = [
        jnp.concatenate([x.reshape(-1).astype(jnp.float32) for x in jax.tree.leaves(obs[name])])
        for name in names
    ]
    widest = max(row.size for row in flat)
    return jnp.stack([jnp.pad(row, (0, widest - row.size)) for row in flat])


def of_agents(told: Any) -> Any:
    if not isinstance(told, Mapping):
        return told
    return {name: value for name, value in told.items() if name not in GLOBAL}


# --- jumanji ------------------------------------------------------------------------------------


def jumanjis(env: Any) -> Side:
    """`VmapAutoResetWrapper`."""
    wrapped = import_library("jumanji.wrappers").VmapAutoResetWrapper(env)
    spec = env.action_spec
    discrete = jnp.issubdtype(spec.dtype, jnp.integer)
    # an array of choices tells how many; one of whole numbers within bounds tells the largest
    choices = getattr(spec, "num_values", np.asarray(spec.maximum) + 1)
    width = int(np.asarray(choices).max()) if discrete else 0
    anything = np.ones((*spec.shape, width), bool)

    def open_(key: Key, num_envs: int) -> Any:
        state, timestep = wrapped.reset(jax.random.split(key, num_envs))
        return state, timestep.observation

    def step(carry: Any, key: Key) -> tuple[Any, Array, Array]:
        state, before = carry
        mask = getattr(before, "action_mask", None)
        num_envs = jax.tree.leaves(state)[0].shape[0]
        if discrete:
            free = jnp.broadcast_to(anything, (num_envs, *anything.shape))
            action = uniform_choice(key, free if mask is None else mask)
        else:
            low, high = spec.minimum, spec.maximum
            action = low + (high - low) * jax.random.uniform(key, (num_envs, *spec.shape))
        state, timestep = wrapped.step(state, action.astype(spec.dtype))
        seen = total((before, timestep.reward))
        return (state, timestep.observation), jnp.int32(num_envs), seen

    return Side(open_, step)


SIDES = {"jaxmarl": jaxmarls, "jumanji": jumanjis}
