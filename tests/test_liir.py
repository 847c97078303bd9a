"""LIIR: the meta-gradient against an unrolled step of our own, its controls, what it is told."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import Zoo, assert_same, jit, played
from test_algorithms import tiny

from jmarl.algorithms import ALL
from jmarl.algorithms.liir import Learner, Liir
from jmarl.algorithms.on_policy import log_policy
from jmarl.networks.agents import actions_before
from jmarl.types import Clock, Transition

FLOOR = 0.3
FULL = {"xla_backend_optimization_level": 3, "xla_llvm_disable_expensive_passes": False}
START = Clock(jnp.int32(0), jnp.float32(0), jnp.int32(0))


def made(name: str = "liir", **changes: Any) -> Any:
    return ALL[name].make(Zoo().spec, tiny(ALL[name]).replace(**changes))


@pytest.fixture(scope="module")
def batch() -> Transition:
    return played(Zoo(), 4, 7, jax.random.key(0))


def slow_log_policies(team: Liir, actor: Any, batch: Transition) -> Array:
    """[T, B, A, U], a position at a time through the cell that acts; plain autodiff."""
    x = team.agents.inputs(batch.view, actions_before(batch))
    hidden, out = jnp.zeros((*x.shape[1:-1], team.cfg.rnn_dim), x.dtype), []
    for t in range(len(batch.valid)):
        hidden = jnp.where(batch.start[t][:, None, None], 0, hidden)
        hidden = team.agents.apply(
            "remember", actor, hidden, team.agents.apply("encode", actor, x[t])
        )
        out.append(team.agents.apply("head", actor, hidden))
    return log_policy(jnp.stack(out), batch.view.available[:-1], FLOOR)


def slow_returns(
    reward: Array, value: Array, batch: Transition, gamma: float, trace: float
) -> Array:
    later, out = value[-1], []
    for t in reversed(range(len(reward))):
        blend = (1 - trace) * value[t + 1] + trace * later
        goal = reward[t] + gamma * (1 - batch.terminated[t][:, None]) * blend
        later = jnp.where(batch.valid[t][:, None], goal, value[t])
        out.append(later)
    return jnp.stack(out[::-1])


def unrolled(team: Liir, learner: Learner, batch: Transition, advantage: Array) -> Any:
    """J(theta'(eta)) as the paper writes it, for autodiff and finite differences."""
    cfg, one_hot = team.cfg, jax.nn.one_hot(batch.action, team.spec.action_size)
    mask = (batch.valid[..., None] & batch.view.alive[:-1]) * 1.0
    steps = batch.valid.sum()
    taken = lambda actor: (slow_log_policies(team, actor, batch) * one_hot).sum(-1)
    before = actions_before(batch)
    x = team.critic.inputs(batch.view, before, before)
    own = team.intrinsic_net.inputs(batch.view, before, before)[:-1]
    old, now = (team.critic.apply(p, x)[..., 0] for p in (learner.target, learner.critic))
    reward = batch.reward.mean(-1, keepdims=True)

    def better(eta: Any) -> Array:
        bound = cfg.intrinsic_bound
        intrinsic = bound * jnp.tanh(team.intrinsic_net.apply(eta, own) / bound)
        proxy = reward + cfg.intrinsic_weight * (intrinsic * one_hot).sum(-1)
        raw = slow_returns(proxy, old, batch, cfg.gamma, cfg.td_lambda) - now[:-1]
        if not cfg.standardise_advantages:
            return raw
        fixed = raw - jax.lax.stop_gradient((raw * mask).sum() / mask.sum())
        spread = jnp.sqrt((fixed**2 * mask).sum() / mask.sum()) + 1e-8
        return fixed / jax.lax.stop_gradient(spread)

    def inner(actor: Any, eta: Any) -> Array:
        return (mask * taken(actor) * better(eta)).sum() / (team.spec.num_agents * steps)

    def outer(eta: Any) -> Array:
        slope = jax.grad(inner)(learner.actor, eta)
        actor = jax.tree.map(lambda p, s: p + cfg.inner_lr * s, learner.actor, slope)
        change = (mask * (taken(actor) - taken(learner.actor))).sum(-1)
        return (batch.valid * advantage[..., 0] * jnp.exp(change)).sum() / steps

    return outer


@pytest.mark.parametrize("standardise", [False, True])
def test_the_meta_gradient_is_that_of_the_unrolled_step(
    batch: Transition, standardise: bool
) -> None:
    """In float64, through a step so long that the ratios are far from 1."""
    with jax.enable_x64(True):
        wide = lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x
        batch = jax.tree.map(wide, batch)
        team = made(inner_lr=20.0, intrinsic_weight=0.5, standardise_advantages=standardise)
        learner = jax.tree.map(wide, team.init(jax.random.key(1)))
        other = jax.tree.map(wide, team.init(jax.random.key(2)))
        learner = learner.replace(target=other.critic)  # unlike the critic
        team_batch = team.paid(batch)
        advantage, _, _ = jit(team.judge)(learner, team_batch, START)
        assert advantage.shape == (*batch.valid.shape, 1) and advantage.dtype == jnp.float64
        grads = jit(team.meta_gradient)(learner, team_batch, advantage, FLOOR)
        outer = jit(unrolled(team, learner, batch, advantage))
        value = outer(learner.intrinsic)
        assert abs(value - outer(other.intrinsic)) > 1e-6
        expected = jit(jax.grad(unrolled(team, learner, batch, advantage)))(learner.intrinsic)
        assert_same(grads, expected, rtol=1e-9, atol=1e-13)
        # and along one direction by the definition (standardising stands still in the gradient)
        if not standardise:
            moved = lambda h: jax.tree.map(lambda p, g: p + h * g, learner.intrinsic, grads)
            slope = (outer(moved(1e-3)) - outer(moved(-1e-3))) / 2e-3
            size = sum((g**2).sum() for g in jax.tree.leaves(grads))
            assert float(slope) == pytest.approx(float(size), rel=1e-5) and size > 1e-12


def test_without_weight_it_is_the_plain_actor_critic_bit_for_bit(batch: Transition) -> None:
    """Compiled with all optimisations, as runs are."""
    same = {"standardise_advantages": True, "critic_steps": "each_position"}
    liir, plain = made(intrinsic_weight=0.0, **same), made("central_v", **same)
    one, other = (team.init(jax.random.key(0)) for team in (liir, plain))
    steps = [jax.jit(team.update, compiler_options=FULL) for team in (liir, plain)]
    for done in range(3):
        clock, key = START.replace(updates=jnp.int32(done)), jax.random.key(done)
        one, _ = steps[0](one, batch, key, clock)
        other, _ = steps[1](other, batch, key, clock)
    for name in vars(other):
        assert_same(getattr(one, name), getattr(other, name))
    weighed = made(**same)
    learner = weighed.init(jax.random.key(0))
    moved, _ = jit(weighed.update)(learner, batch, jax.random.key(0), START)
    plain_once, _ = jit(plain.update)(
        plain.init(jax.random.key(0)), batch, jax.random.key(0), START
    )
    assert not np.array_equal(moved.critic["last"]["kernel"], plain_once.critic["last"]["kernel"])


def test_a_random_intrinsic_reward_stays_as_it_was_drawn_and_counts(batch: Transition) -> None:
    learned, random = made(), made(intrinsic="random")
    learner = learned.init(jax.random.key(0))
    one, metrics = jit(learned.update)(learner, batch, jax.random.key(0), START)
    other, _ = jit(random.update)(learner, batch, jax.random.key(0), START)
    assert_same(other.intrinsic, learner.intrinsic)
    assert_same(one.actor, other.actor)  # what is learned of it shows from the next update on
    assert not np.array_equal(one.intrinsic["last"]["kernel"], learner.intrinsic["last"]["kernel"])
    weight = (batch.valid[..., None] & batch.view.alive[:-1]) * 1.0
    taken = learned.intrinsic_reward(learner.intrinsic, batch)
    steps = 2 * batch.valid.sum()
    mean = float((taken * weight).sum() / steps)
    assert float(metrics["intrinsic_reward"]) == pytest.approx(mean, rel=1e-4)
    assert metrics["meta_grad_norm"] > 0


def test_intrinsic_rewards_are_bounded() -> None:
    team = made(intrinsic_bound=0.01)
    rewards = team.intrinsic(team.init(jax.random.key(0)), played(Zoo(), 2, 3, jax.random.key(0)))
    assert rewards.shape == (3, 2, 2, 3) and 0 < np.abs(rewards).max() <= 0.01


def test_the_dead_of_the_environment_do_not_count(batch: Transition) -> None:
    """Whatever their first action is: what the dead seem to have chosen has no score."""
    team = made()
    learner = team.init(jax.random.key(0))
    every = batch.view.alive[:-1] & batch.valid[..., None]
    assert not batch.view.alive.all() and every.any()
    nobody = batch.replace(view=batch.view.replace(alive=jnp.zeros_like(batch.view.alive)))
    advantage, _, _ = team.judge(learner, team.paid(batch), START)
    grads = team.meta_gradient(learner, team.paid(nobody), advantage, FLOOR)
    assert not any(np.asarray(x).any() for x in jax.tree.leaves(grads))
    new, metrics = jit(team.update)(learner, nobody, jax.random.key(0), START)
    assert_same(new.actor, learner.actor)
    assert metrics["intrinsic_reward"] == 0


def test_the_release_learns_too(batch: Transition) -> None:
    """All its parts move, the heads by the intrinsic step alone; nothing is NaN."""
    team = made(release_mode=True)
    learner = team.init(jax.random.key(0))
    new, metrics = jit(team.update)(learner, batch, jax.random.key(0), START)
    for name in ("fc1", "fc2", "fc3_v_mix", "fc3_r_in", "fc4"):
        before, after = learner.critic[name]["kernel"], new.critic[name]["kernel"]
        assert not np.array_equal(before, after), name
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((new, metrics)))
    assert team.intrinsic(new, batch).shape == (7, 4, 2, 3)
