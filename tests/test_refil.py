"""REFIL: who attends to whom, how groups are drawn, what mixers promise, what is refused."""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import Zoo, assert_same, jit, played, spec_of

import jmarl_envs
from jmarl.algorithms import ALL
from jmarl.algorithms.refil import drawn, groups
from jmarl.algorithms.value_decomposition import Learner, Mixed
from jmarl.config import experiment
from jmarl.fields import ConfigError
from jmarl.loop import Loop, LoopConfig
from jmarl.making import env_of
from jmarl.networks.agents import actions_before
from jmarl.program import Program
from jmarl.types import Clock, Entities, Transition

A, T, B = 2, 9, 4
ZOO = Zoo()
SMALL = {"entity_dim": 8, "hypernet_dim": 8, "heads": 2, "mixing_dim": 4, "rnn_dim": 3}
CLOCK = Clock(jnp.zeros(()), jnp.zeros(()), jnp.int32(0))
KINDS = [("flex", "softmax"), ("flex", "abs"), ("linear", "softmax"), ("linear", "abs")]


@cache
def made(**options: Any) -> Any:
    return ALL["refil"].make(ZOO.spec, ALL["refil"].config.replace(**{**SMALL, **options}))


@cache
def learner_of(algorithm: Any) -> Learner:
    """With parameters that differ in every entry, biases too."""
    like = jax.eval_shape(algorithm.init, jax.random.key(0)).params
    rng = np.random.default_rng(0)
    draw = lambda x: jnp.asarray(rng.normal(size=x.shape, scale=0.5), jnp.float32)
    params, target = jax.tree.map(draw, like), jax.tree.map(draw, like)
    return Learner(params, target, algorithm.tx.init(params))


@cache
def batch() -> Transition:
    """Each environment's episodes of three or four steps; the last of four entities is absent, and
    the first agent does not see the third."""
    return jit(lambda key: played(ZOO, B, T, key))(jax.random.key(2))


@cache
def step(**options: Any) -> Callable[..., Any]:
    """One update, compiled once: the learner and its metrics."""
    algorithm = made(**options)
    learner = learner_of(algorithm)

    def one(batch: Transition, key: Array, lmbda: Array) -> Any:
        weighted = replace(algorithm, cfg=algorithm.cfg.replace(lmbda=lmbda))
        return weighted.update(learner, batch, key, CLOCK)

    update = jit(one)
    return lambda batch, seed=0, lmbda=0.5: update(batch, jax.random.key(seed), lmbda)


def seeing(batch: Transition, **changes: Any) -> Transition:
    """With other entities."""
    assert batch.view.entities is not None
    entities = batch.view.entities.replace(**changes)
    return batch.replace(view=batch.view.replace(entities=entities))


def entities() -> Entities:
    around = batch().view.entities
    assert around is not None
    return around


def values(batch: Transition) -> Any:
    """Agents' values [T+1, B, A, U] and the joint value [T, B, 1], without anything imagined."""
    algorithm = made(groups="none")
    params = learner_of(algorithm).params

    def both(batch: Transition) -> tuple[Array, Array]:
        (net,) = algorithm.agents.unroll((params["agent"],), batch)
        (mixed,) = algorithm.mixed(params, net, algorithm.told(batch), ())
        return net.q, mixed.joint

    return jit(both)(batch)


def test_attention_is_what_agents_give_to_agents() -> None:
    """By the formula, at the first view of each environment."""
    algorithm = made()
    learner = learner_of(algorithm)
    told = jit(algorithm.attention)(learner, batch())
    assert told.weights.shape == (T, B, A, 2, A) and told.head_weights is None
    net = learner.params["agent"]["attn"]
    around = algorithm.agents.entities(batch().view, actions_before(batch()))
    x = np.maximum(around.features[0] @ net["fc1"]["kernel"] + net["fc1"]["bias"], 0)
    query, key = (x @ net["in_trans"][:, at : at + 8] for at in (0, 8))
    for head in (slice(0, 4), slice(4, 8)):
        logits = query[:, :A, head] @ key[..., head].swapaxes(1, 2) / 2
        seen = ~(around.hidden | around.absent[..., None, :])[0]
        shares = np.where(seen, np.exp(logits), 0)
        shares /= shares.sum(-1, keepdims=True)
        expected = shares[..., :A] * batch().view.alive[0, :, :, None]
        np.testing.assert_allclose(told.weights[0, :, :, head.start // 4], expected, rtol=1e-4)
    assert (told.weights.sum(-1) < 0.99).any(), "there are others to look at"


# --- groups ---------------------------------------------------------------------------------------

START = jnp.array([[True], [False]])


def test_masks_by_hand() -> None:
    """Two agents, two others, an empty slot. Nobody is among the others of
    its own; who comes later was in no group as the episode opened."""
    sides = jnp.broadcast_to(jnp.array([1, 0, 1, 0, 1]) == 1, (2, 1, 5))
    absent = jnp.array([[[0, 0, 0, 0, 1]], [[0, 0, 0, 0, 0]]]) == 1
    around = Entities(jnp.zeros((2, 1, 5, 1)), absent, jnp.zeros((2, 1, 2, 5), bool))
    together, there = groups(sides, around, START, "random")
    for t in range(2):
        assert (~together)[t, 0].astype(int).tolist() == [[0, 1, 0, 1, 1], [1, 0, 1, 0, 1]]
        between = together | ~there
        assert between[t, 0].astype(int).tolist() == [[1, 0, 1, 0, 1], [0, 1, 0, 1, 1]]


@pytest.mark.parametrize(("rule", "row"), [("true", [1, 1, 0, 0]), ("random_true", [1, 0, 0, 0])])
def test_oracles_know_the_true_groups(rule: Any, row: list[int]) -> None:
    """At every step as it is then; the randomised one splits them further."""
    sides = jnp.broadcast_to(jnp.array([1, 0, 1, 0]) == 1, (2, 1, 4))
    outside = jnp.array([[[0, 0, 1, 1]], [[0, 0, 0, 1]]])[:, None] == 1
    around = Entities(jnp.zeros((2, 1, 4, 1)), jnp.zeros((2, 1, 4), bool), outside, outside)
    together, _ = groups(sides, around, START, rule)
    assert together[0, 0, 0].astype(int).tolist() == row
    assert together[1, 0, 0].astype(int).tolist() == [*row[:2], 1, 0]


@pytest.mark.parametrize(("rule", "row"), [("true", [1, 1, 1, 1]), ("random_true", [1, 0, 1, 0])])
def test_released_oracles_know_the_true_groups_as_episodes_open(rule: Any, row: list[int]) -> None:
    """Later all are in one group, or in the random ones."""
    sides = jnp.broadcast_to(jnp.array([1, 0, 1, 0]) == 1, (2, 1, 4))
    outside = jnp.broadcast_to(jnp.array([0, 0, 1, 1]) == 1, (2, 1, 1, 4))
    around = Entities(jnp.zeros((2, 1, 4, 1)), jnp.zeros((2, 1, 4), bool), outside, outside)
    together, _ = groups(sides, around, START, rule, "opening")
    assert not together[0, 0, 0, 2:].any() and together[0, 0, 0, 0]
    assert together[1, 0, 0].astype(int).tolist() == row


def test_what_oracles_know_reaches_their_loss() -> None:
    """Groups that stand for a whole episode make another loss than those of its opening alone,
    unless nobody is outside anybody's."""
    outside = jnp.broadcast_to(jnp.array([0, 1, 1, 0]) == 1, entities().hidden.shape)
    loss = lambda known, b: step(groups="true", groups_known=known)(b)[1]["imagined_loss"]
    for apart in (outside, jnp.zeros_like(outside)):
        told = seeing(batch(), outside=apart)
        assert bool(loss("opening", told) == loss("always", told)) != apart.any()


def test_sides_are_drawn_once_an_episode() -> None:
    """One uniform share for all, then each by itself: half of all, and two are on one side with
    probability E[p^2 + (1 - p)^2] = 2/3, all of one side with 2/5 of four."""
    start = jnp.broadcast_to(jnp.array([1, 0, 0, 1, 0])[:, None] == 1, (5, 20_000))
    sides = np.asarray(jit(lambda key: drawn(key, start, 4))(jax.random.key(0)))
    assert (sides[1:3] == sides[0]).all() and (sides[4] == sides[3]).all()
    assert 0.3 < (sides[3] == sides[0]).mean() < 0.7
    for one in (sides[0], sides[3]):
        np.testing.assert_allclose(one.mean(0), 0.5, atol=0.015)
        np.testing.assert_allclose((one[:, 0] == one[:, 3]).mean(), 2 / 3, atol=0.015)
        np.testing.assert_allclose((one == one[:, :1]).all(1).mean(), 2 / 5, atol=0.015)


def test_every_update_draws_anew() -> None:
    one, again, other = (step()(batch(), seed)[1]["imagined_loss"] for seed in (0, 0, 1))
    assert one == again != other
    whole = [step()(batch(), seed)[1]["loss"] for seed in (0, 1)]
    assert whole[0] == whole[1]


def test_without_weight_the_imagined_value_teaches_nothing() -> None:
    """lmbda 0 is QMIX(Attention), which imagines nothing."""
    plain, told = step(groups="none")(batch())
    assert "imagined_loss" not in told
    assert_same(step()(batch(), lmbda=0.0)[0], plain, rtol=1e-4, atol=1e-6)
    assert not np.isclose(step()(batch())[1]["grad_norm"], told["grad_norm"], rtol=1e-3)


# --- masks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mixer", ["flex", pytest.param("linear", marks=pytest.mark.slow)])
def test_extreme_masks_give_numbers(mixer: str) -> None:
    """Nobody sees anybody; nobody is there; all are of one group or of two: no NaN anywhere."""
    yes = jnp.ones_like
    extremes = [
        seeing(batch(), hidden=yes(entities().hidden)),
        seeing(batch(), absent=yes(entities().absent), hidden=yes(entities().hidden)),
        seeing(batch(), absent=yes(entities().absent)),
        seeing(batch(), features=1e4 * entities().features),
    ]
    for extreme in extremes:
        learner, metrics = step(mixer=mixer)(extreme)
        assert all(np.isfinite(x).all() for x in jax.tree.leaves((learner, metrics)))


def test_who_attends_to_nobody_hears_the_bias_alone() -> None:
    """An agent is not among the others of its own group: a group of all leaves it nobody there."""
    algorithm = made()
    params = learner_of(algorithm).params["agent"]
    seen = algorithm.agents.inputs(batch().view, actions_before(batch()))
    alone = seen._replace(blocked=jnp.ones_like(seen.blocked))
    assert not algorithm.agents.apply("attention", params, alone).any()
    same = jit(lambda seen: algorithm.agents.apply("encode", params, seen))
    other = alone._replace(features=-alone.features)
    np.testing.assert_array_equal(same(alone), same(other))
    fc2, bias = params["fc2"], params["attn"]["out_trans"]["bias"]
    heard = np.maximum(bias @ fc2["kernel"] + fc2["bias"], 0)
    np.testing.assert_allclose(same(alone), np.broadcast_to(heard, same(alone).shape), rtol=1e-5)


def test_attention_goes_where_it_may() -> None:
    algorithm = made()
    seen = algorithm.agents.inputs(batch().view, actions_before(batch()))
    weights = algorithm.agents.apply("attention", learner_of(algorithm).params["agent"], seen)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    blocked = np.asarray(seen.blocked)[..., None, :, :]
    assert ((np.asarray(weights) > 0) == np.broadcast_to(~blocked, weights.shape)).all()
    assert blocked[..., 0, 2].all() and not blocked[..., 1, 2].any() and blocked[..., 3].all()


def test_what_is_absent_changes_nothing() -> None:
    """Its features may be anything, and there may be more empty slots."""
    q, joint = values(batch())
    odd = jnp.where(entities().absent[..., None], 99.0, entities().features)
    assert_same(values(seeing(batch(), features=odd)), (q, joint))
    more = lambda x, axis: jnp.concatenate(
        [x, jnp.ones_like(jnp.take(x, jnp.array([0]), axis))], axis
    )
    wide = seeing(
        batch(),
        features=more(entities().features, -2),
        absent=more(entities().absent, -1).at[..., -1].set(True),
        hidden=more(entities().hidden, -1),
    )
    assert_same(values(wide), (q, joint), rtol=1e-5, atol=1e-6)


def test_absent_agents_value_everything_at_nothing() -> None:
    gone = seeing(batch(), absent=entities().absent.at[..., 0].set(True))
    q, joint = values(gone)
    assert not q[..., 0, :].any() and q[..., 1, :].all()
    other = gone.replace(action=gone.action.at[..., 0].set((gone.action[..., 0] + 1) % 3))
    told = jit(lambda b: made(groups="none").told(b))(other).view.entities.features
    assert told[..., 0, 3:].any(), "the action is told, but of somebody who is not there"
    assert_same(values(other)[1], joint)


def test_order_means_nothing() -> None:
    """Of the others; and agents who change places change their values."""
    q, joint = values(batch())
    others = jnp.array([0, 1, 3, 2])
    move = lambda x, axis: jnp.take(x, others, axis)
    moved = seeing(
        batch(),
        features=move(entities().features, -2),
        absent=move(entities().absent, -1),
        hidden=move(entities().hidden, -1),
    )
    assert_same(values(moved), (q, joint), rtol=1e-4, atol=1e-5)
    agents = jnp.array([1, 0, 2, 3])
    turned = seeing(
        batch(),
        features=entities().features[..., agents, :],
        hidden=entities().hidden[..., ::-1, :][..., agents],
    ).replace(action=batch().action[..., ::-1])
    q_turned, joint_turned = values(turned)
    assert_same((q_turned[..., ::-1, :], joint_turned), (q, joint), rtol=1e-4, atol=1e-5)


def test_one_program_serves_all_teams() -> None:
    algorithm = made()
    learner, traces = learner_of(algorithm), 0

    @jit
    def update(batch: Transition, key: Array) -> Any:
        nonlocal traces
        traces += 1
        return algorithm.update(learner, batch, key, CLOCK)[1]["loss"]

    losses = set()
    for present in ([1, 1, 1, 0], [1, 0, 1, 1], [0, 1, 0, 0]):
        absent = jnp.broadcast_to(jnp.array(present) == 0, entities().absent.shape)
        losses.add(float(update(seeing(batch(), absent=absent), jax.random.key(0))))
    assert traces == 1 and len(losses) == 3


# --- mixers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mixer", "weights"), [*KINDS, ("sum", "softmax")])
def test_the_team_gains_where_a_factor_gains(mixer: Any, weights: Any) -> None:
    """And the slopes that the mixer tells are those."""
    algorithm = made(mixer=mixer, mixing_weights=weights)
    params = learner_of(algorithm).params["mixer"]
    told = jax.tree.map(lambda x: x[:-1], algorithm.told(batch()).view)
    masks = [
        jnp.zeros((*told.obs.shape[:2], A, 4), bool),
        jnp.ones((*told.obs.shape[:2], A, 4), bool),
    ]
    rng = np.random.default_rng(3)
    q = [jnp.asarray(rng.normal(size=(T, B, n)), jnp.float32) for n in (A, 2 * A)]

    def joint(q: list[Array]) -> tuple[Array, list[Any]]:
        mixed = algorithm.mixer.apply(params, q, told, masks, method="mix")
        return jnp.stack([x.joint.sum() for x in mixed]).sum(), mixed

    steep, mixed = jit(jax.grad(joint, has_aux=True))(q)
    for slopes, part in zip(steep, mixed, strict=True):
        assert slopes.min() >= 0 and (slopes > 1e-4).any((0, 1)).all()
        np.testing.assert_allclose(part.slopes, slopes, rtol=1e-4, atol=1e-6)
    if mixer == "linear" and weights == "softmax":
        np.testing.assert_allclose(steep[1].sum(-1), 1, rtol=1e-5)


def test_ingroup_prop_is_the_share_of_the_own_group() -> None:
    """The sum of softmax weights; of all weights alike a half."""
    algorithm = made(mixer="linear")
    weights = jnp.broadcast_to(jnp.array([0.1, 0.2, 0.3, 0.4]), (T, B, 4))
    share = algorithm.ingroup_share(Mixed(weights[..., :1], slopes=weights), batch())
    np.testing.assert_allclose(share, 0.3, rtol=1e-6)
    weights = jnp.ones_like(weights)
    assert algorithm.ingroup_share(Mixed(weights[..., :1], slopes=weights), batch()) == 0.5


STARCRAFT: list[tuple[int, int, int, int]] = [  # actions, entity's numbers; sizes released
    (14, 38, 106_574, 306_304),
    (14, 39, 106_702, 306_816),
    (22, 46, 109_142, 314_496),
]


@pytest.mark.parametrize(("actions", "size", "agent", "mixer"), STARCRAFT)
def test_sizes_on_starcraft_are_the_released(
    actions: int, size: int, agent: int, mixer: int
) -> None:
    spec = spec_of(((actions,),) * 8, num_entities=16, entity_size=size, team_reward="shared")
    assert sizes(spec, "starcraft") == {"agent": agent, "mixer": mixer}


def sizes(spec: Any, preset: str) -> dict[str, int]:
    algorithm: Any = ALL["refil"].make(spec, ALL["refil"].presets[preset].config)
    params = jax.eval_shape(algorithm.init, jax.random.key(0)).params
    return {name: sum(x.size for x in jax.tree.leaves(net)) for name, net in params.items()}


def test_sizes_on_group_matching_are_the_released() -> None:
    spec = jmarl_envs.make("refil/group_matching").spec
    assert sizes(spec, "group_matching") == {"agent": 17_731, "mixer": 39_232}


# --- settings -------------------------------------------------------------------------------------

RELEASED = {  # the configs of REFIL ffe23a1
    "optimiser": "rmsprop",
    "rms_decay": 0.99,
    "rms_eps": 1e-5,
    "weight_decay": 0.0,
    "lr": 5e-4,
    "gamma": 0.99,
    "td_lambda": 0.0,
    "max_grad_norm": 10.0,
    "batch_size": 32,
    "episodes_per_update": 1.0,  # 8 of 8
    "target_update_interval": 200,
    "double_q": True,
    "eps_start": 1.0,
    "eps_finish": 0.05,
    "lmbda": 0.5,
    "mixing_dim": 32,
    "heads": 4,
    "mixing_weights": "softmax",
    "groups": "random",
}
PRESETS = {
    "starcraft": {
        "buffer_size": 5000,
        "eps_decay": 500_000.0,
        "entity_dim": 128,
        "hypernet_dim": 128,
        "rnn_dim": 64,
        "mixer": "flex",
        "last_action": True,
    },
    "group_matching": {
        "buffer_size": 2000,
        "eps_decay": 5_000.0,
        "entity_dim": 64,
        "hypernet_dim": 64,
        "rnn_dim": 0,
        "mixer": "linear",
        "last_action": False,
    },
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_the_released(name: str) -> None:
    preset, expected = ALL["refil"].presets[name], {**RELEASED, **PRESETS[name]}
    config = asdict(preset.config)
    assert {key: config[key] for key in expected} == expected
    assert preset.loop == {"num_envs": 8}


def refused(spec: Any, **options: Any) -> str:
    with pytest.raises(ConfigError) as error:
        ALL["refil"].suits(spec, ALL["refil"].config.replace(**options))
    message = str(error.value)
    assert "\n" not in message
    return message


def test_unsuitable_environments_are_refused() -> None:
    """In one line that says what is wrong and what would do."""
    ALL["refil"].suits(ZOO.spec, ALL["refil"].config)
    together = ALL["refil"].config.replace(team_reward="sum")
    ALL["refil"].suits(jmarl_envs.make("particle/treasure_collection").spec, together)
    bare = replace(ZOO.spec, name="herd", num_entities=0, entity_size=0, team_reward=None)
    message = refused(bare)
    assert "must offer entities" in message and "herd" in message and "smax" in message
    assert "discrete" in refused(Zoo(kind="box").spec)
    teams = replace(ZOO.spec, teams=(0, 1), team_names=("cats", "mice"))
    assert "got cats, mice" in refused(teams)
    for oracle in ("true", "random_true"):
        message = refused(ZOO.spec, groups=oracle)
        assert message.startswith("groups must be random or none") and repr(oracle) in message
        ALL["refil"].suits(
            replace(ZOO.spec, true_groups=True), ALL["refil"].config.replace(groups=oracle)
        )
    for rule in ("random", "none"):
        message = refused(ZOO.spec, groups=rule, groups_known="opening")
        assert message.startswith("groups_known must be always") and repr(rule) in message
    message = refused(ZOO.spec, entity_dim=66)
    assert message == "entity_dim must be a multiple of heads=4, got 66"
    assert "hypernet_dim must be" in refused(ZOO.spec, hypernet_dim=30)


@pytest.mark.parametrize(
    "env",
    [
        *("smax/3m", "smax/3-8sz", "smax/3-8mm", "lbf/8x8-2p-2f-coop"),
        *("jumanji/level_based_foraging", "particle/simple_spread", "particle/treasure_collection"),
    ],
)
def test_it_trains_wherever_entities_are(env: str) -> None:
    """From a reset to a gradient step, traced: of its shapes, nothing is compiled."""
    own = {"team_reward": "sum"} if env.startswith("particle") else {}
    settings = {"env": env, "num_envs": 2, "buffer_size": 8, "batch_size": 2, "total_steps": 1e6}
    plan = experiment("refil", settings={**SMALL, **settings, "warmup_episodes": 4, **own})
    loop = Program(env_of(plan), plan).loop(plan.config)
    run, _ = jax.eval_shape(loop.start, jax.random.key(0))
    after, (metrics, _) = jax.eval_shape(loop.chunk, run, jnp.int32(0))
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, run)
    assert {"imagined_loss", "ingroup_prop"} <= set(metrics)


@pytest.mark.parametrize("oracle", [False, True])
def test_memories_hold_entities_alone(oracle: bool) -> None:
    """And true groups for those who ask."""
    env = jmarl_envs.make("refil/group_matching", num_agents=2)
    cfg = ALL["refil"].config.replace(buffer_size=4, groups="true" if oracle else "random")
    rollout = jax.eval_shape(lambda key: played(env, B, T, key), jax.random.key(0))
    kept = jax.eval_shape(ALL["refil"].memory(env.spec, cfg, B, T).init, rollout).steps.view
    assert kept.state is None and kept.obs.shape == (T, B, A, 0)
    assert kept.entities.features.shape == (T, B, 2, env.spec.entity_size)
    assert (kept.entities.outside is not None) == oracle


# --- learning -------------------------------------------------------------------------------------


ENVS, ROLLOUTS, UPDATES = 64, 20, 10  # gradient steps: the last two's product


def test_agents_remember_what_an_entity_told() -> None:
    """One entity tells a cue, at first alone; both agents must name it at the end.

    Chance earns 1/9; who agrees but does not remember, 1/3."""
    env, recipe = jmarl_envs.make("toy/echo", horizon=2), ALL["refil"]
    cfg = recipe.config.replace(
        **{**SMALL, "entity_dim": 16, "rnn_dim": 16, "batch_size": 64, "buffer_size": 10 * ENVS},
        **{"optimiser": "adam", "lr": 5e-3, "target_update_interval": 20, "eps_decay": 1_500.0},
    )
    length = env.spec.episode_limit + 1
    shape = LoopConfig(
        ENVS, length, UPDATES, rollouts_per_chunk=ROLLOUTS, eval_episodes=128, episodic=True
    )
    loop = Loop(env, recipe.make(env.spec, cfg), recipe.memory(env.spec, cfg, ENVS, length), shape)

    def learned(key: Array) -> Array:
        run, _ = loop.start(key)
        run, _ = loop.chunk(run, jnp.int32(0))
        return loop.evaluate(run, key)["episode_return"]

    assert jit(learned)(jax.random.key(0)) > 0.6
