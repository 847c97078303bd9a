"""Sweeps: trials side by side are what they are alone, and what a file may ask for."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from jmarl import ConfigError, train
from jmarl.cli import main
from jmarl.evaluations import read
from jmarl.sweep import kin, run
from jmarl.sweep_file import read_sweep

COMMAND = (
    "jmarl train vdn --env matrix/two_step --num-envs 4 --seeds 2 --total-steps 600 --batch-size 4 "
    "--buffer-size 40 --evaluations 2 --eval-episodes 4 --hidden-dim 8 --wandb online ${args}"
)
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


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sweep must be a YAML file, got"):
        read_sweep(tmp_path / "nowhere.yaml")
