"""The command line, as a newcomer uses and misuses it."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flax import struct

import jmarl
import jmarl_envs
from jmarl.algorithms import ALL
from jmarl.cli import main
from jmarl.config import Experiment, RunConfig, experiment, help_texts, hints
from jmarl.fields import ConfigError, knob, static
from jmarl.report import report
from jmarl.sinks import evaluation
from jmarl.training import Result
from jmarl.words import pairs
from jmarl_envs import registry
from jmarl_envs.catalogue import Needs

QUICK = shlex.split("""--env toy/cue --num-envs 4 --rollout-length 5 --total-steps 400
--evaluations 2 --eval-episodes 4 --buffer-size 100 --batch-size 8 --hidden-dim 8,8
--warmup-steps 20""")

WRONG = {  # the words after `jmarl`: what the one line must say
    "trian maddpg": ("'trian'", "did you mean 'train'"),
    "train madpg": ("'madpg'", "did you mean 'maddpg'", "there is maddpg, ddpg"),
    "train": (),
    "train maddpg ddpg": ("one name", "'maddpg ddpg'"),
    "train --env toy/cue": ("algorithm must be one of maddpg, ddpg",),
    "train maddpg --num-env 3": ("'num-env'", "did you mean 'num-envs'"),
    "train maddpg --lr 3": ("'lr'", "actor-lr", "critic-lr"),
    "train maddpg --num-envs 0": ("num_envs", "at least 1", "got 0"),
    "train maddpg --num-envs -4": ("num_envs", "at least 1", "got -4"),
    "train maddpg --num-envs 1e9": ("num_envs must be at most", "got 1,000,000,000 (which needs"),
    "train maddpg --num-envs 2.5": ("num_envs", "a whole number", "'2.5'"),
    "train maddpg --num-envs many": ("num_envs", "a whole number", "'many'"),
    "train maddpg --total-steps 10": ("total_steps", "1,600", "got 10"),
    "train maddpg --total-steps inf": ("total_steps", "a whole number", "'inf'"),
    "train maddpg --total-steps 20000": ("total_steps", "above warmup_steps", "got 20,000"),
    "train maddpg --seeds 0": ("seeds", "at least 1", "got 0"),
    "train maddpg --gamma 1.5": ("gamma", "between 0 and 1", "got 1.5"),
    "train maddpg --gamma nan": ("gamma", "'nan'"),
    "train maddpg --estimator reinforce": ("estimator", "relaxed, straight_through", "'reinforce'"),
    "train maddpg --local-critic perhaps": ("local_critic", "true or false", "'perhaps'"),
    "train maddpg --hidden-dim 64,x": ("hidden_dim", "64,64", "'64,x'"),
    "train maddpg --hidden-dim 64,0": ("hidden_dim", "at least 1", "(64, 0)"),
    "train maddpg --preset paper": ("'paper'", "openai", "iqbal"),
    "train maddpg --env mpe/simple_spred": ("'mpe/simple_spred'", "'mpe/simple_spread'"),
    "train maddpg --env toy/cue --actions box": ("actions of toy/cue must be discrete", "box"),
    "train maddpg --env.num_agent 4": ("'num_agent'", "'num_agents'"),
    "train maddpg --env.episode_limit 0": ("episode_limit", "at least 1"),
    "train maddpg --seed 1 --seed 2": ("seed must be given once",),
    "train --resume nowhere": ("run must be", "'nowhere'"),
    "train --resume nowhere --out here": ("out must not be given to resume", "'here'"),
    "train --resume ~nosuchuser/x": ("run must be a path", "'~nosuchuser/x'"),
    "train maddpg --out": ("out must have a value",),
    "train maddpg --gamma --seed 3": ("gamma must have a value",),
    "train maddpg --num_envs 9 --num-envs 4": ("num-envs must be given once",),
    "train maddpg --total-steps 1e15": ("total_steps must be below 1,000,000,000,000,000",),
    "train maddpg --seed 5000000000": ("seed must be below 2**31", "5000000000"),
    "train maddpg --seed 2147483647 --seeds 2": ("seed + seeds must be at most 2**31",),
    "train maddpg --buffer-size 1e14": ("buffer_size must be below 2**31",),
    "train maddpg --eval-episodes 1e12": ("eval_episodes must be below 2**31",),
    "train maddpg --num-envs 5e7": ("num_envs must be at most", "TiB: replay"),
    "train maddpg --num-envs 1e10": ("num_envs must be below 2**31", "got 10000000000"),
    "train maddpg --seeds 1e9 --total-steps 1e14": ("seeds must be at most", "got 1,000,000,000"),
    "train maddpg --eval-episodes 2e9": ("eval_episodes must be at most", "got 2,000,000,000"),
    "train maddpg --hidden-dim 1000000,1000000": ("memory must hold", "learner", "free"),
    "train maddpg --rollout-length 1 --buffer-size 10": ("buffer_size must be above num_envs",),
    "train qmx": ("'qmx'", "did you mean 'qmix'"),
    "train qmix --env mpe/simple_spread": (
        "team_reward",
        "--team-reward sum or --team-reward mean",
    ),
    "train qmix --env particle/simple_tag": ("env must have one team", "adversaries, good"),
    "train qmix --env grid/fetch --actions box": ("actions of grid/fetch must be discrete",),
    "train qatten --env overcooked/cramped_room": ("agent_features", "overcooked/cramped_room"),
    "train qmix --mixing-dim 0": ("mixing_dim must be at least 1, got 0",),
    "train qmix --env grid/fetch --n-step 3 --td-lambda 0.6": ("td_lambda must be 0", "n_step"),
    "train qmix --batch-size 0": ("batch_size must be at least 1, got 0",),
    "train qmix --episodes-per-update 0": ("episodes_per_update must be above 0",),
    "train qmix --rollout-length 50": (
        "rollout_length must not be set for qmix, whose rollouts are whole episodes, got 50",
    ),
    "train vdn --env grid/fetch --total-steps 1e3": ("num_envs x (episode limit + 1) = 3,264",),
    "train vdn --env grid/fetch --total-steps 4e3 --warmup-episodes 99": (
        "total_steps must be above warmup_episodes in whole rollouts of num_envs x (episode",
        "6,528",
    ),
    "eval": ("run",),
    "eval nowhere": ("run must be", "'nowhere'"),
    "eval nowhere --episodes 0": ("episodes", "between 1 and 1,000,000", "got 0"),
    "eval nowhere --episodes 1e12": ("episodes", "1,000,000"),
    "envs mpe/simple_spred": ("'mpe/simple_spred'", "'mpe/simple_spread'"),
    "envs --lots": ("--lots",),
    "algos now": ("now",),
}


@pytest.mark.parametrize("words", [w for w, says in WRONG.items() if says])
def test_wrong_use_is_one_line_and_exit_code_2(
    words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert all(part in line for part in WRONG[words]), line
    assert not list(tmp_path.iterdir()), "something was written"


@pytest.mark.parametrize("make", ["file", "full", "locked"])
def test_an_output_folder_that_cannot_be_used_is_refused(
    make: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    if make == "file":
        out.write_text("mine")
    elif make == "full":
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    else:
        out = Path("/proc/1/nothing")
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", "maddpg", *QUICK, "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jmarl: out must be") and str(out) in line
    assert sorted(tmp_path.rglob("*")) == before


def test_train_then_eval_then_resume(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["train", "maddpg", *QUICK, "--seeds=2", "tau=0.02", "--out", str(run)]
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "random policy 0." in out and "95% interval of 2 seeds" in out and str(run) in out
    assert err.count("compilation cache") == 1 and "100%" in err
    assert json.loads((run / "config.json").read_text())["config"]["tau"] == 0.02
    assert main(["eval", str(run), "--episodes", "8"]) == 0
    assert "episode_return" in capsys.readouterr().out
    assert main(["train", "--resume", str(run), "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert "random policy 0." in out and err == ""


def test_listings_name_all_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["algos"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ALL)
    assert main(["envs"]) == 0
    assert "mpe/simple_spread" in capsys.readouterr().out
    assert main(["envs", "MPE_simple_spread_v3"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"team -26\.\d+ \+- ", told) and "--env.episode_limit 25" in told


def test_one_suite_is_listed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envs", "grid"]) == 0
    told = capsys.readouterr().out
    assert "grid/switch2" in told and "mpe/simple_spread" not in told


def test_a_missing_package_is_told_with_the_command_that_brings_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = Needs("no_such_package", "mabrax")
    entry = replace(jmarl_envs.entry("toy/reach"), needs=lacking)
    monkeypatch.setattr(registry, "_entries", lambda: iter([entry]))
    reason = "needs no_such_package, which is not installed: pip install 'jmarl[mabrax]'"
    assert main(["envs"]) == 0
    told = capsys.readouterr().out
    assert f"toy/reach: {reason}" in told and "not installed" in told
    assert main(["envs", "toy/reach"]) == 0
    assert reason in capsys.readouterr().out
    assert main(["train", "maddpg", "--env", "toy/reach"]) == 2
    assert capsys.readouterr().err == f"jmarl: toy/reach {reason}\n"


@pytest.mark.parametrize("algorithm", ALL)
def test_every_setting_is_a_flag_with_help(
    algorithm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", algorithm, "--help"]) == 0
    told = capsys.readouterr().out
    for cls in (RunConfig, type(ALL[algorithm].config)):
        assert all(help_texts(cls).values()), "a field has no comment behind it"
        assert all(f"--{name.replace('_', '-')} " in told for name in hints(cls))


@pytest.mark.parametrize("words", [[], ["--help"], ["train"], ["train", "--help"], ["--version"]])
def test_help_is_no_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "jmarl" in out and not err


def test_help_keeps_flags_apart_from_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "qmix", "--help"]) == 0
    told = capsys.readouterr().out
    flags = [line for line in told.splitlines() if line.startswith("  --")]
    assert len(flags) > 30 and all(line[27] == " " and line[28] != " " for line in flags)
    assert re.search(r"--rollout-length +not for qmix, whose rollouts are whole episodes\n", told)


def test_presets_are_listed_with_what_they_set_of_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["algos"]) == 0
    assert "as openai/maddpg (num_envs 1, rollout_length 100)" in capsys.readouterr().out


def test_the_summary_tells_what_the_environment_measures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    won = {"episode_return": [1.0, 3.0], "episode_length": [7.0, 7.0], "win_rate": [0.25, 0.75]}
    result = Result(
        path=None,
        experiment=experiment("qmix", settings={"env": "smax/3m", "seeds": 2}),
        env_steps=np.array([100.0]),
        returns=np.array([[1.0, 3.0]]),
        random_scores={"episode_return": 0.5, "episode_length": 9.0, "win_rate": 0.01},
        seconds=1.0,
        compile_seconds={},
        updates_per_env_step=0.125,
        scores=won,
    )
    report(result)
    told = capsys.readouterr().out
    # Student's t of one degree of freedom, 12.706, times the error 0.25
    assert "win_rate      0.50 (95% interval of 2 seeds: -2.68 to 3.68), random policy 0.01" in told
    assert "return        2.00 (95% interval" in told and "episode_length" not in told
    assert "updates       0.125 per environment step" in told
    record = {"eval/episode_return": 2.0, "eval/win_rate": 0.5, "eval/episode_length": 7.0}
    assert evaluation([record, {**record, "eval/win_rate": 0.7}]) == "eval 2.00, win_rate 0.60"


def test_flags_in_every_spelling() -> None:
    words = shlex.split("a --b 1 --c=2 d=3 --e --no-f --g -0.5 --h_i 2e6 --env.num_agents 3")
    given, names = pairs(words)
    assert names == ["a"]
    assert given == {
        **{"b": "1", "c": "2", "d": "3", "e": "", "f": "false", "g": "-0.5"},
        **{"h-i": "2e6", "env.num_agents": "3"},
    }


def test_settings_survive_json_and_presets_are_overridden() -> None:
    for name, recipe in ALL.items():
        for preset in ("", *recipe.presets):
            plan = experiment(name, preset, {"episode_limit": 9}, {"total_steps": "2e6"})
            again = type(plan).from_json(json.loads(json.dumps(plan.as_json())))
            assert again == plan and plan.run.total_steps == 2_000_000
    assert experiment("maddpg", "openai").run.num_envs == 1
    episodes = experiment("qmix").as_json()
    assert "rollout_length" not in episodes["run"]
    episodes["run"]["rollout_length"] = 25  # as earlier versions wrote
    assert Experiment.from_json(episodes) == experiment("qmix")
    assert experiment("maddpg", "openai", settings={"num_envs": 3}).run.num_envs == 3
    with pytest.raises(ConfigError, match="no setting of maddpg is named 'gama'; did you mean"):
        experiment("maddpg", settings={"gama": 1})


def test_the_first_ctrl_c_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = " ".join([*QUICK, "--out", str(run)]).replace("steps 400", "steps 1e9").split()
    process = subprocess.Popen(
        [sys.executable, "-m", "jmarl", "train", "maddpg", *words],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "eval" in line:  # training has begun
            break
    process.send_signal(2)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert told.strip().splitlines()[-1] == (
        f"jmarl: stopped by SIGINT; to go on: jmarl train --resume {run}"
    )
    assert any((run / "checkpoints").iterdir())


def test_an_algorithm_of_ones_own_is_known_as_jmarls_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = dict(ALL)
    monkeypatch.setitem(ALL, "mine", ALL["iql"])  # so that the name is taken away afterwards
    del ALL["mine"]
    config = Own()
    jmarl.register_algorithm(replace(ALL["iql"], name="mine", summary="it is mine", config=config))
    assert main(["algos"]) == 0
    assert "it is mine" in capsys.readouterr().out
    assert main(["train", "mine", "--help"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"--depth +how deep \[3\]\n", told)
    assert re.search(r"--plain +\[0.5\]\n", told), "a setting without a comment is one, too"
    assert experiment("mine", settings={"depth": 4}).recipe is ALL["mine"]
    assert {name: ALL[name] for name in ours} == ours


class Own(struct.PyTreeNode):
    depth: int = static(3, low=1)  # how deep
    plain: float = knob(0.5)


@pytest.mark.parametrize(
    ("name", "says"), [("qmix", "must be new, got 'qmix'"), ("My-Own", "a lower-case word")]
)
def test_an_algorithms_name_must_be_free_and_a_word(name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        jmarl.register_algorithm(replace(ALL["iql"], name=name))
    assert name == "qmix" or name not in ALL
