"""The value family's presets against the papers' frameworks, and how its learner is fed."""

from dataclasses import asdict
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from probes import Zoo, played

from jmarl.algorithms import ALL
from jmarl.algorithms.value_decomposition import plan
from jmarl.fields import ConfigError, check
from jmarl.types import Clock

FAMILY = ("iql", "vdn", "qmix", "qatten", "qtran")
# the configs of PyMARL c971afd; PyMARL2's own files for IQL and QTRAN
PYMARL = {
    "optimiser": "rmsprop",
    "rms_decay": 0.99,
    "rms_eps": 1e-5,
    "lr": 5e-4,
    "td_lambda": 0.0,
    "loss_scale": 1.0,
    "gamma": 0.99,
    "max_grad_norm": 10.0,
    "batch_size": 32,
    "buffer_size": 5000,
    "warmup_episodes": 32,
    "episodes_per_update": 1.0,
    "target_update_interval": 200,  # gradient steps: one for each episode
    "tau": 1.0,
    "double_q": True,
    "eps_start": 1.0,
    "eps_finish": 0.05,
    "eps_decay": 50_000.0,
    "hidden_dim": (64,),
    "rnn_dim": 64,
    "parameter_sharing": True,
    "last_action": True,
    "agent_id": True,
}
PYMARL2 = {
    **PYMARL,
    "optimiser": "adam",
    "lr": 1e-3,
    "td_lambda": 0.6,
    "loss_scale": 0.5,
    "batch_size": 128,
    "warmup_episodes": 128,
    "episodes_per_update": 8.0,
    "target_update_interval": 25,  # 200 episodes
    "eps_decay": 100_000.0,
}
THERE = {
    "iql": {"lr": 5e-4, "td_lambda": 0.0, "batch_size": 32, "warmup_episodes": 32},
    "qtran": {"lr": 5e-4, "td_lambda": 0.0, "loss_scale": 1.0},
}
MIXERS: dict[str, dict[str, Any]] = {
    "qmix": {"mixing_dim": 32, "hypernet_dim": 64},
    "qatten": {"heads": 4, "query_dim": 64, "attention_dim": 32, "weight_dim": 64, "bias_dim": 32},
    "qtran": {"mixing_dim": (64, 64), "opt_weight": 1.0, "nopt_weight": 0.1},
}


@pytest.mark.parametrize("name", FAMILY)
def test_presets_are_the_frameworks(name: str) -> None:
    presets = ALL[name].presets
    mixer = MIXERS.get(name, {})
    for preset, expected, num_envs in (
        ("pymarl", {**PYMARL, **mixer}, 1),
        ("pymarl2", {**PYMARL2, **mixer, **THERE.get(name, {})}, 8),
    ):
        config = asdict(presets[preset].config)
        assert {key: config[key] for key in expected} == expected
        assert presets[preset].loop == {"num_envs": num_envs}
    assert ALL[name].config == presets["pymarl"].config


@pytest.mark.parametrize(
    ("num_envs", "per_update", "warmup", "updates", "asked"),
    [
        (1, 1.0, 32, 1, 1.0),
        (5, 1.0, 7, 5, 5.0),  # 35 episodes are the first that reach 32
        (64, 8.0, 1, 8, 8.0),
        (2, 5.0, 16, 1, 0.4),  # never less than one
        (7, 5.0, 5, 1, 1.4),
        (8, 5.0, 4, 2, 1.6),
    ],
)
def test_updates_follow_episodes(
    num_envs: int, per_update: float, warmup: int, updates: int, asked: float
) -> None:
    config = ALL["vdn"].config.replace(episodes_per_update=per_update)
    told = plan(config, num_envs, 101)
    assert (told.warmup_rollouts, told.updates_per_rollout) == (warmup, updates)
    assert told.updates_asked == pytest.approx(asked)


def test_a_memory_holds_at_least_what_was_asked() -> None:
    """Seven episodes of three environments are three rollouts of each."""
    env = Zoo()
    length = env.spec.episode_limit + 1
    config = ALL["vdn"].config.replace(buffer_size=7, batch_size=5)
    memory = ALL["vdn"].memory(env.spec, config, 3, length)
    rollout = played(env, 3, length, jax.random.key(0))
    ring = memory.init(rollout)
    assert ring.steps.valid.shape == (3 * length, 3)
    clock = Clock(jnp.int32(0), jnp.float32(0), jnp.int32(0))
    ring = memory.add(ring, rollout, clock)
    batch = memory.sample(ring, jax.random.key(1), clock.replace(iteration=1))
    assert batch.valid.shape == (length - 1, 5) and batch.start[0].all()


def test_a_network_has_a_layer() -> None:
    with pytest.raises(ConfigError, match=r"hidden_dim must be one number or more, got \(\)"):
        check(ALL["qmix"].config.replace(hidden_dim=()))
