"""Sweeps: trials side by side are what they are alone, and what a file may ask for."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from jmarl import ConfigError, train
from jmarl.cli import main
from jmarl.evaluations import read
from jmarl.sweep import command, has_diverged, kin, run
from jmarl.sweep_file import read_sweep
from jmarl.words import read_order

COMMAND = (
    "jmarl train vdn --env matrix/two_step --num-envs 4 --seeds 2 --total-steps 600 --batch-size 4 "
    "--buffer-size 40 --evaluations 2 --eval-episodes 4 --hidden-dim 8 --wandb online ${args}"
)
ECHO = [*COMMAND.replace("matrix/two_step", "toy/echo").split(), "--team-reward", "sum"]
LRS = [0.0, 1e-2]


def written(path: Path, **changes: Any) -> Path:
    data = {
        "method": "grid",
        "metric": {"name": "eval/episode_length", "goal": "minimize"},
        "parameters": {"lr": {"values": LRS}, "rnn_dim": {"value": 8}},
        "command": COMMAND.split(),
    }
    data = {name: value for name, value in (data | changes).items() if value is not None}
    (path / "mine.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    return path / "mine.yaml"


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    file = written(folder)
    assert main(["sweep", str(file), "--out", str(folder / "out"), "--quiet"]) == 0
    return folder / "out"


def q_values(folder: Path, seed: int) -> list[float]:
    lines = (folder / "metrics" / f"seed-{seed}.jsonl").read_text().splitlines()
    return [x["train/q_value"] for x in map(json.loads, lines) if "train/q_value" in x]


def test_a_trial_is_the_run_that_it_would_be_alone(swept: Path, tmp_path: Path) -> None:
    sweep = read_sweep(swept.parent / "mine.yaml")
    settings = {**sweep.order.settings, **sweep.trials[1], "progress": False}
    train("vdn", settings.pop("env"), out=tmp_path / "alone", **settings)
    for seed in range(2):
        there, alone = q_values(swept / "trial-001", seed), q_values(tmp_path / "alone", seed)
        assert len(alone) > 2
        np.testing.assert_allclose(there, alone, rtol=1e-4)
        assert not np.allclose(q_values(swept / "trial-000", seed), alone, rtol=1e-4)
    assert json.loads((swept / "trial-001" / "config.json").read_text())["config"]["lr"] == LRS[1]


def test_traced_numbers_share_a_program_and_others_do_not(tmp_path: Path) -> None:
    parameters = {"lr": {"values": LRS}, "batch_size": {"values": [2, 4]}}
    assert kin(read_sweep(written(tmp_path, parameters=parameters))) == [[0, 2], [1, 3]]


def test_what_has_ended_is_not_trained_again(
    swept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("jmarl.sweep.finish", lambda *args: pytest.fail("was trained"))
    assert main(["sweep", str(swept.parent / "mine.yaml"), "--out", str(swept)]) == 0
    out = capsys.readouterr().out
    assert "jmarl train vdn" in out
    assert (swept / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_a_killed_sweep_goes_on_and_ends_the_same(swept: Path, tmp_path: Path) -> None:
    """Its second part lost after the first had ended."""
    sweep = read_sweep(swept.parent / "mine.yaml")
    run(sweep, tmp_path / "out", together=1, progress=False)
    parts = sorted((tmp_path / "out" / "parts").iterdir())
    assert len(parts) == 2
    (parts[1] / "summary.json").unlink()
    for path in (parts[1] / "checkpoints").iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    run(sweep, tmp_path / "out", together=7, progress=False)
    for nth in range(2):
        one, other = (q_values(x / f"trial-{nth:03}", 0) for x in (swept, tmp_path / "out"))
        np.testing.assert_allclose(one, other, rtol=1e-4)


def test_what_has_not_begun_is_parted_as_it_fits(swept: Path, tmp_path: Path) -> None:
    sweep = read_sweep(swept.parent / "mine.yaml")
    out = tmp_path / "out"
    shutil.copytree(swept, out)
    assert json.loads((out / "sweep.json").read_text())["parts"] == [[0, 1]]
    shutil.rmtree(out / "parts" / "000")
    run(sweep, out, together=1, progress=False)
    assert json.loads((out / "sweep.json").read_text())["parts"] == [[0], [1]]
    for nth in range(2):
        one, other = (q_values(x / f"trial-{nth:03}", 0) for x in (swept, out))
        np.testing.assert_allclose(one, other, rtol=1e-4)


def tried(path: Path, **changes: Any) -> tuple[int, Path]:
    """`jmarl sweep` of a file."""
    out = path / "out"
    return main(["sweep", str(written(path, **changes)), "--out", str(out), "--quiet"]), out


def test_every_trial_has_its_own_environment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    envs = ["matrix/two_step", "toy/echo"]  # whose episodes last 2 and 4 steps
    parameters = {"env": {"values": envs}, "rnn_dim": {"value": 8}}
    code, out = tried(tmp_path, parameters=parameters, command=ECHO)
    assert code == 0
    for nth, length in enumerate((2, 4)):
        found = read(out / f"trial-{nth:03}")
        assert found.task == envs[nth]
        assert set(found.scores["episode_length"].ravel()) == {length}
    assert f"--env {envs[0]}" in capsys.readouterr().out, "the shorter one is the best"

    record = json.loads((out / "sweep.json").read_text())
    del record["env_of"]  # as before, when all trained in the first one's
    (out / "sweep.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="out must be new or hold this sweep"):
        run(read_sweep(tmp_path / "mine.yaml"), out, progress=False)


def test_options_of_the_environment_are_parameters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = {"env.horizon": {"values": [3, "2"]}, "lr": {"values": LRS}}
    code, out = tried(tmp_path, parameters=parameters, command=[*ECHO, "--env.num-cues", "2"])
    assert code == 0
    assert json.loads((out / "sweep.json").read_text())["parts"] == [[0, 1], [2, 3]]
    for nth, horizon in enumerate((3, 3, 2, 2)):
        plan = json.loads((out / f"trial-{nth:03}" / "config.json").read_text())
        assert plan["env_options"] == {"num_cues": 2, "horizon": horizon}
        assert set(read(out / f"trial-{nth:03}").scores["episode_length"].ravel()) == {horizon}
    told = capsys.readouterr().out
    assert "env.horizon" in told
    best = shlex.split(told.split("the best   jmarl train ")[1])
    order = read_order(best)
    assert order is not None
    assert order.env_options == {"num_cues": 2, "horizon": 2}


def test_presets_are_parameters(tmp_path: Path) -> None:
    parameters = {"preset": {"values": ["", "fast"]}}
    sweep = read_sweep(written(tmp_path, parameters=parameters))
    assert [sweep.plan(trial).preset for trial in sweep.trials] == ["", "fast"]
    assert [sweep.plan(trial).config.td_lambda for trial in sweep.trials] == [0.0, 0.6]
    assert kin(sweep) == [[0], [1]]
    assert "--preset" not in command(sweep, sweep.trials[0])
    assert "--preset fast" in command(sweep, sweep.trials[1])


def test_a_preset_file_is_swept_and_written_down(tmp_path: Path) -> None:
    file = tmp_path / "theirs.yaml"
    told = {"algorithm": "vdn", "env": "toy/echo", "settings": {"gamma": 0.5}}
    file.write_text(yaml.safe_dump(told))
    sweep = read_sweep(written(tmp_path, command=["jmarl", "train", str(file)]))
    plan = sweep.plan(sweep.trials[1])
    assert (plan.run.env, plan.config.gamma, plan.config.lr) == ("toy/echo", 0.5, LRS[1])
    assert sweep.as_json()["file"]["settings"] == {"gamma": 0.5}, (
        "another's trials are not mixed in"
    )


@pytest.mark.parametrize(("loss", "gone"), [("0.5", False), ("null", True)])
def test_a_chunk_in_which_no_episode_ended_has_not_diverged(
    tmp_path: Path, loss: str, gone: bool
) -> None:
    file = tmp_path / "seed-0.jsonl"
    file.write_text(f'{{"train/loss": {loss}, "train/episode_return": null, "eval/x": null}}\n')
    assert has_diverged(file, ["episode_return", "x"]) == gone


def test_a_trial_that_diverges_ends_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = {"lr": {"values": [1e38, 1e-2]}, "rnn_dim": {"value": 8}}
    metric = {"name": "eval/episode_return"}
    code, out = tried(tmp_path, parameters=parameters, metric=metric)
    assert code == 0
    told, line = capsys.readouterr()
    rows = [row for row in told.splitlines() if re.search(r" 00[01] ", row)]
    assert "001" in rows[0] and "nan" not in rows[0]
    assert "000" in rows[1] and "nan (nan to nan)" in rows[1]
    who = "trial 000 (lr 1e+38, rnn_dim 8), seed 0, 1"
    assert line == f"jmarl: caution: {who}, became NaN or infinite in training\n"
    assert "the best   jmarl train vdn" in told and "--lr 0.01" in told
    assert np.isfinite(read(out / "trial-001").scores["episode_return"]).all()
    assert not has_diverged(out / "trial-001" / "metrics" / "seed-0.jsonl", ["episode_return"])

    with (out / "parts" / "000" / "metrics" / "seed-3.jsonl").open("a") as file:
        file.write('{"env_steps": 600, "updates": 600, "train/loss": null}\n')
    assert main(["sweep", str(tmp_path / "mine.yaml"), "--out", str(out)]) == 0
    told, lines = capsys.readouterr()
    assert "the best   none, all trials became NaN or infinite" in told
    assert "trial 001 (lr 0.01, rnn_dim 8), seed 1, became" in lines


def test_trials_are_runs_to_compare(swept: Path) -> None:
    found = read(swept / "trial-000")
    assert found.seeds == (0, 1)
    assert found.settings["lr"] == 0


def test_another_sweep_is_not_mixed_in(
    swept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, parameters={"lr": {"values": [0.5]}})
    assert main(["sweep", str(file), "--out", str(swept)]) == 2
    assert f"out must be new or hold this sweep, got {swept}" in capsys.readouterr().err


def test_random_trials_are_within_bounds_and_repeat(tmp_path: Path) -> None:
    parameters = {
        "lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-1},
        "gamma": {"min": 0.5, "max": 0.9},
        "target_update_interval": {"min": 2, "max": 4},
        "batch_size": {"values": [2, 4]},
    }
    file = written(tmp_path, parameters=parameters, method="random")
    trials = read_sweep(file, 400, seed=3).trials
    assert trials == read_sweep(file, 400, seed=3).trials
    assert trials != read_sweep(file, 400, seed=4).trials
    lrs = np.array([trial["lr"] for trial in trials])
    assert 1e-5 <= lrs.min() < lrs.max() <= 1e-1
    assert np.log10(lrs).mean() == pytest.approx(-3, abs=0.25)  # sd 1.15 / 20
    assert np.mean([trial["gamma"] for trial in trials]) == pytest.approx(0.7, abs=0.03)
    assert {trial["target_update_interval"] for trial in trials} == {2, 3, 4}
    assert {trial["batch_size"] for trial in trials} == {2, 4}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "gird"}, "'gird'; did you mean 'grid'"),
        ({"metric": {"goal": "max"}}, "no goal of a sweep is named 'max'"),
        ({"metric": {"name": "eval/win"}}, "no measure of these evaluations is named 'win'"),
        ({"parameters": None}, "parameters of .* must be a mapping of names, got None"),
        ({"parameters": {"lr": 3}}, "lr must have value, values, or min and max, got 3"),
        ({"parameters": {"lr": {"min": 0.1, "max": 1.0}}}, "lr must have values in a grid"),
        ({"parameters": {"lrr": {"value": 3}}}, "'lrr'; did you mean 'lr'"),
        ({"parameters": {"lr": {"values": [1, -1]}}}, "lr must be at least 0, got -1"),
        (
            {
                "method": "random",
                "parameters": {"lr": {"distribution": "q", "min": 0, "max": 1}},
            },
            "no distribution of lr is named 'q'",
        ),
        (
            {"method": "random", "parameters": {"lr": {"min": 1.0, "max": 0.5}}},
            "lr must have bounds in order, got 1 and 0.5",
        ),
        ({"command": ["python", "x.py"]}, "command of .* must begin with jmarl, train, got python"),
        ({"command": [*COMMAND.split(), "--out", "x"]}, "command of .* must not have out"),
        (
            {"parameters": {"env": {"values": ["matrix/two_step", "toy/ehco"]}}},
            r"trial 001 \(env toy/ehco\): no environment is named 'toy/ehco'; did you mean",
        ),
        (
            {"parameters": {"env.agent_ids": {"values": [True, 3]}}},
            r"trial 001 \(env.agent_ids 3\): .*: agent_ids must be True or False, not 3",
        ),
        ({"parameters": {"preset": {"value": "fats"}}}, "preset .*'fats'; did you mean 'fast'"),
        (
            {
                "metric": {"name": "eval/arrivals"},
                "parameters": {"env": {"values": ["grid/switch2", "matrix/two_step"]}},
                "command": [*COMMAND.split(), "--warmup-episodes", "1"],
            },
            r"trial 001 \(env matrix/two_step\): no measure of these evaluations is named",
        ),
        ({"command": "jmarl train 'vdn"}, "command of .* must be words, got .*No closing"),
        ({"command": "jmarl eval vdn"}, "must begin with jmarl, train, got jmarl eval"),
    ],
)
def test_files_that_cannot_be_are_told_in_a_line(
    tmp_path: Path, changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(written(tmp_path, **changes)), "--out", str(tmp_path / "out")]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert re.search(words, line)
    assert not (tmp_path / "out").exists()


def test_a_command_may_be_a_line_as_a_shell_takes_it(tmp_path: Path) -> None:
    one, other = (read_sweep(written(tmp_path, command=x)) for x in (COMMAND, COMMAND.split()))
    assert one == other


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sweep must be a YAML file, got"):
        read_sweep(tmp_path / "nowhere.yaml")
