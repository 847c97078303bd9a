"""NaN and infinity in training: one line, a checkpoint, a code of their own."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jmarl
from jmarl.cli import main
from jmarl.folder import Folder
from jmarl.nonfinite import NotFinite, nonfinite

QUICK = shlex.split("""--env toy/cue --num-envs 4 --rollout-length 5 --total-steps 400
--evaluations 2 --eval-episodes 4 --buffer-size 100 --batch-size 8 --hidden-dim 8,8
--warmup-steps 20 --seeds 2""")
DIVERGES = ["--critic-lr", "1e38"]


def test_the_metrics_and_their_seeds_are_named() -> None:
    assert nonfinite({"a": np.array([1.0, 2.0]), "b": [None, -3.0]}, range(2)) == ""
    bad = {"a": [1.0, 2.0, 0.0], "b": np.array([np.nan, 1.0, np.nan]), "c": [None, np.inf, 1.0]}
    assert nonfinite(bad, range(7, 10)) == "b became nan for seed 7, 9 (c too)"
    assert nonfinite({"c": [-np.inf]}, [4]) == "c became -inf for seed 4"


def strictly(path: Path) -> list[Any]:
    """JSON without NaN and Infinity, which Python alone would read."""
    refuse = lambda word: pytest.fail(f"{word} is no JSON")
    return [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]


def test_nan_ends_training_with_a_line_and_a_checkpoint(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert main(["train", "maddpg", *QUICK, *DIVERGES, "--quiet", "--out", str(run)]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    records = strictly(run / "metrics" / "seed-1.jsonl")
    ended = next(record for record in records if None in record.values())
    assert ended == records[-1] and ended["updates"] < 400 // 20
    (kept,) = (run / "checkpoints").glob("[0-9]*")
    named = [name for name, x in ended.items() if x is None]
    assert line.startswith(f"jmarl: {named[0]} became ") and " for seed 0, 1 " in line
    assert f" at {ended['env_steps']:,} environment steps; its checkpoint is {kept}; " in line
    assert line.endswith(f"jmarl train --resume {run} --nonfinite go_on")

    assert main(["train", "--resume", str(run), "--quiet"]) == 3
    assert capsys.readouterr().err == f"{line}\n", "nothing was trained"
    assert strictly(run / "metrics" / "seed-1.jsonl") == records
    assert main(["train", "--resume", str(run), "--nonfinite", "go_on", "--quiet"]) == 0
    assert len(strictly(run / "metrics" / "seed-1.jsonl")) > len(records)
    refuse = lambda word: pytest.fail(f"{word} is no JSON")
    json.loads((run / "summary.json").read_text(), parse_constant=refuse)


def test_files_of_a_run_are_json_whatever_it_gave(tmp_path: Path) -> None:
    Folder(tmp_path).write("x.json", {"a": [float("nan"), 1], "b": (float("inf"),), "c": "nan"})
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "a": [None, 1],
        "b": [None],
        "c": "nan",
    }


def test_without_a_folder_there_is_no_checkpoint_to_name() -> None:
    with pytest.raises(NotFinite, match=r" became .*; nonfinite=go_on trains on all the same$"):
        jmarl.train(
            *("maddpg", "toy/cue"),
            out=None,
            progress=False,
            num_envs=4,
            rollout_length=5,
            total_steps=400,
            seeds=2,
            buffer_size=100,
            batch_size=8,
            hidden_dim=(8, 8),
            warmup_steps=20,
            evaluations=2,
            eval_episodes=4,
            critic_lr=1e38,
        )


def test_another_answer_to_nan_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "maddpg", "--nonfinite", "ignore"]) == 2
    assert "nonfinite must be one of stop, go_on, got 'ignore'" in capsys.readouterr().err
