"""make bench-peers: what it refuses, that both sides are asked the same, what it makes of it."""

import io
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest

from jmarl.config import experiment
from jmarl.fields import ConfigError
from jmarl.making import env_of
from jmarl.program import Program

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PATHS = os.environ.get("PYTHONPATH", "")
# a script as JaxMARL's are: the same imports, and a config that learns as many steps as asked
SCRIPT = """
import hydra
import jax
import jax.numpy as jnp
import optax
import wandb
from omegaconf import OmegaConf

import jaxmarl

def env_from_config(config):
    return config["ENV_NAME"], "name"

def make_train(config, env):
    per_rollout = config["NUM_STEPS"] * config["NUM_ENVS"]
    config["NUM_UPDATES"] = config["TOTAL_TIMESTEPS"] // per_rollout
    warmup = config["BUFFER_BATCH_SIZE"] - 1
    steps = config["NUM_EPOCHS"] * (config["NUM_UPDATES"] - warmup)
    tx = optax.adam(0.1)

    def train(key):
        params = jnp.zeros({parameters})

        def step(carry, _):
            params, state = carry
            updates, state = tx.update(jnp.ones_like(params), state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, tx.init(params)), None, steps)[0]

    return train

@hydra.main(version_base=None, config_path="./config")
def main(config):
    wandb.init(config=OmegaConf.to_container(config))
"""


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie in no package, and import each other as scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def peers() -> ModuleType:
    return __import__("peers")


@pytest.fixture
def request_of() -> ModuleType:
    return __import__("peer_request")


def checkout(folder: Path, script: str = SCRIPT, parameters: int = 3) -> Path:
    """A JaxMARL with one script."""
    path = folder / "JaxMARL" / "baselines" / "QLearning" / "iql_rnn.py"
    path.parent.mkdir(parents=True)
    path.write_text(script.replace("{parameters}", str(parameters)))
    package = folder / "JaxMARL" / "jaxmarl"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '9.9'\n")
    return folder / "JaxMARL"


# --- what is asked for --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--jaxmarl NOWHERE", "jaxmarl must be a checkout of JaxMARL, got 'NOWHERE'"),
        ("qmxi", "no algorithm with a script to stand beside is named 'qmxi'; did you mean 'qmix'"),
        ("iql --env smax/8m", "no environment of both sides is named 'smax/8m'"),
        ("iql --rungs 0", "rungs must be at least 1, got '0'"),
        ("iql --rungs 8 --seeds 0", "seeds must be at least 1, got 0"),
        ("iql --repeats none", "repeats must be a whole number, got 'none'"),
        ("ippo --rungs 6", "rungs must divide by 4 for ippo, got 6"),
        ("ippo --env smax/3m --rungs 8", "env must be mpe/simple_spread for ippo, got 'smax/3m'"),
        ("ippo --rungs 8", "jaxmarl must be a checkout with baselines/IPPO/ippo_ff_mpe.py, got"),
        ("iql", "iql_rnn.py needs the package flashbax, which is not installed here: pip install"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(
    words: str,
    says: str,
    peers: ModuleType,
    request_of: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(request_of, "find_spec", lambda name: None)
    given = ["--out", str(tmp_path / "new"), *words.split()]
    if "--jaxmarl" not in given:
        given += ["--jaxmarl", str(checkout(tmp_path))]
    assert peers.main(given) == 2
    printed, error = capsys.readouterr()
    assert says in error and error.startswith("peers: ") and error.count("\n") == 1
    assert not printed and not (tmp_path / "new").exists()


def test_the_issues_list_is_what_is_measured_where_nothing_is_chosen(
    request_of: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_of, "require", lambda name, checkout: None)
    given = ["--jaxmarl", str(checkout(tmp_path)), "--out", str(tmp_path)]
    labels = [case.label for case in request_of.read(given).cases]
    assert "qmix on mpe/simple_spread, 512 environments" in labels
    assert "qmix on mpe/simple_spread, 8 environments, 8 seeds" in labels
    assert {label.split()[0] for label in labels} == {"qmix", "vdn", "iql", "ippo", "mappo"}
    request = request_of.read([*given, "vdn", "--env", "smax/2s3z"])
    assert [case.label for case in request.cases] == ["vdn on smax/2s3z, 8 environments"]
    assert str(tmp_path / "JaxMARL") not in request.command


@pytest.mark.parametrize(
    ("algorithm", "env", "num_envs", "given"),
    [
        ("qmix", "mpe/simple_spread", 512, {"seeds": 2}),
        ("iql", "smax/3m", 8, {"updates": 7}),
        ("ippo", "mpe/simple_spread", 64, {}),
        ("mappo", "mpe/simple_spread", 8, {"epochs": 2}),
    ],
)
def test_both_sides_are_asked_for_the_same_work(
    algorithm: str, env: str, num_envs: int, given: dict[str, Any]
) -> None:
    work = __import__("peer_work")
    case = work.case(algorithm, env, num_envs, **given)
    plan = experiment(algorithm, settings=work.ours(case))
    program, config = Program(env_of(plan), plan), work.theirs(case)
    program.refuse_impossible()
    shape = program.shape
    assert shape.warmup_rollouts == case.warmup == (0 if case.lots > 1 else 31)
    assert shape.rollout_length == config["NUM_STEPS"] == case.length
    assert shape.num_envs == config["NUM_ENVS"] == num_envs
    rollouts = config["TOTAL_TIMESTEPS"] // config["NUM_STEPS"] // config["NUM_ENVS"]
    assert rollouts == shape.warmup_rollouts + case.updates
    if case.lots == 1:
        assert shape.updates_per_rollout == config["NUM_EPOCHS"] == case.epochs
        assert plan.config.buffer_size == config["BUFFER_SIZE"] >= 32 * num_envs
        assert plan.config.hidden_dim == (plan.config.rnn_dim,) == (config["HIDDEN_SIZE"],)
    else:
        assert plan.config.epochs == config["UPDATE_EPOCHS"] == case.epochs
        assert plan.config.minibatches == config["NUM_MINIBATCHES"] == 4


# --- JaxMARL's scripts --------------------------------------------------------------------------


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a script will import, afterwards."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("hydra", "omegaconf", "wandb", "jaxmarl"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    del sys.modules["jaxmarl"]


def test_a_script_is_imported_without_its_command_line_and_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, work = __import__("jaxmarl_scripts"), __import__("peer_work")
    folder = checkout(tmp_path)
    config = work.theirs(work.case("iql", "mpe/simple_spread", 8, updates=5))
    forget(monkeypatch)
    module = loading.load(folder, "baselines/QLearning/iql_rnn.py")
    params, _ = loading.train_of(module, config)(jax.random.key(0))
    assert config["NUM_UPDATES"] == 36
    assert jnp.allclose(params, -0.5, atol=1e-3)  # five steps of Adam, each as long as its rate
    assert loading.came_from(folder) == "9.9"
    with pytest.raises(ConfigError, match="jaxmarl must be imported from"):
        loading.came_from(tmp_path / "elsewhere")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkout(tmp_path, "import no_such_package_as_this\n")
    forget(monkeypatch)
    with pytest.raises(ConfigError, match=r"iql_rnn.py needs the package no_such_package_as_this"):
        __import__("jaxmarl_scripts").load(folder, "baselines/QLearning/iql_rnn.py")


# --- measuring ----------------------------------------------------------------------------------


def test_a_side_runs_once_for_every_line_and_tells_what_it_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rung = __import__("peer_rung")
    tx, params = optax.adam(0.1), {"a": jnp.zeros((2, 3)), "b": jnp.zeros((2, 4))}  # two seeds
    states = [jax.vmap(tx.init)(params)]

    def run() -> Any:
        states[0] = jax.vmap(tx.update)(params, states[0])[1]
        return states[0]

    compiling = {"seconds": 2.0, "cpu_seconds": 3.0}
    ready = rung.Ready(run, compiling, 416, "1.2", rung.Work(7.0, 8.0), lambda out: 400)
    monkeypatch.setitem(rung.SIDES, "jmarl", lambda order: ready)
    monkeypatch.setattr(sys, "stdin", io.StringIO("go\ngo\ngo\n"))
    told: list[Any] = []
    done = rung.serve(rung.Order("jmarl", {"seeds": 2}), lambda **event: told.append(event))
    facts = {"positions": 416, "version": "1.2", "flops": 7.0, "bytes": 8.0}
    assert told[0] == {"ready": {"compiling": compiling, **facts}}
    assert len(told) == 4 and all(event["repeat"]["seconds"] > 0 for event in told[1:])
    assert done["gradient_steps"] == 3 and done["parameters"] == 7 and done["env_steps"] == 400


def test_their_learning_is_counted_in_rollouts_behind_the_warm_up() -> None:
    rung, work = __import__("peer_rung"), __import__("peer_work")
    case = work.case("iql", "mpe/simple_spread", 8, updates=5)
    x = jnp.ones((4, 4))

    def train(key: Any) -> Any:
        def rollout(done: Any, _: Any) -> Any:
            learn = jax.lax.cond(done >= case.warmup, lambda: x @ x @ x, lambda: x)
            return done + 1, (x @ learn).sum()

        return jax.lax.scan(rollout, 0, None, case.rollouts)[1]

    once = 2 * 4**3
    counted = rung.theirs_work(case, train, jax.random.key(0))
    assert counted.flops == pytest.approx(once * (case.rollouts + 2 * case.updates))


def test_optimisers_that_disagree_are_no_count() -> None:
    tx, params = optax.adam(0.1), jnp.zeros(2)
    once = tx.update(params, tx.init(params))[1]
    with pytest.raises(ValueError, match=r"must agree on one number of steps, got \[0, 1\]"):
        __import__("peer_rung").learned([once, tx.init(params)], 1)


def told(seconds: list[float], **facts: float) -> dict[str, Any]:
    """A side of a case."""
    repeats = [{"seconds": s, "cpu_seconds": 2 * s} for s in seconds]
    counted = {
        "gradient_steps": 10,
        "positions": 300,
        "env_steps": 300,
        "parameters": 1000,
        "flops": 2e9,
    }
    compiling = {"seconds": 1.0, "cpu_seconds": sum(seconds)}
    return {**counted, "repeats": repeats, "compiling": compiling, **facts}


def test_ratios_are_of_neighbours_and_unequal_work_is_told(
    peers: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, work = __import__("peer_summary"), __import__("peer_work")
    case = asdict(work.case("ippo", "mpe/simple_spread", 8))
    sides = {"jmarl": told([1.0, 2.0, 4.0], env_steps=290), "jaxmarl": told([2.0, 8.0, 4.0])}
    found = summary.joined({"label": "a case", "case": case}, sides)
    assert found["ratio"]["seconds"] == {"min": 1.0, "median": 2.0, "max": 4.0}
    assert found["ratio"]["cpu_seconds"]["median"] == 2.0 and found["compile_ratio"] == 2.0
    assert found["equal"] and found["unequal"] == []
    sides["jaxmarl"] |= {"gradient_steps": 11, "parameters": 1005}  # half a percent is a bias
    other = summary.joined({"label": "b case", "case": case}, sides)
    assert other["unequal"] == ["gradient steps: ours 10, theirs 11"]
    assert "NOT EQUAL (gradient steps" in summary.verdict(other)
    about = {"device": "1 x cpu", "backend": "cpu", "cpu": "abacus", "cpus": 2}
    about["packages"] = {"jax": "1"}
    failed = {"label": "c case", "failed": "no room"}
    commits = {"jaxmarl": "0123456789abc"}
    result = {"about": about, "commits": commits, "cases": [found, other, failed]}
    for table in summary.tables(result):
        peers.show(table)
    printed = " ".join(capsys.readouterr().out.split())
    assert "ippo simple_spread 8 200 400 2.00 (1.00-4.00) 2.00 (1.00-4.00) unknown 2.00" in printed
    assert "beside JaxMARL 012345678" in printed
    assert "10/11 300 290/300 1,000/1,005 2/2 8 x 128 / 4 64" in printed
    assert "c case failed: no room" in printed and "b case was not equal" in printed
    path = summary.write(result, tmp_path)
    assert json.loads(path.read_text()) == result and len(list(tmp_path.iterdir())) == 1


ECHO = """
import json, sys
for line in sys.stdin:
    print("a library speaks")
    print(json.dumps({"said": line.strip()}), flush=True)
print(json.dumps({"done": 1}))
"""


def test_a_process_answers_line_by_line() -> None:
    talking = __import__("talk")
    with talking.Talk([sys.executable, "-c", ECHO], 60.0) as talk:
        for word in ("one", "two"):
            talk.say(word)
            assert talk.hear("said") == word
        talk.end()
        assert talk.hear("done") == 1
        with pytest.raises(talking.Ended, match="exit code 0"):
            talk.hear("more")
    with (
        talking.Talk([sys.executable, "-c", 'print(\'{"failed": "no room"}\')'], 60.0) as talk,
        pytest.raises(talking.Ended, match="no room"),
    ):
        talk.hear("ready")


def test_a_process_has_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    talking = __import__("talk")
    monkeypatch.setenv("MINE", "1")
    tell = "import json, os; print(json.dumps({'told': [os.environ[x] for x in ('MINE', 'ITS')]}))"
    with talking.Talk([sys.executable, "-c", tell], 60.0, {"ITS": "2"}) as talk:
        assert talk.hear("told") == ["1", "2"]


def test_a_process_that_hangs_is_ended() -> None:
    talking = __import__("talk")
    hanging = [sys.executable, "-c", "import time; time.sleep(60)"]
    with talking.Talk(hanging, 0.2) as talk, pytest.raises(talking.Ended, match="more than 0 s"):
        talk.hear("ready")
    assert talk.process.returncode == -9  # it did not end by itself


@pytest.mark.slow
def test_a_small_case_from_end_to_end(tmp_path: Path) -> None:
    """With a script of our own, whose parameters are as many as our IQL's with a width of 4."""
    folder = checkout(tmp_path, parameters=233)
    (folder / "lib").mkdir()
    (folder / "lib" / "flashbax.py").touch()
    out = tmp_path / "results"
    words = ["iql", "--rungs=2", "--repeats=2", "--updates=3", "--width=4", "--batch=2"]
    places = ["--jaxmarl", str(folder), "--out", str(out)]
    ran = subprocess.run(
        [sys.executable, str(BENCHMARKS / "peers.py"), *words, *places],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "lib"), PATHS])},
    )
    assert ran.returncode == 0, ran.stderr
    (path,) = out.iterdir()
    (case,) = json.loads(path.read_text())["cases"]
    assert case["equal"] and case["sides"]["jaxmarl"]["version"] == "9.9"
    for side in case["sides"].values():
        assert side["gradient_steps"] == 3 and side["positions"] == 4 * 2 * 26
        assert len(side["repeats"]) == 2 and side["peak_memory_bytes"] > 2**20
    assert case["sides"]["jmarl"]["env_steps"] == 4 * 2 * 25
    assert "iql simple_spread 2" in ran.stdout and str(tmp_path) not in path.read_text()
