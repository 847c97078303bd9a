"""What MAAC's options mean, and that it learns what it must. That its numbers are the release's is
test_golden_maac's to say."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import Steady, Zoo, jit, pick, played, spec_of

import jmarl_envs
from jmarl.algorithms import ALL, maac
from jmarl.algorithms.batch import Batch, fold, take
from jmarl.algorithms.maac import Maac
from jmarl.algorithms.recipe import off_policy_plan
from jmarl.fields import ConfigError
from jmarl.loop import Loop, LoopConfig
from jmarl.networks.critics import AttentionCritic, Critic, JoinedCritic
from jmarl.types import EnvSpec
from jmarl_envs.toys.bandits import Cue

SMALL = maac.Config(hidden_dim=(8, 8), critic_dim=8, heads=2, alpha=0.5)
ZOO = Zoo(((3,), (2,), (3,)), (4, 3, 2))
KEY = jax.random.key(4)
BATCH = played(ZOO, 12, 1, jax.random.key(0))


def made(spec: EnvSpec = ZOO.spec, **options: Any) -> Maac:
    return maac.make(spec, SMALL.replace(**options))


def moved_apart(algorithm: Maac) -> Any:
    """A learner whose targets are not its networks."""
    init = jit(algorithm.init)
    one, other = (init(jax.random.key(seed)) for seed in (0, 1))
    return one.replace(target=other.nets)


# --- sizes ---------------------------------------------------------------------------------------


def real(params: Any) -> int:
    """Numbers that are not padding."""
    return sum(int(np.count_nonzero(x)) for x in jax.tree.leaves(params))


SIZES = {  # of the release: critic, first and last policy
    "particle/rover_tower": (346_280, 18_949, 18_309),
    "particle/treasure_collection": (499_880, 28_293, 28_037),
}


@pytest.mark.parametrize("env", SIZES)
def test_networks_are_as_large_as_the_releases(env: str) -> None:
    spec = jmarl_envs.make(env).spec
    nets = jit(maac.make(spec, maac.Config()).init)(jax.random.key(0)).nets
    assert (real(nets.critic), real(pick(nets.actor, 0)), real(pick(nets.actor, -1))) == SIZES[env]
    shared = ("query", "key", "value", "action_encoder")
    if env.endswith("tower"):
        assert sum(real(nets.critic[name]) for name in shared) == 66_176


def test_the_official_preset_makes_four_updates_each_hundred_steps() -> None:
    preset = ALL["maac"].presets["official"]
    plan = off_policy_plan(preset.config, **preset.loop)
    assert plan.updates_per_rollout == 12 and preset.loop == {"num_envs": 12, "rollout_length": 25}
    assert preset.config.norm_input and preset.config.tau == 0.001


# --- the critic ----------------------------------------------------------------------------------


def seen_and_done(agents: int, lead: tuple[int, ...] = (5,)) -> tuple[EnvSpec, Array, Array]:
    spec = spec_of(((3,),) * agents, obs_sizes=(4,) * agents)
    obs_key, action_key = jax.random.split(KEY)
    obs = jax.random.normal(obs_key, (*lead, agents, 4))
    return spec, obs, jax.nn.one_hot(jax.random.randint(action_key, obs.shape[:-1], 0, 3), 3)


def critics(spec: EnvSpec) -> dict[str, Critic]:
    return {
        "attending": AttentionCritic(spec, 8, 2, 1e-3, uniform=False),
        "uniform": AttentionCritic(spec, 8, 2, 1e-3, uniform=True),
        "one each": JoinedCritic(spec, (8,), one_for_all=False),
        "one for all": JoinedCritic(spec, (8,), one_for_all=True),
    }


@pytest.mark.parametrize("kind", critics(ZOO.spec))
def test_whose_actions_an_agents_values_hear_of(kind: str) -> None:
    """Everybody's but its own; everybody's observations."""
    spec, obs, vector = seen_and_done(3)
    critic = critics(spec)[kind]
    params = jit(critic.init)(KEY)
    for agent in range(3):
        total = lambda obs, vector, agent=agent: critic.apply(params, obs, vector).q[:, agent].sum()
        of_obs, of_vector = jax.grad(total, (0, 1))(obs, vector)
        assert np.all(np.any(of_obs, (0, 2)))
        heard = np.any(of_vector, (0, 2)).tolist()
        assert heard == [other != agent for other in range(3)]


def test_joined_critics_are_perceptrons_of_all_observations_and_the_others_actions() -> None:
    """By hand for agent 1: its own action is zero, and the one critic hears that it is agent 1."""
    spec, obs, vector = seen_and_done(3)
    row = [obs.reshape(5, -1), vector[:, 0], 0 * vector[:, 1], vector[:, 2]]
    who = jnp.broadcast_to(jnp.array([0.0, 1.0, 0.0]), (5, 3))
    for critic, x in (
        (critics(spec)["one each"], row),
        (critics(spec)["one for all"], [*row, who]),
    ):
        params = critic.init(KEY)
        fc1, fc2 = (params["joined"][name] for name in ("fc1", "fc2"))
        if not critic.shared:
            fc1, fc2 = pick((fc1, fc2), 1)
        h = jnp.concatenate(x, -1) @ fc1["kernel"] + fc1["bias"]
        expected = jnp.where(h > 0, h, 0.01 * h) @ fc2["kernel"] + fc2["bias"]
        q = critic.apply(params, obs, vector).q
        np.testing.assert_allclose(q[:, 1], expected, rtol=1e-5, atol=1e-6)
        together = critic.apply(params, obs[None], vector[None])
        np.testing.assert_allclose(together.q[0], q, rtol=1e-5, atol=1e-6)


def test_rivals_are_as_large_and_the_critic_for_all_moves_by_the_mean() -> None:
    spec = jmarl_envs.make("particle/rover_tower").spec
    for name, shares in (("maddpg_sac", 1), ("coma_sac", spec.num_agents)):
        algorithm: Any = ALL[name].make(spec, ALL[name].config)
        critic = jit(algorithm.critic.init)(KEY)
        assert real(critic) == pytest.approx(346_280, rel=0.01)
        ones = jax.tree.map(jnp.ones_like, critic)
        assert all(np.all(x == 1 / shares) for x in jax.tree.leaves(algorithm.shared_less(ones)))


def test_uniform_attention_asks_nobody() -> None:
    """A mean of the others' values: no queries, no keys, no penalty."""
    spec, obs, vector = seen_and_done(4)
    critic = AttentionCritic(spec, 8, 2, 1e-3, uniform=True)
    params = critic.init(KEY)
    judged: Any = critic.apply(params, obs, vector)
    expected = (1 - np.eye(4))[:, None] / 3
    np.testing.assert_allclose(judged.attention, np.broadcast_to(expected, (5, 4, 2, 4)), rtol=1e-6)
    assert not np.any(judged.penalty) and not {"query", "key"} & params.keys()


def test_of_two_agents_each_attends_to_the_other() -> None:
    """Which the release cannot do: its log of attention fails there."""
    spec, obs, vector = seen_and_done(2, (2, 3))
    critic = AttentionCritic(spec, 8, 2, 1e-3, uniform=False)
    judged = critic.apply(critic.init(KEY), obs, vector)
    expected = np.broadcast_to([[[0, 1], [0, 1]], [[1, 0], [1, 0]]], (2, 3, 2, 2, 2))
    np.testing.assert_array_equal(judged.attention, expected)
    assert np.all(np.isfinite(judged.q)) and np.all(np.asarray(judged.penalty) > 0)


def test_lonely_agents_and_uneven_heads_are_refused() -> None:
    recipe, alone = ALL["maac"], spec_of(((2,),))
    with pytest.raises(ConfigError, match=r"two agents or more for maac, .* got probe"):
        recipe.suits(alone, recipe.config)
    with pytest.raises(ConfigError, match="critic_dim must be a multiple of heads, 4, got 30"):
        recipe.suits(ZOO.spec, recipe.config.replace(critic_dim=30))
    boxes = spec_of(((2,), (2,)), "box")
    with pytest.raises(ConfigError, match="actions of maac must be discrete, got box"):
        recipe.suits(boxes, recipe.config)


def test_attention_on_show_is_the_online_critics_by_running_moments() -> None:
    """A single episode has moments of its own, by which what is constant there would vanish."""
    algorithm = made(norm_input=True)
    learner = moved_apart(algorithm)
    shift = jax.tree.map(lambda x: x + 0.5, learner.seen)
    batch = played(ZOO, 2, 3, KEY)
    told = jit(algorithm.attention)(learner.replace(seen=shift), batch).weights
    view = jax.tree.map(lambda x: x[:-1], batch.view)
    both = jnp.concatenate([view.obs, algorithm.parts.one_hot(batch.action)], -1)
    both = (both - shift.mean) / jnp.sqrt(shift.variance + 1e-5)
    critic: Any = algorithm.critic
    expected = critic.apply(learner.nets.critic, both[..., :4], both[..., 4:]).attention
    assert told.shape == (3, 2, 3, 2, 3)
    np.testing.assert_allclose(told, expected, rtol=1e-4)


# --- targets and losses --------------------------------------------------------------------------


@pytest.mark.parametrize("discounted", [False, True])
def test_the_entropy_of_the_next_step(discounted: bool) -> None:
    """The release adds it to the reward, ending or not; the paper discounts it with the value."""
    algorithm = made(discount_entropy=discounted, gamma=0.75)
    learner, flat = moved_apart(algorithm), fold(ZOO.spec, BATCH)
    ends = jnp.arange(12) % 2 == 0
    flat = flat.replace(terminated=ends)
    view, noise = flat.next_view, jax.random.gumbel(KEY, (12, 3, 3))
    out = algorithm.outputs(learner.target.actor, view.obs, learner.seen)
    log_policy = algorithm.log_policy(out, view.available)
    action = (log_policy + noise).argmax(-1)
    assert np.take_along_axis(np.asarray(view.available), np.asarray(action)[..., None], -1).all()
    vector = algorithm.parts.one_hot(action)
    value = take(algorithm.judge(learner.target.critic, view, vector, flat.weight).q, action)
    bonus, goes_on = -0.5 * take(log_policy, action), 0.75 * ~np.asarray(ends)[:, None]
    expected = flat.reward + goes_on * value + (goes_on if discounted else 1) * bonus
    goal = jit(algorithm.goal)(learner.target, flat, noise)
    np.testing.assert_allclose(goal, expected, rtol=1e-5, atol=1e-6)


def test_the_dead_have_nothing_to_learn_and_others_have() -> None:
    algorithm = made()
    learner, flat = moved_apart(algorithm), fold(ZOO.spec, BATCH)
    noise = jax.random.gumbel(KEY, (12, 3, 3))

    def slope(batch: Batch) -> Any:
        loss = lambda actor: algorithm.actor_loss(actor, learner.nets.critic, batch, noise)[0]
        return jax.grad(loss)(learner.nets.actor)

    alive = flat.view.alive.at[:, 1].set(False)
    grads = jit(slope)(flat.replace(view=flat.view.replace(alive=alive)))
    moves = [any(np.any(x) for x in jax.tree.leaves(pick(grads, agent))) for agent in range(3)]
    assert moves == [True, False, True]


def test_actions_of_several_parts() -> None:
    """Probabilities of flat choices are products of the parts'; the update works with them."""
    env = Zoo(((3, 2), (4,), (2, 2)), (4, 3, 2))
    algorithm = made(env.spec)
    learner = moved_apart(algorithm)
    out = jax.random.normal(KEY, (5, 3, 5))
    policy = jnp.exp(algorithm.log_policy(out, jnp.asarray(env.spec.action_mask())))
    first, second = (jax.nn.softmax(part) for part in (out[:, 0, :3], out[:, 0, 3:]))
    expected = (second[:, :, None] * first[:, None]).reshape(5, 6)  # the first part runs fastest
    np.testing.assert_allclose(policy[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(policy[:, 1, :4], jax.nn.softmax(out[:, 1, :4]), rtol=1e-5)
    assert not policy[:, 1:, 4:].any()
    after, metrics = jit(algorithm.update)(learner, played(env, 6, 1, KEY), KEY, None)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((after, metrics)))


# --- learning ------------------------------------------------------------------------------------


class Together(Cue):
    """Each agent sees its own cue, and all earn as many as name theirs."""

    def step(self, state: Any, action: Array, key: Array) -> Any:
        state, out = super().step(state, action, key)
        return state, out.replace(reward=jnp.broadcast_to(out.reward.sum(), out.reward.shape))


LEARNS = {"alpha": 0.0, "weight_decay": 0.0, "output_penalty": 0.0}
PLAIN = {"standardise_rewards": False, "batch_size": 64, "buffer_size": 2000, "tau": 1.0}
FAST = {"actor_lr": 1e-2, "critic_lr": 1e-2, "hidden_dim": (16,)}
JOINED = {"critic_hidden_dim": (32,)}
CRITICS = {
    "maac": {"critic_dim": 16, "heads": 2, "attention_penalty": 0.0},
    "maddpg_sac": JOINED,
    "coma_sac": JOINED,
}


def learned(
    env: Any, updates: int, name: str = "maac", **options: Any
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Metrics of the last of four chunks of learning, and an evaluation."""
    settings = {**LEARNS, **PLAIN, **FAST, **CRITICS[name], **options}
    cfg = ALL[name].config.replace(**settings)
    shape = LoopConfig(16, 4, updates, warmup_rollouts=6, rollouts_per_chunk=5, eval_episodes=64)
    memory = ALL[name].memory(env.spec, cfg, 16, 4)
    loop = Loop(env, ALL[name].make(env.spec, cfg), memory, shape)
    run, _ = loop.start(jax.random.key(0))
    run, metrics = jax.lax.scan(lambda run, i: loop.chunk(run, i), run, 6 + 5 * jnp.arange(4))
    return pick(metrics[0], -1), loop.evaluate(run, jax.random.key(1))


@pytest.mark.parametrize("name", CRITICS)
def test_a_team_learns_what_all_see_and_do(name: str) -> None:
    """Three agents with three cues: the critic comes to know the sum of three, the others' share
    from what it hears of them; the greedy team earns 3. Without entropy a team in six stays where
    it first leant."""
    metrics, scores = jit(lambda: learned(Together(3, 1, 3), 20, name, alpha=0.2))()
    assert metrics["critic_loss"] < 0.1  # below 0.07 on each of seven seeds of the slowest
    assert scores["episode_return"] == 3


def test_values_at_an_episodes_end() -> None:
    """Reward 1 for ever, episodes of 3, gamma 1/2: cut by the clock the critic learns
    1 / (1 - 1/2) = 2; truly ending, 1.75, 1.5 and 1, of mean 17/12, without any error left."""
    ends = jnp.array([False, True])
    metrics, _ = jit(jax.vmap(lambda ends: learned(Steady(3, ends), 20, gamma=0.5)))(ends)
    np.testing.assert_allclose(metrics["q_value"], [2, 17 / 12], rtol=0.02)
    np.testing.assert_allclose(metrics["critic_loss"], 0, atol=1e-3)
