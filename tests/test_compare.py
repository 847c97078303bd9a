"""jmarl compare and jmarl plot curves: who belongs together, what is told, drawn and refused."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure
from probes import jit

import jmarl
from jmarl import checkpoint
from jmarl.cli import main
from jmarl.comparison import THRESHOLDS, Comparison, compare
from jmarl.config import experiment
from jmarl.evaluations import meaning, telling
from jmarl.folder import create, open_folder
from jmarl.marl_eval import as_marl_eval, unlike
from jmarl.pictures import curve_pictures
from jmarl.plots.comparison import improvement_intervals, performance_profile
from jmarl.program import Program
from jmarl.standings import cautions

Curves = Sequence[Sequence[float | None]]  # returns: of each seed, of each evaluation


def a_run(
    path: Path,
    curves: Curves,
    algorithm: str = "qmix",
    preset: str = "",
    absolute: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Path:
    """A finished run of evaluations 100 steps apart; a tenth of the return is the win rate."""
    sizes = {"env": "smax/3m", "seeds": len(curves), "total_steps": 100 * len(curves[0]) - 100}
    plan = experiment(algorithm, preset, settings={**sizes, **settings})
    folder = create(str(path), plan, {})
    for seed, returns in enumerate(curves, plan.run.seed):
        lines = [{"env_steps": 100 * i, "updates": i, **scores(r)} for i, r in enumerate(returns)]
        lines.insert(1, {"env_steps": 7, "updates": 0, "train/loss": 1.0})
        folder.metrics(seed).write_text("".join(json.dumps(line) + "\n" for line in lines))
    if absolute is not None:
        folder.write("absolute.json", absolute)
    return folder.path


def scores(value: float | None) -> dict[str, float | None]:
    won = None if value is None else value / 10
    return {"eval/episode_length": 9.0, "eval/episode_return": value, "eval/win_rate": won}


def flat(*levels: float) -> list[list[float]]:
    """Seeds that begin at 0 and stay at their level."""
    return [[0.0, level, level] for level in levels]


def labels(found: Comparison) -> list[tuple[str, str]]:
    return [(variant.task, variant.label) for variant in found.variants]


# --- whose seeds belong together ----------------------------------------------------------------


def test_runs_alike_but_for_their_seeds_are_one(tmp_path: Path) -> None:
    runs = [
        a_run(tmp_path / "a", flat(1, 2)),
        a_run(tmp_path / "b", flat(3), seed=2, eval_episodes=64, checkpoint_minutes=1),
        a_run(tmp_path / "c", flat(9, 9), "vdn"),
    ]
    found = compare(runs)
    assert labels(found) == [("smax/3m", "qmix"), ("smax/3m", "vdn")]
    assert found.variants[0].seeds == [0, 1, 2]
    assert found.variants[0].last("episode_return").tolist() == [1, 2, 3]


def test_labels_tell_in_what_runs_of_a_task_differ(tmp_path: Path) -> None:
    runs = [
        a_run(tmp_path / "a", flat(1), lr=0.1),
        a_run(tmp_path / "b", flat(1), lr=0.2, hidden_dim=(8, 9)),
        a_run(tmp_path / "c", flat(1), preset="pymarl2"),
        a_run(tmp_path / "d", flat(1), "vdn", lr=0.3),
        a_run(tmp_path / "e", flat(1), "vdn", lr=0.4, env="smax/8m"),
    ]
    assert labels(compare(runs)) == [
        ("smax/3m", "qmix preset=none lr=0.1 hidden_dim=64"),
        ("smax/3m", "qmix preset=none lr=0.2 hidden_dim=8,9"),
        ("smax/3m", "qmix preset=pymarl2 lr=0.001 hidden_dim=64"),
        ("smax/3m", "vdn"),
        ("smax/8m", "vdn"),
    ]


def test_settings_that_a_run_is_too_old_for_are_the_defaults(tmp_path: Path) -> None:
    """Before oracles could be told their groups at the opening alone, they knew them always."""
    new: Any = {"algorithm": "refil", "groups": "true"}
    opening = a_run(tmp_path / "a", flat(1), groups_known="opening", **new)
    old = a_run(tmp_path / "b", flat(2), **new)
    plan = json.loads((old / "config.json").read_text())
    assert plan["config"].pop("groups_known") == "always"
    (old / "config.json").write_text(json.dumps(plan))
    both = [("smax/3m", f"refil groups_known={known}") for known in ("opening", "always")]
    assert labels(compare([opening, old])) == both


def test_no_seed_counts_twice(tmp_path: Path) -> None:
    runs = [a_run(tmp_path / name, flat(1, 2), seed=first) for name, first in (("a", 0), ("b", 1))]
    with pytest.raises(jmarl.ConfigError, match=r"got seed 1 of qmix in .*a and .*b; --by folder"):
        compare(runs)
    assert labels(compare(runs, by="folder")) == [("smax/3m", "a"), ("smax/3m", "b")]
    with pytest.raises(jmarl.ConfigError, match="runs must be different ones"):
        compare([runs[0]] * 2)


def test_environment_options_make_another_task(tmp_path: Path) -> None:
    plain, longer = a_run(tmp_path / "a", flat(1)), a_run(tmp_path / "b", flat(2))
    config = json.loads((longer / "config.json").read_text())
    (longer / "config.json").write_text(json.dumps(config | {"env_options": {"episode_limit": 9}}))
    tasks = [task for task, _ in labels(compare([plain, longer]))]
    assert tasks == ["smax/3m", "smax/3m episode_limit=9"]


# --- what is told of them -----------------------------------------------------------------------


def test_last_best_and_curve_by_hand(tmp_path: Path) -> None:
    """The best of a seed is where its return was highest, for other measures too."""
    run = a_run(tmp_path / "a", [[0, 4, 2], [0, 3, 8], [0, 1, 1], [9, 1, 5]])
    (variant,) = compare([run]).variants
    assert variant.env_steps.tolist() == [0, 100, 200]
    assert variant.last("episode_return").tolist() == [2, 8, 1, 5]
    assert variant.best("win_rate").tolist() == [0.4, 0.8, 0.1, 0.9]
    data = compare([run]).as_json()["measures"]["episode_return"]["variants"][0]
    assert data["last"]["iqm"]["value"] == 3.5 and data["last"]["mean"] == 4
    assert data["curve"]["value"] == [0, 2, 3.5]
    assert 1 <= data["last"]["iqm"]["low"] < 3.5 < data["last"]["iqm"]["high"] <= 8


def test_a_run_under_way_counts_as_far_as_all_its_seeds_are(tmp_path: Path) -> None:
    run = a_run(tmp_path / "a", [[0, 1, 2], [0, 3, 4]], total_steps=900)
    file = open_folder(run).metrics(1)
    *whole, last = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole) + last[:9])
    found = compare([run])
    assert found.variants[0].last("episode_return").tolist() == [1, 3]
    assert f"{run} is unfinished: 100 of 900 steps" in list(cautions(found))


def test_a_seed_that_diverged_is_not_forgotten(tmp_path: Path) -> None:
    run = a_run(tmp_path / "a", [[0, 1, None], [0, 1, 2], [0, 1, 2], [0, 1, 2]])
    (variant,) = compare([run]).variants
    assert variant.best("episode_return").tolist() == [1, 2, 2, 2]
    assert main(["compare", str(run), "--out", str(tmp_path / "out")]) == 0
    data = json.loads((tmp_path / "out" / "compare.json").read_text())
    last = data["measures"]["episode_return"]["variants"][0]["last"]
    assert last["seeds"][0] is None and last["iqm"]["value"] is None


@pytest.fixture
def four(tmp_path: Path) -> list[Path]:
    """Two algorithms on two tasks of other scales."""
    return [
        a_run(tmp_path / "a", flat(2, 4, 6, 8)),
        a_run(tmp_path / "b", flat(1, 5, 6, 7), "vdn"),
        a_run(tmp_path / "c", flat(5, 5, 5, 5), env="smax/8m"),
        a_run(tmp_path / "d", flat(1, 5, 5, 5), "vdn", env="smax/8m"),
    ]


def test_improvement_on_each_task_and_on_all(four: list[Path]) -> None:
    """Of 16 pairs qmix wins 8 and ties 1 on the first task; 4 and 12 on the second."""
    (returns,) = compare(four, measures=["episode_return"]).measures
    found = {x.task: float(x.probability.value) for x in returns.improvements}
    assert found == {"smax/3m": 8.5 / 16, "smax/8m": 10 / 16, "": (8.5 + 10) / 32}
    first = returns.improvements[0]
    assert (first.first, first.second) == ("qmix", "vdn")
    assert 0 <= first.probability.low < first.probability.value < first.probability.high <= 1


def test_returns_are_normalised_on_each_task_and_rates_are_not(four: list[Path]) -> None:
    """0 and 1 are the untrained team's 0 and the best return, 8 and 5; a rate of 0.8 stays."""
    returns, rates = compare(four).measures
    assert [returns.bounds(task) for task in returns.tasks] == [(0, 8), (0, 5)]
    # all eight: 0.25, 0.5, 0.75, 1 and four times 1; the middle four 0.75, 1, 1, 1
    assert returns.aggregates["qmix"].value == pytest.approx(0.9375)
    # 0.2, 0.4, 0.6, 0.8 and four times 0.5: the middle four are those
    assert rates.aggregates["qmix"].value == pytest.approx(0.5)


def test_profiles_by_hand(four: list[Path]) -> None:
    """Above 0.55 are 0.6 and 0.8 of the first task, and none of the second."""
    _, rates = compare(four).measures
    shares = dict(zip(THRESHOLDS.round(2).tolist(), rates.profiles["qmix"].value, strict=True))
    assert [shares[at] for at in (0, 0.3, 0.55, 0.7, 0.9)] == [1, 0.875, 0.25, 0.125, 0]


def test_nothing_over_tasks_while_a_variant_lacks_one(four: list[Path]) -> None:
    found = compare(four[:3], measures=["episode_return"])
    (returns,) = found.measures
    assert returns.profiles == {} and returns.aggregates == {}
    assert [x.task for x in returns.improvements] == ["smax/3m"]
    assert "no episode_return over all tasks: vdn has no smax/8m" in list(cautions(found))


def test_few_seeds_and_unlike_budgets_are_told(tmp_path: Path) -> None:
    runs = [
        a_run(tmp_path / "a", flat(*range(10))),
        a_run(tmp_path / "b", [[0, 1, 2, 3]] * 2, "vdn"),
    ]
    few, ends = cautions(compare(runs))
    assert few == "seeds of each algorithm: 2 to 10; 10 are advised (Gorsane et al., 2022)"
    assert ends == "runs on smax/3m end after 200 to 300 steps"
    assert not list(cautions(compare(runs[:1])))


def test_the_absolute_metric_counts_where_all_have_it(tmp_path: Path) -> None:
    told = {"best": [2.0, 4.0], "scores": {"episode_return": [1.0, 3.0], "win_rate": [0.1, 0.3]}}
    runs = [
        a_run(tmp_path / "a", flat(2, 4), absolute=told),
        a_run(tmp_path / "b", flat(2, 2), "vdn"),
    ]
    (alone,) = compare(runs[:1], measures=["win_rate"]).measures
    assert alone.compared == "absolute metric"
    assert alone.score(alone.variants[0]).tolist() == [0.1, 0.3]
    (both,) = compare(runs, measures=["win_rate"]).measures
    assert both.compared == "last evaluation"
    assert both.score(both.variants[0]).tolist() == [0.2, 0.4]


def test_an_absolute_metric_of_teams_that_were_surpassed_is_left_out(tmp_path: Path) -> None:
    told = {"best": [2.0, 3.5], "scores": {"episode_return": [1.0, 3.0]}}
    run = a_run(tmp_path / "a", flat(2, 4), absolute=told)
    found = compare([run])
    assert found.measures[0].compared == "last evaluation"
    again = f"{run} has better teams than its absolute metric is of: jmarl eval {run} --record"
    assert again in list(cautions(found))


def test_measures_are_told_with_their_convention() -> None:
    names = ["episode_length", "episode_return", "win_rate"]
    assert telling(names) == ["episode_return", "win_rate"]
    own = ["agent_return/a", "agent_return/b", *names]
    assert telling(own) == ["episode_return", "win_rate"]
    teams = ["episode_return", "episode_return_left", "episode_return_right", "lead"]
    assert telling(teams) == ["episode_return_left", "episode_return_right", "lead"]
    assert "mean over 2 agents\n(x 2: their sum)" in meaning("episode_return", own)
    assert "that all agents share" in meaning("episode_return", names)
    assert "return of left:" in meaning("episode_return_left", teams)
    assert meaning("win_rate", names) == "win rate (0 to 1)"


# --- files --------------------------------------------------------------------------------------


def test_marl_evals_layout(tmp_path: Path) -> None:
    told = {"best": [3.0], "scores": {"episode_return": [2.5], "win_rate": [0.25]}}
    run = a_run(tmp_path / "a", [[1.0, 3.0]], absolute=told, seed=5)
    found = compare([run, a_run(tmp_path / "b", flat(1, 2), hidden_dim=(8, 8))])
    data = as_marl_eval(found.variants, ["episode_return", "win_rate"])
    assert data["smax"]["3m"]["qmix hidden_dim=64"] == {
        "seed_5": {
            "step_0": {"step_count": 0, "episode_return": [1.0], "win_rate": [0.1]},
            "step_1": {"step_count": 100, "episode_return": [3.0], "win_rate": [0.3]},
            "absolute_metrics": {"episode_return": [2.5], "win_rate": [0.25]},
        }
    }
    assert "qmix hidden_dim=8;8" in data["smax"]["3m"], "commas have a meaning in marl-eval"
    assert unlike(found.variants[:1]) == ""
    assert unlike(found.variants) == (
        "numbers of evaluations that differ (2, 3) and numbers of seeds that differ (1, 2) and "
        "runs without an absolute metric (jmarl eval RUN --record)"
    )


def test_the_command_prints_tables_and_leaves_files(
    four: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, export = tmp_path / "out", tmp_path / "all.json"
    words = ["compare", *map(str, four), "--out", str(out), "--export", str(export)]
    assert main(words) == 0
    capsys.readouterr()
    assert main(words) == 0, "in place of the first"
    told, warned = capsys.readouterr()
    assert "seeds of each algorithm: 4; 10 are advised" in warned
    assert "marl-eval draws nothing over tasks from runs without an absolute metric" in warned
    assert "win_rate, last evaluation: probability of improvement" in told
    assert "episode_return, last evaluation: 2 tasks together, 0 and 1 the worst" in told
    assert "0.531" in told and "Reward of smax/3m: all allies" in told
    assert {path.name for path in out.iterdir()} == {
        *("curves-smax-3m.png", "curves-smax-8m.png", "compare.json"),
        *(
            f"{kind}-{of}.png"
            for kind in ("profile", "improvement")
            for of in telling(["win_rate"])
        ),
    }
    assert json.loads((out / "compare.json").read_text()) == json.loads(
        json.dumps(compare(four).as_json())
    )
    assert json.loads(export.read_text())["smax"]["8m"]["vdn"]["seed_0"]["step_2"] == {
        **{"step_count": 200, "episode_return": [1.0], "win_rate": [0.1]},
    }


def test_what_is_drawn_are_the_numbers(four: list[Path]) -> None:
    found = compare(four)
    figure: Figure = curve_pictures(found)["curves-smax-3m.png"]()
    left, right = figure.axes
    lines = {str(line.get_label()): line.get_ydata() for line in left.lines}
    assert list(lines) == ["qmix, 4 seeds", "vdn, 4 seeds"]
    np.testing.assert_allclose(np.asarray(lines["qmix, 4 seeds"], float), [0, 5, 5])
    assert left.get_ylabel().startswith("return:") and right.get_ylabel() == "win rate (0 to 1)"
    returns, rates = found.measures
    profile = performance_profile(rates).axes[0]
    drawn = np.asarray(profile.lines[1].get_ydata(), float)
    np.testing.assert_allclose(drawn, rates.profiles["vdn"].value)
    assert [axes.get_title() for axes in improvement_intervals(returns).axes] == [
        *("mean over 2 tasks", "smax/3m", "smax/8m"),
    ]


def test_random_play_is_drawn_where_a_run_tells_of_it(tmp_path: Path) -> None:
    run = a_run(tmp_path / "a", flat(3))
    open_folder(run).write("summary.json", {"random_scores": {"episode_return": 1.5}})
    figure: Figure = curve_pictures(compare([run], measures=["episode_return"]))[
        "curves-smax-3m.png"
    ]()
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert drawn["random policy"] == [1.5, 1.5] and "qmix, 1 seed" in drawn


def test_curves_are_drawn_with_and_without_the_word(
    four: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [str(run) for run in four]
    assert main(["plot", *runs]) == 0
    assert main(["plot", "curves", *runs, "--measure", "win_rate"]) == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {
        *("curves-smax-3m.png", "curves-smax-3m-2.png"),
        *("curves-smax-8m.png", "curves-smax-8m-2.png"),
    }
    assert main(["plot", runs[0], "--out", "mine.png"]) == 0
    assert (tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")


WRONG = {  # the words after `jmarl`: what the one line must say
    "compare": ("runs must be at least one",),
    "compare nowhere": ("run must be the folder of a run", "'nowhere'"),
    "compare a --measure winrate": ("'winrate'", "did you mean 'win_rate'", "episode_length"),
    "compare a --by name": ("'name'", "settings, folder"),
    "compare a --out notes.txt": ("out must be a folder", "'notes.txt'"),
    "compare a --export notes.txt": ("notes.txt must be new or written by jmarl",),
    "compare a --export no/such.json": ("must lie in a folder that exists",),
    "compare a --out full": ("full/curves-smax-3m.png", "must be a PNG if it exists"),
    "compare a --output x": ("unrecognized arguments: --output",),
    "compare begun": ("run must have evaluations", "begun", "without any"),
    "compare broken": ("run must have sound metrics", "seed-0.jsonl:1"),
    "compare strange": ("run must have a sound config.json", "strange"),
    "plot --by folder": ("plot takes what to draw and a run, got none",),
    "plot curves": ("jmarl plot curves RUN ...",),
    "plot curvs a": ("'curvs'", "did you mean 'curves'"),
    "plot a b --measure": ("measure must have a value",),
    "plot a b --seed 3": ("no flag of plot curves is named 'seed'", "out, measure, by"),
    "plot a other --out x.png": ("out must be a folder for several tasks' curves", "'x.png'"),
    "plot a b --out x.gif": ("out must end in .png",),
    "plot attention a b": ("plot takes what to draw and a run, got 'attention a b'",),
    "eval a --record --checkpoint newest": ("checkpoint must be best with --record", "'newest'"),
    "eval a --record --episodes 0": ("episodes must be between 1", "got 0"),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_use_is_one_line_and_nothing_is_written(
    words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    a_run(tmp_path / "a", flat(1, 2))
    a_run(tmp_path / "b", flat(1, 2), "vdn")
    a_run(tmp_path / "other", flat(1, 2), env="smax/8m")
    (a_run(tmp_path / "begun", flat(1)) / "metrics" / "seed-0.jsonl").write_text("")
    (a_run(tmp_path / "broken", flat(1)) / "metrics" / "seed-0.jsonl").write_text("{}\n")
    (a_run(tmp_path / "strange", flat(1)) / "config.json").write_text("[]")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "curves-smax-3m.png").write_text("no picture")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(shlex.split(words)) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == "" and all(part in line for part in WRONG[words]), line
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


# --- the absolute metric ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two teams as they were drawn, that evaluated as -9 and -8; the best are the two exchanged."""
    sizes = {"num_envs": 2, "hidden_dim": (4,), "buffer_size": 99, "warmup_steps": 0}
    path = tmp_path_factory.mktemp("runs") / "untrained"
    settings = {"env": "toy/cue", "eval_episodes": 3, "total_steps": 5000, **sizes}
    run = a_run(path, [[-9.0], [-8.0]], "ddpg", **settings)
    plan = open_folder(run).experiment()
    program = Program(jmarl.make_env(plan.run.env), plan)
    learner = jit(jax.vmap(program.loop(plan.config).algorithm.init))(program.keys[0])
    last = {"episode_return": [-9.0, -8.0]}
    parts = {"learner": learner, "best": jax.tree.map(lambda x: x[::-1], learner)}
    checkpoint.save(open_folder(run).checkpoints, 0, parts, {"evaluations": [last], "best": last})
    return run


def test_the_best_teams_play_ten_times_the_episodes(
    untrained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(untrained), "--record"]) == 0
    assert "episode_return" in capsys.readouterr().out
    data = json.loads((untrained / "absolute.json").read_text())
    expected, _ = jmarl.evaluate(untrained, episodes=30, checkpoint="best")
    assert data["episodes"] == 30 and data["best"] == [-9, -8]
    assert data["scores"] == {name: values.tolist() for name, values in expected.items()}
    assert len(set(data["scores"]["episode_return"])) == 2 and "packages" in data["versions"]
    (measured, *_) = compare([untrained]).measures
    assert measured.compared == "absolute metric"
    score = measured.score(measured.variants[0])
    np.testing.assert_allclose(score, expected["episode_return"])


def test_a_plain_evaluation_records_nothing(untrained: Path) -> None:
    (untrained / "absolute.json").unlink(missing_ok=True)
    assert main(["eval", str(untrained), "--episodes", "2"]) == 0
    assert not (untrained / "absolute.json").exists()
