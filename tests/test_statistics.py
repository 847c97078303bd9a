"""What several seeds say together, beside scipy, brute force and numbers worked by hand."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from jmarl.statistics import (
    aligned,
    bootstrap,
    interquartile_mean,
    normalised,
    over_tasks,
    performance_profile,
    pooled_interquartile_mean,
    probability_of_improvement,
)


@pytest.fixture
def rng() -> np.random.Generator:
    """Each test's own, so that their order changes nothing."""
    return np.random.default_rng(0)


@pytest.mark.parametrize("seeds", range(1, 21))
def test_the_interquartile_mean_is_scipys_trimmed_mean(
    seeds: int, rng: np.random.Generator
) -> None:
    values = rng.normal(size=(3, 4, seeds))
    expected = stats.trim_mean(values, 0.25, axis=-1)
    np.testing.assert_allclose(interquartile_mean(values), expected, rtol=1e-12)


def test_the_interquartile_mean_by_hand() -> None:
    assert interquartile_mean([9.0, 1.0, -500.0, 3.0]) == 2.0
    assert interquartile_mean([0, 0, 1, 2, 3, 4, 99, 99]) == 2.5
    assert interquartile_mean([1.0, 2.0, 6.0]) == 3.0  # a quarter of three seeds is none


def test_a_seed_that_is_nan_is_not_trimmed_away() -> None:
    values = [[1.0, 2.0, 3.0, np.nan], [1.0, 2.0, 3.0, 4.0]]
    np.testing.assert_equal(interquartile_mean(values), [np.nan, 2.5])
    assert np.isnan(probability_of_improvement([1.0, np.nan], [0.0]))
    assert np.isnan(bootstrap(interquartile_mean, [1.0, np.nan]).low)


@pytest.mark.parametrize("sizes", [(1, 1), (4, 7), (10, 10)])
def test_the_probability_of_improvement_is_mann_whitneys_u(
    sizes: tuple[int, int], rng: np.random.Generator
) -> None:
    first, second = (rng.integers(0, 6, n).astype(float) for n in sizes)  # with ties
    u = stats.mannwhitneyu(first, second).statistic
    assert probability_of_improvement(first, second) == pytest.approx(u / (sizes[0] * sizes[1]))


def test_the_probability_of_improvement_by_hand(rng: np.random.Generator) -> None:
    assert probability_of_improvement([1.0, 2.0], [1.0, 0.0, 3.0]) == pytest.approx(3.5 / 6)
    first, second = rng.normal(size=(5, 3, 4)), rng.normal(size=(5, 3, 6))
    forth, back = (probability_of_improvement(a, b) for a, b in ((first, second), (second, first)))
    assert forth.shape == (5, 3)
    np.testing.assert_allclose(forth + back, 1)


def test_the_performance_profile_is_one_minus_the_distribution_function(
    rng: np.random.Generator,
) -> None:
    values, thresholds = rng.normal(size=(2, 30)), np.linspace(-2, 2, 9)
    profile = performance_profile(values, thresholds)
    for row, expected in zip(values, profile, strict=True):
        np.testing.assert_allclose(expected, stats.ecdf(row).sf.evaluate(thresholds))
    assert performance_profile([0.0, 0.5, 1.0, np.nan], [0.0, 0.5, 1.0]).tolist() == [0.5, 0.25, 0]


def test_the_bootstrap_is_scipys_percentile_interval(rng: np.random.Generator) -> None:
    """Both are random: their ends differ by little of the width with so many resamples."""
    values = rng.normal(size=9)
    found = bootstrap(interquartile_mean, values, resamples=40_000)
    other = stats.bootstrap(
        (values,), interquartile_mean, n_resamples=40_000, method="percentile", rng=1
    ).confidence_interval
    width = other.high - other.low
    assert found.value == interquartile_mean(values)
    assert found.low == pytest.approx(other.low, abs=0.02 * width)
    assert found.high == pytest.approx(other.high, abs=0.02 * width)


def test_the_bootstrap_against_all_resamples() -> None:
    """Two tasks of two and three seeds: 4 x 27 equally likely draws."""
    tasks = np.array([0.0, 1.0]), np.array([2.0, 5.0, 11.0])
    draws = [
        np.mean([np.mean(x), np.mean(y)])
        for x, y in product(product(tasks[0], repeat=2), product(tasks[1], repeat=3))
    ]
    mean = over_tasks(lambda values: values.mean(-1))
    for level in (0.5, 0.9):
        found = bootstrap(mean, *tasks, level=level, resamples=20_000)
        exact = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2])
        assert found.value == pytest.approx(3.25)
        np.testing.assert_allclose([found.low, found.high], exact, atol=0.2)


def test_strata_are_not_mixed() -> None:
    """Tasks far apart, seeds all alike: no draw within a task changes anything."""
    found = bootstrap(pooled_interquartile_mean, [1.0, 1.0], [100.0, 100.0])
    assert found == (50.5, 50.5, 50.5)


def test_the_bootstrap_draws_a_seeds_whole_curve(rng: np.random.Generator) -> None:
    """Every seed rises by one: so does every resample, whichever seeds it has."""
    begin = rng.normal(size=6)
    values = np.stack([begin, begin + 1])  # [E, S]
    rise = bootstrap(lambda x: np.diff(x.mean(-1), axis=-1), values)
    np.testing.assert_allclose(rise, np.ones((3, 1)))


def test_the_bootstrap_is_one_and_the_same(rng: np.random.Generator) -> None:
    values = rng.normal(size=(4, 7))
    first, again, other = (bootstrap(interquartile_mean, values, seed=n) for n in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first.low, other.low)
    assert first.low.shape == (4,) and (first.low < first.high).all()


def test_the_interval_covers_as_often_as_it_says(rng: np.random.Generator) -> None:
    """95% for the mean of 40 normal seeds: percentile intervals fall short by a little."""
    hits = 0
    for trial, values in enumerate(rng.normal(size=(400, 40))):
        found = bootstrap(lambda x: x.mean(-1), values, resamples=400, seed=trial)
        hits += found.low <= 0 <= found.high
    assert 0.90 <= hits / 400 <= 0.98


def test_one_seed_has_no_width() -> None:
    assert bootstrap(interquartile_mean, [3.0]) == (3.0, 3.0, 3.0)


def test_normalised() -> None:
    assert normalised([-2.0, 0.0, 2.0], -2.0, 2.0).tolist() == [0, 0.5, 1]
    assert normalised([3.0, 3.0], 3.0, 3.0).tolist() == [0, 0]


def test_over_tasks_hands_out_a_tasks_arrays_together() -> None:
    found = over_tasks(probability_of_improvement, 2)
    assert found(np.array([1.0]), np.array([0.0]), np.array([0.0]), np.array([0.0])) == 0.75


def test_curves_that_jitter_are_paired_in_order() -> None:
    """The last evaluation too, where the curve whose steps are taken has come a little further."""
    steps, values = aligned(
        [np.array([0.0, 99, 204]), np.array([0.0, 101, 200])],
        [np.array([1.0, 2, 3]), np.array([4.0, 5, 6])],
    )
    assert steps.tolist() == [0, 100, 202]
    assert values.tolist() == [[1, 4], [2, 5], [3, 6]]


def test_a_finer_and_a_shorter_curve() -> None:
    """The coarse one's steps, of which the short one has come to the first three."""
    fine = np.arange(0.0, 205, 10)
    coarse = np.arange(0.0, 401, 100)
    steps, values = aligned([fine, coarse], [fine, -coarse])
    assert steps.tolist() == [0, 100, 200]
    assert values.tolist() == [[0, 0], [100, -100], [200, -200]]


def test_a_curve_that_has_just_begun() -> None:
    steps, values = aligned([np.array([0.0]), np.array([0.0, 50])], [np.array([7.0]), np.ones(2)])
    assert steps.tolist() == [0] and values.tolist() == [[7, 1]]
