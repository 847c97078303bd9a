"""Policy ensembles: who plays when, and what each sub-policy learns from."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Zoo, assert_same, jit, pick, random_batch, spec_of
from scipy.stats import chisquare

from jmarl.algorithms import maddpg, maddpg_recipe
from jmarl.algorithms.actor_critic import Learner
from jmarl.algorithms.batch import Batch, fold
from jmarl.algorithms.ensemble import Ensemble
from jmarl.algorithms.maddpg import Config, Maddpg
from jmarl.fields import ConfigError
from jmarl.loop import Loop, LoopConfig
from jmarl.rollout import open_actors, rollout
from jmarl.types import EnvSpec, Step, Transition

AGENTS, K, N = 3, 3, 5
SPEC = spec_of(((3,), (2,), (3,)), "simplex", (4, 3, 2), teams=(0, 0, 1), team_names=("a", "b"))
SMALL = Config(hidden_dim=(5, 4), tau=0.3, ensemble=K, order="together")
KEY = jax.random.key(4)


def made(spec: EnvSpec = SPEC, **options: Any) -> Ensemble:
    algorithm = maddpg.make(spec, SMALL.replace(**options), Ensemble)
    assert isinstance(algorithm, Ensemble)
    return algorithm


TOGETHER = made()
ALONE = maddpg.make(SPEC, SMALL.replace(ensemble=1))
UPDATE = jit(TOGETHER.update)


@pytest.fixture(scope="module")
def learner() -> Learner:
    """With targets that are not the networks."""
    init = jit(TOGETHER.init)
    one, other = (init(jax.random.key(seed)) for seed in (0, 1))
    return one.replace(target=other.nets)


def shown() -> Transition:
    """N steps for each sub-policy of each agent, at which it acted, and others by chance."""
    batch = random_batch(SPEC, AGENTS * K * N)
    member = np.random.default_rng(0).integers(0, K, (AGENTS, K, N, AGENTS))
    for agent in range(AGENTS):
        member[agent, ..., agent] = np.arange(K)[:, None]
    return batch.replace(extras=jnp.asarray(member.reshape(1, -1, AGENTS), jnp.int8))


BATCH = shown()


def block(agent: int, member: int) -> slice:
    """Columns of a sub-policy's part of the batch."""
    start = (agent * K + member) * N
    return slice(start, start + N)


def rows(agent: int, member: int) -> Batch:
    return pick(TOGETHER.fold(BATCH), block(agent, member))


def member_nets(nets: Any, member: int) -> Any:
    return jax.tree.map(lambda x: x[:, member], nets)


# --- who plays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["agent", "team"])
def test_who_plays_is_drawn_uniformly(by: Any) -> None:
    """Of agents apart, or of a team alike; what one draws says nothing of another's."""
    drawn = np.asarray(made(ensemble_by=by).draw(KEY, 9000))
    assert drawn.shape == (9000, AGENTS) and drawn.dtype == np.int8
    assert np.array_equal(drawn[:, 0], drawn[:, 1]) == (by == "team")
    for pair in ((0, 2), (0, 1))[: 1 + (by == "agent")]:
        table = np.zeros((K, K))
        np.add.at(table, tuple(drawn[:, pair].T), 1)
        assert chisquare(table.ravel()).pvalue > 1e-3


def played(algorithm: Maddpg, env: Any, policy: str) -> Step:
    learner = algorithm.init(jax.random.key(0))
    clock = Loop(env, algorithm, maddpg.memory(env.spec, SMALL, 2, 2), LoopConfig()).clock(0)
    both = {"explore": lambda: algorithm.explore(learner, clock)}
    acting = both.get(policy, lambda: algorithm.exploit(learner))()
    actors = open_actors(env, acting, 40, jax.random.key(1))
    return rollout(env, acting, actors, jax.random.key(2), 24)[1][0]


@pytest.mark.parametrize("policy", ["explore", "exploit"])
def test_one_sub_policy_plays_an_episode_through(policy: str) -> None:
    """And as an episode opens, in training and in evaluation, another may."""
    env = Zoo(kind="simplex")
    steps = jit(lambda: played(made(env.spec), env, policy))()
    member, start = np.asarray(steps.extras), np.asarray(steps.start)
    assert member.shape == (24, 40, 2) and set(member.ravel().tolist()) == set(range(K))
    changed = (member[1:] != member[:-1]).any(-1)
    assert not changed[~start[1:]].any()
    opened = changed[start[1:]]  # (1 - 1/9) of them, within four standard errors
    assert abs(opened.mean() - 8 / 9) < 4 * np.sqrt(8 / 81 / len(opened))


@pytest.mark.parametrize("kind", ["simplex", "discrete", "box"])
def test_the_drawn_sub_policies_act(kind: Any) -> None:
    """As each would alone, with the same noise."""
    spec = spec_of(((3,), (2,), (3,)), kind, (4, 3, 2))
    algorithm, alone = made(spec), maddpg.make(spec, SMALL)
    learner = jit(algorithm.init)(KEY)
    view = pick(random_batch(spec, 16).view, 0)
    policy = algorithm.policy(learner, algorithm.head.sample, 0.5)
    carry = policy.reset(KEY, 16)
    after, action, told = policy.step(carry, view, KEY)
    np.testing.assert_array_equal(told, carry.member)
    np.testing.assert_array_equal(after.member, carry.member)
    for k in range(K):
        own = learner.replace(nets=member_nets(learner.nets, k))
        noise, expected, _ = alone.policy(own, alone.head.sample, 0.5).step(carry.noise, view, KEY)
        np.testing.assert_array_equal(after.noise, noise)
        np.testing.assert_allclose(
            np.asarray(action)[carry.member == k], expected[carry.member == k], rtol=1e-6
        )


# --- what each learns from ------------------------------------------------------------------------


@pytest.mark.parametrize(("agent", "k"), [(0, 2), (2, 1)])
def test_others_are_who_they_were_in_the_episode(agent: int, k: int, learner: Learner) -> None:
    """Targets from the target actors of the sub-policies that acted, row by row; and where the
    actor's loss takes others' current actions, the same."""
    own, (target_noise, own_noise) = rows(agent, k), ALONE.noise(KEY, rows(agent, k))
    here = jnp.int32(agent)
    told = jit(TOGETHER.improve)(learner, here, own, (target_noise, own_noise), (jnp.int32(k),))
    expected = np.zeros((2, N, AGENTS, ALONE.head.width), np.float32)
    for member in range(K):
        for at, (nets, view) in enumerate(
            ((learner.target, own.next_view), (learner.nets, own.view))
        ):
            out = ALONE.outputs(member_nets(nets.actor, member), view.obs, learner.seen)
            acted = np.asarray(own.member) == member
            expected[at][acted] = np.asarray(out)[acted]
    assert own.member is not None and len(set(np.asarray(own.member).ravel().tolist())) == K
    vector = ALONE.head.sample(expected[0], target_noise, own.next_view.available)
    critic = lambda nets: jax.tree.map(lambda x: x[agent, k], nets.critic)
    future = ALONE.value(critic(learner.target), here, own.next_view, vector, own.weight)
    goal = own.reward[:, agent] + 0.95 * (1 - own.terminated) * future
    q = ALONE.value(critic(learner.nets), here, own.view, own.action, own.weight)
    np.testing.assert_allclose(told[2]["critic_loss"], ((goal - q) ** 2).mean(), rtol=1e-5)
    others = ALONE.head.greedy(jnp.asarray(expected[1]), own.view.available)
    current = made(other_actions="current").actor_loss(
        jax.tree.map(lambda x: x[agent, k], learner.nets.actor),
        critic(learner.nets),
        learner.nets.actor,
        here,
        own,
        own_noise,
    )
    replayed = ALONE.actor_loss(
        jax.tree.map(lambda x: x[agent, k], learner.nets.actor),
        critic(learner.nets),
        None,
        here,
        own.replace(action=others),
        own_noise,
    )
    np.testing.assert_allclose(current, replayed, rtol=1e-5)


def test_each_learns_from_its_own_part(learner: Learner) -> None:
    """Rewards in one sub-policy's columns move its own networks, and no others'."""
    before, _ = UPDATE(learner, BATCH, KEY, None)
    here = jnp.zeros(BATCH.valid.shape[1], bool).at[block(1, 2)].set(True)
    after, _ = UPDATE(learner, BATCH.replace(reward=BATCH.reward + here[:, None]), KEY, None)
    for name in ("actor", "critic"):
        one, other = (getattr(x.nets, name)["fc1"]["kernel"] for x in (before, after))
        moved = (one != other).any((2, 3))
        np.testing.assert_array_equal(moved, at(1, 2))


def at(agent: int, member: int) -> np.ndarray:
    place = np.zeros((AGENTS, K), bool)
    place[agent, member] = True
    return place


def test_a_sub_policy_that_never_acted_is_not_moved(learner: Learner) -> None:
    """Neither by momentum; and metrics are means over the others."""
    warm, _ = UPDATE(learner, BATCH, KEY, None)  # every optimiser has momentum now
    valid = BATCH.valid.at[0, block(0, 1)].set(False)
    after, metrics = UPDATE(warm, BATCH.replace(valid=valid), KEY, None)
    old, new = (jax.tree.leaves((x.nets, x.opt)) for x in (warm, after))
    for x, y in zip(old, new, strict=True):
        same = (np.asarray(x) == y).reshape(AGENTS, K, -1).all(-1)
        if x.ndim > 2:
            np.testing.assert_array_equal(same, at(0, 1))
        assert same[0, 1]
    values = [
        np.mean([worth(warm, agent, k) for k in range(K) if (agent, k) != (0, 1)])
        for agent in range(AGENTS)
    ]
    np.testing.assert_allclose(metrics["q_value"], np.mean(values), rtol=1e-4)


def worth(learner: Learner, agent: int, k: int) -> Any:
    """What a sub-policy's critic thinks of its part of the batch, on average."""
    critic = jax.tree.map(lambda x: x[agent, k], learner.nets.critic)
    own = rows(agent, k)
    return ALONE.value(critic, jnp.int32(agent), own.view, own.action, own.weight).mean()


# --- an ensemble of one ---------------------------------------------------------------------------


def test_an_ensemble_of_one_is_maddpg_bit_for_bit(learner: Learner) -> None:
    """As made by default; and the ensemble's own program, given one, acts and learns the same."""
    cfg = SMALL.replace(ensemble=1)
    assert type(maddpg_recipe.make(SPEC, cfg)) is Maddpg
    assert cfg.ensemble == Config().ensemble
    single = made(ensemble=1)
    nets, target = (member_nets(x, 0) for x in (learner.nets, learner.target))
    own = jit(ALONE.init)(KEY).replace(nets=nets, target=target)
    widen = lambda tree: jax.tree.map(lambda x: x[:, None], tree)
    wide = Learner(widen(own.nets), widen(own.target), widen(own.opt), own.seen)
    view = pick(BATCH.view, 0)
    policies = [single.policy(wide, single.head.sample, 0.0)]
    policies.append(ALONE.policy(own, ALONE.head.sample, 0.0))
    acts = [jit(p.step)(p.reset(KEY, len(view.obs)), view, KEY)[1] for p in policies]
    np.testing.assert_array_equal(*acts)
    flat, agent = fold(SPEC, BATCH), jnp.int32(1)
    nobody = jnp.zeros((len(flat.weight), AGENTS), jnp.int8)
    noise, member = ALONE.noise(KEY, flat), (jnp.int32(0),)
    many = jit(single.improve)(wide, agent, flat.replace(member=nobody), noise, member)
    assert_same(many, jit(ALONE.improve)(own, agent, flat, noise))


# --- feeding --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def started() -> tuple[Loop, Any]:
    env, cfg = Zoo(kind="simplex"), SMALL.replace(batch_size=7, buffer_size=100)
    memory = maddpg.memory(env.spec, cfg, 4, 5)
    loop = Loop(env, made(env.spec), memory, LoopConfig(4, 5, warmup_rollouts=6))
    return loop, jit(loop.start)(KEY)[0]


def test_batches_hold_only_what_a_sub_policy_did(started: tuple[Loop, Any]) -> None:
    loop, run = started
    batch = loop.memory.sample(run.memory, KEY, loop.clock(6))
    member = np.asarray(batch.extras).reshape(2, K, 7, 2)
    assert batch.valid.shape == (1, 2 * K * 7) and batch.valid.all()
    for agent in range(2):
        np.testing.assert_array_equal(member[agent, ..., agent], np.arange(K)[:, None] + [0] * 7)


def test_the_plan_counts_a_sub_policys_own_steps() -> None:
    """A third of the steps, so a third of the updates, after three times the warm-up."""
    cfg = Config(warmup_steps=25_600, env_steps_per_update=100.0)
    plans = [maddpg_recipe.plan(cfg.replace(ensemble=k), 64, 75) for k in (1, 3)]
    assert [(p.warmup_rollouts, p.updates_per_rollout) for p in plans] == [(6, 48), (16, 16)]


@pytest.mark.parametrize(
    ("option", "value"), [("infer_policies", True), ("norm_input", True), ("own_batches", False)]
)
def test_what_ensembles_are_not_made_for_is_refused(option: str, value: bool) -> None:
    cfg = SMALL.replace(**{option: value})
    with pytest.raises(ConfigError, match=f"{option} must be {str(not value).lower()}"):
        maddpg_recipe.RECIPE.suits(SPEC, cfg)
    maddpg_recipe.RECIPE.suits(SPEC, cfg.replace(ensemble=1))
