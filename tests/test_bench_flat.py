"""make bench-flat: what it refuses and leaves, and that programs do not grow with T, B or seeds."""

import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ABOUT = {
    "device": "1 x cpu",
    "backend": "cpu",
    "cpu": "abacus",
    "cpus": 2,
    "packages": {"jax": "1"},
}


@pytest.fixture
def flat(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return __import__("flat")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--sizes 0,64", "sizes must be at least 1, got '0,64'"),
        ("--seeds many", "seeds must be whole numbers with commas between"),
        ("--seconds 0", "seconds must be above 0, got 0"),
        ("maddpg", "invalid choice: 'maddpg'"),
    ],
)
def test_wrong_use_is_one_line(
    words: str, says: str, flat: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert flat.main([*words.split(), "--out", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert says in error and error.startswith("flat: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_program_is_as_large_whatever_the_steps_environments_and_seeds(
    flat: ModuleType, tmp_path: Path
) -> None:
    """What XLA has to compile: the same operations, on longer axes."""
    rung, size = __import__("rung"), __import__("flat_rung").operations
    request = flat.read(["iql", "--out", str(tmp_path)])
    base = size(rung.program_of(flat.order(request, **flat.BASE)))
    for changed in ({"steps": 200, "environments": 512}, {"seeds": 8}):
        grown = size(rung.program_of(flat.order(request, **{**flat.BASE, **changed})))
        # vmapping over seeds adds an axis here and there, not a copy of anything
        assert abs(grown - base) <= 0.02 * base, changed


def told(command: list[str]) -> Any:
    """What processes would tell, by their order; the largest ladder fails."""
    order = json.loads(command[2])
    yield {"about": ABOUT}
    if order["num_envs"] == 4096:
        yield {"failed": "no room"}
    elif command[1].endswith("flat_rung.py"):
        compiling = {"seconds": 9.0, "cpu_seconds": 6.0 + order["settings"]["seeds"]}
        yield {"done": {"compiling": compiling, "operations": 1234}}
    else:
        speed = {"env_steps_per_second": {"median": 1000.0 * order["num_envs"]}}
        peak = 2**20 * order["num_envs"]
        yield {"done": {"training": speed, "environment_alone": speed, "peak_memory_bytes": peak}}


def test_what_was_measured_is_told_and_kept(
    flat: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    orders: list[Any] = []
    monkeypatch.setattr(flat, "events", lambda command: (orders.append(command), told(command))[1])
    words = [
        "iql",
        "--sizes",
        "64,4096",
        "--agents",
        "3",
        "--steps",
        "25,50",
        "--environments",
        "8",
    ]
    assert flat.main([*words, "--seeds", "1,4", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "64 environments: 15.6 us a step in training, 15.6 us alone, 64 MiB" in printed
    assert "4,096 environments failed: no room" in printed
    assert "compiling by seeds: 1: 7.0 s of 1,234 operations, 4: 10.0 s" in printed
    assert len(orders) == 5  # two sizes, what all begin with once, more steps, more seeds
    files = sorted(tmp_path.iterdir())
    assert [path.suffix for path in files] == [".json", ".png"]
    kept = json.loads(files[0].read_text())
    assert [point["value"] for point in kept["growth"]["steps"]] == [25, 50]
    assert kept["about"]["command"].startswith("python benchmarks/flat.py iql --sizes")


def test_orders_keep_one_gradient_step_a_rollout(flat: ModuleType, tmp_path: Path) -> None:
    request = flat.read(["qmix", "--out", str(tmp_path)])
    order = flat.order(request, agents=6, steps=50, environments=16384, seeds=2)
    assert asdict(order)["options"] == {
        "num_agents": 6,
        "num_landmarks": 6,
        "episode_limit": 50,
    }
    shape = __import__("rung").program_of(order).shape
    assert shape.updates_per_rollout == 1 and shape.rollout_length == 51
    assert shape.num_envs == 16384 and shape.warmup_rollouts == 1
