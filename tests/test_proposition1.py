"""The exact columns of experiments/proposition1, against all joint actions there are."""

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "experiments" / "proposition1"
AGENTS = 3


@pytest.fixture
def estimators(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Scripts lie in no package."""
    monkeypatch.syspath_prepend(FOLDER)
    yield __import__("estimators")
    del sys.modules["estimators"]


def joint(agents: int) -> np.ndarray:
    """Relaxed actions that round to every joint action there is, [2^N, N]."""
    return np.array(list(itertools.product((0.25, 0.75), repeat=agents)))


def named(estimators: Any, start: str) -> Any:
    return next(e for e in estimators.ESTIMATORS if e.name == start)


@pytest.mark.parametrize("agents", [2, 3])
@pytest.mark.parametrize(
    "name", ["REINFORCE", "REINFORCE less E[R]", "central critic, all actions"]
)
def test_chances_and_moments_are_those_of_all_joint_actions(
    name: str, agents: int, estimators: Any
) -> None:
    estimator = named(estimators, name)
    check(estimator, estimator.estimate(joint(agents)), agents)
    mean, _ = estimator.moments(agents)
    assert mean == 0.5 ** (agents - 1), "unbiased"


def test_the_path_derivative_is_that_of_the_mean_reward(estimators: Any) -> None:
    """Of prod_j sigmoid(logit(p_j) + noise_j): by finite differences at one point, and its moments
    by an integral over a grid of two agents' relaxed actions."""
    estimator = named(estimators, "central critic, path derivative")
    relaxed = np.array([0.2, 0.7, 0.4])
    noise = np.log(relaxed / (1 - relaxed))  # logit(1/2) is 0
    reward = lambda p: np.prod(1 / (1 + np.exp(-np.log(p / (1 - p)) - noise)))
    steps = 1e-6 * np.eye(AGENTS)
    slope = [(reward(0.5 + step) - reward(0.5 - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(estimator.estimate(relaxed[None])[0], slope, rtol=1e-6)
    line = (np.arange(400) + 0.5) / 400
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    estimate = estimator.estimate(grid)
    np.testing.assert_allclose(
        (estimate.mean(0)[0], estimate.var(0)[0]), estimator.moments(2), 1e-4
    )


@pytest.mark.parametrize("start", ["REINFORCE, 2 samples", "independent critic, 2 samples"])
def test_batches_of_two(start: str, estimators: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All pairs of joint actions are a batch each."""
    monkeypatch.setattr(estimators, "BATCH", 2)
    estimator = named(estimators, start.replace("2", "64"))
    pairs = np.array(list(itertools.product(joint(AGENTS), repeat=2))).reshape(-1, AGENTS)
    estimate = estimator.estimate(pairs)
    assert estimate.shape == (64, AGENTS)
    check(estimator, estimate, AGENTS)


def check(estimator: Any, estimate: np.ndarray, agents: int) -> None:
    """Against estimates that are all equally likely."""
    assert (estimate.sum(1) > 0).mean() == estimator.chance(agents)
    mean, variance = estimator.moments(agents)
    np.testing.assert_allclose(estimate.mean(0), mean)
    np.testing.assert_allclose(estimate.var(0), variance)
