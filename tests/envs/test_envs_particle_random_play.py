"""What random play earns in the particle world, against measurements of the originals."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmarl_envs
from jmarl.types import EnvSpec
from jmarl_envs.particle.physics import Variant

HASTE = {"xla_backend_optimization_level": 0}  # these programs compile longer than they run


def gumbel_actions(spec: EnvSpec, key: jax.Array) -> jax.Array:
    """Relaxed samples of zero logits, part by part."""
    noise = jax.random.gumbel(key, (spec.num_agents, spec.action_size))
    rows = []
    for row, parts in zip(noise, spec.action_parts, strict=True):
        edges = np.cumsum(parts)
        soft = [jax.nn.softmax(part) for part in jnp.split(row[: edges[-1]], edges[:-1])]
        rows.append(jnp.pad(jnp.concatenate(soft), (0, spec.action_size - edges[-1])))
    return jnp.stack(rows)


# By team: return over 25 steps of uniform one-hots, measured with the originals over 2000 episodes
# (mpe2: the pettingzoo variant), and of relaxed actions with openai's.
ANCHORS = {
    ("openai", "discrete"): {
        "spread": (-232.7,),
        "speaker_listener": (-78.7,),
        "push": (-0.5, -28.3),
        "adversary": (-41.0, 7.4),
        "tag": (2.83, -14.3),
        "crypto": (-37.4, 0.0),
        "reference": (-81.5,),
    },
    ("openai", "simplex"): {
        "spread": (-221.7,),
        "speaker_listener": (-70.3,),
        "push": (0.0, -26.7),
        "adversary": (-35.3, 7.0),
        "tag": (2.0, -8.3),
        "crypto": (-24.3, 0.0),
        "reference": (-70.8,),
    },
    ("maac", "discrete"): {
        "spread": (-77.6,),
        "speaker_listener": (-39.4,),
        "tag": (-5.3, -15.3),
        "reference": (-40.7,),
    },
    ("pettingzoo", "discrete"): {
        "spread": (-26.7,),
        "speaker_listener": (-40.3,),
        "push": (-0.3, -28.4),
        "adversary": (-28.7, 7.8),
        "tag": (4.24, -15.8),
        "crypto": (-37.7, 0.1),
        "reference": (-28.6,),
    },
}
THEIRS, OURS = 2000, 4096  # episodes
SOON = ("tag", "reference")  # bodies that collide, and that talk; peers and traces have all tasks
SETTINGS = [  # variant, kind, task
    pytest.param(*setting, task, marks=[pytest.mark.slow] * (task not in SOON))
    for setting, tasks in ANCHORS.items()
    for task in tasks
]


@pytest.mark.parametrize(("variant", "kind", "task"), SETTINGS)
def test_random_play_earns_what_it_earns_in_the_original(
    variant: Variant, kind: str, task: str
) -> None:
    env = jmarl_envs.make(f"particle/simple_{task}", variant=variant, actions=kind)

    def step(state: Any, key: jax.Array) -> Any:
        mask = jnp.asarray(env.spec.action_mask())
        if kind == "simplex":
            action = gumbel_actions(env.spec, key)
        else:
            action = jmarl_envs.random_actions(env.spec, mask, key)
        state, out = env.step(state, action, key)
        return state, (out.reward, out.truncated)

    def episode(key: jax.Array) -> Any:
        reset_key, run_key = jax.random.split(key)
        state, _ = env.reset(reset_key)
        _, (rewards, truncated) = jax.lax.scan(step, state, jax.random.split(run_key, 25))
        return rewards.sum(0), truncated

    keys = jax.random.split(jax.random.key(11), OURS)
    returns, truncated = jax.jit(jax.vmap(episode), compiler_options=HASTE)(keys)
    returns, truncated = np.asarray(returns, np.float64), np.asarray(truncated)
    assert truncated[:, -1].all() and not truncated[:, :-1].any()
    for team, expected in enumerate(ANCHORS[variant, kind][task]):
        own = returns[:, np.array(env.spec.teams) == team].mean(1)
        error = own.std() * np.hypot(1 / np.sqrt(THEIRS), 1 / np.sqrt(OURS))
        assert abs(own.mean() - expected) < 3 * error + 0.05, (own.mean(), expected, error)
