"""Proof of learning: QMIX's two-step game, whose every fixed point can be worked out by hand.

Everybody plays at random (epsilon 1) and sees the whole state, so all joint actions of a table come
equally often, and a mixer's joint value becomes the table of least squared error that it can
express. Tables: rows are agent 0's actions, columns agent 1's; states in the order 1, 2A, 2B.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import jmarl_envs
from jmarl.algorithms import ALL
from jmarl.algorithms.value_decomposition import ValueDecomposition, take
from jmarl.loop import Loop, LoopConfig
from jmarl.types import View

SEEDS = jax.random.split(jax.random.key(0), 8)
GAMMA = 0.99
ENVS, ROLLOUTS, UPDATES = 4096, 10, 100  # gradient steps: the last two's product
GAME = jmarl_envs.make("matrix/two_step", agent_ids=True)
PAIRS = [[0, 0], [0, 1], [1, 0], [1, 1]]  # joint actions, row by row

SEVENS = np.full((2, 2), 7.0)
# 2B by least squares on [[0, 1], [1, 8]]: row's mean + column's mean - 2.5; what state 1 is worth
# follows: gamma times the best of the table that agent 0's action leads to
SUM_2B = np.array([[-1.5, 2.5], [2.5, 6.5]])
EXACT_2B = np.array([[0.0, 1.0], [1.0, 8.0]])


def first_step(best_2b: float) -> np.ndarray:
    return GAMMA * np.array([[7.0, 7.0], [best_2b, best_2b]])


WIDTHS = {"attention_dim": 8, "query_dim": 16, "weight_dim": 16, "bias_dim": 16}
ATTENTIVE = {**WIDTHS, "lr": 3e-3, "batch_size": 128}
# half the optimisation compiles in half the time, and runs no slower here
COMPILER = {"xla_backend_optimization_level": 1}


def settings(name: str, **own: Any) -> Any:
    """The paper's: no recurrence, all play at random; the rest to be fast and not to waver."""
    paper = {"rnn_dim": 0, "last_action": False, "eps_finish": 1.0, "gamma": GAMMA}
    fast = {"lr": 1e-3, "optimiser": "adam", "batch_size": 256, "target_update_interval": 50}
    return ALL[name].config.replace(**(paper | fast | own))


def learned(name: str, envs: int = ENVS, **own: Any) -> tuple[np.ndarray, np.ndarray]:
    """Joint values [seed, state, a0, a1, K] and greedy returns [seed]."""
    recipe, cfg = ALL[name], settings(name, **({"buffer_size": envs} | own))
    algorithm: Any = recipe.make(GAME.spec, cfg)
    length = GAME.spec.episode_limit + 1
    shape = LoopConfig(
        envs, length, UPDATES, rollouts_per_chunk=ROLLOUTS, eval_episodes=1, episodic=True
    )
    loop = Loop(GAME, algorithm, recipe.memory(GAME.spec, cfg, envs, length), shape)

    def one(key: Array) -> tuple[Array, Array]:
        run, _ = loop.start(key)
        run, _ = loop.chunk(run, jnp.int32(0))
        joint = jax.vmap(lambda view: joint_values(algorithm, run.learner.params, view))(states())
        return joint, loop.evaluate(run, key)["episode_return"]

    joint, returns = jax.jit(jax.vmap(one), compiler_options=COMPILER)(SEEDS)
    return np.asarray(joint), np.asarray(returns)


def states() -> View:
    """The views of 1, 2A and 2B, [3, ...]."""
    key = jax.random.key(0)
    start, view = GAME.reset(key)
    after = [GAME.step(start, jnp.array([choice, 0]), key)[1].view for choice in (0, 1)]
    return jax.tree.map(lambda *x: jnp.stack(x), view, *after)


def joint_values(algorithm: ValueDecomposition, params: Any, view: View) -> Array:
    """Of all joint actions in one view, [2, 2, K]."""
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(PAIRS), *x.shape)), view)
    actions, carry = jnp.array(PAIRS), algorithm.agents.reset(len(PAIRS))
    q, _ = algorithm.agents.step(params["agent"], carry, many)
    joint = algorithm.mixer.apply(params["mixer"], take(q, actions), many, actions).joint
    return joint.reshape(2, 2, -1)


def assert_tables(joint: np.ndarray, expected: list[np.ndarray]) -> None:
    """On every seed; `joint` [seed, state, 2, 2]."""
    np.testing.assert_allclose(joint, np.broadcast_to(expected, joint.shape), atol=0.2)


ADDITIVE = [first_step(6.5), SEVENS, SUM_2B]


def test_vdn_settles_on_the_best_sums_and_takes_the_safe_7() -> None:
    joint, returns = learned("vdn")
    assert_tables(joint[..., 0], ADDITIVE)
    np.testing.assert_array_equal(returns, 7)


def test_iql_settles_on_what_each_action_earns_on_average_and_takes_the_safe_7() -> None:
    """Agent 0's values of its own two actions, and agent 1's, by state. The mean of a thousand
    remembered payoffs of 1 or 8 has a standard error of 0.11, of four thousand 0.05."""
    joint, returns = learned("iql", envs=4 * ENVS)
    own, other = np.array([[0.5, 0.5], [4.5, 4.5]]), np.array([[0.5, 4.5], [0.5, 4.5]])
    assert_tables(joint[..., 0], [first_step(4.5), SEVENS, own])
    either = np.full((2, 2), first_step(4.5).mean())
    assert_tables(joint[..., 1], [either, SEVENS, other])
    np.testing.assert_array_equal(returns, 7)


def test_qmix_learns_the_tables_exactly_and_takes_the_8() -> None:
    joint, returns = learned("qmix", mixing_dim=8, hypernet_dim=0)
    assert_tables(joint[..., 0], [first_step(8.0), SEVENS, EXACT_2B])
    np.testing.assert_array_equal(returns, 8)


def test_qatten_weighs_a_sum_and_so_settles_where_vdn_does() -> None:
    """At any one state its joint value is c + sum_i alpha_i Q_i, whatever the attention.

    Scales that are learned too waver more than plain sums do: tables agree in the mean over seeds.
    """
    joint, returns = learned("qatten", **ATTENTIVE)
    assert_tables(joint[..., 0].mean(0, keepdims=True), ADDITIVE)
    np.testing.assert_array_equal(returns, 7)


def test_qatten_whose_keys_see_the_values_learns_the_tables_and_takes_the_8() -> None:
    joint, returns = learned("qatten", **ATTENTIVE, nonlinear=True)
    assert_tables(joint[..., 0], [first_step(8.0), SEVENS, EXACT_2B])
    np.testing.assert_array_equal(returns, 8)
