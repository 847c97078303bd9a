"""Runs that several devices share: the same learning, and what the devices tell each other."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmarl
from jmarl import ConfigError, forecast, make_env, train
from jmarl.config import experiment
from jmarl.grouped import Groups, grouped_replay
from jmarl.memory import replay
from jmarl.mesh import Mesh, parse
from jmarl.networks.rows import apart, products, rows
from jmarl.program import Program
from jmarl.stripes import cut_after, drawn, join, laid_in, lots, part, split, striped
from jmarl.types import Clock, Transition

PROBE = Path(__file__).with_name("mesh_probe.py")
ON_PARTICLES = ("maddpg", "maddpg, inferring", "maddpg, ensemble")  # batches in an order
SLOW = [pytest.param(x, marks=pytest.mark.slow) for x in ("coma", "mappo", *ON_PARTICLES[1:])]
ALONG_ENV = [[0, 1, 2, 3], [4, 5, 6, 7]]  # of a mesh seed=2,env=4


def probe(*args: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, PROBE, *args], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module", params=["qmix", "maddpg", *SLOW])
def told(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Off-policy with a replay, also of each agent's own batches, on-policy, and in minibatches."""
    on_particles = request.param in ON_PARTICLES
    return probe(request.param, "mpe/simple_spread" if on_particles else "matrix/two_step")


def test_eight_devices_learn_what_one_does(told: dict[str, Any]) -> None:
    assert told["devices"] == 8
    assert told["start"] == 0
    assert 0 < told["learner"] < 1e-4  # sums are added in another order
    assert told["metrics_0"] < 1e-4
    assert told["metrics_1"] < 1e-3


def test_devices_tell_each_other_gradients_and_metrics_alone(told: dict[str, Any]) -> None:
    said = told["collectives"]
    assert {one["kind"] for one in said} == {"all-reduce"}
    # gradients are as large as the parameters, which a learner holds at least thrice
    assert 0 < sum(one["bytes"] for one in said) <= 1.01 * told["size"] / 2


def test_seeds_tell_each_other_nothing(told: dict[str, Any]) -> None:
    for one in told["collectives"]:
        assert [sorted(group) for group in one["groups"]] == ALONG_ENV


@pytest.mark.slow
def test_bytes_of_an_update_are_counted() -> None:
    script = Path(__file__).parents[1] / "benchmarks/collectives.py"
    done = subprocess.run(
        [sys.executable, script, "vdn:matrix/two_step"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = [cell.strip().replace(",", "") for cell in done.stdout.splitlines()[-1].split("|")]
    learner, said = float(cells[3]), float(cells[4])
    assert 1 <= said / (learner / 3) < 1.1  # parameters, targets and RMSprop's squares


def test_a_shared_run_resumes_and_is_evaluated(tmp_path: Path) -> None:
    found = probe("resume", str(tmp_path))
    assert found["again"] == pytest.approx(found["whole"], abs=1e-5)
    assert found["elsewhere"][0] == found["elsewhere"][1]  # jax computes on its second device
    assert len(found["evaluated"]) == 2
    here = jmarl.evaluate(tmp_path / "whole", episodes=8)[0]  # where there are fewer devices
    assert here["episode_return"] == pytest.approx(found["evaluated"], abs=1e-5)
    for one in found["collectives"]:  # devices play an episode each, and add up what it came to
        assert one["kind"] == "all-reduce" and one["bytes"] < 100
        assert [sorted(group) for group in one["groups"]] == ALONG_ENV


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mesh"),
    [("", Mesh()), ("seed=2", Mesh(2)), ("env=4", Mesh(1, 4)), ("env=4, seed=2", Mesh(2, 4))],
)
def test_meshes_are_read(text: str, mesh: Mesh) -> None:
    assert parse(text) == mesh
    assert parse(str(mesh)) == mesh


@pytest.mark.parametrize(
    "text", ["4", "seed", "seeds=2", "env=0", "env=-1", "env=2,env=2", "env=2;"]
)
def test_what_is_no_mesh_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=f"mesh must be .*as in seed=2,env=4, got '{text}'"):
        parse(text)


@pytest.mark.parametrize(
    ("algorithm", "settings", "words"),
    [
        ("qmix", {"mesh": "seed=2", "seeds": 3}, "seeds must be a multiple .*seed=2, got 3"),
        ("qmix", {"mesh": "env=3", "num_envs": 8}, "num_envs must be a multiple .*env=3, got 8"),
        ("qmix", {"mesh": "env=8", "batch_size": 12, "num_envs": 8}, "batch_size must .*got 12"),
        (
            "maddpg",
            {"mesh": "env=8", "num_envs": 8, "infer_policies": True},
            "infer_batch must be a multiple .*env=8, got 100",
        ),
        ("qmix", {"mesh": "seed=4096", "seeds": 4096}, "no more devices than there are, ., got"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(
    algorithm: str, settings: dict[str, Any], words: str
) -> None:
    env = "mpe/simple_spread" if algorithm == "maddpg" else "matrix/two_step"
    with pytest.raises(ConfigError, match=words):
        train(algorithm, env, out=None, progress=False, **settings)


def test_a_share_that_is_too_small_is_told_as_one() -> None:
    settings = {
        "mesh": "env=4",
        "num_envs": 8,
        "rollout_length": 1,
        "batch_size": 8,
        "buffer_size": 9,
    }
    shared = Program(make_env("toy/parts"), experiment("maddpg", settings=settings))
    with pytest.raises(ConfigError, match=r"above num_envs, 2, got 2 \(shares of .*env=4\)"):
        _ = shared.opened


def test_a_share_of_buffer_and_batch_is_each_stripes() -> None:
    settings = {"env": "matrix/two_step", "num_envs": 8, "batch_size": 12, "buffer_size": 80}
    shapes = [
        Program(make_env("matrix/two_step"), experiment("vdn", settings=settings | more)).opened
        for more in ({}, {"mesh": "env=4"})
    ]
    (alone, _), (shared, _) = shapes
    for one, many in zip(
        jax.tree.leaves(alone.memory), jax.tree.leaves(shared.memory), strict=True
    ):
        assert many.shape[:2] == (1, 4)
        assert many.size == one.size


def test_memory_is_foreseen_of_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"env": "matrix/two_step", "num_envs": 8, "seeds": 2, "buffer_size": 80}
    monkeypatch.setattr(forecast, "on_host", lambda: False)
    alone, shared = (
        forecast.needs(Program(make_env("matrix/two_step"), experiment("qmix", settings=more)))
        for more in (settings, {**settings, "mesh": "seed=2,env=4"})
    )
    assert shared.replay == alone.replay // 8
    assert shared.learner == alone.learner // 2
    assert shared.actors == alone.actors // 8


# --- stripes ------------------------------------------------------------------------------------


def numbered(first: int, num_envs: int, length: int = 3) -> Transition:
    """A rollout whose rewards tell the step's number and its environment."""
    steps = jnp.broadcast_to(jnp.arange(num_envs), (length, num_envs))
    reward = (steps + 100 * (first + jnp.arange(length)[:, None]))[..., None] * 1.0
    flag = jnp.zeros((length, num_envs), bool)
    views: Any = jnp.zeros((length + 1, num_envs))  # of no use here
    return Transition(
        view=views,
        start=views > 0,
        action=flag,
        reward=reward,
        terminated=flag,
        truncated=flag,
        valid=~flag,
        extras=(),
    )


def clock(iteration: int) -> Clock:
    return Clock(jnp.int32(iteration), jnp.float32(0), jnp.int32(0))


def test_stripes_draw_every_step_equally_often_and_each_from_its_own() -> None:
    memory = striped(replay(3, 2, batch_size=6), 2)
    state = memory.init(numbered(0, 4))
    for nth in range(2):
        state = memory.add(state, numbered(3 * nth, 4), clock(nth))
    draw = jax.jit(jax.vmap(lambda key: memory.sample(state, key, clock(2)).reward[0, :, 0]))
    rewards = np.asarray(draw(jax.random.split(jax.random.key(0), 2000)))
    assert rewards.shape == (2000, 12)
    assert set(rewards[:, :6].ravel() % 100) == {0, 1}
    assert set(rewards[:, 6:].ravel() % 100) == {2, 3}
    _, counts = np.unique(rewards, return_counts=True)
    assert len(counts) == 4 * 5  # the newest step's successor is not stored yet
    np.testing.assert_allclose(counts / counts.sum(), 1 / 20, atol=4 * np.sqrt(0.05 / rewards.size))


def test_lots_take_from_every_stripe_equally_and_each_environment_once() -> None:
    rollout = numbered(0, 8)
    with laid_in(2):
        order, parts = lots(jax.random.key(0), rollout, 8, 2)
    firsts = np.array([drawn(parts, at).reward[:, :, 0] for at in order])  # [lots, T, b]
    assert firsts.shape == (2, 3, 4)
    for lot in firsts:
        np.testing.assert_array_equal(lot - lot[0], 100 * np.arange(3)[:, None] + 0 * lot)
        assert (np.sort(lot[0]) < 4).sum() == 2
    assert sorted(firsts[:, 0].ravel()) == list(range(8))
    with laid_in(3):  # which do not divide by it
        order, parts = lots(jax.random.key(0), rollout, 8, 2)
    assert parts is rollout and order.shape == (2, 4)


def test_parts_and_latest_columns_are_of_every_stripe() -> None:
    columns = jnp.arange(12)
    with laid_in(2):  # 0 to 5 are the first stripe's
        parts = [part(columns, 3, jnp.int32(nth)).tolist() for nth in range(3)]
        halves = [
            part(part(columns, 3, jnp.int32(2)), 2, jnp.int32(nth)).tolist() for nth in range(2)
        ]
        first, rest = cut_after(columns, 4)
    assert parts == [[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]
    assert halves == [[4, 10], [5, 11]]
    assert (first.tolist(), rest.tolist()) == ([0, 1, 6, 7], [2, 3, 4, 5, 8, 9, 10, 11])
    assert part(columns, 3, jnp.int32(1)).tolist() == [4, 5, 6, 7]  # one stripe
    assert cut_after(columns, 4)[0].tolist() == [0, 1, 2, 3]


def test_latest_columns_of_stripes_are_the_newest_of_all_environments() -> None:
    memory = striped(replay(3, 2, batch_size=3, latest=2), 2)
    state = memory.init(numbered(0, 4))
    for nth in range(2):
        state = memory.add(state, numbered(3 * nth, 4), clock(nth))
    batch = memory.sample(state, jax.random.key(0), clock(2)).reward[0, :, 0]
    with laid_in(2):
        newest, others = cut_after(batch, 4)
    assert newest.tolist() == [400, 401, 402, 403]  # 500 to 503 have no successor yet
    assert len(others) == 6


def test_stripes_of_groups_keep_the_groups_apart() -> None:
    groups = Groups(1, 2, lambda rollout: (rollout.reward[..., :1] % 2).astype(jnp.int8))
    memory = striped(grouped_replay(3, 2, 5, groups), 2)
    state = memory.add(memory.init(numbered(0, 4)), numbered(0, 4), clock(0))
    batch = memory.sample(state, jax.random.key(0), clock(1))
    with laid_in(2):
        for group in range(2):
            mine = part(batch.reward[0, :, 0], 2, jnp.int32(group)) % 100
            assert set(mine.tolist()) == {group, 2 + group}  # an environment of either stripe


IN_TWO: dict[str, Any] = {
    "mesh": "env=2",
    "num_envs": 4,
    "total_steps": 6000,
    "batch_size": 8,
    "buffer_size": 800,
    "hidden_dim": (8,),
    "warmup_steps": 100,
    "env": "mpe/simple_spread",
}


@pytest.mark.parametrize(
    "more", [{}, {"infer_policies": True, "infer_batch": 6}, {"ensemble": 2}], ids=str
)
def test_maddpg_learns_from_stripes_what_it_does_from_the_same_parts_in_one(
    more: dict[str, Any],
) -> None:
    env = make_env("mpe/simple_spread")
    program = Program(env, experiment("maddpg", settings=IN_TWO | more))
    loop = program.loop(program.config)
    run, _ = loop.open(jax.random.key(0))
    batch = random_like(loop.memory.sample(run.memory, jax.random.key(1), clock(1)))
    parts, latest = env.spec.num_agents * more.get("ensemble", 1), more.get("infer_batch", 0)
    columns = jnp.arange(latest + 8 * parts).reshape(2, -1)
    assert batch.valid.shape == (1, columns.size)  # stripes give their shares, no more
    rest = columns[:, latest // 2 :].reshape(2, parts, -1)
    order = jnp.concatenate([columns[:, : latest // 2].ravel(), rest.swapaxes(0, 1).ravel()])
    in_one = jax.tree.map(lambda x: x[:, order], batch)
    update = lambda batch: loop.algorithm.update(run.learner, batch, jax.random.key(3), clock(1))
    with laid_in(2):
        striped_, _ = update(batch)
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, striped_, update(in_one)[0])


def random_like(batch: Transition) -> Transition:
    def drawn(x: Any) -> Any:
        key = jax.random.key(2)
        if jnp.issubdtype(x.dtype, jnp.floating):
            return jax.random.normal(key, x.shape)
        return x if x.dtype == bool else jax.random.randint(key, x.shape, 0, 2).astype(x.dtype)

    view = batch.view.replace(
        alive=jnp.ones_like(batch.view.alive), available=jnp.ones_like(batch.view.available)
    )
    batch = batch.replace(view=view, valid=jnp.ones_like(batch.valid))
    return jax.tree.map(drawn, batch)


def test_a_count_that_nothing_reads_need_not_be_even() -> None:
    settings = {**IN_TWO, "mesh": "env=8", "num_envs": 8}  # infer_batch is 100
    Program(make_env("mpe/simple_spread"), experiment("maddpg", settings=settings)).refuse_uneven()


def test_splitting_and_joining_keep_the_order() -> None:
    rollout = numbered(0, 6)
    jax.tree.map(np.testing.assert_array_equal, join(split(rollout, 3)), rollout)


def test_axes_left_apart_give_the_same_products() -> None:
    x, y = (jax.random.normal(jax.random.key(i), (3, 4, 2, 5 + i)) for i in range(2))
    merged = products(x, y)
    with apart():
        assert rows(x) is x
        np.testing.assert_allclose(products(x, y), merged, rtol=1e-5, atol=1e-5)
    assert rows(x).shape == (24, 5)
