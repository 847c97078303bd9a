"""What a program's products cost, against numbers counted by hand."""

from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jmarl.config import experiment
from jmarl.making import env_of
from jmarl.program import Program

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
A, B = jnp.ones((3, 4)), jnp.ones((4, 5))
ONE = (2 * 3 * 4 * 5, 4 * (12 + 20 + 15))  # of A @ B: operations, bytes


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return __import__("counting")


def looped(a: Any) -> Any:
    return lax.scan(lambda total, _: (total + (a @ B).sum(), None), 0.0, None, 7)[0]


def branched(a: Any) -> Any:
    return lax.cond(a.sum() > 0, lambda: a @ B, lambda: (a @ B) @ B.T @ B)


@pytest.mark.parametrize(
    ("function", "times"),
    [
        (lambda a: a @ B, 1),
        (lambda a: a + 1, 0),
        (jax.jit(lambda a: a @ B), 1),
        (looped, 7),
        (lambda a: lax.fori_loop(0, 3, lambda i, x: x + (a @ B).sum(), 0.0), 3),
        (branched, 1),
        (jax.vmap(lambda row: row @ B), 1),
    ],
    ids=["product", "none", "jit", "scan", "loop", "branch", "vmap"],
)
def test_products_are_counted_as_often_as_they_run(
    function: Any, times: int, counting: ModuleType
) -> None:
    work = counting.work_of(function, A)
    assert (work.flops, work.bytes) == (times * ONE[0], times * ONE[1])


def test_of_branches_the_longer_one_counts_where_it_is_asked_for(counting: ModuleType) -> None:
    assert counting.work_of(branched, A, taken=max).flops == 3 * ONE[0]


def test_the_way_back_is_counted_too(counting: ModuleType) -> None:
    slopes = jax.grad(lambda a, b: (a @ b).sum(), (0, 1))
    assert counting.work_of(slopes, A, B).flops == 3 * ONE[0]


def test_a_convolution_and_what_is_gathered(counting: ModuleType) -> None:
    image, kernel = jnp.ones((2, 3, 8, 8)), jnp.ones((5, 3, 3, 3))
    convolve = lambda x: lax.conv(x, kernel, (1, 1), "VALID")
    assert counting.work_of(convolve, image).flops == 2 * (2 * 5 * 6 * 6) * (3 * 3 * 3)
    work = counting.work_of(lambda x: x[jnp.array([0, 2])], jnp.ones((9, 10)))
    assert (work.flops, work.bytes) == (0, 2 * 4 * 2 * 10)


def test_a_chunk_is_its_updates_and_its_acting(counting: ModuleType) -> None:
    """IQL's agents on a toy: acting sees every view once; learning, online and target and back."""
    floors = __import__("floors")
    settings = {"env": "toy/clock", "num_envs": 4, "batch_size": 2, "warmup_episodes": 4}
    settings |= {"hidden_dim": (8,), "rnn_dim": 0, "team_reward": "sum", "buffer_size": 8}
    plan = experiment("iql", settings=settings | {"episodes_per_update": 4})
    program = Program(env_of(plan), plan)
    shape, spec = program.shape, program.env.spec
    agents, width = spec.num_agents, spec.obs_size + spec.action_size + spec.num_agents
    row = 2 * agents * 8 * (width + spec.action_size)  # one view of all agents
    back = row + 2 * agents * 8 * spec.action_size  # the weights' gradients, and the hidden units'
    views = shape.rollout_length  # the last one is an episode's last, where it resets
    each = (shape.num_envs + shape.updates_per_rollout * 2 * 2) * views * row + 2 * views * back
    assert floors.work_of_chunk(program).flops == shape.rollouts_per_chunk * each


def test_the_floor_is_the_environment_and_the_longer_of_two(counting: ModuleType) -> None:
    floors = __import__("floors")
    machine = floors.Machine(flops_per_second=100.0, bytes_per_second=10.0)
    bound = floors.floor(counting.Work(200.0, 30.0), machine, env_seconds=1.0, took=12.0)
    assert bound["seconds"]["operations"] == 2 and bound["seconds"]["bytes"] == 3
    assert bound["seconds"]["floor"] == 4 and bound["times_the_floor"] == 3


def test_a_machine_is_measured_by_its_quickest_try(
    counting: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    floors = __import__("floors")
    ticks = iter([0.0, 5.0, 5.0, 7.0, 7.0, 17.0])
    monkeypatch.setattr(floors, "TRIES", 3)
    assert floors.quickest(lambda x: x, A, lambda: next(ticks)) == 2.0
