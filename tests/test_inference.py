"""MADDPG that infers policies: its fit and its targets, against plain numpy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import Zoo, assert_same, jit, pick, random_batch, spec_of
from scipy.special import log_softmax, softmax

from jmarl.algorithms import maddpg, maddpg_recipe
from jmarl.algorithms.actor_critic import Learner
from jmarl.algorithms.batch import Batch, fold
from jmarl.algorithms.inference import Inferring
from jmarl.algorithms.maddpg import Config
from jmarl.fields import ConfigError
from jmarl.loop import Loop, LoopConfig
from jmarl.types import Transition

AGENTS, N, LATEST = 3, 6, 5
SIZES, OBS = (3, 2, 3), (4, 3, 2)
SPEC = spec_of(tuple((size,) for size in SIZES), "simplex", OBS)
SMALL = Config(
    hidden_dim=(5, 4), tau=0.3, infer_policies=True, infer_batch=LATEST, infer_entropy=0.1
)
KEY = jax.random.key(4)


def made(**options: Any) -> Inferring:
    algorithm = maddpg_recipe.make(SPEC, SMALL.replace(**options))
    assert isinstance(algorithm, Inferring)
    return algorithm


PLAIN = made()


UPDATE = jit(PLAIN.update)


@pytest.fixture(scope="module")
def learner() -> Learner:
    """With targets that are not the networks, of approximations neither."""
    init = jit(PLAIN.init)
    one, other = (init(jax.random.key(seed)) for seed in (0, 1))
    guesses = one.guesses.replace(target=other.guesses.nets)
    return one.replace(target=other.nets, guesses=guesses)


def shown() -> Transition:
    """Latest positions, of which one holds no step, then a batch for each agent."""
    batch = random_batch(SPEC, LATEST + N * AGENTS)
    alive = batch.view.alive.at[0, 1, 2].set(False)
    valid = batch.valid.at[0, 3].set(False)
    return batch.replace(view=batch.view.replace(alive=alive), valid=valid)


BATCH = shown()
FLAT = fold(SPEC, BATCH)
RECENT = pick(FLAT, slice(LATEST))


def mlp(params: Any, x: np.ndarray) -> np.ndarray:
    for layer in ("fc1", "fc2", "fc3"):
        x = x @ np.asarray(params[layer]["kernel"]) + np.asarray(params[layer]["bias"])
        x = x if layer == "fc3" else np.maximum(x, 0)
    return x


def logits(params: Any, rows: Batch, j: int) -> np.ndarray:
    """Of agent j, without padding."""
    return mlp(params, np.asarray(rows.view.obs, float)[:, j])[:, : SIZES[j]]


# --- fitting: equation (7) ------------------------------------------------------------------------


def loss_by_hand(params: Any, rows: Batch, j: int) -> float:
    """Over the steps at which j was alive."""
    kept = np.asarray(rows.weight) * np.asarray(rows.view.alive)[:, j] > 0
    log = log_softmax(logits(params, rows, j), -1)
    likely = (np.asarray(rows.action)[:, j, : SIZES[j]] * log).sum(-1)
    return float(-(likely - 0.1 * (np.exp(log) * log).sum(-1))[kept].mean())


def test_the_fit_is_soft_label_cross_entropy_and_an_entropy(learner: Learner) -> None:
    """Of every pair; rows without a step, and of a dead agent, do not count."""
    losses = jit(PLAIN.fit)(learner.guesses, RECENT)[1]
    nets = learner.guesses.nets
    assert RECENT.weight.sum() == LATEST - 1 and not RECENT.view.alive[1, 2]
    for i in range(AGENTS):
        for j in range(AGENTS):
            expected = loss_by_hand(pick(nets, (i, j)), RECENT, j)
            np.testing.assert_allclose(losses[i, j], expected, rtol=1e-5)


def test_a_fit_descends_its_own_pairs_gradient(learner: Learner) -> None:
    """Found by finite differences; Adam's first step of a plain rate, clipped by each array's
    norm. And the targets follow by tau."""
    with jax.enable_x64(True):
        exact = lambda x: x.astype(float) if x.dtype == jnp.float32 else x
        guesses, rows = jax.tree.map(exact, (learner.guesses, RECENT))
        after, _ = jit(PLAIN.fit)(guesses, rows)
        kernel = lambda tree, i, j: np.asarray(tree["fc2"]["kernel"][i, j])
        for i, j in ((0, 1), (2, 0)):
            slope = np.zeros_like(kernel(guesses.nets, i, j))
            params = jax.tree.map(np.array, pick(guesses.nets, (i, j)))
            for at in np.ndindex(slope.shape):
                both = []
                for step in (1e-6, -1e-6):
                    params["fc2"]["kernel"][at] += step
                    both.append(loss_by_hand(params, rows, j))
                    params["fc2"]["kernel"][at] -= step
                slope[at] = (both[0] - both[1]) / 2e-6
            clipped = slope * min(1, 0.5 / np.linalg.norm(slope))
            _, adam = after.opt
            np.testing.assert_allclose(
                adam[0].mu["fc2"]["kernel"][i, j], 0.1 * clipped, rtol=1e-5, atol=1e-9
            )
            moved = kernel(after.nets, i, j) - kernel(guesses.nets, i, j)
            step = -1e-2 * clipped / (np.abs(clipped) + 1e-8)
            np.testing.assert_allclose(moved, step, rtol=1e-4, atol=1e-8)
        follow = lambda old, new: 0.7 * old + 0.3 * new
        expected = jax.tree.map(follow, guesses.target, after.nets)
        assert_same(after.target, expected, rtol=1e-6)


def test_only_the_latest_columns_are_fitted_and_nothing_else_learns_from_them(
    learner: Learner,
) -> None:
    before, _ = UPDATE(learner, BATCH, KEY, None)
    recent = jnp.arange(BATCH.valid.shape[1]) < LATEST
    other = lambda where: jnp.where(where[:, None, None], BATCH.action[..., ::-1], BATCH.action)
    old, _ = UPDATE(learner, BATCH.replace(action=other(~recent)), KEY, None)
    assert_same(old.guesses, before.guesses)
    new, _ = UPDATE(learner, BATCH.replace(action=other(recent)), KEY, None)
    same = jax.tree.map(np.array_equal, new.guesses.nets, before.guesses.nets)
    assert not any(jax.tree.leaves(same))
    paid = BATCH.replace(reward=BATCH.reward + 7 * recent[:, None])
    assert_same(UPDATE(learner, paid, KEY, None)[0], before)


# --- targets: equation (8) ------------------------------------------------------------------------


@pytest.mark.parametrize("agent", range(AGENTS))
def test_a_target_knows_its_own_policy_and_guesses_the_others(agent: int, learner: Learner) -> None:
    """The critic's loss, from y = r + gamma Q'(o', a'): a'_i of i's target actor, a'_j relaxed
    samples of i's approximate targets."""
    rows = pick(FLAT, slice(LATEST, LATEST + N))
    noise = PLAIN.noise(KEY, rows)
    _, _, told = jit(PLAIN.improve)(learner, jnp.int32(agent), rows, noise)
    follows, action = rows.replace(view=rows.next_view), np.zeros((N, AGENTS, max(SIZES)))
    for j, size in enumerate(SIZES):
        own = pick(learner.target.actor, j)
        guess = pick(learner.guesses.target, (agent, j))
        out = logits(own if j == agent else guess, follows, j)
        action[:, j, :size] = softmax(out + np.asarray(noise[0])[:, j, :size], -1)

    def value(critic: Any, obs: Any, vector: Any) -> np.ndarray:
        x = np.concatenate([np.asarray(x, float).reshape(N, -1) for x in (obs, vector)], -1)
        return mlp(pick(critic, agent), x)[:, 0]

    future = value(learner.target.critic, rows.next_view.obs, action)
    goal = rows.reward[:, agent] + 0.95 * (1 - np.asarray(rows.terminated)) * future
    q = value(learner.nets.critic, rows.view.obs, rows.action)
    np.testing.assert_allclose(told["critic_loss"], ((goal - q) ** 2).mean(), rtol=1e-4)


def test_with_true_approximations_it_is_maddpg(learner: Learner) -> None:
    """If agents take each other for what they are, and fits do not move that."""
    truth = jax.tree.map(lambda x: jnp.stack([x] * AGENTS), learner.target.actor)
    guesses = learner.guesses.replace(nets=truth, target=truth)
    knowing = learner.replace(guesses=guesses)
    same = {"order": "one_by_one", "infer_lr": 0.0}
    after, metrics = jit(made(**same).update)(knowing, BATCH, KEY, None)
    plain = maddpg.make(SPEC, SMALL.replace(infer_policies=False, order="one_by_one"))
    drawn = jax.tree.map(lambda x: x[:, LATEST:], BATCH)
    expected, _ = jit(plain.update)(learner.replace(guesses=None), drawn, KEY, None)
    assert_same(after.replace(guesses=None), expected, rtol=1e-5, atol=1e-6)
    assert metrics["critic_loss"] > 0


# --- metrics --------------------------------------------------------------------------------------


def test_divergence_of_approximations_from_the_truth(learner: Learner) -> None:
    """Each agent's, over those who guess at it, on its replayed observations."""
    rows = RECENT
    told = jit(PLAIN.divergence)(learner, rows)
    for j in range(AGENTS):
        kept = np.asarray(rows.weight) * np.asarray(rows.view.alive)[:, j] > 0
        true = log_softmax(logits(pick(learner.target.actor, j), rows, j), -1)
        far = []
        for i in set(range(AGENTS)) - {j}:
            log = log_softmax(logits(pick(learner.guesses.target, (i, j)), rows, j), -1)
            far.append((np.exp(log) * (log - true)).sum(-1)[kept].mean())
        np.testing.assert_allclose(told[j], np.mean(far), rtol=1e-4)
    _, metrics = UPDATE(learner, BATCH, KEY, None)
    each = [metrics[f"inferred_kl/{name}"] for name in SPEC.agents]
    np.testing.assert_allclose(metrics["inferred_kl"], np.mean(each), rtol=1e-6)


def test_what_stays_the_same_is_inferred() -> None:
    """Actors that do not learn, one-hot actions: the divergence falls towards zero."""
    env = Zoo(((3,), (2,)))
    cfg = Config(hidden_dim=(8, 8), infer_policies=True, infer_batch=64, batch_size=16, tau=0.1)
    cfg = cfg.replace(actor_lr=0.0, infer_lr=3e-3, buffer_size=4000, eval_actions="sample")
    algorithm = maddpg_recipe.make(env.spec, cfg.replace(estimator="straight_through"))
    loop = Loop(
        env,
        algorithm,
        maddpg.memory(env.spec, cfg, 16, 5),
        LoopConfig(16, 5, 10, warmup_rollouts=1, rollouts_per_chunk=20),
    )
    run, _ = jit(loop.start)(KEY)
    # policies worth inferring: those of the start are nearly uniform
    actor = jax.tree.map(lambda x: 2 * x, run.learner.nets.actor)
    nets = run.learner.nets.replace(actor=actor)
    run = run.replace(learner=run.learner.replace(nets=nets, target=nets))
    chunk, told = jit(loop.chunk), []
    for nth in range(4):
        run, (metrics, _) = chunk(run, jnp.int32(1 + 20 * nth))
        told.append(metrics["inferred_kl"])
    assert told[0] > 0.05 and told[3] < 0.2 * told[0]


# --- feeding --------------------------------------------------------------------------------------


def test_the_memory_tells_the_latest_first() -> None:
    cfg = SMALL.replace(batch_size=7, buffer_size=100)
    env = Zoo(kind="simplex")
    plain = cfg.replace(infer_policies=False)
    for settings, columns in ((cfg, LATEST + 7 * 2), (plain, 7 * 2)):
        loop = Loop(
            env,
            maddpg_recipe.make(env.spec, settings),
            maddpg.memory(env.spec, settings, 4, 5),
            LoopConfig(4, 5, warmup_rollouts=1),
        )
        run, _ = jit(loop.start)(KEY)
        sampled = loop.memory.sample(run.memory, KEY, loop.clock(1))
        assert sampled.reward.shape == (1, columns, 2)
        if settings is cfg:
            newest = run.memory.steps.reward[3]  # the last position's successor is not there yet
            np.testing.assert_array_equal(sampled.reward[0, :4], newest)


def test_local_critics_have_no_use_for_policies() -> None:
    with pytest.raises(ConfigError, match="infer_policies must be false"):
        maddpg_recipe.RECIPE.suits(SPEC, SMALL.replace(local_critic=True))
    maddpg_recipe.RECIPE.suits(SPEC, SMALL)
