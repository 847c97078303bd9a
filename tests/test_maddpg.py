"""What MADDPG's options mean. That its numbers are the papers' is test_golden_maddpg's to say."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import Steady, Zoo, assert_same, jit, pick, random_batch, spec_of

from jmarl.algorithms import maddpg
from jmarl.algorithms.batch import Batch, fold
from jmarl.algorithms.maddpg import Config, Learner, Maddpg
from jmarl.algorithms.maddpg_recipe import DDPG, RECIPE
from jmarl.algorithms.recipe import off_policy_plan
from jmarl.algorithms.sides import local_agents
from jmarl.fields import ConfigError
from jmarl.loop import Loop, LoopConfig
from jmarl.optim import polyak
from jmarl.types import EnvSpec, Transition

AGENTS, N = 3, 12
PARTS, OBS = ((3,), (2,), (3,)), (4, 3, 2)
SPEC = spec_of(PARTS, "simplex", OBS)
SMALL = Config(hidden_dim=(8, 8), tau=0.3, actor_lr=0.1, critic_lr=0.1)


BATCH, KEY = random_batch(SPEC, N * AGENTS), jax.random.key(4)


def made(**options: Any) -> Maddpg:
    return maddpg.make(SPEC, SMALL.replace(**options))


def moved_apart(algorithm: Maddpg) -> Learner:
    """A learner whose targets are not its networks."""
    init = jit(algorithm.init)
    one, other = (init(jax.random.key(seed)) for seed in (0, 1))
    return one.replace(target=other.nets)


def update(algorithm: Maddpg, learner: Learner, batch: Transition = BATCH) -> Learner:
    return jit(algorithm.update)(learner, batch, KEY, None)[0]


def in_turn(algorithm: Maddpg, learner: Learner) -> tuple[Learner, list[Learner]]:
    """Agents improve one after another, in a Python loop; also what each of them saw."""
    improve, put, seen = jit(algorithm.improve), jit(algorithm.put), []
    flat, keys = fold(SPEC, BATCH), jax.random.split(KEY, AGENTS)
    for i in range(AGENTS):
        seen.append(learner)
        own = algorithm.batch_of(flat, jnp.int32(i))
        nets, opt, metrics = improve(learner, jnp.int32(i), own, algorithm.noise(keys[i], own))
        learner, _ = put(learner, jnp.int32(i), nets, opt, metrics)
    return learner, seen


TIGHT = {"rtol": 1e-5, "atol": 1e-6}


def test_one_by_one_is_a_loop_over_agents() -> None:
    """Each sees the new networks of those before; then all targets move together."""
    algorithm = made(order="one_by_one", other_actions="current", estimator="straight_through")
    learner = moved_apart(algorithm)
    looped, _ = in_turn(algorithm, learner)
    assert_same(looped.target, learner.target)
    looped = looped.replace(target=polyak(looped.nets, learner.target, 0.3))
    assert_same(update(algorithm, learner), looped, **TIGHT)


def test_in_place_moves_each_target_at_once() -> None:
    """Agent i's own targets move by tau after its step, and i + 1 sees them moved."""
    algorithm = made(order="in_place")
    learner = moved_apart(algorithm)
    looped, seen = in_turn(algorithm, learner)
    assert_same(update(algorithm, learner), looped, **TIGHT)
    for i in range(AGENTS):
        later = [*seen[1:], looped]
        new, old = pick(later[i].nets, i), pick(learner.target, i)
        assert_same(pick(later[i].target, i), polyak(new, old, 0.3), **TIGHT)
        for j in range(i + 1, AGENTS):
            assert_same(pick(later[i].target, j), pick(learner.target, j))
    one_by_one = update(made(order="one_by_one"), learner)
    same = lambda i: np.array_equal(
        one_by_one.nets.critic["fc1"]["kernel"][i], looped.nets.critic["fc1"]["kernel"][i]
    )
    assert not same(1) and not same(2), "the targets' order must matter to later agents"


def test_together_all_start_from_the_same_networks() -> None:
    algorithm = made(order="together", other_actions="current", estimator="straight_through")
    learner = moved_apart(algorithm)
    flat, keys = fold(SPEC, BATCH), jax.random.split(KEY, AGENTS)
    after, improve = update(algorithm, learner), jit(algorithm.improve)
    for i in range(AGENTS):
        own = algorithm.batch_of(flat, jnp.int32(i))
        noise = algorithm.noise(keys[i], own)
        nets, opt, _ = improve(learner, jnp.int32(i), own, noise)
        assert_same(pick(after.nets, i), nets, **TIGHT)
        assert_same(pick(after.opt, i), opt, **TIGHT)
    assert_same(after.target, polyak(after.nets, learner.target, 0.3), **TIGHT)


@pytest.mark.parametrize("own_batches", [True, False])
def test_own_batches(own_batches: bool) -> None:
    """With them an agent learns from its third alone; without, everybody from everything."""
    algorithm = made(order="together", own_batches=own_batches)
    learner = jit(algorithm.init)(jax.random.key(0))
    step = jit(algorithm.update)
    before = step(learner, BATCH, KEY, None)[0]
    for block in range(AGENTS):
        here = jnp.arange(N * AGENTS) // N == block
        other = BATCH.replace(reward=BATCH.reward + here[None, :, None])
        after = step(learner, other, KEY, None)[0]
        for i in range(AGENTS):
            same = np.array_equal(
                after.nets.critic["fc1"]["kernel"][i], before.nets.critic["fc1"]["kernel"][i]
            )
            assert same == (own_batches and i != block)


@pytest.mark.parametrize("local", [True, False])
def test_whom_a_critic_sees(local: bool) -> None:
    """A local critic's gradient with respect to the others' observations and actions is zero."""
    algorithm = made(local_critic=local)
    learner, flat = jit(algorithm.init)(jax.random.key(0)), fold(SPEC, BATCH)

    def value(obs: Array, vector: Array, agent: Array) -> Array:
        critic = jax.tree.map(lambda x: x[agent], learner.nets.critic)
        view = flat.view.replace(obs=obs)
        return algorithm.value(critic, agent, view, vector, flat.weight).sum()

    slope = jit(jax.grad(value, (0, 1)))
    for i in range(AGENTS):
        grads = slope(flat.view.obs, flat.action, jnp.int32(i))
        for grad in grads:
            seen = [bool(np.any(grad[:, j])) for j in range(AGENTS)]
            assert seen == [j == i or not local for j in range(AGENTS)]


def test_an_actor_moves_its_own_parameters_through_its_own_action() -> None:
    """And an agent that is dead throughout has nothing to learn."""
    algorithm = made()
    learner, flat = jit(algorithm.init)(jax.random.key(0)), fold(SPEC, BATCH)
    critic, actor = pick(learner.nets.critic, 1), pick(learner.nets.actor, 1)
    noise = algorithm.noise(KEY, flat)[1]

    def loss(actor: Any, actors: Any, batch: Batch) -> Array:
        return algorithm.actor_loss(actor, critic, actors, jnp.int32(1), batch, noise)

    slope = jit(jax.grad(loss, (0, 1)))
    own, others = slope(actor, learner.nets.actor, flat)
    assert np.any(own["fc1"]["kernel"]) and not np.any(others["fc1"]["kernel"])
    dead = flat.replace(view=flat.view.replace(alive=flat.view.alive.at[:, 1].set(False)))
    assert not any(np.any(x) for x in jax.tree.leaves(slope(actor, learner.nets.actor, dead)[0]))


def test_padded_inputs_and_outputs_change_nothing() -> None:
    """The same agents, in arrays two entries wider: the same update, and padding stays zero."""
    sizes = {"obs_sizes": (3, 2), "kind": "box"}
    narrow = spec_of(((2,), (1,)), **sizes)
    wide = Wide(**{f: getattr(narrow, f) for f in EnvSpec.__dataclass_fields__})
    batch = random_batch(narrow, 8)
    widen = lambda x: jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, 2)])
    view = batch.view.replace(obs=widen(batch.view.obs), available=widen(batch.view.available))
    both = []
    for spec, data in (
        (narrow, batch),
        (wide, batch.replace(view=view, action=widen(batch.action))),
    ):
        algorithm = maddpg.make(spec, SMALL.replace(order="together", own_batches=False))
        learner = jit(algorithm.init)(jax.random.key(0))
        both.append((algorithm, learner, data))
    (thin, learner, _), (thick, other, _) = both
    nets = maddpg.Nets(
        embedded(learner.nets.actor, other.nets.actor, wide.obs_mask(), wide.action_mask()),
        embedded(
            learner.nets.critic, other.nets.critic, thick.critic_mask(), np.ones((2, 1), bool)
        ),
    )
    before = thin.spec.obs_mask(), thin.critic_mask()
    assert [m.sum() for m in before] == [wide.obs_mask().sum(), thick.critic_mask().sum()]
    after = update(thin, learner, both[0][2])
    wider = update(thick, other.replace(nets=nets, target=nets), both[1][2])
    expected = maddpg.Nets(
        embedded(after.nets.actor, other.nets.actor, wide.obs_mask(), wide.action_mask()),
        embedded(after.nets.critic, other.nets.critic, thick.critic_mask(), np.ones((2, 1), bool)),
    )
    assert_same(wider.nets, expected, **TIGHT)


@dataclass(frozen=True)
class Wide(EnvSpec):
    """Padded by two entries more than its agents need."""

    @property
    def obs_size(self) -> int:
        return super().obs_size + 2

    @property
    def action_size(self) -> int:
        return super().action_size + 2


def embedded(narrow: Any, wide: Any, inputs: np.ndarray, outputs: np.ndarray) -> Any:
    """Parameters [A, ...] in wider arrays: real rows and columns in their places, zeros between."""
    place = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), wide)
    out = {name: dict(leaf) for name, leaf in jax.tree.map(np.asarray, narrow).items()}
    for i in range(len(inputs)):
        rows, columns = np.flatnonzero(inputs[i]), np.flatnonzero(outputs[i])
        real = real_rows(narrow, i)
        place["fc1"]["kernel"][i][rows] = out["fc1"]["kernel"][i][real]
        place["fc3"]["kernel"][i][:, columns] = out["fc3"]["kernel"][i][:, : len(columns)]
        place["fc3"]["bias"][i][columns] = out["fc3"]["bias"][i][: len(columns)]
    place["fc1"]["bias"], place["fc2"] = out["fc1"]["bias"], out["fc2"]
    return jax.tree.map(jnp.asarray, place)


def real_rows(narrow: Any, i: int) -> np.ndarray:
    """Inputs that are not padding in the narrow arrays: the others' weights are zero."""
    return np.flatnonzero(np.any(narrow["fc1"]["kernel"][i], -1))


# --- values --------------------------------------------------------------------------------------


def test_values_at_an_episodes_end() -> None:
    """Reward 1 for ever, episodes of 3, gamma 1/2: cut by the clock the critic learns
    1 / (1 - 1/2) = 2; truly ending, 1.75, 1.5 and 1, of mean 17/12, without any error left."""
    cfg = Config(
        hidden_dim=(16, 16), gamma=0.5, tau=1.0, batch_size=32, buffer_size=400, critic_lr=1e-2
    )

    def learned(terminates: Array) -> dict[str, Array]:
        env = Steady(3, terminates)  # pyright: ignore[reportArgumentType]
        shape = LoopConfig(8, 4, 50, warmup_rollouts=3, rollouts_per_chunk=8)
        memory = maddpg.memory(env.spec, cfg, 8, 4)
        loop = Loop(env, maddpg.make(env.spec, cfg), memory, shape)
        run, _ = loop.start(jax.random.key(0))
        run, _ = loop.chunk(run, jnp.int32(3))
        return loop.chunk(run, jnp.int32(11))[1][0]

    metrics = jit(jax.vmap(learned))(jnp.array([False, True]))
    np.testing.assert_allclose(metrics["q_value"], [2, 17 / 12], rtol=0.02)
    np.testing.assert_allclose(metrics["critic_loss"], 0, atol=1e-3)


# --- acting --------------------------------------------------------------------------------------


def test_box_noise_fades_with_the_clock() -> None:
    """From start to finish, linearly in environment steps; none when exploiting; zero at first."""
    env = Zoo(((2,), (1,)), (3, 2), "box")
    cfg = SMALL.replace(
        noise_start=0.5, noise_finish=0.1, noise_decay=100.0, noise_theta=0.25, noise_sigma=0.0
    )
    algorithm = maddpg.make(env.spec, cfg)
    learner = jit(algorithm.init)(jax.random.key(0))
    loop = Loop(env, algorithm, maddpg.memory(env.spec, cfg, 1, 25), LoopConfig(1, 25))
    _, view = jax.vmap(env.reset)(jax.random.split(jax.random.key(1), 1))
    carry = jnp.broadcast_to(jnp.array([0.4, 40.0]), (1, 2, 2))  # is drawn back to 0.3 and 30
    plain = algorithm.exploit(learner).step(carry, view, KEY)[1]
    for iteration, scale in ((0, 0.5), (2, 0.3), (4, 0.1), (9, 0.1)):
        policy = algorithm.explore(learner, loop.clock(iteration))
        assert not np.any(policy.reset(KEY, 3))
        after, action, _ = policy.step(carry, view, KEY)
        np.testing.assert_allclose(after, carry * 0.75, rtol=1e-6)
        expected = np.clip(plain + scale * carry * 0.75, -1, 1) * view.available
        np.testing.assert_allclose(action, expected, rtol=1e-5)


@pytest.mark.parametrize(("eval_actions", "same"), [("greedy", True), ("sample", False)])
def test_evaluation_may_draw_its_actions(eval_actions: str, same: bool) -> None:
    algorithm = made(eval_actions=eval_actions)
    policy = algorithm.exploit(algorithm.init(jax.random.key(0)))
    view = pick(BATCH.view, 0)
    one, other = (policy.step(policy.reset(k, N), view, k)[1] for k in jax.random.split(KEY))
    assert np.array_equal(one, other) == same


# --- feeding -------------------------------------------------------------------------------------


def test_the_plan_keeps_environment_steps_per_update() -> None:
    """One update a hundred steps, whatever the number of environments, but at least one."""
    cfg = Config(warmup_steps=25_600, env_steps_per_update=100.0)
    plans = [off_policy_plan(cfg, n, 25) for n in (1, 64, 100)]
    assert [(p.warmup_rollouts, p.updates_per_rollout) for p in plans] == [
        (1024, 1),
        (16, 16),
        (11, 25),
    ]


def test_the_memory_holds_what_maddpg_reads() -> None:
    """buffer_size transitions, in whole rollouts; no state, no entities; each agent's batch."""
    loop = Loop(
        env := Zoo(kind="simplex"),
        maddpg.make(env.spec, SMALL),
        maddpg.memory(env.spec, SMALL.replace(buffer_size=95, batch_size=7), 4, 5),
        LoopConfig(4, 5, warmup_rollouts=1),
    )
    run, _ = jit(loop.start)(jax.random.key(0))
    steps = run.memory.steps
    assert steps.valid.shape == (25, 4)
    assert steps.view.state is None and steps.view.entities is None
    batch = loop.memory.sample(run.memory, KEY, loop.clock(1))
    assert batch.reward.shape == (1, 7 * 2, 2)


def test_time_and_environments_fold_into_one_axis() -> None:
    """Transition t of environment b comes at t B + b with its own next view, but where that is
    another episode's; a state may be empty, and weights are one where a step was taken."""
    batch = random_batch(SPEC, 5)
    one, two = batch, random_batch(SPEC, 5, seed=1)
    join = lambda x, y: jnp.concatenate([x, y[-1:]])
    batch = jax.tree.map(join, one, two)  # T = 2, and three views around
    view = batch.view.replace(state=jnp.zeros((3, 5, 0)))
    flat = fold(SPEC, batch.replace(view=view, valid=batch.valid.at[1, 2].set(False)))
    for t in range(2):
        for b in range(5):
            n = t * 5 + b
            np.testing.assert_array_equal(flat.view.obs[n], batch.view.obs[t, b])
            after = batch.view.obs[t if batch.terminated[t, b] else t + 1, b]
            np.testing.assert_array_equal(flat.next_view.obs[n], after)
            np.testing.assert_array_equal(flat.action[n], batch.action[t, b])
            np.testing.assert_array_equal(flat.reward[n], batch.reward[t, b])
            assert flat.terminated[n] == batch.terminated[t, b]
            assert flat.weight[n] == ((t, b) != (1, 2))
    assert flat.view.state is not None and flat.view.state.shape == (10, 0)


SIDES = EnvSpec(
    name="mine/sides",
    agents=("adversary_0", "adversary_1", "agent_0", "agent_1"),
    obs_sizes=(1,) * 4,
    action_kind="discrete",
    action_parts=((2,),) * 4,
    state_size=1,
    episode_limit=3,
    teams=(0, 0, 1, 1),
    team_names=("adversaries", "good"),
)


def rows_of(learner: Learner, at: np.ndarray, size: int) -> Any:
    """The critics' first layers [A, in, H] cut to some of their inputs."""
    cut = lambda x: x[:, at] if x.ndim == 3 and x.shape[1] == size else x
    return jax.tree.map(cut, learner)


TEAMS = replace(SPEC, teams=(0, 0, 1), team_names=("them", "us"))


def test_teams_may_learn_by_different_algorithms() -> None:
    """The one team's agents step as DDPG's would, on the rows of the joint input that are theirs;
    the other's as MADDPG's do."""
    cfg = SMALL.replace(own_batches=False)
    both = maddpg.make(TEAMS, cfg.replace(team_algorithms="them=ddpg,us=maddpg"))
    joint, local = (maddpg.make(TEAMS, cfg.replace(local_critic=flag)) for flag in (False, True))
    learner, flat = moved_apart(both), fold(TEAMS, BATCH)
    noise, size = both.noise(KEY, flat), both.critic_mask().shape[1]
    obs, act = SPEC.obs_size, SPEC.action_size
    for agent in range(AGENTS):
        own = np.arange(obs) + agent * obs, AGENTS * obs + np.arange(act) + agent * act
        at, me = np.concatenate(own), jnp.int32(agent)
        nets, _, metrics = jit(both.improve)(learner, me, flat, noise)
        if agent == 2:
            expected, _, told = jit(joint.improve)(learner, me, flat, noise)
        else:
            expected, _, told = jit(local.improve)(rows_of(learner, at, size), me, flat, noise)
            rows = [x for x in jax.tree.leaves(nets) if x.shape[:1] == (size,)]
            assert rows and not any(np.delete(x, at, 0).any() for x in rows)  # of others: unused
            nets = jax.tree.map(lambda x, at=at: x[at] if x.shape[:1] == (size,) else x, nets)
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        jax.tree.map(close, nets, expected)
        close(metrics["q_value"], told["q_value"])


def test_naming_the_algorithm_of_every_team_changes_nothing() -> None:
    for kind, flag in (("maddpg", False), ("ddpg", True)):
        named = maddpg.make(TEAMS, SMALL.replace(team_algorithms=f"them={kind},us={kind}"))
        plain = maddpg.make(TEAMS, SMALL.replace(local_critic=flag))
        learner = jit(plain.init)(KEY)
        assert_same(jit(named.init)(KEY), learner)
        np.testing.assert_array_equal(named.critic_mask(), plain.critic_mask())


@pytest.mark.parametrize(
    ("told", "local"),
    [
        ("", [False, False, False, False]),
        ("adversaries=ddpg,good=maddpg", [True, True, False, False]),
        ("adversary=ddpg", [True, True, False, False]),
        ("agent = ddpg", [False, False, True, True]),
    ],
)
def test_teams_are_named_by_themselves_or_their_agents(told: str, local: list[bool]) -> None:
    assert local_agents(SIDES, False, told).tolist() == local
    assert local_agents(SIDES, True, "").all()


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("wolves=ddpg", r"of teams there are \(adversaries, good\), got 'wolves'"),
        ("good=qmix", "maddpg or ddpg, got 'good=qmix'"),
        ("good", "maddpg or ddpg, got 'good'"),
        ("good=ddpg,agent=maddpg", "name each team once, got 'good=ddpg,agent=maddpg'"),
    ],
)
def test_teams_that_cannot_be_are_refused(told: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"team_algorithms must .*{says}"):
        RECIPE.suits(SIDES, RECIPE.config.replace(team_algorithms=told))


def test_ddpg_is_maddpg_with_local_critics() -> None:
    assert DDPG.config == RECIPE.config.replace(local_critic=True)
    assert all(preset.config.local_critic for preset in DDPG.presets.values())
    assert not any(preset.config.local_critic for preset in RECIPE.presets.values())
