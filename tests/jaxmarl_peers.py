"""Our adapters and jaxmarl's own environments, stepped side by side."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from compiling import HASTE

from jmarl.types import Environment, EnvSpec, View
from jmarl_envs.actions import random_actions
from jmarl_envs.libraries import quietly
from jmarl_envs.plain import plain


class Played(NamedTuple):
    """N episodes of T steps, as numpy: ours, and the library's from the same keys and actions."""

    spec: EnvSpec
    view: Any  # [N, T+1, ...] a View
    state: Any  # [N, T+1, ...] ours
    action: np.ndarray  # [N, T, A]
    outcome: Any  # [N, T, ...] an Outcome
    obs: np.ndarray  # [N, T+1, A, O] the library's from here on, observations flattened
    reward: np.ndarray  # [N, T, A]
    over: np.ndarray  # [N, T]
    told: Any  # [N, T, ...] its info

    @property
    def ended(self) -> np.ndarray:
        return np.asarray(self.outcome.terminated | self.outcome.truncated)

    @property
    def live(self) -> np.ndarray:
        """[N, T] this step belongs to its episode."""
        before = np.cumsum(self.ended, 1) - self.ended
        return before == 0

    def assert_alike(self, rtol: float = 0.0) -> None:
        """Observations and rewards are the library's own, and the last view is a true one."""
        obs, live = self.view.obs[..., : self.obs.shape[-1]], self.live
        for ours, theirs in (
            (obs[:, 0], self.obs[:, 0]),
            (obs[:, 1:][live], self.obs[:, 1:][live]),
            (self.outcome.reward[live], self.reward[live]),
        ):
            np.testing.assert_allclose(ours, theirs, rtol, rtol)


def by_agent(found: Any, agents: list[Any]) -> jax.Array:
    """[A, ...] float32 of a dict by agent or a sequence; each agent's numbers as one vector."""
    rows = [found[agent] for agent in agents]
    flat = [jnp.concatenate([x.reshape(-1) for x in jax.tree.leaves(row)]) for row in rows]
    return jnp.stack(flat).astype(jnp.float32)


def side_by_side(
    env: Environment[Any],
    theirs: Any,
    episodes: int = 4,
    steps: int = 0,
    translate: Callable[[jax.Array, jax.Array], Any] | None = None,
    order: Callable[[Any], Any] = lambda obs: obs,
    choose: Callable[[EnvSpec, View, jax.Array], jax.Array] | None = None,
) -> Played:
    """`translate` makes the library's actions, `order` puts its observations' parts in order."""
    spec, agents = env.spec, list(theirs.agents)
    steps = steps or spec.episode_limit
    translate = translate or (lambda action, key: dict(zip(agents, action, strict=True)))
    choose = choose or (lambda spec, view, key: random_actions(spec, view.available, key))

    def rows(obs: Any) -> jax.Array:
        return by_agent({agent: order(obs[agent]) for agent in agents}, agents)

    def step(carry: Any, key: jax.Array) -> Any:
        ours, view, other = carry
        act_key, step_key = jax.random.split(key)
        action = choose(spec, view, act_key)
        ours, out = env.step(ours, action, step_key)
        with quietly():
            found = theirs.step_env(step_key, other, translate(action, step_key))
        obs, other, reward, endings, told = found
        reward = by_agent(reward, agents)[:, 0]
        shown = (rows(obs), reward, jnp.asarray(endings["__all__"]), told)
        return (ours, out.view, firmer(other, carry[2])), (ours, action, out, shown)

    def episode(key: jax.Array) -> Any:
        reset_key, run_key = jax.random.split(key)
        ours, view = env.reset(reset_key)
        with quietly():
            obs, other = theirs.reset(reset_key)
        _, found = jax.lax.scan(step, (ours, view, other), jax.random.split(run_key, steps))
        return ours, view, rows(obs), found

    keys = jax.random.split(jax.random.key(7), episodes)
    run = jax.jit(jax.vmap(episode), compiler_options=HASTE)
    state, view, opening, (states, action, out, shown) = plain(run(keys))
    return Played(
        spec,
        jax.tree.map(_prepend, view, out.view),
        jax.tree.map(_prepend, state, states),
        action,
        out,
        _prepend(opening, shown[0]),
        *shown[1:],
    )


def firmer(tree: Any, like: Any) -> Any:
    """The library's state with the dtypes it had before: what a scan carries must not change."""
    return jax.tree.map(lambda x, y: jnp.asarray(x, jnp.asarray(y).dtype), tree, like)


def _prepend(first: np.ndarray, rest: np.ndarray) -> np.ndarray:
    return np.concatenate([first[:, None], rest], 1)
