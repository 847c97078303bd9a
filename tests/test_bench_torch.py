"""make bench-peers beside the official MADDPG and MAAC, with a torch and a checkout of our own."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jmarl.fields import ConfigError
from jmarl.making import env_of
from jmarl.program import Program

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
# what torch_rung.py and a program as the official ones take of torch
TORCH = {
    "__init__.py": """
from types import SimpleNamespace
__version__ = "0.1"
flops = 0
nn = SimpleNamespace(utils=SimpleNamespace(clip_grad_norm_=lambda params, norm: None))

def save(*args):
    raise RuntimeError("nothing is to be saved")

def set_num_threads(number):
    assert number == 3

class Optimizer:
    def __init__(self, size):
        self.weights = SimpleNamespace(numel=lambda: size)
        self.param_groups, self.state = [{"params": [self.weights]}], {}

    def step(self):
        self.state.setdefault(0, {"step": 0})["step"] += 1

optim = SimpleNamespace(Optimizer=Optimizer)
""",
    "utils/__init__.py": "",
    "utils/flop_counter.py": """
import torch

class FlopCounterMode:
    def __init__(self, display): pass

    def __enter__(self):
        self.before = torch.flops
        return self

    def __exit__(self, *raised):
        self.counted = torch.flops - self.before

    def get_total_flops(self):
        return self.counted
""",
}
# a program as the official ones: the same imports, loop and names; a sibling process burns time
PROGRAM = """
import imp
import os
import time
from multiprocessing import Process

import numpy as np
import seaborn
import torch
from types import SimpleNamespace
from baselines.common.vec_env import CloudpickleWrapper, VecEnv
from gym.spaces import Box, Discrete
from multiagent.core import World
from tensorboardX import SummaryWriter

def make_env(name, discrete_action):
    return World()

class Envs(VecEnv):
    def step_async(self, actions): pass
    def step_wait(self): return None

class MADDPG:
    @classmethod
    def init_from_env(cls, env, lr):
        made = cls()
        made.agents = [SimpleNamespace(tx=torch.Optimizer(5)) for _ in range(2)]
        made.tx = torch.Optimizer({size})
        return made

def busy():
    began = sum(os.times()[:2])  # the clock that a repeat is timed by
    while sum(os.times()[:2]) - began < 0.2: pass

def run(config):
    os.makedirs("models")
    SummaryWriter("models").add_scalar("x", 1, 2)
    env, t = Envs(config.n_rollout_threads, None, None), 0
    assert [len(x) for x in make_env(config.env_id, discrete_action=True).reset()] == [2, 3]
    learner = MADDPG.init_from_env(env, lr=config.lr)
    process = Process(target=busy)
    process.start()
    for episode in range(0, config.n_episodes, config.n_rollout_threads):
        for _ in range(config.episode_length):
            env.step(None)
            torch.flops += 10
            t += config.n_rollout_threads
            if t >= config.batch_size and t % config.steps_per_update < config.n_rollout_threads:
                for tx in (learner.tx, *(agent.tx for agent in learner.agents)):
                    torch.flops += 100
                    tx.step()
    torch.nn.utils.clip_grad_norm(None, 1)
    torch.save(None, "model.pt")
    process.join()
"""
PARTICLES = """
import numpy as np

class World:
    def reset(self):
        return [np.zeros(2), np.zeros(3)]
"""


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def checkouts(folder: Path, size: int = 7) -> tuple[Path, Path, dict[str, str]]:
    """A program, a multiagent package, and an environment of processes that has a torch."""
    files = {"main.py": PROGRAM.replace("{size}", str(size)), "algorithms/maddpg.py": ""}
    particles = {"multiagent/__init__.py": "", "multiagent/core.py": PARTICLES}
    torch = written(folder / "site" / "torch", TORCH)
    paths = os.pathsep.join([str(torch.parent), os.environ.get("PYTHONPATH", "")])
    environ = {**os.environ, "PYTHONPATH": paths}
    return written(folder / "maddpg", files), written(folder / "mpe", particles), environ


# --- what is asked for --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "jaxmarl, maddpg or maac must be a checkout to stand beside, got none"),
        ("--maac NOWHERE", "maac must be a checkout of shariqiqbal2810/MAAC, got 'NOWHERE'"),
        ("--maddpg HERE maac", "maac needs --maac, a checkout of shariqiqbal2810/MAAC"),
        ("--maddpg HERE qmix", "qmix needs --jaxmarl, a checkout of JaxMARL"),
        ("--maddpg HERE --seeds 2 --rungs 1", "seeds must be 1 for maddpg, got 2"),
        ("--maddpg HERE --epochs 2", "epochs must not be given for maddpg: its loop says"),
        ("--maddpg HERE --rungs 101", "rungs must be from 1 to 100 for maddpg, got 101"),
        ("--maddpg HERE --torch-threads 0", "torch_threads must be at least 1, got 0"),
        (
            "maddpg --maddpg HERE --env particle/rover_tower --rungs 1",
            "no environment of both sides for maddpg is named 'particle/rover_tower'",
        ),
        ("--maddpg HERE --torch-python NONE", "torch_python must be an interpreter, got 'NONE'"),
        ("--maddpg HERE --particles THERE", "maddpg needs torch, which "),
    ],
)
def test_wrong_use_is_one_line(
    words: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peers = __import__("peers")
    program, particles, _ = checkouts(tmp_path)
    places = {"HERE": str(program), "THERE": str(particles)}
    given = [places.get(word, word) for word in words.split()]
    assert peers.main([*given, "--out", str(tmp_path / "new")]) == 2
    printed, error = capsys.readouterr()
    assert says in error and error.startswith("peers: ") and error.count("\n") == 1
    assert not printed and not (tmp_path / "new").exists()


def test_what_is_measured_where_nothing_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = __import__("peer_request")
    monkeypatch.setattr(asking, "require_torch", lambda name, python, stand_in: None)
    program, *_ = checkouts(tmp_path)
    words = ["--maddpg", str(program), "--torch-python", "/far/python", "--out", str(tmp_path)]
    request = asking.read(words)
    (case,) = request.cases
    assert case.label == "maddpg on particle/simple_spread, 1 environment"
    assert str(tmp_path) not in request.command and "/far" not in request.command


@pytest.mark.parametrize(
    ("algorithm", "env", "num_envs", "updates", "steps", "taken"),
    [
        # theirs: after 1,100, 1,200 and 1,300 steps; a batch is 1,024
        ("maddpg", "particle/simple_spread", 1, 13, 1300, 3),
        # four after each of 1,104, 1,200, 1,308, ... 12,000 steps, of which ours has ten rollouts
        ("maac", "particle/treasure_collection", 12, 9, 12000, 440),
        ("maac", "particle/rover_tower", 12, 2, 2400, 56),
    ],
)
def test_both_sides_are_asked_for_the_same_work(
    algorithm: str, env: str, num_envs: int, updates: int, steps: int, taken: int
) -> None:
    work = __import__("torch_work")
    case = work.case(algorithm, env, num_envs, updates=updates)
    program, theirs = Program(env_of(case.plan), case.plan), work.theirs(case, 2)
    program.refuse_impossible()
    shape, config = program.shape, case.plan.config
    assert theirs["n_episodes"] * theirs["episode_length"] == steps == case.env_steps
    assert case.gradient_steps == taken == shape.updates_per_rollout * case.updates
    # a position more for every episode than it has steps
    length = theirs["episode_length"]
    rollouts = shape.warmup_rollouts + case.updates
    assert rollouts * shape.rollout_length * num_envs == steps // length * (length + 1)
    learns_from = (shape.warmup_rollouts + 1) * 100 * num_envs
    assert shape.warmup_rollouts * 100 * num_envs < theirs["batch_size"] <= learns_from
    assert config.batch_size == theirs["batch_size"] == 1024
    assert config.buffer_size == theirs["buffer_length"]
    width = theirs.get("hidden_dim", theirs.get("pol_hidden_dim"))
    assert set(config.hidden_dim) == {width}
    rates = {"lr", "pi_lr"} & set(theirs)
    assert [config.actor_lr] == [theirs[name] for name in rates] and config.tau == theirs["tau"]


def test_updates_that_cannot_be_shared_out_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"updates must be lower for maac .* got 41"):
        __import__("torch_work").case("maac", "particle/rover_tower", 12, updates=41)


# --- the official side --------------------------------------------------------------------------


def test_a_program_runs_once_for_every_line_and_tells_what_it_did(tmp_path: Path) -> None:
    program, particles, environ = checkouts(tmp_path)
    settings = {
        "env_id": "simple_spread",
        "n_rollout_threads": 2,
        "n_episodes": 6,
        "episode_length": 25,
        "steps_per_update": 50,
        "batch_size": 60,
        "lr": 0.1,
    }
    order = {"checkout": program, "particles": particles, "threads": 3, "settings": settings}
    ran = subprocess.run(
        [sys.executable, str(BENCHMARKS / "torch_rung.py"), json.dumps(order, default=str)],
        input="go\ngo\n",
        capture_output=True,
        text=True,
        env=environ,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    about, ready, *repeats, done = [json.loads(line) for line in ran.stdout.splitlines()]
    assert about == {"about": {}} and len(repeats) == 2
    assert ready["ready"]["version"].startswith("torch 0.1, numpy ")
    assert all(told["repeat"]["cpu_seconds"] >= 0.19 for told in repeats)  # of its own process
    # 150 steps of two environments by twos; after 100 and 150 of them all three optimisers step
    assert done["done"] == {
        "gradient_steps": 2,
        "parameters": 7 + 5 + 5,
        "env_steps": 150,
        "positions": 150,
        "flops": 75 * 10 + 2 * 300,
    }
    assert not (tmp_path / "models").exists()


def test_old_numpy_made_objects_of_unequal_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    monkeypatch.delitem(sys.modules, "torch_stand_ins", raising=False)
    rows = __import__("torch_stand_ins").rows
    unequal = rows([np.ones(2), np.zeros(3)])
    assert unequal.dtype == object and unequal.shape == (2,) and unequal[1].shape == (3,)
    assert rows([np.ones(2), np.zeros(2)]).shape == (2, 2)


def test_the_stand_in_plays_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = SimpleNamespace(Discrete=lambda n: n, Box=lambda low, high, shape: shape)
    monkeypatch.setitem(sys.modules, "gym", SimpleNamespace(spaces=spaces))
    particles = __import__("torch_particles")
    task = particles.load("simple_spread.py").Scenario()
    world = task.make_world()
    env = particles.MultiAgentEnv(world, task.reset_world, task.reward, task.observation)
    assert env.observation_space == [(18,)] * 3 and env.action_space == [5] * 3
    for nth, entity in enumerate((*world.agents, *world.landmarks)):
        entity.state.p_pos = np.array([2.0 * (nth % 3), 0.0 if nth < 3 else 1.0])
        entity.state.p_vel = np.zeros(2)
    up, still = np.eye(5)[3], np.eye(5)[0]
    seen, reward, done, _ = env.step([up, still, still])
    assert seen[0][1] == pytest.approx(0.5)  # force 5, mass 1, a tenth of a second
    # each agent is one from its landmark, as they moved by the velocity before; all share
    assert reward == [pytest.approx(-9.0)] * 3 and done == [False] * 3
    fork = particles.World()
    fork.agents, fork.cache_dists = world.agents, True
    fork.step()
    assert fork.cached_dist_vect[1, 0][0] == pytest.approx(2.0)  # from 0 to 1
    assert fork.cached_dist_mag[2, 0] == pytest.approx(np.hypot(4.0, 0.05))


# --- ours, and what is made of both ---------------------------------------------------------------


def test_what_pads_unequal_agents_is_no_parameter() -> None:
    rung = __import__("peer_rung")
    nets = {"kernel": jnp.array([[1.0, 0.0], [2.0, 0.0]]), "bias": jnp.ones(2)}
    assert rung.zeros([SimpleNamespace(nets=nets)]) == 2


def test_an_aim_is_told_with_what_bounds_it() -> None:
    summary, work = __import__("peer_summary"), __import__("torch_work")
    case = work.case("maac", "particle/rover_tower", 12, updates=2)
    facts = {"gradient_steps": 56, "env_steps": 2400, "parameters": 1000, "flops": 1e9}
    floor = {"seconds": {"floor": 2.0}, "times_the_floor": 4.0}
    ours = {
        **facts,
        "positions": 2496,
        "floor": floor,
        "compiling": {"cpu_seconds": 9.0},
        "repeats": [{"seconds": 5.0, "cpu_seconds": 8.0}] * 2,
    }
    slow = {"seconds": 9.0, "cpu_seconds": 24.0}
    theirs = {**facts, "positions": 2400, "repeats": [slow] * 2}
    asked = {"label": "a case", **work.both(case, 1)}
    found = summary.joined(asked, {"jmarl": ours, "official": theirs})
    assert found["equal"] and found["compile_ratio"] is None and found["at_most"] == 12.0
    assert summary.verdict(found) == (
        "a case: x1.80, by CPU time x3.00; the aim of x5 is not met: "
        "ours takes 4.0 times its floor, with which it were x12.0"
    )
    assert summary.times(found)[-2:] == ["12.00", "unknown"]
    theirs["repeats"], theirs["env_steps"] = [slow | {"cpu_seconds": 48.0}] * 2, 2399
    found = summary.joined(asked, {"jmarl": ours, "official": theirs})
    assert "the aim of x5 is met, NOT EQUAL (env steps: ours 2,400" in summary.verdict(found)


def test_each_side_gets_its_own_interpreter(tmp_path: Path) -> None:
    peers, asking = __import__("peers"), __import__("peer_request")
    case = __import__("torch_work").case("maddpg", "particle/simple_spread", 1, updates=12)
    places = {"maddpg": tmp_path, "particles": tmp_path / "mpe"}
    request = asking.Request([case], places, "/far/python", 2, 3, 60.0, tmp_path, "")
    found, commands = peers.asked(case, request)
    assert found["case"] == asdict(case) and found["aim"] == 20.0
    assert commands["jmarl"][0] == sys.executable
    python, script, order = commands["official"]
    assert python == "/far/python" and script.endswith("torch_rung.py")
    told: dict[str, Any] = json.loads(order)
    assert told["settings"]["n_training_threads"] == told["threads"] == 2
    assert told["checkout"] == str(tmp_path) and told["particles"] == str(tmp_path / "mpe")


@pytest.mark.slow
def test_a_small_case_from_end_to_end(tmp_path: Path) -> None:
    """With a program of our own, whose parameters are as many as our MADDPG's with a width of 4."""
    program, particles, environ = checkouts(tmp_path, size=1800 - 10)
    out, places = tmp_path / "results", ["--maddpg", str(program), "--particles", str(particles)]
    words = ["--rungs=1", "--repeats=2", "--updates=2", "--width=4", "--batch=100"]
    ran = subprocess.run(
        [
            sys.executable,
            str(BENCHMARKS / "peers.py"),
            *("maddpg", "--torch-threads", "3", "--out", str(out), *words, *places),
        ],
        capture_output=True,
        text=True,
        env=environ,
    )
    assert ran.returncode == 0, ran.stderr
    (path,) = out.iterdir()
    (case,) = json.loads(path.read_text())["cases"]
    assert case["equal"] and case["at_most"] > 0
    for side in case["sides"].values():
        assert side["gradient_steps"] == 2 and side["env_steps"] == 200
        assert side["parameters"] == 1800 and len(side["repeats"]) == 2
    assert "beside the official MADDPG" in ran.stdout and "what both sides did" in ran.stdout
    assert str(tmp_path) not in path.read_text()
