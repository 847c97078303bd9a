"""The zoo: every policy is what its file and the README say, and goes where runs go to play."""

import json
from pathlib import Path
from typing import Any

import jax
import pytest

import jmarl
from jmarl import zoo
from jmarl.algorithms import ALL
from jmarl.cli import main
from jmarl.exporting import sizes

ENTRIES = zoo.entries()
PAPERS = {"maddpg", "maac", "vdn", "qmix", "qatten", "liir", "refil"}
SMALL = "zoo/qmix-matrix-two_step"
README = Path(__file__).parents[1] / "experiments" / "zoo" / "README.md"


def test_a_dozen_pairs_with_every_paper_in_a_few_megabytes() -> None:
    assert len({(entry.algorithm, entry.env) for entry in ENTRIES.values()}) >= 12
    assert {entry.algorithm for entry in ENTRIES.values()} >= PAPERS
    bytes_each = [entry.path.stat().st_size for entry in ENTRIES.values()]
    assert max(bytes_each) < 700_000 and sum(bytes_each) < 4_000_000


@pytest.mark.parametrize("name", ENTRIES)
def test_a_policy_loads_as_its_file_describes_it(name: str) -> None:
    entry = ENTRIES[name]
    assert name == f"zoo/{entry.algorithm}-{entry.env.replace('/', '-')}"
    assert entry.algorithm in ALL and entry.about["trained"]["packages"].keys() >= {"jax", "jmarl"}
    team = jmarl.load_policy(name)
    recorded = {key: entry.about[key] for key in sizes(team.env.spec)}
    assert json.loads(json.dumps(sizes(team.env.spec))) == recorded
    action = jax.eval_shape(lambda key: play(team, key), jax.random.key(0))
    parts = () if team.env.spec.action_kind == "discrete" else (team.env.spec.action_size,)
    assert action.shape == (team.env.spec.num_agents, *parts)


def play(team: jmarl.Team, key: Any) -> Any:
    """Its first action of an episode."""
    _, view = team.env.reset(key)
    return team.act(team.reset(key), view, key)[1]


@pytest.mark.parametrize("name", ENTRIES)
def test_what_a_policy_earned_is_told_and_far_above_chance(name: str) -> None:
    entry = ENTRIES[name]
    scores, chance = entry.scores, entry.random_scores
    assert scores["episode_return"] > chance["episode_return"] and scores.keys() == chance.keys()
    assert entry.steps > 0 and entry.episodes >= 1000
    (row,) = [line for line in README.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    wins = f"{scores['win_rate']:.2f}" if "win_rate" in scores else ""
    told = [f"{scores['episode_return']:.4g}", f"{chance['episode_return']:.3g}", wins]
    assert [cell.strip() for cell in row.split("|")[2:5]] == told


def closer_to_the_recorded_than_to_chance(name: str, episodes: int) -> bool:
    entry, measure = ENTRIES[name], "episode_return"
    scores, chance = jmarl.evaluate(name, episodes)
    floor = entry.random_scores[measure]
    assert chance[measure] == pytest.approx(floor, rel=0.05, abs=0.05)
    (earned,) = scores[measure]
    return earned - floor > 0.7 * (entry.scores[measure] - floor)


@pytest.mark.parametrize("name", [SMALL, "zoo/vdn-grid-switch2"])
def test_a_policy_earns_again_what_it_earned(name: str) -> None:
    assert closer_to_the_recorded_than_to_chance(name, 16)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRIES)
def test_every_policy_earns_again_what_it_earned(name: str) -> None:
    assert closer_to_the_recorded_than_to_chance(name, 64)


# --- commands -------------------------------------------------------------------------------------


def test_the_zoo_is_listed_with_returns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zoo"]) == 0
    told = capsys.readouterr().out
    for name, entry in ENTRIES.items():
        (line,) = [line for line in told.splitlines() if f" {name} " in line]
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        assert cells[1:4] == [entry.algorithm, entry.env, f"{entry.steps:,}"]
        assert cells[4] == f"{entry.scores['episode_return']:.4g}"


def test_a_policy_is_played_drawn_and_exported_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["eval", SMALL, "--episodes", "4"]) == 0
    assert "episode_return │ 4.7" in capsys.readouterr().out.replace("  ", " ")
    assert main(["render", SMALL, "--pixels", "64", "--out", "it.gif"]) == 0
    assert "trained, seed 0 policy" in capsys.readouterr().out
    assert main(["render", SMALL, "--policy", "random", "--pixels", "64", "--out", "it.gif"]) == 0
    assert "random policy" in capsys.readouterr().out
    assert main(["export", SMALL, "--out", "policy"]) == 0
    assert jmarl.load_policy("policy").seed == jmarl.load_policy(SMALL).seed == 0


def test_names_go_first_and_paths_work_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ENTRIES[SMALL].path
    (tmp_path / "zoo").mkdir()
    mine = tmp_path / "zoo" / "mine.safetensors"
    mine.write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert zoo.found(SMALL) == file and zoo.found(file) == file
    assert zoo.found("zoo/mine.safetensors") == mine
    assert zoo.found("zoo") is None and zoo.found("elsewhere") is None


WRONG = {  # words: what the one line must say
    "eval zoo/qmix-matrix-two_stpe": ("no policy is named", "did you mean", SMALL, "`jmarl zoo`"),
    "render zoo/nothing": ("no policy is named 'zoo/nothing'",),
    f"plot {SMALL}": ("run must be the folder of a run", "not a policy by itself", SMALL),
    f"compare {SMALL} {SMALL}": ("run must be the folder of a run", SMALL),
    f"train --resume {SMALL}": ("run must be the folder of a run", SMALL),
    f"plot attention {SMALL}": ("run must be the folder of a run", SMALL),
    f"eval {SMALL} --record": ("run must be the folder of a run", SMALL),
    f"render {SMALL} --team-seed 7": ("training seed must be one of [0], got 7",),
    "zoo animals": ("unrecognized arguments: animals", "see jmarl zoo --help"),
}


@pytest.mark.parametrize("words", WRONG)
def test_what_needs_a_run_says_so_in_a_line(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert not out and all(part in line for part in WRONG[words]), line
    assert not list(tmp_path.iterdir())
