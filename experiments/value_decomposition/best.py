"""The best returns there are in Switch (two agents) and Fetch, by dynamic programming over all
joint positions: `python experiments/value_decomposition/best.py`. Means over agents."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmarl_envs
from jmarl_envs.grid.fetch import Errand
from jmarl_envs.grid.switch import Crossing

FLAGS = ((False, False), (True, False), (False, True), (True, True))


def best(name: str, make: Any) -> float:
    """`make(cells [2], flags [2])` is the environment's state, but for its clock."""
    env: Any = jmarl_envs.make(name)
    inner, limit = env.env, env.spec.episode_limit
    cells = inner.moves.shape[0]
    where = np.stack(np.meshgrid(range(cells), range(cells), range(4), indexing="ij"), -1)
    states = where.reshape(-1, 3)
    actions = np.stack(np.meshgrid(range(5), range(5), indexing="ij"), -1).reshape(-1, 2)
    key, flags = jax.random.key(0), jnp.array(FLAGS)

    def one(state: Any, action: Any) -> Any:
        after, out = inner.step(make(state[:2], flags[state[2]]), action, key)
        marks = getattr(after, "carries", None)
        marks = after.arrived if marks is None else marks
        number = (after.cell[0] * cells + after.cell[1]) * 4 + marks[0] + 2 * marks[1]
        return number, out.reward.mean(), out.terminated

    table = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))(states, actions)
    follows, reward, over = (np.asarray(x) for x in table)
    value = np.zeros(len(states))
    for _ in range(limit):
        value = (reward + np.where(over, 0, value[follows])).max(1)
    start, _ = inner.reset(key)
    return float(value[(int(start.cell[0]) * cells + int(start.cell[1])) * 4])


if __name__ == "__main__":
    time = jnp.zeros((), jnp.int32)
    print("switch2", round(best("grid/switch2", lambda c, f: Crossing(c, f, time)), 2))
    print("fetch", round(best("grid/fetch", lambda c, f: Errand(c, f, time)), 2))
