"""On-policy learners: policies with a floor, critics' steps, PPO's clipping, what is refused."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import Corridor, Zoo, assert_same, jit, played
from test_algorithms import tiny

from jmarl.algorithms import ALL
from jmarl.algorithms.on_policy import log_policy
from jmarl.algorithms.ppo import Learner, Lot, Ppo
from jmarl.config import Experiment, experiment
from jmarl.fields import ConfigError
from jmarl.loop import Loop, LoopConfig
from jmarl.types import Clock

B, T = 4, 5


def made(name: str, **changes: Any) -> Any:
    recipe = ALL[name]
    return recipe.make(Zoo().spec, tiny(recipe).replace(**changes))


@pytest.fixture(scope="module")
def batch() -> Any:
    return played(Zoo(), B, T, jax.random.key(0))


def clock(updates: int = 0, steps: float = 0.0) -> Clock:
    return Clock(jnp.int32(updates), jnp.float32(steps), jnp.int32(updates))


# --- policies -------------------------------------------------------------------------------------


def test_the_floor_is_mixed_in_before_what_is_unavailable_is_cut() -> None:
    """softmax(0, ln 2, ln 5) = 1/8, 2/8, 5/8; floor 3/10 of 3 actions: .7 p + .1; the last is cut:
    .1875 and .275 of .4625."""
    logits = jnp.log(jnp.array([1.0, 2.0, 5.0]))
    may = jnp.array([True, True, False])
    mixed = np.exp(log_policy(logits, may, 0.3))
    np.testing.assert_allclose(mixed, [0.1875 / 0.4625, 0.275 / 0.4625, 0], rtol=1e-6)
    np.testing.assert_allclose(np.exp(log_policy(logits, may)), [1 / 3, 2 / 3, 0], rtol=1e-6)


def test_no_logits_are_too_large_and_no_row_too_empty() -> None:
    logits, may = jnp.array([900.0, -900.0, 0.0]), jnp.array([False, True, True])
    for floor in (0.0, 0.1):
        value, slope = jax.value_and_grad(lambda x: log_policy(x, may, floor)[1])(logits)  # noqa: B023
        assert np.isfinite(value) and np.isfinite(slope).all()
    # nothing of -900 against 0 without a floor; halves of what the floor leaves with one
    np.testing.assert_allclose(np.exp(log_policy(logits, may)), [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(np.exp(log_policy(logits, may, 0.1)), [0, 0.5, 0.5], rtol=1e-6)
    nothing = jax.grad(lambda x: log_policy(x, jnp.zeros(3, bool), 0.1).sum())(logits)
    assert np.isfinite(nothing).all()


def test_exploration_is_the_policy_with_the_floor_of_its_time() -> None:
    """What acts is what the update takes for the behaviour: same floor, same probabilities."""
    team = made("coma", eps_start=0.6, eps_finish=0.2, eps_decay=100.0)
    assert [float(team.floor(clock(steps=s))) for s in (0, 50, 100, 1000)] == pytest.approx(
        [0.6, 0.4, 0.2, 0.2]
    )
    learner = team.init(jax.random.key(0))
    view = jax.tree.map(lambda x: jnp.broadcast_to(x[0, 0], (4000, *x.shape[2:])), VIEW)
    policy = team.explore(learner, clock(steps=50))
    _, action, _ = jit(policy.step)(policy.reset(jax.random.key(1), 4000), view, jax.random.key(2))
    one = jax.tree.map(lambda x: x[:1, :1], VIEW)
    logits, _ = team.agents.step(
        learner.actor, team.agents.reset(1), jax.tree.map(lambda x: x[0], one)
    )
    expected = np.exp(log_policy(logits, one.available[0], 0.4))[0]
    drawn = np.stack([np.bincount(np.asarray(a), minlength=3) / 4000 for a in action.T])
    assert np.abs(drawn - expected).max() < 4 * np.sqrt(0.25 / 4000)


VIEW: Any = played(Zoo(), 1, 1, jax.random.key(3)).view


# --- critics --------------------------------------------------------------------------------------


def test_targets_are_copied_after_so_many_steps_of_the_critic(batch: Any) -> None:
    """Five positions, so five steps an update: 12 are reached by the third."""
    team = made("coma", critic_steps="each_position", target_update_interval=12)
    learner, update = team.init(jax.random.key(0)), jit(team.update)
    copied = []
    for done in range(4):
        learner, _ = update(learner, batch, jax.random.key(1), clock(done))
        copied.append(
            np.array_equal(learner.target["last"]["bias"], learner.critic["last"]["bias"])
        )
    assert copied == [False, False, True, False]


def test_a_position_where_nobody_stepped_does_not_move_the_critic(batch: Any) -> None:
    """Adam would go on by its past."""
    team = made("central_v", critic_steps="each_position", optimiser="adam")
    learner = team.init(jax.random.key(0))
    learner, _ = jit(team.update)(learner, batch, jax.random.key(1), clock())
    idle = batch.replace(valid=jnp.zeros_like(batch.valid))
    after, metrics = jit(team.update)(learner, idle, jax.random.key(1), clock())
    assert_same(after.critic, learner.critic)
    assert_same(after.critic_opt, learner.critic_opt)
    assert metrics["critic_loss"] == 0


def test_the_last_joint_action_is_drawn_from_the_policy() -> None:
    """COMA asks for one where the rollout ended; environments are interchangeable."""
    team, batch = made("coma"), played(Zoo(), 3, 2, jax.random.key(0))
    last = jnp.log(jnp.broadcast_to(jnp.array([[0.2, 0.3, 0.5], [0.9, 0.1, 0]]), (3, 2, 3)))
    keys = jax.random.split(jax.random.key(1), 2000)
    action = np.asarray(jax.vmap(lambda key: team.actions(batch, last, key))(keys))
    assert (action[:, :-1] == np.asarray(batch.action)).all()
    share = [[np.mean(action[:, -1, :, agent] == u) for u in range(3)] for agent in range(2)]
    np.testing.assert_allclose(share, [[0.2, 0.3, 0.5], [0.9, 0.1, 0]], atol=0.05)


# --- PPO ------------------------------------------------------------------------------------------


def lot_of(team: Ppo, learner: Learner, batch: Any, **changes: Any) -> Lot:
    return jit(team.known)(learner, team.paid(batch)).replace(**changes)


def test_ratios_beyond_the_clip_have_no_gradient_where_that_would_gain(batch: Any) -> None:
    """min(r A, clip(r) A): none above 1 + clip where A > 0, none below 1 - clip where A < 0."""
    team = made("ippo", clip=0.2, entropy_weight=0.0)
    learner = team.init(jax.random.key(0))
    known = lot_of(team, learner, batch)
    slope = jit(jax.grad(lambda actor, lot: team.actor_loss(actor, lot)[0]))

    def moves(ratio: float, advantage: float) -> bool:
        shift = known.log_prob - jnp.log(ratio)
        lot = known.replace(log_prob=shift, advantage=jnp.full_like(known.advantage, advantage))
        return any(np.abs(x).max() > 1e-6 for x in jax.tree.leaves(slope(learner.actor, lot)))

    assert [moves(r, 1.0) for r in (0.7, 1.0, 1.1, 1.3)] == [True, True, True, False]
    assert [moves(r, -1.0) for r in (0.7, 0.9, 1.0, 1.3)] == [False, True, True, True]
    loss, metrics = team.actor_loss(learner.actor, known)
    assert metrics["clipped"] == 0 and metrics["policy_change"] == pytest.approx(0, abs=1e-6)
    assert loss == pytest.approx(0, abs=1e-6)  # advantages are standardised, and ratios one


def test_advantages_are_generalised_estimates_of_what_followed(batch: Any) -> None:
    """sum_k (gamma lambda)^k delta_(t+k) to the episode's end, before they are standardised."""
    team = made("ippo")
    learner, cfg = team.init(jax.random.key(0)), team.cfg
    lot = lot_of(team, learner, batch)
    value = np.asarray(jit(team.values)(learner.critic, batch))
    data = jax.tree.map(np.asarray, batch)
    ends = data.terminated | data.truncated
    raw = np.zeros_like(lot.goal)
    for t, b in np.argwhere(data.valid):
        share = 1.0
        for k in range(t, T):
            future = 0 if data.terminated[k, b] else cfg.gamma * value[k + 1, b]
            raw[t, b] += share * (data.reward[k, b] + future - value[k, b])
            share *= cfg.gamma * cfg.td_lambda
            if ends[k, b]:
                break
    counts = data.valid[..., None] & data.view.alive[:-1]
    spread = raw[counts].std()
    expected = (raw - raw[counts].mean()) / spread
    np.testing.assert_allclose(np.asarray(lot.advantage)[counts], expected[counts], atol=2e-4)


@pytest.mark.parametrize("minibatches", [2, 6])
def test_every_epoch_learns_from_every_environment_once(batch: Any, minibatches: int) -> None:
    """Six lots of four environments would not be even, so there are two."""

    class Counting(Ppo):
        def step(self, learner: Learner, lot: Lot, scale: Array) -> Any:
            of = lambda b: (lot.batch.reward == batch.reward[:, b : b + 1]).all((0, 2)).sum() * 1.0
            return learner, {f"environment {b}": of(b) for b in range(B)}

    team = made("ippo", epochs=3, minibatches=minibatches)
    counting = Counting(*vars(team).values())
    _, metrics = counting.update(team.init(jax.random.key(0)), batch, jax.random.key(1), clock())
    # of 3 x 2 lots of two, each environment is in 3
    assert metrics == {f"environment {b}": pytest.approx(0.5) for b in range(B)}


def test_step_sizes_fall_to_nothing(batch: Any) -> None:
    team = made("mappo", lr_decay=100.0, epochs=1)
    learner, update = team.init(jax.random.key(0)), jit(team.update)
    size = lambda steps: float(
        np.abs(
            update(learner, batch, jax.random.key(1), clock(steps=steps))[0].actor["last"]["bias"]
            - learner.actor["last"]["bias"]
        ).max()
    )
    assert size(50.0) == pytest.approx(size(0.0) / 2, rel=0.05)
    assert size(100.0) == size(200.0) == 0 < size(99.0)


# --- settings -------------------------------------------------------------------------------------


def test_rollouts_are_episodes_where_policies_remember() -> None:
    plain = experiment("mappo", settings={"rollout_length": 7})
    assert not plain.episodic and plain.run.rollout_length == 7
    assert Experiment.from_json(plain.as_json()) == plain
    recurrent = experiment("mappo", preset="recurrent")
    assert recurrent.episodic and "rollout_length" not in recurrent.as_json()["run"]
    assert Experiment.from_json(recurrent.as_json()).config == recurrent.config
    with pytest.raises(ConfigError, match="rollout_length must not be set for mappo, whose roll"):
        experiment("mappo", settings={"rollout_length": 7, "rnn_dim": 8})


def test_what_cannot_be_is_told_in_a_line() -> None:
    blind, apart = Corridor(3, 4).spec, Zoo().spec
    object.__setattr__(blind, "state_size", 0)
    object.__setattr__(apart, "team_reward", None)
    for name in ("central_v", "coma", "liir", "mappo"):
        with pytest.raises(ConfigError, match=f"^env must have a state for {name}, got probe"):
            ALL[name].suits(blind, ALL[name].config)
    for name in ("central_v", "coma", "liir"):
        with pytest.raises(ConfigError, match="add --team-reward sum or --team-reward mean"):
            ALL[name].suits(apart, ALL[name].config)
    for name in ("iac", "ippo", "mappo"):
        config = ALL[name].config
        ALL[name].suits(apart, config)
        with pytest.raises(ConfigError, match="add --team-reward sum or --team-reward mean"):
            ALL[name].suits(apart, config.replace(team_reward="auto"))
    with pytest.raises(ConfigError, match="team_reward must be auto, sum or mean for liir"):
        ALL["liir"].suits(Zoo().spec, ALL["liir"].config.replace(team_reward="own"))


SOON = "coma", "mappo"
LEARNERS = ("iac", "central_v", "coma", "liir", "ippo", "mappo")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in SOON else pytest.mark.slow) for n in LEARNERS]
)
def test_a_corridor_is_walked_to_its_end(name: str) -> None:
    """Six cells in at most ten steps; a random walker gets there in a tenth of episodes."""
    env, recipe = Corridor(6, 10), ALL[name]
    cfg = recipe.config.replace(lr=5e-3, critic_lr=5e-3, optimiser="adam", hidden_dim=(16,))
    loop = Loop(
        env,
        recipe.make(env.spec, cfg),
        recipe.memory(env.spec, cfg, 16, 11),
        LoopConfig(16, 11, rollouts_per_chunk=80, eval_episodes=32, episodic=recipe.episodic(cfg)),
    )
    run, _ = loop.start(jax.random.key(0))
    run, _ = jax.jit(loop.chunk)(run, jnp.int32(0))
    assert jax.jit(loop.evaluate)(run, jax.random.key(1))["episode_return"] == 1
