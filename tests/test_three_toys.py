"""Three algorithms of different shape learn through the one loop, each what only its shape can."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import Corridor, Steady, jit
from toy_algorithms import ActorCritic, RecurrentQ, TableQ

import jmarl_envs
from jmarl.loop import Loop, LoopConfig
from jmarl.memory import latest, replay

SEEDS = jax.random.split(jax.random.key(0), 4)


def trained(loop: Loop, key: Array) -> tuple[Any, Any]:
    """The learner after one chunk, and its greedy scores."""
    learn_key, eval_key = jax.random.split(key)
    run, _ = loop.start(learn_key)
    run, _ = loop.chunk(run, jnp.int32(loop.cfg.warmup_rollouts))
    return run.learner, loop.evaluate(run, eval_key)


def test_on_policy_with_lambda_returns() -> None:
    """Two agents name the cue that they see, three times an episode: 3 is best, 1 is chance."""
    env = jmarl_envs.make("toy/cue", horizon=3)
    loop = Loop(env, ActorCritic(env.spec), latest(), LoopConfig(16, 8, rollouts_per_chunk=80))
    _, scores = jit(jax.vmap(lambda key: trained(loop, key)))(SEEDS)
    assert np.all(scores["episode_return"] > 2.9)


def test_recurrent_off_policy_over_entities() -> None:
    """The cue's bearer is seen at t=0 alone; both agents name it at the end.

    The same learner that forgets from step to step can do no better than always name one of three.
    """
    env = jmarl_envs.make("toy/echo", horizon=3)
    length = env.spec.episode_limit + 1
    memory = replay(length, 40, 32, whole_rollouts=True)
    shape = LoopConfig(
        16, length, 4, warmup_rollouts=5, rollouts_per_chunk=150, eval_episodes=256, episodic=True
    )

    def one(memory_kept: Array, key: Array) -> Array:
        loop = Loop(env, RecurrentQ(env.spec, memory_kept), memory, shape)
        return trained(loop, key)[1]["episode_return"]

    over_seeds = jax.vmap(one, (None, 0))
    remembering, forgetting = jit(jax.vmap(over_seeds, (0, None)))(jnp.array([1.0, 0.0]), SEEDS)
    assert np.all(remembering > 0.98)
    assert np.all(forgetting < 0.45)


CELLS = 5


def q_learning(env: Any, rollouts: int) -> Loop:
    memory = replay(10, 20, 64)
    shape = LoopConfig(8, 10, 10, warmup_rollouts=10, rollouts_per_chunk=rollouts)
    return Loop(env, TableQ(env.spec), memory, shape)


def test_feed_forward_off_policy() -> None:
    """A corridor of four steps that pays at its end: the way is found, and its value is exact,
    gamma^(steps left - 1) to the right and gamma times the cell on the left to the left."""
    loop = q_learning(Corridor(CELLS, 12), 30)
    learner, scores = jit(jax.vmap(lambda key: trained(loop, key)))(SEEDS)
    np.testing.assert_array_equal(scores["episode_return"], 1)
    np.testing.assert_array_equal(scores["episode_length"], CELLS - 1)
    right = 0.5 ** np.arange(CELLS - 2, -1, -1.0)
    left = 0.5 * right[[0, 0, 1, 2]]
    expected = np.broadcast_to(np.stack([left, right], -1), (len(SEEDS), CELLS - 1, 2))
    np.testing.assert_allclose(learner.params[:, :-1], expected, atol=1e-3)


@pytest.mark.parametrize("terminates", [False, True])
def test_values_at_an_episodes_end(terminates: bool) -> None:
    """Reward 1 for ever, cut after three steps: 1 / (1 - 1/2) = 2. Ending there: 1.75, 1.5, 1."""
    loop = q_learning(Steady(3, terminates), 30)
    learner, _ = jit(jax.vmap(lambda key: trained(loop, key)))(SEEDS)
    values = learner.params.max(-1)
    for index, value in enumerate([1.75, 1.5, 1.0] if terminates else [2.0]):
        np.testing.assert_allclose(values[:, index], value, atol=1e-3)
