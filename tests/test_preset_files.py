"""Presets as files: those that come with jmarl are what the studies ran, and misuse is told."""

import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import jmarl
from jmarl import making
from jmarl.algorithms import ALL
from jmarl.cli import main
from jmarl.config import Experiment, experiment
from jmarl.fields import ConfigError
from jmarl.preset_files import as_yaml, is_file, load, planned, result_of, shipped
from jmarl.types import EnvSpec
from jmarl.words import read_order

ROOT = Path(__file__).parents[1]
# of a study's command, what is the business of whoever runs it
RUNNERS = ("seed", "seeds", "checkpoint_minutes", "keep_checkpoints")


@cache
def spec(env: str, kinds: tuple[str, ...], options: tuple[Any, ...]) -> EnvSpec:
    """As whose algorithm takes such actions has it; not made anew for every preset."""
    plan = experiment("maddpg" if kinds[0] == "simplex" else "qmix", settings={"env": env})
    return making.env_of(Experiment(plan.algorithm, "", plan.run, plan.config, dict(options))).spec


def head(path: Path) -> dict[str, str]:
    """What the comments before the first key say."""
    text = path.read_text().split("\nalgorithm:")[0].replace("\n#   ", " ")
    pairs = (line.removeprefix("# ").partition(": ") for line in text.splitlines())
    return {key: words for key, _, words in pairs}


def of_command(command: str) -> Experiment:
    """What the words of a study trained, but for its seeds."""
    order = read_order(shlex.split(command)[2:])
    assert order is not None
    settings = {name: x for name, x in order.settings.items() if name not in RUNNERS}
    return planned(order.algorithm, order.flags.get("preset", ""), order.env_options, settings)


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_preset_is_what_its_study_ran(name: str) -> None:
    path, plan = shipped()[name], planned(name)
    assert name == f"@{plan.algorithm}/{plan.run.env.replace('/', '-')}"
    told = head(path)
    assert told.keys() == {"Study", "Command", "Result"} and result_of(path) == told["Result"]
    folder, where, *_ = told["Study"].split(", ")
    assert (ROOT / folder / where).exists()
    assert plan == of_command(told["Command"])
    kinds = plan.recipe.action_kinds(plan.config)
    plan.recipe.suits(spec(plan.run.env, kinds, tuple(plan.env_options.items())), plan.config)


def test_files_cover_every_suite_that_studies_ran() -> None:
    suites = {name.split("/")[1].split("-")[0] for name in shipped()}
    assert suites == {"mpe", "particle", "matrix", "grid", "smax", "pursuit", "refil"}


# --- round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_what_is_printed_is_a_file_of_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    for preset in ("", *ALL[name].presets):
        settings = {"total_steps": 3e6, "gamma": 0.9}
        plan = experiment(name, preset, {"episode_limit": 9}, settings)
        path.write_text(as_yaml(plan))
        assert planned(str(path)) == plan


def test_the_command_prints_a_file_that_trains_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = "--env toy/parts --env.episode_limit 7 --preset iqbal --hidden-dim 8,4 --tau 2e-2"
    assert main(["config", "maddpg", *words.split()]) == 0
    path = tmp_path / "mine.yaml"
    path.write_text(capsys.readouterr().out)
    options, settings = {"episode_limit": 7}, {"hidden_dim": (8, 4), "tau": 0.02}
    expected = making.plan_of("maddpg", "toy/parts", "iqbal", options, settings)
    assert making.plan_of(str(path), "", "", {}, {}) == expected
    assert main(["config", str(path), "--tau", "0.5"]) == 0
    assert "\n  tau: 0.5\n" in capsys.readouterr().out


def test_without_words_the_files_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config"]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told for name in shipped()) and "win rate 0.81" in told


# --- what overrides what --------------------------------------------------------------------------

FILE = """
algorithm: qmix
preset: fast
env: matrix/two_step
env_options: {agent_ids: true}
settings:
  lr: 1e-3
  num_envs: 16
  hidden_dim: [32, 16]
  optimiser: rmsprop
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    return str(path)


def test_a_file_stands_over_its_preset_and_flags_over_the_file(mine: str) -> None:
    plan = planned(mine)
    fast = experiment("qmix", "fast")
    assert (plan.config.lr, plan.run.num_envs, plan.config.hidden_dim) == (1e-3, 16, (32, 16))
    assert plan.config.td_lambda == fast.config.td_lambda and plan.config.optimiser == "rmsprop"
    plan = planned(mine, "pymarl2", {"agent_ids": False}, {"num_envs": "8", "lr": 0.5})
    assert (plan.preset, plan.run.num_envs, plan.config.lr) == ("pymarl2", 8, 0.5)
    assert plan.config.batch_size == 128 and plan.env_options == {"agent_ids": False}


def test_options_of_its_environment_are_not_for_another(mine: str) -> None:
    assert planned(mine).env_options == {"agent_ids": True}
    assert planned(mine, settings={"env": "grid/switch2"}).env_options == {}
    env = jmarl.make_env("grid/switch2")
    plan = making.plan_of(mine, env, "", {}, {})
    assert plan.own_env and plan.run.env == "grid/switch2" and plan.env_options == {}


def test_libraries_names_are_understood_in_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("algorithm: maddpg\nenv: MPE_simple_spread_v3\n")
    assert making.plan_of(str(path), "", "", {}, {}).run.env == "mpe/simple_spread"


def test_a_file_trains_like_its_words(tmp_path: Path) -> None:
    small = {"num_envs": 4, "rollout_length": 5, "total_steps": 400, "evaluations": 2}
    small |= {"eval_episodes": 4, "buffer_size": 100, "batch_size": 8, "warmup_steps": 20}
    lines = [f"  {name}: {value}" for name, value in small.items()]
    path = tmp_path / "mine.yaml"
    whole = "\n".join(["algorithm: maddpg", "env: toy/cue", "settings:", *lines])
    path.write_text(whole + "\n  hidden_dim: 8,8\n")
    result = jmarl.train(str(path), out=None, progress=False, seeds=2)
    words = {**small, "hidden_dim": (8, 8), "seeds": 2}
    assert result.experiment == making.plan_of("maddpg", "toy/cue", "", {}, words)
    assert result.returns.shape == (3, 2)


def test_help_of_a_file_shows_its_values(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", mine, "--help"]) == 0
    told = capsys.readouterr().out
    assert "[32,16]" in told and "settings of qmix:" in told and "[matrix/two_step]" in told


# --- wrong use ------------------------------------------------------------------------------------

WRONG = {  # what a file holds: what the line must say beside the file's name
    "algorithm: qmx": ("'qmx'", "did you mean 'qmix'"),
    "env: smax/3m": ("algorithm must be given", "qmix"),
    "algorithm: [qmix]": ("algorithm must be a text", "['qmix']"),
    "algorithm: qmix\nsetings: {lr: 1}": ("'setings'", "did you mean 'settings'", "env_options"),
    "algorithm: qmix\n1: 2": ("no key of a preset file is named '1'",),
    "algorithm: qmix\nsettings: {gama: 1}": ("setting of qmix", "'gama'", "did you mean 'gamma'"),
    "algorithm: qmix\nsettings: {gamma: 1.5}": ("gamma must be between 0 and 1, got 1.5",),
    "algorithm: qmix\nsettings: {gamma: .nan}": ("gamma must be a number, got nan",),
    "algorithm: qmix\nsettings: {num_envs: many}": ("num_envs must be a whole number", "'many'"),
    "algorithm: qmix\nsettings: {num_envs: }": ("num_envs must be a whole number, got None",),
    "algorithm: qmix\nsettings: {optimiser: [a]}": ("optimiser must be one of rmsprop, adam",),
    "algorithm: qmix\nsettings: {double_q: 1}": ("double_q must be true or false, got 1",),
    "algorithm: qmix\nsettings: {rollout_length: 9}": ("rollout_length must not be set for qmix",),
    "algorithm: qmix\nsettings: {env: smax/3m}": ("env must stand beside settings",),
    "algorithm: qmix\nsettings: 3": ("settings must be lines of `key: value`, got 3",),
    "algorithm: qmix\npreset: quick": ("preset of qmix is named 'quick'", "pymarl, pymarl2, fast"),
    "algorithm: qmix\nenv: 3": ("env must be a text, got 3",),
    "algorithm: 'qmix": ("preset file must be YAML", "line 1"),
    "algorithm: !!python/name:os.system x": ("preset file must be YAML", "constructor", "line 1"),
    "when: 2001-99-99": ("preset file must be YAML", "month"),
    "- qmix": ("preset file must be lines of `key: value`, got ['qmix']",),
    "": ("preset file must be lines of `key: value`, got None",),
}


def told(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a wrong command ends with."""
    assert main(words) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    return line


@pytest.mark.parametrize("text", WRONG)
@pytest.mark.parametrize("command", ["train", "config"])
def test_a_wrong_file_is_one_line_that_names_it(
    command: str, text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    line = told([command, str(path)], capsys)
    assert line.startswith(f"jmarl: {path}: ") and all(part in line for part in WRONG[text]), line
    with pytest.raises(ConfigError):
        load(str(path))


@pytest.mark.parametrize(
    ("words", "says"),
    {
        "train @qmix/smax-3n": ("'@qmix/smax-3n'", "did you mean '@qmix/smax-3m'", "jmarl config"),
        "config @": ("preset file", "`jmarl config` lists them"),
        "train nowhere.yaml": ("nowhere.yaml: preset file must be readable (No such file",),
        "train @qmix/smax-3m --num-env 3": ("'num-env'", "did you mean 'num-envs'"),
        "train @qmix/smax-3m @vdn/smax-3m": ("algorithm must be one name",),
        "config qmix --out here": ("out must not be given to config",),
        "config qmix --env grid/fetsh": ("'grid/fetsh'", "'grid/fetch'"),
        "config qmix --env particle/simple_tag": ("one team",),
    }.items(),
)
def test_wrong_words_are_one_line(
    words: str, says: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    line = told(words.split(), capsys)
    assert all(part in line for part in says), line


def test_algorithms_are_no_files() -> None:
    assert not any(map(is_file, ALL))
