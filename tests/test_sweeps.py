"""The files for `wandb sweep`: what an agent would run is a run of jmarl."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from small_runs import lines
from wandb_server import serving

from jmarl import make_env
from jmarl.algorithms import ALL
from jmarl.config import experiment
from jmarl.words import Order, read_order

FOLDER = Path(__file__).parents[1] / "experiments" / "sweeps"
FILES = sorted(FOLDER.glob("*.yaml"))
PAPERS = {"maddpg", "maac", "vdn", "qmix", "qatten", "liir", "refil"}


def extremes(rule: Mapping[str, Any]) -> list[Any]:
    """The first and last values that a parameter may take."""
    return (
        [rule["values"][0], rule["values"][-1]] if "values" in rule else [rule["min"], rule["max"]]
    )


def trial(sweep: Mapping[str, Any], nth: int) -> dict[str, Any]:
    return {name: extremes(rule)[nth] for name, rule in sweep["parameters"].items()}


def agents_line(sweep: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """What `wandb agent` puts together: ${args} stands for --name=value of each parameter."""
    args = [f"--{name}={value}" for name, value in values.items()]
    words = [[str(word)] if word != "${args}" else args for word in sweep["command"]]
    return [word for group in words for word in group]


def ordered(words: list[str]) -> Order:
    assert words[:2] == ["jmarl", "train"]
    order = read_order(words[2:])
    assert order is not None
    return order


def test_there_is_one_for_each_paper() -> None:
    assert {path.stem for path in FILES} == PAPERS
    assert {yaml.safe_load(path.read_text())["method"] for path in FILES} == {
        "grid",
        "random",
        "bayes",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("nth", [0, 1], ids=["lowest", "highest"])
def test_an_agents_command_line_is_a_run(path: Path, nth: int) -> None:
    sweep = yaml.safe_load(path.read_text())
    order = ordered(agents_line(sweep, trial(sweep, nth)))
    assert order.algorithm == path.stem
    assert order.flags["wandb"] == "online"
    plan = experiment(order.algorithm, order.flags.get("preset", ""), {}, order.settings)
    for name, value in trial(sweep, nth).items():
        assert getattr(plan.config, name) == pytest.approx(value)
    spec = make_env(plan.run.env).spec
    ALL[order.algorithm].suits(spec, plan.config)
    measure = sweep["metric"]["name"].removeprefix("eval/")
    assert measure in {"episode_return", *(name for name, _ in spec.info)}


# --- a real agent -------------------------------------------------------------------------------

TINY = {  # test_sweep.py trains the same program, which is compiled once for both
    **{"--env": "matrix/two_step", "--seeds": 2, "--total-steps": 600, "--num-envs": 4},
    **{"--buffer-size": 40, "--evaluations": 2, "--eval-episodes": 4},
    **{"--hidden-dim": 8, "--rnn-dim": 8, "--preset": None},
}


def tiny(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """The same file, but for the size of its runs."""
    words, args = list(sweep["command"][:-1]), sweep["command"][-1]
    for flag, value in TINY.items():
        if flag in words:
            del words[words.index(flag) : words.index(flag) + 2]
        words += [flag, value] if value is not None else []
    return {**sweep, "command": [*words, args]}


class Agent:
    """What `wandb sweep` and `wandb agent` did with two trials of a file."""

    def __init__(self, folder: Path, sweep: Mapping[str, Any], trials: list[Any]) -> None:
        self.folder, self.trials = folder, trials
        (folder / "vdn.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
        with serving(trials) as self.server:
            self.run("sweep", "--project", "jmarl", "vdn.yaml")
            self.log = self.run("agent", "me/jmarl/swept")

    def run(self, *words: str) -> str:
        own = Path(sys.executable).parent
        env = {
            **{name: x for name, x in os.environ.items() if not name.startswith("WANDB_")},
            "PATH": f"{own}{os.pathsep}{os.environ['PATH']}",
            **{"WANDB_BASE_URL": self.server.url, "WANDB_API_KEY": "0" * 40},
            **{"WANDB_ERROR_REPORTING": "false", "HOME": str(self.folder)},
        }
        command = [str(own / "wandb"), *words]
        ended = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=500
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    @property
    def runs(self) -> list[Path]:
        return sorted((self.folder / "runs").iterdir())


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Agent:
    sweep = tiny(yaml.safe_load((FOLDER / "vdn.yaml").read_text()))
    trials = [{"lr": lr, "batch_size": 4} for lr in sweep["parameters"]["lr"]["values"][:2]]
    return Agent(tmp_path_factory.mktemp("agent"), sweep, trials)


def test_an_agent_runs_the_trials_that_its_server_hands_out(agent: Agent) -> None:
    sweep = yaml.safe_load(agent.server.sweep)
    for values in agent.trials:
        assert f"About to run command: {' '.join(agents_line(sweep, values))}\n" in agent.log
    plans = [json.loads((run / "config.json").read_text())["config"] for run in agent.runs]
    assert [{name: plan[name] for name in agent.trials[0]} for plan in plans] == agent.trials
    assert all((run / "summary.json").exists() for run in agent.runs)
    assert "0" * 40 not in agent.log


def test_a_trial_tells_the_run_that_its_server_waits_for(agent: Agent) -> None:
    """Its id, its sweep, its settings and the means of its seeds."""
    server = agent.server
    assert list(server.runs) == list(server.history) == ["trial0", "trial1"]
    for name, values, run in zip(server.runs, agent.trials, agent.runs, strict=True):
        assert server.runs[name]["sweep"] == "swept"
        config = json.loads(server.runs[name]["config"])
        assert {setting: config[setting]["value"] for setting in values} == values
        told = [x["train/q_value"] for x in server.history[name] if "train/q_value" in x]
        seeds = [
            [x["train/q_value"] for x in lines(run, seed) if "train/q_value" in x]
            for seed in (0, 1)
        ]
        assert told == pytest.approx(np.mean(seeds, 0))


def test_a_trials_pictures_and_episode_are_media(agent: Agent) -> None:
    for name, run in zip(agent.server.runs, agent.runs, strict=True):
        shown = {
            key: x[key]
            for x in agent.server.history[name]
            for key in ("curve", "episode")
            if key in x
        }
        assert [shown[key]["_type"] for key in ("curve", "episode")] == ["image-file", "video-file"]
        for key, file in (("curve", "curve.png"), ("episode", "episode.gif")):
            assert agent.server.files[f"{name}/{shown[key]['path']}"] == (run / file).read_bytes()
