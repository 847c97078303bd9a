"""wandb beside a run: what it is told, and that nothing of it reaches training."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import jmarl
from jmarl import tracking
from jmarl.tracking import following, require_tracking

STAND_IN = '''
"""What follower.py uses of wandb, written down instead of sent."""
import json, os, time

class Error(Exception): ...
class Settings(dict): ...

def note(**what):
    with open(os.environ["STAND_IN_LOG"], "a") as file:
        file.write(json.dumps(what) + "\\n")

class Image:
    def __init__(self, path): self.path = path
Video = Image

class Run:
    def __init__(self, id): self.id = id
    def define_metric(self, *args, **options): pass
    def log(self, record):
        note(run=self.id, log={k: getattr(v, "path", v) for k, v in record.items()})
    def finish(self): note(run=self.id, finish=True)

def init(**options):
    fault = os.environ.get("STAND_IN_FAULT")
    if fault == "hangs": time.sleep(60)
    if fault == "breaks": raise RuntimeError("out of order")
    if fault == "refuses" and options["mode"] == "online": raise Error("nobody there\\nat all")
    note(**{k: v for k, v in options.items() if k not in ("settings", "dir")})
    return Run(options["id"])
'''


def lines(folder: Path, seed: int, *returns: float | None) -> None:
    with (folder / "metrics" / f"seed-{seed}.jsonl").open("a") as file:
        for nth, value in enumerate(returns):
            file.write(json.dumps({"env_steps": 10 * nth, "eval/episode_return": value}) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's of two seeds, 5 and 6, which has written nothing yet."""
    folder = tmp_path / "my-run"
    (folder / "metrics").mkdir(parents=True)
    plan = {
        "algorithm": "vdn",
        "preset": "",
        "run": {"env": "matrix/two_step", "seed": 5, "seeds": 2},
        "config": {"lr": 0.5},
        "env_options": {"size": 3},
    }
    (folder / "config.json").write_text(json.dumps(plan))
    (folder / "versions.json").write_text('{"python": "3"}')
    return folder


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a stand-in for wandb writes what it is told."""
    place = tmp_path / "stand-in"
    place.mkdir()
    (place / "wandb.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(place))
    monkeypatch.setenv("STAND_IN_LOG", str(tmp_path / "told"))
    return tmp_path / "told"


def told(log: Path, key: str) -> list[dict[str, Any]]:
    return [x for x in map(json.loads, log.read_text().splitlines()) if key in x]


def logged(log: Path, run: str) -> list[Any]:
    records = [x["log"] for x in told(log, "log") if x["run"] == run]
    return [record["eval/episode_return"] for record in records if "env_steps" in record]


def test_each_seed_is_a_run_of_one_group(
    folder: Path, stand_in: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with following(folder, "offline"):
        lines(folder, 5, 1.0, 2.0)
        lines(folder, 6, 3.0, 4.0)
        (folder / "curve.png").write_bytes(b"")
    first, second = told(stand_in, "project")
    assert [first["name"], second["name"]] == ["my-run/seed-5", "my-run/seed-6"]
    assert first["group"] == second["group"] == "my-run"
    assert first["tags"] == ["vdn", "matrix/two_step"]
    assert first["config"]["seed"] == 5
    assert second["config"]["seed"] == 6
    assert first["config"]["lr"] == 0.5
    assert first["config"]["env.size"] == 3
    assert first["config"]["versions"] == {"python": "3"}
    assert logged(stand_in, first["id"]) == [1.0, 2.0]
    assert logged(stand_in, second["id"]) == [3.0, 4.0]
    pictures = [x["log"]["curve"] for x in told(stand_in, "log") if "curve" in x["log"]]
    assert pictures == [str(folder / "curve.png")] * 2
    assert len(told(stand_in, "finish")) == 2
    assert f"wandb: offline, in {folder / 'wandb'}" in capsys.readouterr().err


def test_half_a_line_and_a_seed_ahead_wait(folder: Path, stand_in: Path) -> None:
    with following(folder, "offline"):
        lines(folder, 5, 1.0, 2.0)
        lines(folder, 6, 3.0)
        with (folder / "metrics" / "seed-6.jsonl").open("a") as file:
            file.write('{"env_steps": 10, "eval/epi')
    first, second = (x["id"] for x in told(stand_in, "project"))
    assert logged(stand_in, first) == [1.0]
    assert logged(stand_in, second) == [3.0]


def test_a_resumed_run_goes_on_with_the_same_runs(folder: Path, stand_in: Path) -> None:
    for values in ((1.0, 2.0), (3.0,)):
        with following(folder, "offline"):
            lines(folder, 5, *values)
            lines(folder, 6, *values)
    ids = [x["id"] for x in told(stand_in, "project")]
    assert ids[:2] == ids[2:]
    assert logged(stand_in, ids[0]) == [1.0, 2.0, 3.0]


def test_a_trial_of_a_sweep_is_one_run_of_means(
    folder: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.setenv("WANDB_RUN_ID", "given")
    with following(folder, "online"):
        lines(folder, 5, 1.0, None)
        lines(folder, 6, 3.0, 4.0)
    (run,) = told(stand_in, "project")
    assert run["id"] == "given"
    records = [x["log"] for x in told(stand_in, "log")]
    assert records == [{"env_steps": 0, "eval/episode_return": 2}, {"env_steps": 10}]


def test_without_a_server_it_is_kept(
    folder: Path,
    stand_in: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", "refuses")
    with following(folder, "online"):
        lines(folder, 5, 1.0)
        lines(folder, 6, 1.0)
    assert [x["mode"] for x in told(stand_in, "project")] == ["offline", "offline"]
    words = f"wandb: no server answered (nobody there); kept in {folder / 'wandb'}"
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "words"),
    [("breaks", "it ended early, .*follower.log"), ("hangs", "not done after 1")],
)
def test_its_faults_are_a_line(
    folder: Path,
    stand_in: Path,
    fault: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STAND_IN_FAULT", fault)
    monkeypatch.setattr(tracking, "PATIENCE", 1 if fault == "hangs" else 30)
    with following(folder, "online"):
        pass
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert re.search(words, line)


def test_training_does_not_wait_for_a_server_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """wandb itself, at a port where nobody listens; then everything lies in the run's folder."""
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(tracking, "ANSWER", 1)
    settings: dict[str, Any] = {"num_envs": 4, "total_steps": 1200, "evaluations": 2}
    result = jmarl.train(
        "iac",
        "matrix/two_step",
        out=tmp_path / "run",
        progress=False,
        wandb="online",
        **settings,
    )
    assert result.seconds < 10
    assert "wandb: no server answered" in capsys.readouterr().err
    (kept,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    assert kept.stat().st_size > 1000
    assert (tmp_path / "run" / "episode.gif").exists()
    texts = [path.read_bytes() for path in (tmp_path / "run").glob("*.json")]
    assert not any(b"0" * 40 in text for text in texts)


def test_modes_are_checked() -> None:
    require_tracking("off", None)
    with pytest.raises(jmarl.ConfigError, match="'onlin'; did you mean 'online'"):
        require_tracking("onlin", "run")
    with pytest.raises(jmarl.ConfigError, match=r"wandb must be off .*got 'offline'"):
        require_tracking("offline", None)
