"""make bench: what it refuses, what it measures, what it leaves behind."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from jmarl.words import read_order

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPT = BENCHMARKS / "throughput.py"
TWO_STEP = BENCHMARKS / "two_step.yaml"
LRS = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2]
TINY = ("--set", "buffer_size=2000", "batch_size=32", "warmup_steps=110", "hidden_dim=8,8")
ABOUT = {
    "device": "1 x cpu",
    "backend": "cpu",
    "cpu": "abacus",
    "cpus": 2,
    "packages": {"jax": "1"},
}


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie in no package, and import each other as scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def throughput() -> ModuleType:
    return __import__("throughput")


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("maddgp", "no algorithm is named 'maddgp'; did you mean 'maddpg'?"),
        ("maddpg nope", "no algorithm is named 'nope'; there is maddpg, ddpg"),
        ("--rungs 8,0", "rungs must be at least 1, got '8,0'"),
        ("--rungs many", "rungs must be whole numbers with commas between"),
        ("--seconds 0", "seconds must be above 0, got 0"),
        ("--seconds soon", "seconds must be a number, got 'soon'"),
        ("--env toy/ehco", "no environment is named 'toy/ehco'"),
        ("--out FILE/results", "out must be a writable folder"),
        ("--out FILE", "out must be a writable folder"),
        ("--set batch_size", "set must be NAME=VALUE, got 'batch_size'"),
        ("--set batch_sise=3", "no setting of maddpg is named 'batch_sise'"),
        ("--set batch_size=0", "batch_size must be at least 1, got 0"),
        ("--set num_envs=3", "set must not hold num_envs, which is set by --rungs"),
        ("--env toy/reach --set estimator=loose", "estimator must be one of"),
        ("--bogus", "unrecognized arguments: --bogus"),
        ("--rungs", "expected one argument"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(
    words: str,
    says: str,
    throughput: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "FILE").touch()
    monkeypatch.chdir(tmp_path)
    out = [] if "--out" in words else ["--out", str(tmp_path / "new")]
    assert throughput.main([*out, *words.split()]) == 2
    printed, error = capsys.readouterr()
    assert says in error and error.startswith("throughput: ") and error.count("\n") == 1
    assert not printed and [path.name for path in tmp_path.iterdir()] == ["FILE"]


def test_help_tells_of_every_option(
    throughput: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        throughput.main(["--help"])
    told = capsys.readouterr().out
    assert all(f"--{name}" in told for name in ("env", "rungs", "seconds", "out", "set"))
    assert "maddpg, ddpg" in told and "1,8,64,512,4096" in told


# --- one small ladder, the second rung of which is impossible -----------------------------------


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    out = tmp_path_factory.mktemp("bench") / "results"
    rungs = ("--rungs", "2", "--seconds", "0.02", "--compile-cache", "auto")
    return bench("maddpg", "--env", "toy/clock", *rungs, "--out", str(out), *TINY), out


@pytest.fixture
def result(ladder: tuple[Any, Path]) -> dict[str, Any]:
    ran, out = ladder
    assert ran.returncode == 0, ran.stderr
    (path,) = out.glob("maddpg-toy-clock-*.json")
    return json.loads(path.read_text())


def test_files_are_left_and_named(ladder: tuple[Any, Path], result: dict[str, Any]) -> None:
    ran, out = ladder
    files = sorted(out.iterdir())
    assert [path.suffix for path in files] == [".json", ".png"]
    assert files[0].stem == files[1].stem
    assert ran.stdout.splitlines()[-2:] == [str(path) for path in files]
    assert files[1].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_file_tells_how_to_measure_again(result: dict[str, Any]) -> None:
    assert result["algorithm"] == "maddpg" and result["env"] == "toy/clock"
    assert result["about"]["command"].startswith("python benchmarks/throughput.py maddpg --env")
    assert {"git", "device", "cpu", "packages", "python"} <= result["about"].keys()
    assert result["settings"]["config"]["buffer_size"] == 2000
    assert "num_envs" not in result["settings"]["run"]
    assert result["compile_cache"] == "auto"


def test_numbers_agree_with_each_other(result: dict[str, Any]) -> None:
    rung = result["rungs"][0]
    learned, alone, shape = rung["training"], rung["environment_alone"], rung["shape"]
    assert rung["num_envs"] == shape["num_envs"] == 2
    assert shape["warmup_rollouts"] == 3  # 110 steps in rollouts of 2 x 25
    assert shape["updates_per_rollout"] == 1 and shape["rollouts_per_chunk"] == 16
    for repeat in learned["repeats"]:
        assert repeat["gradient_steps"] == 16 * repeat["calls"]
        # an episode has 10 steps, and a position behind them in which it is reset
        positions = repeat["gradient_steps"] * 2 * 25
        assert abs(repeat["env_steps"] - positions * 10 / 11) <= 2
    ratio = learned["gradient_steps_per_env_step"]
    assert ratio == pytest.approx(1 / (2 * 25) * 11 / 10, rel=0.01)
    speeds, updates = learned["env_steps_per_second"], learned["gradient_steps_per_second"]
    assert updates["median"] == pytest.approx(ratio * speeds["median"], rel=0.05)
    for spread in (speeds, updates, alone["env_steps_per_second"]):
        assert 0 < spread["min"] <= spread["median"] <= spread["max"]
    assert len(alone["repeats"]) == 3
    assert set(rung["compile_seconds"]) == {"start", "chunk", "environment_alone"}
    assert min(rung["compile_seconds"].values()) > 0
    bound = rung["floor"]
    parts = bound["seconds"]
    # tiny networks: 16 updates, each of 32 transitions
    assert 1e5 < bound["flops"] < 1e8 and bound["bytes"] > 16 * 32
    assert parts["operations"] == pytest.approx(bound["flops"] / bound["flops_per_second"])
    assert parts["floor"] == parts["environment"] + max(parts["operations"], parts["bytes"])
    assert bound["times_the_floor"] == pytest.approx(parts["measured"] / parts["floor"])
    assert parts["measured"] == pytest.approx(16 / updates["median"])
    # an interpreter with jax takes more, a toy with 2000 transitions far less
    assert 100 * 2**20 < rung["peak_memory_bytes"] < 16 * 2**30


def test_a_failed_rung_is_shown_and_loses_no_other(
    result: dict[str, Any],
    throughput: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = iter(
        [
            [{"about": result["about"]}, {"done": result["rungs"][0]}],
            [{"failed": "MemoryError: all gone"}],
        ]
    )
    monkeypatch.setattr(throughput, "events", lambda command: iter(next(told)))
    assert throughput.main(["maddpg", "--rungs", "2,4", "--out", str(tmp_path / "results")]) == 0
    printed, error = capsys.readouterr()
    rows = [line.split() for line in printed.splitlines() if line.strip()]
    assert ["4", "failed"] in rows
    assert any(row[0] == "2" and len(row) == 9 for row in rows)
    assert "4 environments failed: MemoryError: all gone" in printed
    assert sum(line.startswith("maddpg, ") for line in error.splitlines()) == 2
    (path,) = (tmp_path / "results").glob("*.json")
    assert json.loads(path.read_text())["rungs"][1].keys() == {"num_envs", "failed"}


def test_nothing_is_written_if_every_rung_fails(
    throughput: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = [{"about": ABOUT}, {"failed": "MemoryError: all gone"}]
    monkeypatch.setattr(throughput, "events", lambda command: iter(told))
    assert throughput.main(["ddpg", "--rungs", "4,1", "--out", str(tmp_path / "results")]) == 1
    printed, error = capsys.readouterr()
    assert printed.count("environments failed: MemoryError: all gone") == 2
    assert error.endswith("no rung could be measured; nothing is written\n")
    assert not list(tmp_path.iterdir())


def test_an_interrupt_is_one_line_and_leaves_no_file_and_no_process(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "maddpg", "--rungs", "1", "--out", str(tmp_path)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    while not (line := process.stderr.readline()).startswith("1 rung,"):
        assert line, "ended before it began"
    process.send_signal(number := signal.SIGTERM)
    printed, error = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    stopped = f"throughput: stopped by {number.name}; of the unfinished ladder nothing is written\n"
    assert (printed, error) == ("", stopped)
    assert not list(tmp_path.iterdir())
    deadline = time.monotonic() + 10  # what the rung itself had called (git) ends by itself
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.05)


# --- parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL, as when memory runs out"),
        ("print('{}'); raise SystemExit('no room')", "exit code 1: no room"),
    ],
)
def test_a_rung_that_dies_speechless_has_a_reason(
    code: str, reason: str, throughput: ModuleType
) -> None:
    assert list(throughput.events([sys.executable, "-c", code]))[-1] == {"failed": reason}


@pytest.mark.parametrize(
    ("cost", "repeats", "calls"),
    [(0.001, 3, 1000), (0.4, 3, 2), (3.0, 3, 1), (6.0, 1, 1)],
)
def test_repeats_last_as_long_as_asked(
    cost: float, repeats: int, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung = __import__("rung")
    now = [0.0]

    def call(times: int) -> int:
        now[0] += cost * times
        return 7 * times

    monkeypatch.setattr(rung.time, "perf_counter", lambda: now[0])
    measured = rung.measure(call, seconds=1.0)
    assert [repeat.calls for repeat in measured] == [calls] * repeats
    assert all(repeat.env_steps == 7 * calls for repeat in measured)
    assert all(repeat.seconds == pytest.approx(cost * calls) for repeat in measured)


def test_phases_are_told_in_the_order_that_forecasts_count_on() -> None:
    """A program that does nothing, before it is timed."""
    rung, heard = __import__("rung"), []
    shape = SimpleNamespace(warmup_rollouts=1)
    program = SimpleNamespace(start=lambda: (0, 0), advance=None, shape=shape)
    rung.training(program, lambda phase: heard.append(phase))
    assert ("starting", *heard, "training", "environment alone", "floor") == rung.PHASES


def test_time_left_follows_what_rungs_took() -> None:
    watch = __import__("watch")
    steps = [watch.Step("small", 16), watch.Step("large", 1024)]
    forecast = watch.Forecast(steps, seconds=1.0, seconds_per_update=0.01)
    rest = sum(seconds for phase, seconds in watch.GUESSES.items() if phase != "training")
    # small: a second of calibration and three repeats; large: its 10.24 s are timed once
    assert forecast.after(-1) == pytest.approx((4 + rest) + (10.24 + rest))
    forecast.learn("compiling chunk", watch.GUESSES["compiling chunk"] + 5)
    forecast.seconds_per_update = 0.001
    assert forecast.after(0) == pytest.approx(4 * 1.024 + rest + 5)
    later = forecast.known["environment alone"] + forecast.known["floor"]
    assert forecast.left(1, "training", elapsed=1.0) == pytest.approx(4 * 1.024 - 1 + later)


# --- a sweep beside its trials one by one -------------------------------------------------------


def test_a_sweep_is_timed_by_turns_and_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sweeps = __import__("sweeps")
    order: list[str] = []

    def way(name: str) -> Any:
        def train(file: Path, out: Path) -> None:
            order.append(name)
            for run in ("0", "1"):
                (out / run).mkdir(parents=True)
                (out / run / "summary.json").write_text('{"compile_seconds": {"a": 1, "b": 2}}')

        return train

    clock = itertools.count()
    monkeypatch.setattr(sweeps, "processor", lambda: float(next(clock)))
    monkeypatch.setattr(sweeps, "WAYS", {name: way(name) for name in sweeps.WAYS})
    assert sweeps.main(["--repeats", "2", "--out", str(tmp_path)]) == 0
    assert order == ["together", "apart", "in turn", "apart", "in turn", "together"]
    told = json.loads((tmp_path / "sweep-two_step.json").read_text())
    assert told["about"]["command"].startswith("python benchmarks/sweeps.py --repeats 2")
    assert {"git", "device", "packages", "load"} <= told["about"].keys()
    assert len(told["sweep"]["trials"]) == 8
    assert [turn["compile"] for turn in told["seconds"]["apart"]] == [6, 6]
    assert told["ratios"]["in turn"]["processor"] == [1, 1, 1]
    assert "processor s" in capsys.readouterr().out


def test_a_sweeps_ratios_are_within_turns() -> None:
    sweeps = __import__("sweeps")
    seconds = lambda *turns: [{"wall": w, "processor": p, "compile": 0.0} for w, p in turns]
    found = {"together": seconds((10, 5), (20, 10)), "apart": seconds((40, 10), (40, 30))}
    assert sweeps.ratios(found) == {"apart": {"wall": [3, 2, 4], "processor": [2.5, 2, 3]}}


def test_trials_one_by_one_are_those_of_the_sweep(tmp_path: Path) -> None:
    sweeps = __import__("sweeps")
    orders = [read_order(words[1:]) for words in sweeps.trainings(TWO_STEP, tmp_path)]
    assert [float(order.settings["lr"]) for order in orders if order] == LRS
    assert len({order.flags["out"] for order in orders if order}) == len(LRS)
