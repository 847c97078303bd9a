"""The host side: schedules, run folders, resuming, loading, what lands on disk."""

import json
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from small_runs import TINY, lines, untimed

import jmarl
import jmarl_envs
from jmarl import checkpoint
from jmarl import folder as folders
from jmarl.cli import main
from jmarl.config import experiment
from jmarl.fields import ConfigError
from jmarl.fit import Fit
from jmarl.folder import Folder, open_folder
from jmarl.making import env_of, own_name
from jmarl.program import Program, key_of_play, schedule
from jmarl.signals import Stop, Stopped
from jmarl.sinks import JsonLines, keep_until
from jmarl.types import Environment, EnvSpec, Key, Outcome
from jmarl.versions import versions


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> jmarl.Result:
    out = tmp_path_factory.mktemp("runs") / "run"
    return jmarl.train("maddpg", "toy/parts", out=out, **TINY)


@pytest.mark.parametrize("evaluations", [1, 7, 20])
def test_a_schedule_is_even_and_hardly_longer_than_asked(evaluations: int) -> None:
    for rollouts in range(1, 2000):
        plan = schedule(rollouts, evaluations)
        parts = plan.rollouts_per_chunk, plan.chunks_per_evaluation, plan.evaluations
        assert rollouts <= plan.rollouts == np.prod(parts) <= 1.05 * rollouts
        assert plan.evaluations <= evaluations
    assert schedule(1300, 20).evaluations == 20 and schedule(19, 20).evaluations == 19
    assert schedule(21, 20).rollouts == 22


def test_no_chunk_is_longer_than_one_can_wait_for() -> None:
    assert schedule(10**8, 2).rollouts_per_chunk <= 200
    assert schedule(1000, 20, longest=3).rollouts_per_chunk <= 3


def test_a_run_folder_holds_all_that_the_readme_says(trained: jmarl.Result) -> None:
    run = trained.path
    assert run is not None
    assert {path.name for path in run.iterdir()} == {
        *("config.json", "versions.json", "summary.json", "curve.png", "metrics", "checkpoints"),
        ".lock",
    }
    config = json.loads((run / "config.json").read_text())
    assert config["run"]["total_steps"] == 1200 and config["config"]["hidden_dim"] == [8, 8]
    made_by = json.loads((run / "versions.json").read_text())
    assert made_by["packages"]["jax"] == jax.__version__
    assert (run / "curve.png").read_bytes()[:4] == b"\x89PNG"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["seeds"] == 2 and np.isfinite(summary["random_return"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["/bin/jmarl", "train", "qmix", "--out", "my run"], "jmarl train qmix --out 'my run'"),
        (["/site-packages/jmarl/__main__.py", "envs"], "jmarl envs"),
        (["/site-packages/pytest/__main__.py", "-q"], "pytest -q"),
        (["mine.py", "--fast"], "mine.py --fast"),
        ([""], "python"),
    ],
)
def test_a_record_tells_the_command_that_ran(
    monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.setattr("sys.argv", words)
    assert versions()["command"] == told


class Endless:
    """Another environment, some of whose episodes have no end."""

    def __init__(self, env: Environment[Any]) -> None:
        self.env, self.spec, self.reset = env, env.spec, env.reset

    def step(self, state: Any, action: Any, key: Key) -> tuple[Any, Outcome]:
        state, out = self.env.step(state, action, key)
        return state, out.replace(truncated=out.truncated & (out.reward[0] > 0))


def test_episodes_without_an_end_are_refused(tmp_path: Path) -> None:
    """They would count as nothing earned."""
    env = Endless(jmarl.make_env("toy/parts", actions="simplex"))
    with pytest.raises(ConfigError, match=r"env must end .* got .* of 4,096 random .*TimeLimit"):
        jmarl.train("maddpg", env, out=tmp_path / "run", **TINY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_what_is_played_later_draws_from_keys_of_its_own(seed: int) -> None:
    """None of those that training with the same seed splits off, down to the third split."""

    def below(keys: jax.Array, levels: int) -> set[tuple[int, ...]]:
        mine = {tuple(row) for row in np.asarray(jax.random.key_data(keys)).tolist()}
        return mine.union(*(below(jax.random.split(key, 3), levels - 1) for key in keys[:levels]))

    root = jax.random.key(seed)
    trained, played = jax.random.split(root, 2), key_of_play(seed)
    assert not below(trained, 3) & below(jax.random.split(played, 2), 3)
    assert below(trained, 3) & below(jax.random.split(root, 2), 3), "else this could not fail"


def test_metrics_are_json_lines_per_seed_that_count_true_steps(trained: jmarl.Result) -> None:
    assert trained.path is not None
    first, second = (lines(trained.path, seed) for seed in (0, 1))
    evaluated = [record for record in first if "eval/episode_return" in record]
    assert len(evaluated) == 4  # one before learning
    gaps = np.diff([record["updates"] for record in evaluated])
    assert len(set(gaps)) == 1 and gaps[0] > 0
    steps = [record["env_steps"] for record in first]
    assert steps == sorted(steps) and 1200 <= steps[-1] <= 1200 * 1.1
    assert [r.get("train/critic_loss") for r in first] != [
        r.get("train/critic_loss") for r in second
    ]
    warm = evaluated[0]
    since = [(r["updates"] - warm["updates"], r["env_steps"] - warm["env_steps"]) for r in first]
    told = [r["updates_per_env_step"] for r in first if "updates_per_env_step" in r]
    assert told[0] == pytest.approx(since[1][0] / since[1][1]) and len(told) == len(first) - 4
    last = [record["eval/episode_return"] for record in (evaluated[-1], second[-1])]
    np.testing.assert_allclose(last, trained.returns[-1], rtol=1e-6)


@pytest.mark.slow  # as is one of the laws in test_algorithms.py
def test_a_vmapped_seed_equals_that_seed_alone(trained: jmarl.Result, tmp_path: Path) -> None:
    alone = {**TINY, "seeds": 1, "seed": 1}
    run = jmarl.train("maddpg", "toy/parts", out=tmp_path / "alone", **alone)
    assert run.path is not None and trained.path is not None
    for mine, theirs in zip(lines(run.path, 1), lines(trained.path, 1), strict=True):
        for name in mine.keys() - {"seconds", "steps_per_second"}:
            np.testing.assert_allclose(mine[name], theirs[name], rtol=1e-3, atol=1e-3, err_msg=name)


class StopAfter:
    """A sink that has the process told to end when so many chunks are done."""

    def __init__(self, chunks: int) -> None:
        self.left = chunks

    def write(self, records: Any) -> None:
        self.left -= "train/critic_loss" in records[0]
        if self.left == 0:
            signal.raise_signal(signal.SIGTERM)

    def close(self) -> None: ...


def test_a_stopped_and_resumed_run_equals_the_unbroken_one(
    trained: jmarl.Result, tmp_path: Path
) -> None:
    """Through a checkpoint on disk, with records after it that the resumed run must not repeat."""
    assert trained.path is not None
    settings = {k: v for k, v in TINY.items() if k not in ("compile_cache", "progress")}
    plan = experiment("maddpg", settings={**settings, "env": "toy/parts"})
    folder = folders.create(str(tmp_path / "broken"), plan, {})
    program = Program(jmarl_envs.make("toy/parts", actions="simplex"), plan)
    sink = JsonLines(folder, program.seeds)
    with pytest.raises(Stopped, match=r"stopped by SIGTERM; to go on: .*--resume"), Stop() as stop:
        Fit(program, folder, [sink, StopAfter(2)]).run(stop)
    sink.write([{"updates": 10**6, "train/critic_loss": 0.0}] * 2)  # of a lost future
    sink.close()
    with folder.metrics(0).open("a") as file:
        file.write('{"updates": 3, "tr')  # a line cut short
    resumed = jmarl.resume(folder.path, progress=False)
    assert resumed.path is not None
    for seed in (0, 1):
        assert untimed(lines(resumed.path, seed)) == untimed(lines(trained.path, seed))
    np.testing.assert_array_equal(resumed.returns, trained.returns)
    theirs = open_folder(trained.path).checkpoints
    assert checkpoint.iterations(folder.checkpoints)[0] == checkpoint.iterations(theirs)[0]


def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "now")
    made = [folders.create("", experiment("vdn"), {}).path.name for _ in range(3)]
    assert made == [f"vdn-smax-3m-now{nth}" for nth in ("", "-2", "-3")]


def test_a_loaded_team_plays_as_the_trained_one_did(trained: jmarl.Result) -> None:
    assert trained.path is not None
    team = jmarl.load_policy(trained.path)
    assert team.seed == int(np.argmax(trained.returns[-1]))
    other = jmarl.load_policy(trained.path, seed=1 - team.seed)
    key = jax.random.key(3)
    state, view = team.env.reset(key)
    _, action = team.act(team.reset(key), view, key)
    _, others = other.act(other.reset(key), view, key)
    assert action.shape == (3, team.env.spec.action_size)
    team.env.step(state, action, key)
    assert not np.array_equal(action, others)
    with pytest.raises(jmarl.ConfigError, match=r"seed must be one of \[0, 1\], got 7"):
        jmarl.load_policy(trained.path, seed=7)


def test_evaluation_repeats_and_names_the_random_policy(trained: jmarl.Result) -> None:
    assert trained.path is not None
    first, floor = jmarl.evaluate(trained.path, episodes=8, seed=5)
    again, _ = jmarl.evaluate(trained.path, episodes=8, seed=5)
    assert first.keys() == again.keys() == floor.keys()
    np.testing.assert_array_equal(first["episode_return"], again["episode_return"])
    assert first["episode_return"].shape == (2,)


def test_teams_may_be_evaluated_where_they_were_not_trained(
    trained: jmarl.Result, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["eval", str(trained.path), "--episodes=8"]
    assert main([*words, "--env.episode_limit", "2"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "episode_length" in line)
    assert row.split("│")[2:5] == [" 2.000  ", " 2.000   ", " 2.000   "]
    for option, message in (
        ("--env.actions=discrete", "env options must leave action_kind as in training, simplex, "),
        ("--env.episode_limit", "--env.episode_limit must have a value, got none"),
        ("--env.limit=2", "did you mean 'episode_limit'"),
        ("--env.episode_limit=2 --record", "record plays the run's own environment"),
    ):
        assert main([*words, *option.split()]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, "simplex"),
        ({"estimator": "straight_through"}, "discrete"),
        ({"actions": "box"}, "box"),
    ],
)
def test_the_environment_takes_the_actions_that_suit_the_algorithm(
    settings: dict[str, str], kind: str
) -> None:
    name = own_name("MPE_simple_spread_v3")
    plan = experiment("maddpg", settings={"env": name, **settings})
    assert name == "mpe/simple_spread" and env_of(plan).spec.action_kind == kind


@pytest.mark.slow  # likewise
def test_a_second_chunk_does_not_compile(trained: jmarl.Result) -> None:
    """Ahead-of-time programs cannot recompile; tracing must not happen again either."""
    traces = 0
    plan = experiment("maddpg", settings={k: TINY[k] for k in ("num_envs", "batch_size")})
    program = Program(jmarl.make_env("toy/parts"), plan)

    def counted(*args: Any) -> Any:
        nonlocal traces
        traces += 1
        return Program._chunk(program, *args)

    function = jax.jit(counted, donate_argnums=0)
    state = jax.jit(program._start)(program.keys[0], plan.config)
    for chunk in range(3):
        state, _ = function(state, jax.numpy.int32(chunk), jax.numpy.int32(1), plan.config)
    assert traces == 1


def test_a_checkpoint_of_another_program_is_refused(trained: jmarl.Result) -> None:
    assert trained.path is not None
    plan = experiment("maddpg", settings={"hidden_dim": (9, 8), "seeds": 2})
    program = Program(jmarl.make_env("toy/parts", actions="simplex"), plan)
    found = checkpoint.find(open_folder(trained.path).checkpoints)
    assert found is not None
    assert found.meta["config"] == json.loads((trained.path / "config.json").read_text())
    assert found.meta["versions"]["packages"]["jax"] == jax.__version__
    with pytest.raises(jmarl.ConfigError, match=r"of this program: learner/.* there, .* here"):
        checkpoint.restore(found, {"learner": program.state.learner})


def test_records_after_a_checkpoint_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "seed-0.jsonl"
    path.write_text('{"updates": 1}\n{"updates": 2}\n{"updates": 3}\n{"upd')
    keep_until(path, 2)
    assert path.read_text() == '{"updates": 1}\n{"updates": 2}\n'


def test_the_first_signal_asks_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Stop() as stop:
        signal.raise_signal(signal.SIGTERM)
        assert stop.number == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_training_works_outside_the_main_thread() -> None:
    def enter() -> None:
        with Stop() as stop:
            outcome.append(stop.number)

    outcome: list[int] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert outcome == [0]


class Nameless:
    """An environment that no registry knows: one agent is paid for choosing 1."""

    def __init__(self) -> None:
        self.inner = jmarl_envs.make("toy/cue", num_agents=1)
        self.spec: EnvSpec = self.inner.spec.__class__(
            **{**self.inner.spec.__dict__, "name": "mine/own"}
        )
        self.reset, self.step = self.inner.reset, self.inner.step


def test_an_environment_of_ones_own_trains_and_loads(tmp_path: Path) -> None:
    env = Nameless()
    result = jmarl.train("maddpg", env, out=tmp_path / "own", **{**TINY, "seeds": 1})
    assert result.path is not None
    assert jmarl.load_policy(result.path, env=env).env is env
    with pytest.raises(jmarl.ConfigError, match=r"env must be given.*'mine/own' was your own"):
        jmarl.load_policy(result.path)
    with pytest.raises(jmarl.ConfigError, match="env_options are for environments by name"):
        jmarl.train("maddpg", env, env_options={"horizon": 3}, out=tmp_path / "other", **TINY)


def break_config(run: Path) -> None:
    (run / "config.json").write_text("[]")


def break_metrics(run: Path) -> None:
    (run / "metrics" / "seed-0.jsonl").write_text("oops\n")


def break_checkpoint(run: Path) -> None:
    for path in run.glob("checkpoints/*/learner"):
        shutil.rmtree(path)


def shift_schedule(run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    config["run"]["evaluations"] = 1
    (run / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (break_config, "run must have a sound config.json"),
        (break_metrics, "run must have sound metrics"),
        (break_checkpoint, "checkpoint must be whole"),
        (shift_schedule, "config.json that it began with .*: evaluations was 3, got 1"),
    ],
)
def test_a_damaged_run_is_refused_in_a_line(
    damage: Callable[[Path], None], says: str, trained: jmarl.Result, tmp_path: Path
) -> None:
    assert trained.path is not None
    run = tmp_path / "run"
    shutil.copytree(trained.path, run)
    damage(run)
    with pytest.raises(jmarl.ConfigError, match=says):
        jmarl.resume(run, progress=False)


def test_a_run_killed_before_its_first_checkpoint_starts_again(
    trained: jmarl.Result, tmp_path: Path
) -> None:
    assert trained.path is not None
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(trained.path / "config.json", run)
    again = jmarl.resume(run, progress=False)
    np.testing.assert_array_equal(again.returns, trained.returns)


def test_nothing_is_left_of_a_run_that_fails_before_it_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Program) -> Any:
        raise MemoryError("all gone")

    monkeypatch.setattr(Program, "random_return", fail)
    with pytest.raises(MemoryError):
        jmarl.train("maddpg", "toy/parts", out=tmp_path / "run", **TINY)
    assert not list(tmp_path.iterdir())


def test_an_unasked_replay_ratio_is_cautioned_against() -> None:
    few = experiment("maddpg", settings={"env": "toy/parts", "num_envs": 1})
    assert "25 environment steps per update, 100 were asked" in Program(env_of(few), few).caution
    lone = experiment("vdn", settings={"env": "toy/parts", "num_envs": 1, "team_reward": "sum"})
    rarely = replace(lone, config=lone.config.replace(episodes_per_update=8.0))
    told = (
        "5 environment steps per update, 40 were asked for: rollouts of num_envs x (episode limit"
    )
    assert told in Program(env_of(rarely), rarely).caution
    assert Program(env_of(lone), lone).caution == ""
    enough = experiment("maddpg", settings={"env": "toy/parts", "num_envs": 64})
    assert Program(env_of(enough), enough).caution == ""


def test_what_json_cannot_say_is_null(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    sink = JsonLines(Folder(tmp_path), [0])
    sink.write([{"updates": 1, "loss": float("nan"), "high": float("inf")}])
    sink.close()
    assert lines(tmp_path, 0) == [{"updates": 1, "loss": None, "high": None}]


def test_an_algorithm_is_made_only_for_what_it_can_act_in() -> None:
    spec = jmarl.make_env("toy/reach").spec
    assert jmarl.make_algorithm("maddpg", spec, preset="iqbal")
    with pytest.raises(jmarl.ConfigError, match="actions of maddpg must be discrete or box"):
        simplex = jmarl.make_env("toy/parts", actions="simplex").spec
        jmarl.make_algorithm("maddpg", simplex, preset="iqbal")
    with pytest.raises(jmarl.ConfigError, match="no setting of maddpg itself is named 'num_envs'"):
        jmarl.make_algorithm("maddpg", spec, num_envs=3)


def test_entities_are_listed_for_those_who_read_them_alone() -> None:
    for name, read in (("qmix", False), ("maac", False), ("refil", True)):
        plan = experiment(name, settings={"env": "refil/group_matching"})
        program = Program(env_of(plan), plan)
        view = jax.eval_shape(program.loop(plan.config).env.reset, jax.random.key(0))[1]
        assert (view.entities is not None) == read
        assert program.env.spec.num_entities == 8


def test_a_mixer_that_is_no_longer_monotonic_is_cautioned_against() -> None:
    plan = lambda **settings: experiment("qatten", settings={"env": "matrix/two_step", **settings})
    program = lambda plan: Program(jmarl.make_env("matrix/two_step", agent_ids=True), plan)
    assert program(plan()).caution == ""
    assert "need not be best for the team" in program(plan(nonlinear=True)).caution
