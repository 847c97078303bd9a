"""Return targets against brute force over segments cut as rollouts cut them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmarl.targets import lambda_returns, n_step, one_step
from jmarl.types import Transition

T, B, A, GAMMA = 12, 40, 2, 0.9


def random_batch(seed: int) -> tuple[np.ndarray, Transition]:
    """Values and a segment in which truncated episodes take a position to reset; nothing else
    does, and behind a termination stands the next episode."""
    rng = np.random.default_rng(seed)
    flags = np.zeros((3, T, B), bool)
    terminated, truncated, valid = flags
    ended = rng.random(B) < 0.3  # the segment may open at an episode's last view
    for t in range(T):
        valid[t] = ~ended
        ends = rng.random((2, B)) < 0.2
        terminated[t], truncated[t] = valid[t] & ends[0], valid[t] & ends[1] & ~ends[0]
        ended = truncated[t]
    values, reward = rng.normal(size=(T + 1, B, A)), rng.normal(size=(T, B, A))
    reward *= valid[..., None]
    batch = Transition(
        view=None,  # pyright: ignore[reportArgumentType]
        start=jnp.zeros((T + 1, B), bool),
        action=jnp.zeros((T, B, A)),
        reward=jnp.asarray(reward),
        terminated=jnp.asarray(terminated),
        truncated=jnp.asarray(truncated),
        valid=jnp.asarray(valid),
    )
    return values, batch


def n_rewards(values: np.ndarray, batch: Transition, t: int, b: int, n: int) -> np.ndarray:
    """G^(n): n rewards, then the value of the view after them if the episode goes on or was cut."""
    rewards = GAMMA ** np.arange(n) @ np.asarray(batch.reward)[t : t + n, b]
    future = 0 if batch.terminated[t + n - 1, b] else GAMMA**n * values[t + n, b]
    return rewards + future


def steps_left(batch: Transition, t: int, b: int) -> int:
    """To the end of the episode or of the segment."""
    left = 1
    while not (batch.terminated | batch.truncated)[t + left - 1, b] and t + left < T:
        left += 1
    return left


def forward_view(values: np.ndarray, batch: Transition, t: int, b: int, trace: float) -> np.ndarray:
    """(1 - l) sum l^(n-1) G^(n) + l^(N-1) G^(N), with N steps left to the end."""
    left = steps_left(batch, t, b)
    goal = trace ** (left - 1) * n_rewards(values, batch, t, b, left)
    for n in range(1, left):
        goal = goal + (1 - trace) * trace ** (n - 1) * n_rewards(values, batch, t, b, n)
    return goal


@pytest.mark.parametrize("trace", [0.0, 0.3, 0.8, 1.0])
def test_lambda_returns_equal_the_forward_view(trace: float) -> None:
    values, batch = random_batch(int(trace * 10))
    goals = np.asarray(lambda_returns(jnp.asarray(values), batch, GAMMA, trace))
    assert goals.shape == (T, B, A)
    batch = jax.tree.map(np.asarray, batch)
    for t in range(T):
        for b in range(0, B, 3):
            if batch.valid[t, b]:
                expected = forward_view(values, batch, t, b, trace)
                np.testing.assert_allclose(goals[t, b], expected, rtol=1e-5, atol=1e-5)
            else:
                np.testing.assert_allclose(goals[t, b], values[t, b], rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3, T + 1])
def test_n_step_returns_equal_brute_force(steps: int) -> None:
    """As many rewards as are left, up to `steps`."""
    values, batch = random_batch(20 + steps)
    goals = np.asarray(n_step(jnp.asarray(values), batch, GAMMA, steps))
    assert goals.shape == (T, B, A)
    batch = jax.tree.map(np.asarray, batch)
    for t, b in np.argwhere(batch.valid):
        left = min(steps, steps_left(batch, t, b))
        expected = n_rewards(values, batch, t, b, left)
        np.testing.assert_allclose(goals[t, b], expected, rtol=1e-5, atol=1e-5)


def test_returns_by_hand() -> None:
    """gamma 1/2, trace 1/2: rewards 1, 2 and a cut; the last view is worth 8. Then 4 and a true
    end; then 2, and a view worth 16."""
    column = lambda *x: jnp.array(x)[:, None]
    batch = Transition(
        view=None,  # pyright: ignore[reportArgumentType]
        start=column(True, False, False, True, True, False),
        action=jnp.zeros((5, 1)),
        reward=column(1.0, 2.0, 0.0, 4.0, 2.0)[..., None],
        terminated=column(False, False, False, True, False),
        truncated=column(False, True, False, False, False),
        valid=column(True, True, False, True, True),
    )
    values = column(100.0, 4.0, 8.0, 100.0, 100.0, 16.0)[..., None]
    goals = lambda_returns(values, batch, 0.5, 0.5)[:, 0, 0]
    # G1 = 2 + 8/2 = 6; G0 = 1 + (4 + 6)/4 = 3.5; G3 = 4, as nothing follows; G4 = 2 + 16/2 = 10
    assert goals.tolist() == [3.5, 6.0, 8.0, 4.0, 10.0]
    # two rewards and the last view: 1 + (2 + 8/2)/2 = 4, and nothing of the next episode
    assert n_step(values, batch, 0.5, 2)[:, 0, 0].tolist() == [4.0, 6.0, 8.0, 4.0, 10.0]
    assert n_step(values, batch, 0.5, 1)[:, 0, 0].tolist() == [3.0, 6.0, 8.0, 4.0, 10.0]


def test_no_trace_is_one_step() -> None:
    values, batch = random_batch(5)
    values = jnp.asarray(values)
    goals = lambda_returns(values, batch, GAMMA, 0.0)
    terminated = jnp.broadcast_to(batch.terminated[..., None], goals.shape)
    direct = one_step(batch.reward, values[1:], terminated, GAMMA)
    valid = np.asarray(batch.valid)
    np.testing.assert_allclose(goals[valid], direct[valid], rtol=1e-5, atol=1e-6)


def test_one_step_by_hand() -> None:
    reward, future = jnp.array([1.0, 1.0]), jnp.array([10.0, 10.0])
    goal = one_step(reward, future, jnp.array([False, True]), 0.5)
    assert goal.tolist() == [6.0, 1.0]


def test_what_follows_an_end_is_not_heard_of() -> None:
    """After a termination neither values nor rewards behind it; after a truncation the value of the
    last view matters, and nothing of the episode that follows."""
    values, batch = random_batch(7)
    weights = np.random.default_rng(0).normal(size=(T + 1, A))
    goals = of_all_kinds(values, batch)
    ended = np.asarray(batch.terminated | batch.truncated)
    assert batch.terminated[:-2].any() and batch.truncated[:-2].any()
    for t, b in np.argwhere(ended[:-2])[:20]:
        behind = t + 1 if batch.terminated[t, b] else t + 2
        other, reward = values.copy(), np.array(batch.reward)
        other[behind:, b] += weights[behind:]
        reward[behind:, b] += weights[behind:-1]
        changed = of_all_kinds(other, batch.replace(reward=jnp.asarray(reward))) - goals
        assert not np.any(changed[:, : t + 1, b]), "leaks from the next episode"
        other = values.copy()
        other[t + 1, b] += 1
        changed = of_all_kinds(other, batch) - goals
        expected = 0 if batch.terminated[t, b] else GAMMA
        np.testing.assert_allclose(changed[:, t, b], expected, atol=1e-6)


def of_all_kinds(values: np.ndarray, batch: Transition) -> np.ndarray:
    """Traced and n-step targets, [2, T, B, A]."""
    seen = jnp.asarray(values)
    traced = lambda_returns(seen, batch, GAMMA, 0.7)
    return np.stack([traced, n_step(seen, batch, GAMMA, 3)])


def test_targets_carry_no_gradient() -> None:
    values, batch = random_batch(3)
    through = lambda v: lambda_returns(v, batch, GAMMA, 0.7).sum()
    assert not np.any(jax.grad(through)(jnp.asarray(values)))
    several = lambda v: n_step(v, batch, GAMMA, 3).sum()
    assert not np.any(jax.grad(several)(jnp.asarray(values)))
    once = lambda v: one_step(v, v, v * 0, GAMMA).sum()
    assert not np.any(jax.grad(once)(jnp.ones(3)))
