"""make bench-envs: what it refuses, what it measures, what it leaves behind."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmarl_envs
from jmarl.signals import Stopped

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SCRIPT = BENCHMARKS / "environments.py"
QUICK = ("--seconds", "0.01", "--repeats", "2", "--compile-cache", "auto")
ABOUT = {
    **{"device": "1 x cpu", "backend": "cpu", "cpu": "abacus", "cpus": 2},
    "packages": {"jax": "1"},
}


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie in no package, and import each other as scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def environments() -> ModuleType:
    return __import__("environments")


@pytest.fixture
def env_rung() -> ModuleType:
    return __import__("env_rung")


# --- what is asked for --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("toy/ehco", "no environment is named 'toy/ehco'; did you mean 'toy/echo'?"),
        ("toy/echo,horizon", "options must be NAME=VALUE, got 'horizon'"),
        ("toy/echo~toy/cue", "toy/cue has no library's environment to stand beside"),
        ("toy/echo~mpe/simpel", "no environment is named 'mpe/simpel'"),
        ("--sizes 8,0", "sizes must be at least 1, got '8,0'"),
        ("--sizes many", "sizes must be whole numbers with commas between"),
        ("--seconds 0", "seconds must be above 0, got 0"),
        ("--budget -1", "budget must be above 0, got -1"),
        ("--repeats 0", "repeats must be at least 1, got 0"),
        ("--out FILE/results", "out must be a writable folder"),
        ("--bogus", "unrecognized arguments: --bogus"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(
    words: str,
    says: str,
    environments: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "FILE").touch()
    monkeypatch.chdir(tmp_path)
    out = [] if "--out" in words else ["--out", str(tmp_path / "new")]
    assert environments.main([*out, *words.split()]) == 2
    printed, error = capsys.readouterr()
    assert says in error and error.startswith("environments: ") and error.count("\n") == 1
    assert not printed and [path.name for path in tmp_path.iterdir()] == ["FILE"]


def test_sizes_come_with_commas_or_spaces(environments: ModuleType) -> None:
    for sizes in ("64,1", "64 1", "1 64 1"):
        (order,) = environments.read(["toy/echo", "--sizes", sizes]).orders
        assert order.sizes == [1, 64]


def test_names_suites_options_and_pairs(environments: ModuleType) -> None:
    def orders(*words: str) -> list[tuple[str, dict[str, Any], str]]:
        return [(o.env, o.options, o.peer) for o in environments.read(list(words)).orders]

    assert orders("toy/echo,horizon=3,truncated=true") == [
        ("toy/echo", {"horizon": 3, "truncated": True}, "")
    ]
    assert orders("MPE_simple_spread_v3") == [("mpe/simple_spread", {}, "")]
    assert orders("toy/reach~mpe/simple") == [("toy/reach", {}, "mpe/simple")]
    twin = ("particle/simple_spread", {"variant": "pettingzoo"}, "mpe/simple_spread")
    assert orders("particle/simple_spread") == [twin]
    spelt = orders("particle/simple_spread,variant=pettingzoo~mpe/simple_spread")
    assert spelt == [twin]
    assert [name for name, _, _ in orders("toy toy/cue")] == [
        *(name for name in jmarl_envs.names() if name.startswith("toy/")),
        "toy/cue",
    ]


def test_all_are_those_with_a_twin(environments: ModuleType) -> None:
    for words in ([], ["all"]):
        chosen = {order.env for order in environments.read(words).orders}
        assert {"mpe/simple_spread", "particle/simple_spread"} <= chosen
        assert not any(name.startswith("toy/") for name in chosen)


# --- what is measured ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    out = tmp_path_factory.mktemp("bench") / "results"
    words = ["toy/clock", "mpe/simple", "--sizes", "2", *QUICK, "--out", str(out)]
    command = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(command, capture_output=True, text=True), out


@pytest.fixture
def result(ran: tuple[Any, Path]) -> dict[str, Any]:
    done, out = ran
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("environments-cpu-*.json")
    return json.loads(path.read_text())


def test_files_and_the_table_are_left(ran: tuple[Any, Path], result: dict[str, Any]) -> None:
    done, out = ran
    files = sorted(out.iterdir())
    assert [path.suffix for path in files] == [".json", ".png"]
    assert done.stdout.splitlines()[-2:] == [str(path) for path in files]
    assert files[1].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert any(row[:2] == ["toy/clock", "2"] and len(row) == 3 for row in rows)
    assert any(row[:2] == ["mpe/simple", "2"] and len(row) == 8 for row in rows)
    assert "1 of 2, toy/clock: 2 " in done.stderr and "2 of 2, mpe/simple: 2 x" in done.stderr


def test_the_file_tells_how_to_measure_again(result: dict[str, Any]) -> None:
    about = result["about"]
    assert about["command"].startswith("python benchmarks/environments.py toy/clock mpe/simple")
    assert {"git", "device", "cpu", "packages", "python"} <= about.keys()
    assert (result["seconds"], result["repeats"]) == (0.01, 2)
    assert "observations and rewards" in result["consumed"]


def test_numbers_agree_with_each_other(result: dict[str, Any]) -> None:
    alone, pair = (environment["sizes"][0] for environment in result["environments"])
    assert set(alone["sides"]) == {"jmarl"} and "ratio" not in alone
    assert list(pair["sides"]) == ["jmarl", "jaxmarl"]
    for side in pair["sides"].values():
        speeds = [r["env_steps"] / r["seconds"] for r in side["repeats"]]
        assert len(speeds) == 2 and side["compile_seconds"] > 0
        assert side["env_steps_per_second"]["median"] == pytest.approx(np.mean(speeds))
    mine, theirs = (
        [r["env_steps"] / r["seconds"] for r in side["repeats"]] for side in pair["sides"].values()
    )
    neighbours = [a / b for a, b in zip(mine, theirs, strict=True)]
    assert pair["ratio"]["min"] == pytest.approx(min(neighbours))
    assert pair["ratio"]["max"] == pytest.approx(max(neighbours))
    assert pair["ratio"]["of_medians"] == pytest.approx(np.mean(mine) / np.mean(theirs))


def test_ratios_by_hand(env_rung: ModuleType) -> None:
    def repeats(*speeds: float) -> list[Any]:
        return [env_rung.Repeat(2.0, 1.0, int(2 * speed)) for speed in speeds]

    found = env_rung.ratios(repeats(10, 30, 20), repeats(5, 10, 20))
    assert found["min"] == 1 and found["max"] == 3 and found["median"] == 2
    assert found["of_medians"] == 2
    assert found["by_cpu_time"] == pytest.approx(2)  # 1/20 and 1/40 of a second each step


def test_a_position_that_resets_is_no_step(env_rung: ModuleType) -> None:
    """Episodes cut after 3 steps take 4 positions: 16 are 12 steps in each environment."""
    sides = __import__("sides")
    running = env_rung.Running(sides.ours(jmarl_envs.make("toy/clock", episode_limit=3)), 5)
    assert [running.run(times).env_steps for times in (1, 2)] == [5 * 12, 5 * 24]


# (steps, sum) of five positions of three environments: two agents see 1 and, where it means
# something, the time t/4, and earn 1 each; a last view that the clock cut is only seen
SEEN = {
    True: [*((3, 6 * (2 + t / 4)) for t in range(4)), (3, 12)],
    False: [*((3, 12) for _ in range(4)), (0, 6)],
}


@pytest.mark.parametrize("terminates", [True, False])
def test_observations_and_rewards_are_summed_and_states_left_out(terminates: bool) -> None:
    """Of true steps, and of positions that only reset."""
    sides = __import__("sides")
    side = sides.ours(jmarl_envs.make("toy/clock", episode_limit=4, terminates=terminates))
    carry = side.open(jax.random.key(0), 3)
    assert carry.view.state is None and carry.view.entities is None
    seen = []
    for _ in range(5):
        carry, steps, total = side.step(carry, jax.random.key(1))
        seen.append((int(steps), float(total)))
    assert seen == SEEN[terminates]


class Library:
    """A stand-in for a library's environment: masks, unequal agents, an entry for all."""

    agents = ("a", "b")

    def action_space(self, name: str) -> Any:
        return SimpleNamespace(n={"a": 2, "b": 3}[name])

    def get_avail_actions(self, state: Any) -> dict[str, Any]:
        return {"a": jnp.array([0, 1]), "b": jnp.array([1.0, 0.0, 0.0])}

    def reset(self, key: Any) -> Any:
        return self.told(jnp.int32(0)), jnp.int32(0)

    def told(self, state: Any) -> dict[str, Any]:
        return {"a": state * jnp.ones(2), "b": state * jnp.ones(1), "world_state": 1000 * state}

    def step(self, key: Any, state: Any, actions: dict[str, Any]) -> Any:
        state = state + 1
        rewards = {"a": actions["a"], "b": 10 * actions["b"], "__all__": jnp.float32(1000)}
        return self.told(state), state, rewards, {"__all__": state < 0}, {}


def test_a_librarys_masks_are_obeyed_and_its_agents_summed() -> None:
    sides = __import__("sides")
    side = sides.jaxmarls(Library())
    state = side.open(jax.random.key(0), 4)
    for nth in range(5):
        state, steps, total = side.step(state, jax.random.key(nth))
        # each environment: nth seen three times before the step, action 1 by a, action 0 by b
        assert (int(steps), float(total)) == (4, 4 * (3 * nth + 1))
    assert state[1].shape == (4, 2, 2) and state[1].dtype == jnp.float32  # padded rows, in hand


def test_jumanjis_masks_are_obeyed() -> None:
    sides = __import__("sides")
    entry = jmarl_envs.entry("jumanji/level_based_foraging")
    assert entry.peer is not None and entry.peer.library == "jumanji"
    side = sides.jumanjis(entry.peer.make())
    haste = {"xla_backend_optimization_level": 0}
    opened = jax.jit(partial(side.open, num_envs=3), compiler_options=haste)(jax.random.key(0))
    step = jax.jit(side.step, compiler_options=haste)
    (state, seen), steps, total = step(opened, jax.random.key(1))
    assert int(steps) == 3 and seen.action_mask.shape[0] == 3 and np.isfinite(total)
    assert np.asarray(state.step_count).tolist() == [1, 1, 1]


# --- what goes wrong ----------------------------------------------------------------------------


def order(env_rung: ModuleType, **given: Any) -> Any:
    return env_rung.Order("toy/clock", **{"sizes": [1], "seconds": 0.01, "repeats": 1, **given})


def test_a_size_that_would_take_too_long_is_skipped_with_a_reason(
    env_rung: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(order: Any, sides: Any, num_envs: int, tell: Any) -> dict[str, Any]:
        spread = {"min": 1.0, "median": 16.0, "max": 99.0}  # 16 positions take a second each env
        return {"num_envs": num_envs, "sides": {"jmarl": {"env_steps_per_second": spread}}}

    monkeypatch.setattr(env_rung, "measure", slow)
    told: list[Any] = []
    tell = lambda **event: told.append(event)
    env_rung.measure_all(order(env_rung, sizes=[1, 2, 64], budget=10.0), tell)
    sizes = [event["size"] for event in told if "size" in event]
    assert [size["num_envs"] for size in sizes if "sides" in size] == [1, 2]
    reason = "would take about 256 s, 10 s are allowed"
    assert sizes[-1] == {"num_envs": 64, "skipped": reason}


def test_a_size_that_needs_too_much_memory_is_skipped_with_a_reason(
    env_rung: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env_rung, "free_memory", lambda: 10)
    told: list[Any] = []
    env_rung.measure_all(order(env_rung), lambda **event: told.append(event))
    (size,) = [event["size"] for event in told if "size" in event]
    assert size["skipped"].startswith("needs 0.0 GiB of 0.0 GiB free")


def test_what_hangs_is_ended(env_rung: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(env_rung.os, "_exit", lambda code: told.append(code))
    timer = env_rung.watched(order(env_rung, budget=0.01), lambda **e: told.append(e), 64)
    timer.join(10)
    assert told == [{"failed": "64 environments took more than 0 s"}, 1]


@pytest.fixture
def scripted(
    environments: ModuleType, monkeypatch: pytest.MonkeyPatch, result: dict[str, Any]
) -> ModuleType:
    """The first environment fails after a skipped size, the second one is measured."""
    good = result["environments"][1]
    told = iter(
        [
            [
                {"about": ABOUT},
                {"size": {"num_envs": 1, "skipped": "no room"}},
                {"failed": "MemoryError: all gone"},
            ],
            [{"size": good["sizes"][0]}, {"done": {"library": "jaxmarl"}}],
        ]
    )
    events: Any = lambda command: iter(next(told))
    monkeypatch.setattr(environments, "events", events)
    return environments


def test_a_failing_environment_is_told_and_stops_no_other(
    scripted: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scripted.main(["toy/cue", "mpe/simple", "--out", str(tmp_path)]) == 0
    printed, error = capsys.readouterr()
    assert "toy/cue failed: MemoryError: all gone" in printed
    assert "toy/cue, 1 environments skipped: no room" in printed
    assert "1 of 2, toy/cue: 1 skipped, failed: MemoryError: all gone" in error
    (path,) = tmp_path.glob("*.json")
    failed, good = json.loads(path.read_text())["environments"]
    assert failed["failed"] == "MemoryError: all gone" and "failed" not in good


def test_a_signal_keeps_what_is_finished(
    environments: ModuleType,
    result: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    size = result["environments"][1]["sizes"][0]
    told = iter([[{"about": ABOUT}, {"size": size}, {"done": {}}]])

    def events(command: Any) -> Iterator[dict[str, Any]]:
        yield from next(told, [])
        if "toy/cue" in command[-1]:
            raise Stopped(15)

    monkeypatch.setattr(environments, "events", events)
    assert environments.main(["mpe/simple", "toy/cue", "--out", str(tmp_path)]) == 128 + 15
    assert "stopped by SIGTERM; finished environments are kept" in capsys.readouterr().err
    (path,) = tmp_path.glob("*.json")
    assert len(json.loads(path.read_text())["environments"]) == 1


def test_nothing_is_written_if_nothing_was_measured(
    environments: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def events(command: Any) -> Iterator[dict[str, Any]]:
        yield {"failed": "MemoryError: all gone"}

    monkeypatch.setattr(environments, "events", events)
    assert environments.main(["toy/cue", "--out", str(tmp_path / "results")]) == 1
    printed, error = capsys.readouterr()
    assert not printed and error.endswith("nothing could be measured; nothing is written\n")
    assert not list(tmp_path.iterdir())


def test_a_broken_rung_tells_why() -> None:
    command = [sys.executable, str(BENCHMARKS / "env_rung.py"), '{"env": "toy/none", "sizes": [1]}']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["failed"].startswith("UnknownName: no environment is named 'toy/none'")
