"""experiments/teams.py: what is tabulated of runs and of their meetings, and what is kept."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments"


@pytest.fixture
def teams(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Scripts lie in no package."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    yield __import__("teams")
    for script in ("teams", "report"):
        del sys.modules[script]


def scores(count: Any) -> dict[str, Any]:
    return {
        "apples": count,
        "episode_length": count,
        "agent_return/ann": count,
        "episode_return": count,
        "episode_return_left": count,
    }


def a_run(folder: Path) -> None:
    """Two seeds whose last evaluations are 1 and 3."""
    (folder / "metrics").mkdir(parents=True)
    known = {"scores": scores([1, 3]), "random_scores": scores(0.25), "env_steps": 5000.0}
    (folder / "summary.json").write_text(json.dumps(known))
    (folder / "config.json").write_text(json.dumps({"run": {"env": "mine/duel"}}))
    (folder / "versions.json").write_text(json.dumps({"command": f"jmarl train --out {folder}"}))
    for seed, last in enumerate((1, 3)):
        evaluated = {f"eval/{name}": value for name, value in scores(last).items()}
        lines = [{"env_steps": 0, **evaluated}, {"env_steps": 9}, {"env_steps": 5000, **evaluated}]
        text = "\n".join(map(json.dumps, lines))
        (folder / "metrics" / f"seed-{seed}.jsonl").write_text(text)


def test_runs_and_meetings_are_tabulated_with_intervals(tmp_path: Path, teams: Any) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    a_run(runs / "duel-one")
    met = {"left": "duel-one", "right": "duel-two", "scores": scores([[2, 2], [4, 4]])}
    (runs / "duel-crossplay.json").write_text(json.dumps({"pairings": [met]}))
    (runs / "duel-crossplay.png").write_bytes(b"a picture")
    teams.main(runs, results)
    told = (results / "teams.md").read_text().splitlines()
    # two seeds: Student's t is 12.7, and of means 1 apart from theirs the error 1
    assert told == [
        "## mine/duel",
        "",
        "| run | steps | episode_return_left | apples |",
        "|---|---|---|---|",
        "| one | 5,000 | 2 ± 13 | 2 ± 13 |",
        "| random |  | 0.25 | 0.25 |",
        "",
        "| left | right | episode_return_left | apples |",
        "|---|---|---|---|",
        "| one | two | 3 ± 13 | 3 ± 13 |",
    ]
    versions = json.loads((results / "raw" / "duel-one" / "versions.json").read_text())
    assert versions["command"] == "jmarl train --out duel-one"
    assert (results / "duel-crossplay.png").read_bytes() == b"a picture"
    assert (results / "duel.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("mean", "half", "words"),
    [(-9.547, 0.7788, "-9.55 ± 0.78"), (26.0, 4.2, "26.0 ± 4.2"), (1.0, 0.0, "1.00 ± 0.00")],
)
def test_intervals_tell_how_many_digits_make_sense(
    mean: float, half: float, words: str, teams: Any
) -> None:
    assert teams.told(mean, half) == words
