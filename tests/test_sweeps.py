"""The files for `wandb sweep`: what an agent would run is a run of jmarl."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

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


def agents_line(sweep: Mapping[str, Any], nth: int) -> list[str]:
    """What `wandb agent` puts together: ${args} stands for --name=value of each parameter."""
    args = [f"--{name}={extremes(rule)[nth]}" for name, rule in sweep["parameters"].items()]
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
    order = ordered(agents_line(sweep, nth))
    assert order.algorithm == path.stem
    assert order.flags["wandb"] == "online"
    plan = experiment(order.algorithm, order.flags.get("preset", ""), {}, order.settings)
    for name, rule in sweep["parameters"].items():
        assert getattr(plan.config, name) == pytest.approx(extremes(rule)[nth])
    spec = make_env(plan.run.env).spec
    ALL[order.algorithm].suits(spec, plan.config)
    measure = sweep["metric"]["name"].removeprefix("eval/")
    assert measure in {"episode_return", *(name for name, _ in spec.info)}
