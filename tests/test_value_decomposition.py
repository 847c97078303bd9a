"""The learner of IQL, VDN, QMIX, Qatten and QTRAN: targets, what is trained, what is refused."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import Zoo, assert_same, jit, played, spec_of

from jmarl.algorithms import ALL
from jmarl.algorithms.value_decomposition import Learner
from jmarl.exploration import greedy
from jmarl.fields import ConfigError
from jmarl.optim import polyak
from jmarl.rollout import open_actors, rollout, transition
from jmarl.types import Clock, Transition, View

T, B, GAMMA = 11, 4, 0.9
ZOO = Zoo()
FAMILY = ("iql", "vdn", "qmix", "qatten", "qtran")
SMALL: dict[str, dict[str, Any]] = {
    "qmix": {"mixing_dim": 3, "hypernet_dim": 0},
    "qatten": {"heads": 2, "query_dim": 4, "attention_dim": 3, "weight_dim": 4, "bias_dim": 3},
    "qtran": {"mixing_dim": (4,)},
}


def made(name: str, **options: Any) -> Any:
    shape = {"hidden_dim": (5,), "rnn_dim": 3, "gamma": GAMMA, **SMALL.get(name, {})}
    return ALL[name].make(ZOO.spec, ALL[name].config.replace(**{**shape, **options}))


def drawn(algorithm: Any, seed: int = 0) -> Any:
    """Parameters that differ in every entry, biases too, and make values far apart."""
    like = jax.eval_shape(algorithm.init, jax.random.key(0)).params
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), jnp.float32), like)


def learner_of(algorithm: Any) -> Learner:
    params, target = drawn(algorithm), drawn(algorithm, 1)
    return Learner(params, target, algorithm.tx.init(params))


@cache
def batch() -> Transition:
    """Each environment's episodes of three or four steps, some terminated, some cut; agents
    rewarded apart."""
    out = jit(lambda key: played(ZOO, B, T, key))(jax.random.key(2))
    assert out.terminated.any() and out.truncated.any() and out.start.sum() > 2 * B
    reward = np.random.default_rng(0).normal(size=out.reward.shape)
    return out.replace(reward=jnp.asarray(reward, jnp.float32) * out.valid[..., None])


@pytest.fixture(scope="module", autouse=True)
def batch_is_played_outside_of_programs() -> None:
    batch()


def clock(updates: int = 0, env_steps: float = 0.0) -> Clock:
    return Clock(jnp.zeros(()), jnp.float32(env_steps), jnp.int32(updates))


# --- targets --------------------------------------------------------------------------------------


class ByHand:
    """VDN's targets, one step at a time."""

    def __init__(self, algorithm: Any, params: Any, target: Any) -> None:
        self.cfg, self.batch = algorithm.cfg, jax.tree.map(np.asarray, batch())
        unroll = jit(lambda *teams: algorithm.agents.unroll(teams, batch()))
        self.online, self.old = (
            np.asarray(net.q) for net in unroll(params["agent"], target["agent"])
        )
        rule = self.cfg.team_reward
        self.reward = (np.mean if rule == "mean" else np.sum)(self.batch.reward, -1)

    def value(self, t: int, b: int) -> float:
        """Of a view: the target's values of each agent's best choice."""
        chooser = self.online if self.cfg.double_q else self.old
        may = self.batch.view.available[t, b]
        best = [np.flatnonzero(may[a])[chooser[t, b, a][may[a]].argmax()] for a in range(2)]
        return sum(self.old[t, b, a, best[a]] for a in range(2))

    def returns(self, t: int, b: int, steps: int) -> float:
        """So many rewards, and the value behind them; fewer where the rollout ends."""
        if self.batch.terminated[t, b]:
            return self.reward[t, b]
        last = steps == 1 or self.batch.truncated[t, b] or t + 1 == T
        later = self.value(t + 1, b) if last else self.returns(t + 1, b, steps - 1)
        return self.reward[t, b] + GAMMA * later

    def goal(self, t: int, b: int) -> float:
        """The n-step return, or (1 - l) sum_n l^(n-1) G^(n) over all of them."""
        if not self.cfg.td_lambda:
            return self.returns(t, b, self.cfg.n_step)
        ends, left = self.batch.terminated | self.batch.truncated, 1
        while not ends[t + left - 1, b] and t + left < T:
            left += 1
        weights = (1 - self.cfg.td_lambda) * self.cfg.td_lambda ** np.arange(left)
        weights[-1] = self.cfg.td_lambda ** (left - 1)
        return sum(w * self.returns(t, b, n) for n, w in enumerate(weights, start=1))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"double_q": False, "team_reward": "mean"},
        {"n_step": 2, "team_reward": "sum"},
        {"n_step": 3, "double_q": False},
        {"td_lambda": 0.7, "parameter_sharing": False},
        {"td_lambda": 1.0, "rnn_dim": 0, "loss_scale": 0.5},
    ],
    ids=str,
)
def test_targets_and_loss_by_hand(options: dict[str, Any]) -> None:
    """Over several episodes in one rollout, terminated, cut, or going on behind it."""
    algorithm = made("vdn", **{"team_reward": "sum", **options})
    params, target = drawn(algorithm), drawn(algorithm, 1)
    hand, valid = ByHand(algorithm, params, target), np.asarray(batch().valid)

    def ours(params: Any) -> Any:
        online, old = algorithm.agents.unroll((params["agent"], target["agent"]), batch())
        goal = algorithm.goal(target, online, old, batch())
        return goal, algorithm.loss(params, target, batch())

    goal, (loss, metrics) = jit(ours)(params)
    expected = [hand.goal(t, b) for t, b in np.argwhere(valid)]
    np.testing.assert_allclose(goal[valid][:, 0], expected, rtol=1e-4, atol=1e-4)
    taken = np.take_along_axis(hand.online[:-1], np.asarray(batch().action)[..., None], -1)
    joint = taken[..., 0].sum(-1)[valid]
    squared = np.mean((joint - expected) ** 2)
    np.testing.assert_allclose(loss, algorithm.cfg.loss_scale * squared, rtol=1e-4)
    np.testing.assert_allclose(metrics["loss"], squared, rtol=1e-4)
    np.testing.assert_allclose(metrics["td_error"], np.abs(joint - expected).mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["q_value"], joint.mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["target_value"], np.mean(expected), rtol=1e-4)


def test_team_reward_is_as_the_environment_says_unless_told() -> None:
    reward = jnp.array([[1.0, 3.0], [2.0, 2.0]])
    said: dict[Any, Any] = {"sum": [4, 4], "mean": [2, 2], "shared": [2, 2]}
    for rule, expected in said.items():
        algorithm = replace(made("vdn"), spec=replace(ZOO.spec, team_reward=rule))
        assert algorithm.team_reward(reward)[:, 0].tolist() == expected
    for rule in ("sum", "mean"):
        told = made("vdn", team_reward=rule)
        assert told.team_reward(reward)[:, 0].tolist() == said[rule]


def test_attention_penalty_joins_the_loss() -> None:
    """Its mean over the steps that were taken."""
    plain, held = (made("qatten", attention_penalty=weight) for weight in (0.0, 0.5))
    params = drawn(plain)

    def losses(params: Any) -> Any:
        online = plain.agents.unroll((params["agent"],), batch())[0]
        penalty = held.join(params, online, batch()).penalty
        return penalty, [algorithm.loss(params, params, batch())[0] for algorithm in (plain, held)]

    penalty, (without, with_it) = jit(losses)(params)
    expected = np.asarray(penalty)[np.asarray(batch().valid)].mean()
    assert expected > 0
    np.testing.assert_allclose(with_it - without, expected, rtol=1e-3)


# --- what an update moves -------------------------------------------------------------------------


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_attention_stays_while_the_head_weights_learn(frozen: bool) -> None:
    """At the same states; the target's is never overwritten either."""
    algorithm = made("qatten", frozen_attention=frozen, target_update_interval=1, lr=0.01)
    update = jit(lambda *args: algorithm.update(*args, jax.random.key(0), clock()))
    look = jit(lambda learner: algorithm.attention(learner, batch()))
    first = learner = learner_of(algorithm)
    for _ in range(3):
        learner, _ = update(learner, batch())
    before, after = look(first), look(learner)
    assert np.array_equal(before.weights, after.weights) == frozen
    assert not np.isclose(before.head_weights, after.head_weights).all()
    for name in ("query", "key"):
        own = learner.params["mixer"][name] if not frozen else first.target["mixer"][name]
        assert_same(learner.target["mixer"][name], own)
    assert_same(learner.target["mixer"]["head"], learner.params["mixer"]["head"])


def test_attention_is_the_online_networks() -> None:
    algorithm = made("qatten")
    learner = learner_of(algorithm)

    def weights(learner: Learner) -> tuple[Array, Array]:
        (online,) = algorithm.agents.unroll((learner.params["agent"],), batch())
        told = algorithm.attention(learner, batch())
        return told.weights, algorithm.join(learner.params, online, batch()).attention

    told, expected = jit(weights)(learner)
    np.testing.assert_array_equal(told, expected)
    np.testing.assert_allclose(told.sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("double_q", [True, False])
def test_qtrans_target_values_what_the_online_or_the_target_network_prefers(double_q: bool) -> None:
    algorithm = made("qtran", double_q=double_q)
    params, target = drawn(algorithm), drawn(algorithm, 1)

    def ours(params: Any) -> Any:
        online, old = algorithm.agents.unroll((params["agent"], target["agent"]), batch())
        best = greedy((online if double_q else old).q, batch().view.available)
        future, _ = algorithm.joint(target, old, batch().view, best)
        goal = algorithm.returns(future, batch())[..., 0]
        valid = batch().valid
        return (goal * valid).sum() / valid.sum(), algorithm.loss(params, target, batch())[1]

    expected, metrics = jit(ours)(params)
    np.testing.assert_allclose(metrics["target_value"], expected, rtol=1e-5)


def test_frozen_attention_is_not_in_the_gradients_norm() -> None:
    algorithm = made("qatten", frozen_attention=True)
    learner = learner_of(algorithm)
    loss = lambda params: algorithm.loss(params, learner.target, batch())[0]
    grads = jit(jax.grad(loss))(learner.params)
    rest = {k: v for k, v in grads["mixer"].items() if k not in ("query", "key")}
    squares = [np.square(x).sum() for x in jax.tree.leaves((grads["agent"], rest))]
    _, metrics = jit(algorithm.update)(learner, batch(), jax.random.key(0), clock())
    np.testing.assert_allclose(metrics["grad_norm"], np.sqrt(sum(squares)), rtol=1e-4)
    assert np.abs(grads["mixer"]["query"]["fc1"]["kernel"]).max() > 1e-6


@pytest.mark.parametrize("tau", [1.0, 0.25])
def test_the_target_moves_at_its_interval(tau: float) -> None:
    """After the third update, towards what that update made."""
    algorithm = made("qmix", target_update_interval=3, tau=tau)
    update = jit(lambda learner, now: algorithm.update(learner, batch(), jax.random.key(0), now))
    learner = learner_of(algorithm)
    for done in range(4):
        before = learner
        learner, _ = update(learner, clock(done))
        assert any(
            not np.array_equal(new, old)
            for new, old in zip(*map(jax.tree.leaves, (learner.params, before.params)), strict=True)
        )
        moved = polyak(learner.params, before.target, tau) if done == 2 else before.target
        assert_same(learner.target, moved, rtol=1e-6, atol=1e-6)


# --- acting ---------------------------------------------------------------------------------------


def test_acting_sees_what_learning_recomputes() -> None:
    """Through ends, resets and openings: no carry outlives its episode, in either."""
    algorithm = made("vdn")
    learner = learner_of(algorithm)

    def play(learner: Learner) -> Any:
        policy = algorithm.exploit(learner)
        actors = open_actors(ZOO, policy, B, jax.random.key(0))
        after, (steps, _) = rollout(ZOO, policy, actors, jax.random.key(1), T)
        out = transition(steps, after)
        return out, algorithm.agents.unroll((learner.params["agent"],), out)[0].q

    out, q = jit(play)(learner)
    expected = greedy(q, out.view.available)[:-1]
    np.testing.assert_array_equal(out.action[out.valid], expected[out.valid])
    assert len(np.unique(out.action)) > 1 and out.start[1:].any()


@pytest.mark.parametrize(("steps", "epsilon"), [(0, 0.8), (50, 0.5), (100, 0.2), (1e6, 0.2)])
def test_epsilon_falls_to_its_end_and_stays(steps: float, epsilon: float) -> None:
    """Each agent throws its own coin; a random choice among two is another one half the time."""
    algorithm = made("vdn", eps_start=0.8, eps_finish=0.2, eps_decay=100.0)
    learner, many = learner_of(algorithm), 20_000
    view = jax.tree.map(lambda x: jnp.broadcast_to(x[0, 0], (many, *x.shape[2:])), batch().view)
    view = view.replace(available=jnp.ones_like(view.available).at[..., 2:].set(False))

    def act(learner: Learner) -> tuple[Array, Array, Array]:
        ways = algorithm.explore(learner, clock(env_steps=steps)), algorithm.exploit(learner)
        carry = algorithm.agents.reset(many)
        (after, explored, _), (_, best, _) = (
            policy.step(carry, view, jax.random.key(3)) for policy in ways
        )
        return explored, best, after.last

    explored, best, remembered = jit(act)(learner)
    np.testing.assert_array_equal(remembered, explored)
    other = np.asarray(explored != best)
    np.testing.assert_allclose(other.mean(0), epsilon / 2, atol=0.012)
    np.testing.assert_allclose(other.all(-1).mean(), (epsilon / 2) ** 2, atol=0.012)
    assert np.all(best == best[0])


# --- what is refused ------------------------------------------------------------------------------


def refused(name: str, spec: Any, **options: Any) -> str:
    with pytest.raises(ConfigError) as error:
        ALL[name].suits(spec, ALL[name].config.replace(**options))
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", FAMILY)
def test_unsuitable_environments_are_refused(name: str) -> None:
    """In one line that says what is wrong and what would do."""
    ALL[name].suits(ZOO.spec, ALL[name].config)
    box = Zoo(kind="box").spec
    assert refused(name, box) == f"actions of {name} must be discrete, got box"
    teams = replace(ZOO.spec, teams=(0, 1), team_names=("cats", "mice"))
    assert "one team" in refused(name, teams) and "got cats, mice" in refused(name, teams)
    apart = replace(ZOO.spec, name="herd", team_reward=None)
    for hint in ("team_reward must be sum or mean", "herd", "--team-reward sum"):
        assert hint in refused(name, apart)
    ALL[name].suits(apart, ALL[name].config.replace(team_reward="mean"))
    message = refused(name, ZOO.spec, n_step=3, td_lambda=0.5)
    assert message == "td_lambda must be 0 where n_step is above 1, got 0.5"


def test_qatten_needs_agent_features() -> None:
    blind = spec_of(((2,), (2,)), team_reward="shared", state_size=4)
    message = refused("qatten", blind)
    assert "agent_features" in message and "probe" in message and "qmix" in message
    ALL["qmix"].suits(blind, ALL["qmix"].config)


@pytest.mark.parametrize("name", FAMILY)
def test_memories_hold_what_the_learner_reads(name: str) -> None:
    """The state for mixers that read it; entities for none of them."""
    cfg = ALL[name].config.replace(buffer_size=2 * B)
    memory = ALL[name].memory(ZOO.spec, cfg, B, T)
    kept: View = jax.eval_shape(memory.init, batch()).steps.view
    assert (kept.state is not None) == (name not in ("iql", "vdn")) and kept.entities is None
    assert kept.obs.shape[:2] == (2 * T, B)
