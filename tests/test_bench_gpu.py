"""benchmarks/gpu.sh and its profile: what they refuse, and all steps, tiny, on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def gpu(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "PYTHON": sys.executable, "JAX_PLATFORMS": "cpu", **environment}
    command = [str(BENCHMARKS / "gpu.sh"), *words]
    return subprocess.run(command, capture_output=True, text=True, env=given)


def test_without_a_folder_or_a_gpu_nothing_runs(tmp_path: Path) -> None:
    ran = gpu()
    assert ran.returncode == 2 and ran.stderr.startswith("gpu.sh: OUT must be given")
    ran = gpu(str(tmp_path / "out"), DRY="")
    assert ran.returncode == 2 and "jax must find a GPU, got cpu" in ran.stderr
    assert ran.stderr.count("\n") == 1 and not list(tmp_path.iterdir())
    ran = gpu(str(tmp_path), DRY="1", ONLY="profiles")
    assert ran.returncode == 2 and ran.stderr == "gpu.sh: ONLY must name steps, got 'profiles'\n"


def test_operations_are_summed_and_those_of_a_device_come_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    longest = __import__("traced").longest
    host: list[dict[str, Any]] = [
        {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "/host:CPU"}},
        {"ph": "X", "pid": 1, "name": "dot.1", "dur": 2e6},
        {"ph": "X", "pid": 1, "name": "sin", "dur": 3e6},
        {"ph": "X", "pid": 1, "name": "dot.1", "dur": 4e6},
        {"ph": "X", "pid": 1, "name": "$python", "dur": 9e6},
        {"ph": "C", "pid": 1, "name": "memory"},
    ]
    assert longest(host) == [
        {"name": "dot.1", "seconds": 6.0, "times": 2},
        {"name": "sin", "seconds": 3.0, "times": 1},
    ]
    device = [
        {"ph": "M", "pid": 7, "name": "process_name", "args": {"name": "/device:GPU:0"}},
        {"ph": "X", "pid": 7, "name": "fusion", "dur": 1e6},
    ]
    assert longest(host + device) == [{"name": "fusion", "seconds": 1.0, "times": 1}]
    lanes = [
        {"ph": "M", "pid": 7, "tid": 2, "name": "thread_name", "args": {"name": "XLA Ops"}},
        {"ph": "X", "pid": 7, "tid": 2, "name": "fusion", "dur": 1e6},
        {"ph": "X", "pid": 7, "tid": 3, "name": "jit_chunk", "dur": 1e6},
    ]
    found = longest([*host, device[0], *lanes])
    assert found == [{"name": "fusion", "seconds": 1.0, "times": 1}]


@pytest.mark.slow
def test_every_step_runs_and_is_told_of(tmp_path: Path) -> None:
    ran = gpu(str(tmp_path / "out"), DRY="1")
    assert ran.returncode == 0, ran.stderr
    told = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert told["backend"] == "cpu" and told["dry"] is True
    steps = ["correctness", "throughput", "profile", "ways"]
    assert [step["step"] for step in told["steps"]] == steps
    assert all(step["exit_code"] == 0 for step in told["steps"])
    (ladder,) = (tmp_path / "out").glob("iql-toy-clock-*.json")
    assert json.loads(ladder.read_text())["rungs"][0]["floor"]["times_the_floor"] > 1
    (traced,) = (tmp_path / "out").glob("traced-*.json")
    assert json.loads(traced.read_text())["operations"]
    (ways,) = (tmp_path / "out").glob("ways-*.json")
    assert json.loads(ways.read_text())["ways"]
    assert "passed" in (tmp_path / "out" / "correctness.log").read_text()


@pytest.mark.slow
def test_a_step_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "no-checkout").mkdir()
    ran = gpu(str(tmp_path / "out"), str(tmp_path / "no-checkout"), DRY="1")
    assert ran.returncode == 1 and "peers ended with 2, see peers.log" in ran.stderr
    told = json.loads((tmp_path / "out" / "gpu.json").read_text())
    codes = {step["step"]: step["exit_code"] for step in told["steps"]}
    assert codes == {"correctness": 0, "throughput": 0, "peers": 2, "profile": 0, "ways": 0}
