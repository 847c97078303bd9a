"""Actions as vectors: layouts by brute force, distributions, and what reaches the gradient."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import spec_of
from scipy.special import softmax
from scipy.stats import chisquare, norm

from jmarl.actions import Bounded, Choices, Estimator, Gaussian, Parts, decode, encode, vector_mask
from jmarl.exploration import (
    epsilon_greedy,
    greedy,
    ornstein_uhlenbeck,
    uniform_choice,
    uniform_policy,
)
from jmarl.types import ActionKind, EnvSpec, View

PARTS = [((3,), (2,), (3, 2)), ((2, 2, 3), (4,), (3, 2), (5,)), ((3,), (3,))]
ONE_PART = ((4,), (2,), (3,))
N = 20_000


def free(spec: EnvSpec, *shape: int) -> Array:
    return jnp.broadcast_to(jnp.asarray(spec.action_mask()), (*shape, *spec.action_mask().shape))


def one_hots(places: tuple[int, ...], sizes: tuple[int, ...], width: int) -> list[float]:
    row = [
        float(i == place) for place, size in zip(places, sizes, strict=True) for i in range(size)
    ]
    return row + [0.0] * (width - len(row))


@pytest.mark.parametrize("parts", PARTS)
def test_flat_choices_and_one_hot_parts_by_brute_force(parts: tuple[tuple[int, ...], ...]) -> None:
    """The first part runs fastest: place + place * size + ..., as EnvSpec says."""
    spec = spec_of(parts)
    width = max(map(sum, parts))
    assert vector_mask(spec).tolist() == [[i < sum(p) for i in range(width)] for p in parts]
    head = Choices(spec, "relaxed")
    for agent, sizes in enumerate(parts):
        for places in itertools.product(*map(range, sizes)):
            index = sum(p * int(np.prod(sizes[:k])) for k, p in enumerate(places))
            action = jnp.zeros(len(parts), jnp.int32).at[agent].set(index)
            vector = encode(spec, action)
            assert vector.shape == (len(parts), width)
            assert vector[agent].tolist() == one_hots(places, sizes, width)
            available = jnp.asarray(spec.action_mask())
            assert decode(spec, head, vector, available).tolist() == action.tolist()


@pytest.mark.parametrize("parts", PARTS)
def test_every_choice_comes_back(parts: tuple[tuple[int, ...], ...]) -> None:
    """decode(encode(index)) = index with batch axes in front; blurred vectors round."""
    spec = spec_of(parts)
    sizes = np.array(spec.action_sizes)
    index = jnp.asarray(np.random.default_rng(0).integers(0, sizes, (2, 5, len(parts))))
    vector, head = encode(spec, index), Choices(spec, "relaxed")
    available = free(spec, 2, 5)
    for blurred in (vector, vector * 0.6 + 0.1):
        np.testing.assert_array_equal(decode(spec, head, blurred, available), index)


@pytest.mark.parametrize("kind", ["simplex", "box"])
def test_vectors_are_what_other_environments_take(kind: ActionKind) -> None:
    spec = spec_of(((2,), (2,)), kind)
    vector = jnp.array([[0.3, 0.7], [1.0, 0.0]])
    head = Choices(spec, "relaxed") if kind == "simplex" else Bounded(spec)
    assert encode(spec, vector) is vector
    assert decode(spec, head, vector, free(spec)) is vector


# --- choices -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["discrete", "simplex"])
@pytest.mark.parametrize("parts", PARTS[:2])
@pytest.mark.parametrize("estimator", ["relaxed", "straight_through"])
def test_each_real_part_sums_to_one(
    parts: tuple[tuple[int, ...], ...], estimator: Estimator, kind: ActionKind
) -> None:
    spec = spec_of(parts, kind)
    head, layout = Choices(spec, estimator), Parts(spec)
    out, noise = jax.random.normal(jax.random.key(0), (2, 6, len(parts), head.width)) * 3
    real = [[p < len(sizes) for sizes in parts] for p in range(max(map(len, parts)))]
    for vector in (head.sample(out, noise, free(spec, 6)), head.greedy(out, free(spec, 6))):
        sums = jnp.einsum("naw,paw->npa", vector, layout.masks)
        np.testing.assert_allclose(sums, np.broadcast_to(real, sums.shape), atol=1e-6)
        assert not np.any(vector[:, ~layout.real])


def test_softmax_by_hand() -> None:
    """Parts of 2 and 3: logits log 1, log 3 and log 1, log 1, log 2; temperature 1/2 squares."""
    spec = spec_of(((2, 3),), "simplex")
    out = jnp.log(jnp.array([[1.0, 3.0, 1.0, 1.0, 2.0]]))
    head = Choices(spec, "relaxed")
    soft = head.sample(out, jnp.zeros_like(out), free(spec))
    np.testing.assert_allclose(soft[0], [0.25, 0.75, 0.25, 0.25, 0.5], rtol=1e-6)
    sharp = Choices(spec, "relaxed", 0.5).sample(out, jnp.zeros_like(out), free(spec))
    np.testing.assert_allclose(sharp[0], [0.1, 0.9, 1 / 6, 1 / 6, 4 / 6], rtol=1e-6)
    assert head.greedy(out, free(spec)).tolist() == [[0, 1, 0, 0, 1]]


@pytest.mark.parametrize("estimator", ["relaxed", "straight_through"])
def test_what_is_not_available_is_never_chosen_and_learns_nothing(estimator: Estimator) -> None:
    """Not by the largest logits, not by NaN at padding; an agent with no choice harms nobody."""
    spec = spec_of(ONE_PART)
    available = jnp.array([[[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]], bool)
    out = jnp.where(available, jnp.array([1.0, -2.0, 0.5, 3.0]), 1e4)
    noise = jax.random.gumbel(jax.random.key(0), (1000, *out.shape))
    head = Choices(spec, estimator)
    for x in (out, jnp.where(spec.action_mask(), out, jnp.nan)):
        vector = head.sample(x + 0 * noise[:, 0], noise[:, 0], available)
        assert not np.any(np.where(available, 0, vector)), "chosen although unavailable"
        index = decode(spec, head, vector, jnp.broadcast_to(available, vector.shape))
        assert set(np.unique(index[:, 0])) == {1, 2} and not index[:, 1].any()
        np.testing.assert_allclose(vector[:, 2], 0)
    loss = lambda x: (head.sample(x, noise[:, 0], available) * jnp.arange(4)).sum()
    grads = jax.grad(loss)(jnp.broadcast_to(out, noise[:, 0].shape))
    assert np.all(np.isfinite(grads)) and np.any(grads[:, 0, 1:3])
    assert not np.any(np.where(available, 0, grads))


def test_huge_logits_stay_finite() -> None:
    spec = spec_of(((3,),), "simplex")
    head, out = Choices(spec, "relaxed"), jnp.array([[1e30, -1e30, 1e30]])
    soft, grad = jax.value_and_grad(lambda x: head.soft(x, free(spec))[0, 0])(out)
    assert soft == 0.5 and np.all(np.isfinite(grad))


@pytest.mark.parametrize("parts", PARTS[:2])
def test_straight_through_is_hard_forward_and_soft_backward(
    parts: tuple[tuple[int, ...], ...],
) -> None:
    spec = spec_of(parts, "simplex")
    out, noise, weight = jax.random.normal(jax.random.key(1), (3, 8, len(parts), Parts(spec).width))
    relaxed, straight = (Choices(spec, e, 0.7) for e in ("relaxed", "straight_through"))
    loss = lambda head: lambda x: (head.sample(x, noise, free(spec, 8)) * weight).sum()
    np.testing.assert_allclose(
        jax.grad(loss(straight))(out), jax.grad(loss(relaxed))(out), rtol=1e-6
    )
    hard = straight.sample(out, noise, free(spec, 8))
    np.testing.assert_allclose(hard, straight.greedy(out + noise, free(spec, 8)), atol=1e-6)


def test_sampled_choices_follow_the_softmax() -> None:
    """The top of logits plus Gumbel noise is a draw from the softmax, in each part alone."""
    spec = spec_of(((3, 2),))
    head = Choices(spec, "relaxed", 0.3)  # the temperature blurs, it does not bias
    out = jnp.broadcast_to(jnp.log(jnp.array([[0.2, 0.3, 0.5, 0.6, 0.4]])), (N, 1, 5))
    vector = head.sample(out, head.noise(jax.random.key(0), out.shape), free(spec, N))
    index = decode(spec, head, vector, free(spec, N))
    joint = np.outer([0.6, 0.4], [0.2, 0.3, 0.5]).ravel()  # the first part runs fastest
    assert chisquare(np.bincount(index[:, 0], minlength=6), joint * N).pvalue > 1e-3


# --- boxes ---------------------------------------------------------------------------------------


def test_bounded_actions() -> None:
    """tanh, the same with and without noise; absent entries are zero; the penalty is on tanh."""
    spec = spec_of(((2,), (1,)), "box")
    head = Bounded(spec)
    out = jnp.array([[0.5, -3.0], [2.0, 7.0]])
    expected = [[np.tanh(0.5), np.tanh(-3)], [np.tanh(2.0), 0]]
    assert not np.any(head.noise(jax.random.key(0), (5, 2, 2)))
    for action in (head.sample(out, jnp.zeros(2), free(spec)), head.greedy(out, free(spec))):
        np.testing.assert_allclose(action, expected, rtol=1e-6)
    np.testing.assert_allclose(head.squared(out), np.tanh(out) ** 2, rtol=1e-6)
    assert head.width == 2 and head.real().tolist() == [[True, True], [True, False]]


def test_gaussian_actions() -> None:
    """Outputs are means, then logarithms of deviations; the penalty is on both."""
    spec = spec_of(((2,), (1,)), "box")
    head = Gaussian(spec)
    assert head.width == 4
    assert head.real().tolist() == [[True] * 4, [True, False, True, False]]
    out = jnp.broadcast_to(jnp.array([[1.0, -2, np.log(0.5), np.log(2)], [3, 9, 0, 9]]), (N, 2, 4))
    assert head.greedy(out, free(spec, N))[0].tolist() == [[1, -2], [3, 0]]
    noise = head.noise(jax.random.key(0), out.shape)
    sample = head.sample(out, noise, free(spec, N))
    np.testing.assert_allclose(sample.mean(0), [[1, -2], [3, 0]], atol=0.05)
    np.testing.assert_allclose(sample.std(0), [[0.5, 2], [1, 0]], rtol=0.02)
    np.testing.assert_allclose(head.squared(out), out**2)


# --- exploration ---------------------------------------------------------------------------------


def test_greedy_is_the_best_available() -> None:
    scores = jnp.array([[5.0, 1.0, 3.0], [-9.0, -1.0, -3.0]])
    available = jnp.array([[False, True, True], [True, False, True]])
    assert greedy(scores, available).tolist() == [2, 2]


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_epsilon_greedy(epsilon: float) -> None:
    """The best of three available ones with probability 1 - e + e/3, the others e/3 each."""
    scores = jnp.broadcast_to(jnp.array([9.0, 1.0, 4.0, 2.0]), (N, 4))
    available = jnp.broadcast_to(jnp.array([False, True, True, True]), (N, 4))
    chosen = epsilon_greedy(jax.random.key(0), scores, available, epsilon)
    counts = np.bincount(chosen, minlength=4)
    other = epsilon / 3
    expected = np.array([0, other, 1 - epsilon + other, other]) * N
    assert not np.any(counts[expected == 0])
    where = expected > 0
    assert where.sum() == 1 or chisquare(counts[where], expected[where]).pvalue > 1e-3


def test_one_number_chooses_the_nth_available(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the least number to the largest below 1; where there is no choice, the first."""
    available = jnp.array(
        [[0, 1, 0, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], bool
    )
    expected = {0.0: [1, 0, 4, 0], 0.5: [3, 2, 4, 0], 1 - 2.0**-23: [4, 4, 4, 0]}
    for number, choices in expected.items():
        monkeypatch.setattr(jax.random, "uniform", lambda key, shape, n=number: jnp.full(shape, n))
        assert uniform_choice(jax.random.key(0), available).tolist() == choices
    counts = np.arange(1, 10_000, dtype=np.float32)
    assert np.all(np.float32(1 - 2.0**-23) * counts < counts), "the largest number is none too many"


def test_ornstein_uhlenbeck() -> None:
    """By hand without noise; with it, the deviation it settles at: s / sqrt(1 - (1 - theta)^2)."""
    still = ornstein_uhlenbeck(jax.random.key(0), jnp.array([2.0, -1.0]), 0.25, 0.0)
    assert still.tolist() == [1.5, -0.75]
    step = lambda x, key: (ornstein_uhlenbeck(key, x, 0.15, 0.2), None)
    keys = jax.random.split(jax.random.key(1), 60)
    settled = jax.lax.scan(step, jnp.zeros(N), keys)[0]
    np.testing.assert_allclose(settled.std(), 0.2 / np.sqrt(1 - 0.85**2), rtol=0.03)
    np.testing.assert_allclose(settled.mean(), 0, atol=0.01)


def uniform_actions(spec: EnvSpec, available: Array) -> Any:
    zeros = jnp.zeros((N, spec.num_agents))
    view = View(zeros, jnp.broadcast_to(available, (N, *available.shape)), zeros > 0)
    policy = uniform_policy(spec)
    carry, action, extras = policy.step(policy.reset(jax.random.key(0), N), view, jax.random.key(1))
    assert carry == () and extras == ()
    return np.asarray(action)


def test_uniform_choices() -> None:
    spec = spec_of(ONE_PART)
    available = jnp.array([[1, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0]], bool)
    action = uniform_actions(spec, available)
    for agent in range(3):
        counts = np.bincount(action[:, agent], minlength=4)
        assert not counts[~np.asarray(available[agent])].any()
        if agent < 2:  # the third has no choice
            assert chisquare(counts[np.asarray(available[agent])]).pvalue > 1e-3


def test_uniform_simplex_draws_the_one_hots_of_each_part() -> None:
    spec = spec_of(((3, 2), (4,)), "simplex")
    action = uniform_actions(spec, jnp.asarray(spec.action_mask()))
    assert set(np.unique(action)) == {0.0, 1.0} and not action[:, 1, 4].any()
    corner = action[:, 0, :3].argmax(-1) + 3 * action[:, 0, 3:].argmax(-1)
    assert chisquare(np.bincount(corner, minlength=6)).pvalue > 1e-3
    assert chisquare(action[:, 1, :4].sum(0)).pvalue > 1e-3
    np.testing.assert_array_equal(action.sum(-1), [[2, 1]] * N)


def test_uniform_box() -> None:
    spec = spec_of(((2,), (1,)), "box")
    action = uniform_actions(spec, jnp.asarray(spec.action_mask()))
    assert not action[:, 1, 1].any() and np.all(np.abs(action) <= 1)
    real = action.reshape(N, -1)[:, :3]
    np.testing.assert_allclose(real.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(real.std(0), 1 / np.sqrt(3), rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(real.T), np.eye(3), atol=0.03)


# --- densities ------------------------------------------------------------------------------------


def each_part(spec: EnvSpec, agent: int, row: Array) -> list[np.ndarray]:
    """An agent's numbers [W] without padding, part by part."""
    sizes = spec.action_parts[agent]
    return np.split(np.asarray(row, float)[: sum(sizes)], np.cumsum(sizes)[:-1])


@pytest.mark.parametrize("parts", PARTS)
def test_choices_as_densities_part_by_part(parts: tuple[tuple[int, ...], ...]) -> None:
    """Log-probabilities of one-hots and of soft labels, entropies, divergences; without padding."""
    spec, rng = spec_of(parts), np.random.default_rng(0)
    head = Choices(spec, "relaxed")
    one, other, noise = (
        jnp.asarray(rng.normal(0, 2, (5, len(parts), head.width)), jnp.float32) for _ in range(3)
    )
    available = free(spec_of(parts, "simplex"), 5)
    for vector in (head.soft(noise, available), head.hard(noise, available)):
        told = head.log_prob(one, vector, available)
        entropy, far = head.entropy(one, available), head.divergence(one, other, available)
        for n, agent in itertools.product(range(5), range(len(parts))):
            rows = [each_part(spec, agent, x[n, agent]) for x in (vector, one, other)]
            label, p, q = rows[0], *(list(map(softmax, row)) for row in rows[1:])
            pairs = list(zip(label, p, q, strict=True))
            likely = sum((a * np.log(p)).sum() for a, p, _ in pairs)
            np.testing.assert_allclose(told[n, agent], likely, rtol=1e-5)
            disorder = -sum((p * np.log(p)).sum() for _, p, _ in pairs)
            np.testing.assert_allclose(entropy[n, agent], disorder, rtol=1e-4)
            apart = sum((p * np.log(p / q)).sum() for _, p, q in pairs)
            np.testing.assert_allclose(far[n, agent], apart, rtol=1e-4)


def test_choices_that_are_hardly_possible_stay_finite() -> None:
    """A choice of probability e^-200 has that logarithm, and a gradient that makes it likelier."""
    spec = spec_of(((2,), (2,)), "simplex")
    head, available = Choices(spec, "relaxed"), jnp.array([[True, True], [True, False]])
    out, vector = jnp.array([[200.0, 0], [3, 9]]), jnp.array([[0.0, 1], [1, 0]])
    np.testing.assert_allclose(head.log_prob(out, vector, available), [-200, 0])
    slope = jax.grad(lambda out: head.log_prob(out, vector, available).sum())(out)
    np.testing.assert_allclose(slope, [[-1, 1], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(head.entropy(out, available), 0, atol=1e-6)


def test_boxes_as_densities() -> None:
    """Normals against scipy's; around tanh they have deviation 1, and constants are left out."""
    spec, rng = spec_of(((2,), (1,)), "box"), np.random.default_rng(0)
    available = free(spec, 3)
    vector = jnp.asarray(rng.normal(size=(3, 2, 2)), jnp.float32) * available
    one, other = (jnp.asarray(rng.normal(size=(3, 2, 4)), jnp.float32) for _ in range(2))
    head, kept = Gaussian(spec), np.asarray(available)
    (mean, log_std), (mean2, log_std2) = (np.split(np.asarray(x), 2, -1) for x in (one, other))
    density: Any = norm(mean, np.exp(log_std))
    expected = (density.logpdf(vector) * kept).sum(-1)
    np.testing.assert_allclose(head.log_prob(one, vector, available), expected, rtol=1e-4)
    expected = (density.entropy() * kept).sum(-1)
    np.testing.assert_allclose(head.entropy(one, available), expected, rtol=1e-4)
    points = density.ppf((np.arange(20_000)[:, None, None, None] + 0.5) / 20_000)
    apart = (density.logpdf(points) - norm.logpdf(points, mean2, np.exp(log_std2))).mean(0)
    expected = (apart * kept).sum(-1)
    np.testing.assert_allclose(head.divergence(one, other, available), expected, rtol=2e-2)
    bounded, out = Bounded(spec), one[..., :2]
    centre: Any = norm(np.tanh(out), 1)
    expected = ((centre.logpdf(vector) - norm.logpdf(0)) * kept).sum(-1)
    np.testing.assert_allclose(bounded.log_prob(out, vector, available), expected, rtol=1e-4)
    assert not np.any(bounded.entropy(out, available))
    expected = ((np.tanh(out) - np.tanh(other[..., :2])) ** 2 / 2 * kept).sum(-1)
    far = bounded.divergence(out, other[..., :2], available)
    np.testing.assert_allclose(far, expected, rtol=1e-4)
