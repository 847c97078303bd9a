"""A run that cannot be lost: damage, full disks, two processes, changed settings."""

import errno
import fcntl
import json
import math
import os
import pickle
import shutil
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import TINY, lines, untimed

import jmarl
from jmarl import checkpoint, files, program
from jmarl.best import Best
from jmarl.cli import main
from jmarl.fields import ConfigError
from jmarl.folder import Folder
from jmarl.lock import locked
from jmarl.program import Program, Schedule, lasting
from jmarl.resuming import refuse_shorter

OFTEN = {**TINY, "checkpoint_minutes": 0, "keep_checkpoints": 99}
LONGER = 1600  # steps, in chunks of the same length


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> jmarl.Result:
    out = tmp_path_factory.mktemp("runs") / "run"
    return jmarl.train("maddpg", "toy/parts", out=out, **OFTEN)


@pytest.fixture
def run(trained: jmarl.Result, tmp_path: Path) -> Path:
    """A finished run to do harm to."""
    assert trained.path is not None
    return shutil.copytree(trained.path, tmp_path / "run")


def state() -> dict[str, Any]:
    key, drawn = jax.random.key(3), jax.random.normal(jax.random.key(0), (50, 40))
    return {"learner": {"w": drawn, "key": key}, "rest": {"n": jnp.int32(7)}, "best": {"w": drawn}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two checkpoints, 5 and 9."""
    for at in (5, 9):
        checkpoint.save(tmp_path, at, state(), {"at": at})
    return tmp_path


def largest(part: Path) -> Path:
    return max((path for path in part.rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


HARM: list[Callable[[Path], None]] = [flip, cut, empty, Path.unlink]


@pytest.mark.parametrize("where", ["learner", "rest", "best", "meta.json", "SHA256SUMS"])
@pytest.mark.parametrize("harm", HARM)
def test_the_newest_checkpoint_that_is_whole_is_found(
    harm: Callable[[Path], None], where: str, folder: Path
) -> None:
    victim = folder / "9" / where
    harm(victim if victim.is_file() else largest(victim))
    found = checkpoint.find(folder)
    assert found is not None and found.iteration == 5 and found.meta["at"] == 5
    assert list(found.damaged) == [9]
    assert str(folder / "9") in found.notice and str(folder / "5") in found.notice
    with pytest.raises(jmarl.ConfigError, match=r"must be whole.*9"):
        checkpoint.find(folder, 9)


def test_a_file_that_no_sum_vouches_for_is_damage(folder: Path) -> None:
    (folder / "9" / "rest" / "more").write_text("?")
    found = checkpoint.find(folder)
    assert found is not None and found.damaged == {9: "SHA256SUMS does not list rest/more"}


@pytest.mark.parametrize("name", [".DS_Store", "._x", "@eaDir/x", "Thumbs.db"])
def test_what_desktops_leave_is_no_damage(folder: Path, name: str) -> None:
    left = folder / "9" / "rest" / name
    left.parent.mkdir(exist_ok=True)
    left.write_text("")
    found = checkpoint.find(folder)
    assert found is not None and found.iteration == 9 and not found.damaged


def test_an_old_checkpoint_that_cannot_be_removed_ends_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network drive, while another process reads it."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOTEMPTY, "being read")

    monkeypatch.setattr(os, "rmdir", refuse)
    checkpoint.save(folder, 11, state(), {"at": 11})
    assert checkpoint.iterations(folder) == [11, 9]


def test_only_the_parts_that_are_read_must_be_whole(folder: Path) -> None:
    flip(largest(folder / "9" / "rest"))
    found = checkpoint.find(folder, parts=["learner"])
    assert found is not None and found.iteration == 9 and found.notice == ""


def test_a_checkpoint_holds_what_was_saved(folder: Path) -> None:
    found = checkpoint.find(folder)
    assert found is not None
    for mine, theirs in zip(
        jax.tree.leaves(checkpoint.restore(found, state())), jax.tree.leaves(state()), strict=True
    ):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(checkpoint.raw(mine), checkpoint.raw(theirs))


def test_without_a_whole_checkpoint_a_run_is_refused_and_stays_so(folder: Path) -> None:
    for at in (5, 9):
        flip(largest(folder / str(at) / "rest"))
    for _ in range(2):
        with pytest.raises(jmarl.ConfigError, match=r"must be whole.*9 \(rest/.*; 5 \(rest/"):
            checkpoint.find(folder)
    for at in (5, 9):
        checkpoint.set_aside(folder, at)
    with pytest.raises(jmarl.ConfigError, match=r"must be whole.*9 \(set aside\); 5"):
        checkpoint.find(folder)


def test_the_newest_are_kept_and_damaged_ones_until_training_is_past_them(folder: Path) -> None:
    checkpoint.set_aside(folder, 9)
    checkpoint.save(folder, 7, state(), {})
    assert {path.name for path in folder.iterdir()} == {"5", "7", "9.damaged"}
    checkpoint.save(folder, 9, state(), {})
    assert {path.name for path in folder.iterdir()} == {"7", "9"}
    checkpoint.save(folder, 12, state(), {}, keep=3)
    assert checkpoint.iterations(folder) == [12, 9, 7]


def test_another_layout_is_refused_with_its_number(folder: Path) -> None:
    meta = folder / "9" / "meta.json"
    meta.write_text(json.dumps({"layout": 3}))
    files.seal(folder / "9")
    with pytest.raises(jmarl.ConfigError, match=r"layout must be 2, got 3 in .*9"):
        checkpoint.find(folder)
    (folder / "12" / "meta").mkdir(parents=True)
    (folder / "12" / "meta" / "metadata").write_text('{"layout": 1}')
    with pytest.raises(jmarl.ConfigError, match=r"layout must be 2, got 1 in .*12"):
        checkpoint.find(folder)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "seal", full)
    with pytest.raises(OSError, match="No space left on device"):
        checkpoint.save(folder, 12, state(), {})
    assert {path.name for path in folder.iterdir()} == {"5", "9"}
    assert checkpoint.find(folder) is not None


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(
    trained: jmarl.Result, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Folder(run).checkpoints
    last, before = checkpoint.iterations(folder)[:2]
    flip(largest(folder / str(last) / "rest"))
    (folder / f"{last + 1}.part").mkdir()
    (run / ".config.json.part").write_text("{")
    again = jmarl.resume(run, progress=False)
    (told,) = capsys.readouterr().err.splitlines()
    assert f"damaged: {folder / str(last)} (rest/" in told
    assert f"using {folder / str(before)}, the one before" in told
    np.testing.assert_array_equal(again.returns, trained.returns)
    for seed in (0, 1):
        assert trained.path is not None
        assert untimed(lines(run, seed)) == untimed(lines(trained.path, seed))
    assert checkpoint.iterations(folder)[:2] == [last, before]
    assert {path.suffix for path in folder.iterdir()} == {""}
    assert not (run / ".config.json.part").exists()


def test_what_a_killed_process_left_is_swept(folder: Path) -> None:
    (folder / "12.part" / "learner").mkdir(parents=True)
    (folder / ".config.json.part").write_text("{")
    files.sweep(folder)
    assert {path.name for path in folder.iterdir()} == {"5", "9"}


def test_restoring_unpickles_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("unpickled")

    for name in ("load", "loads", "Unpickler", "_Unpickler"):
        monkeypatch.setattr(pickle, name, never)
    folder, plan = Folder(run), Folder(run).experiment()
    found = checkpoint.find(folder.checkpoints)
    assert found is not None
    program = Program(jmarl.make_env("toy/parts", actions="simplex"), plan)
    checkpoint.restore(found, {"learner": program.state.learner, "best": program.state.learner})


# --- the best -----------------------------------------------------------------------------------


def test_each_seed_keeps_its_own_best() -> None:
    best = Best({"w": jnp.array([[1.0], [2.0]])}, [math.nan, 5.0], [10, 10]).chosen(None)
    assert math.isnan(best.score[0])
    for learner, score in (([3.0, 4.0], [1.0, 5.0]), ([5.0, 6.0], [math.nan, 6.0])):
        best = Best({"w": jnp.array(learner)[:, None]}, score, [int(learner[0]) * 10] * 2).chosen(
            best
        )
    assert best.score == [1.0, 6.0] and best.env_steps == [30, 50]
    np.testing.assert_array_equal(best.learner["w"], [[3.0], [6.0]])


def test_the_best_outlives_donation_of_the_learner_it_came_from() -> None:
    learner = {"w": jnp.ones((2, 3))}
    best = Best(learner, [1.0, 2.0], [0, 0]).chosen(None)
    learner["w"].delete()
    np.testing.assert_array_equal(best.learner["w"], np.ones((2, 3)))


def test_the_best_of_a_run_is_where_its_seeds_evaluated_best(run: Path) -> None:
    """Resuming from an early checkpoint too, which knows an earlier best."""
    folder = Folder(run)
    program = Program(jmarl.make_env("toy/parts", actions="simplex"), folder.experiment())
    for at in checkpoint.iterations(folder.checkpoints)[:-8]:
        shutil.rmtree(folder.checkpoints / str(at))
    returns = jmarl.resume(run, progress=False).returns
    found = checkpoint.find(folder.checkpoints)
    assert found is not None
    np.testing.assert_array_equal(found.meta["best"]["episode_return"], returns.max(0))
    best = checkpoint.restore(found, {"best": program.state.learner})["best"]
    for i, nth in enumerate(returns.argmax(0)):
        assert found.meta["best"]["env_steps"][i] == found.meta["evaluations"][nth]["env_steps"][i]
        if nth == 0:
            continue  # before learning, and before the first checkpoint
        chunks = nth * program.schedule.chunks_per_evaluation
        at = program.shape.warmup_rollouts + chunks * program.schedule.rollouts_per_chunk
        then = checkpoint.find(folder.checkpoints, int(at))
        assert then is not None
        learner = checkpoint.restore(then, {"learner": program.state.learner})["learner"]
        for mine, theirs in zip(jax.tree.leaves(best), jax.tree.leaves(learner), strict=True):
            np.testing.assert_array_equal(mine[i], theirs[i])


def test_a_team_of_the_best_newest_or_any_checkpoint_loads(trained: jmarl.Result) -> None:
    assert trained.path is not None
    best = jmarl.load_policy(trained.path, checkpoint="best")
    assert best.seed == int(np.argmax(trained.returns.max(0)))
    there = checkpoint.iterations(Folder(trained.path).checkpoints)
    scores = [
        jmarl.evaluate(trained.path, 8, checkpoint=which)[0]["episode_return"].tolist()
        for which in ("newest", there[0], str(there[-1]))
    ]
    assert scores[0] == scores[1] != scores[2]
    with pytest.raises(jmarl.ConfigError, match=rf"that is there \({there[-1]}, .*\), got 4"):
        jmarl.load_policy(trained.path, checkpoint=4)
    with pytest.raises(jmarl.ConfigError, match="newest, best or an iteration, got 'bst'"):
        jmarl.load_policy(trained.path, checkpoint="bst")


def test_a_team_loads_though_training_removes_the_checkpoint_meanwhile(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, restore = Folder(run).checkpoints, checkpoint.restore
    before = checkpoint.iterations(folder)[0]

    def late(found: checkpoint.Found, like: Any) -> Any:
        if found.iteration == before:
            found.path.replace(folder / str(before + 1))  # a newer one, and this one is gone
        return restore(found, like)

    monkeypatch.setattr(checkpoint, "restore", late)
    assert jmarl.load_policy(run).seed in (0, 1)
    assert checkpoint.iterations(folder)[0] == before + 1
    assert capsys.readouterr().err == ""


# --- going on -----------------------------------------------------------------------------------


def go_back(run: Path, chunks: int) -> None:
    """As if the run had been killed so many checkpoints before its end."""
    folder = Folder(run).checkpoints
    for at in checkpoint.iterations(folder)[:chunks]:
        shutil.rmtree(folder / str(at))


def test_a_longer_run_is_the_run_that_was_asked_for_so_long(
    trained: jmarl.Result, run: Path, tmp_path: Path
) -> None:
    """After its end, and from the middle of it; evaluations stay as far apart as they were."""
    assert trained.path is not None
    again = shutil.copytree(run, tmp_path / "again")
    go_back(again, 3)
    longer = {**OFTEN, "evaluations": 4, "total_steps": LONGER, "checkpoint_minutes": 10}
    whole = jmarl.train("maddpg", "toy/parts", out=tmp_path / "whole", **longer)
    assert whole.path is not None and len(whole.returns) == 5
    for path in (run, again):
        result = jmarl.resume(path, progress=False, total_steps=LONGER, checkpoint_minutes=10)
        assert result.experiment.run.total_steps == LONGER
        for seed in (0, 1):
            assert untimed(lines(path, seed)) == untimed(lines(whole.path, seed))
        assert Folder(path).experiment() == result.experiment
        summary = json.loads((path / "summary.json").read_text())
        assert summary["env_steps"] == whole.env_steps[-1]
    assert jmarl.resume(run, progress=False).returns.shape == whole.returns.shape


def test_a_longer_run_keeps_its_chunks(trained: jmarl.Result) -> None:
    begun = Schedule(rollouts_per_chunk=5, chunks_per_evaluation=5, evaluations=3)
    assert lasting(begun, 75) == begun and lasting(begun, 76).evaluations == 4
    env, plan = jmarl.make_env("toy/parts", actions="simplex"), trained.experiment
    longer = replace(plan, run=replace(plan.run, total_steps=1560))
    assert Program(env, longer).schedule.rollouts_per_chunk != 5
    assert Program(env, longer, begun).schedule == replace(begun, evaluations=4)


@pytest.mark.parametrize("steps", [5, 1300, 1599])
def test_a_run_is_not_called_shorter_than_it_is(trained: jmarl.Result, steps: int) -> None:
    """Its last rollouts may go beyond the steps asked; these may be asked again."""
    env, plan = jmarl.make_env("toy/parts", actions="simplex"), trained.experiment
    begun = Schedule(rollouts_per_chunk=80, chunks_per_evaluation=1, evaluations=1)
    meta = {"chunks_done": 1, "env_steps": [1601, 1600], "config": plan.as_json()}
    asked = lambda n: Program(env, replace(plan, run=replace(plan.run, total_steps=n)), begun)
    for enough in (plan.run.total_steps, 1600):
        refuse_shorter(asked(enough), meta)
    with pytest.raises(ConfigError, match=f"at least the 1,600 that are done, got {steps:,}"):
        refuse_shorter(asked(steps), meta)


REFUSED = {
    "--num-envs 8": ("num_envs was 4, got 8",),
    "--num-envs 4 --gamma 0.9 --seeds 3": ("gamma was 0.95, got 0.9; seeds was 2, got 3",),
    "--hidden-dim 9": ("hidden_dim was (8, 8), got (9,)",),
    "--evaluations 4": ("evaluations was 3, got 4", "total_steps, checkpoint_minutes"),
    "--env toy/cue": ("env was 'toy/parts', got 'toy/cue'",),
    "--env.horizon 3": ("env.horizon was None, got 3",),
    "--preset iqbal": ("preset was '', got 'iqbal'",),
    "--checkpoint-minutes -1": ("checkpoint_minutes must be at least 0, got -1",),
    "--keep-checkpoints 0": ("keep_checkpoints must be at least 1, got 0",),
    "--total-steps 600": ("total_steps must be at least the 1,", "that are done, got 600"),
    "ddpg --local-critic": ("algorithm was 'maddpg', got 'ddpg'",),
    "qmix --mixing-dim 4": ("algorithm was 'maddpg', got 'qmix'",),
    "--mixing-dim 4": ("no setting of maddpg is named 'mixing_dim'",),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_would_change_the_program_is_refused_by_name(
    words: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run)
    assert main(["train", *words.split(), "--resume", str(run), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(part in line for part in REFUSED[words]), line
    assert contents(run) == before


def test_a_config_that_was_edited_is_refused_by_name(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = run / "config.json"
    config.write_text(config.read_text().replace('"gamma": 0.95', '"gamma": 0.9'))
    before = contents(run)
    assert main(["train", "--resume", str(run), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "must have the config.json that it began with" in line
    assert line.endswith("gamma was 0.95, got 0.9") and contents(run) == before


def contents(run: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in run.rglob("*") if p.is_file() and p.name != ".lock"}


def test_a_run_whose_first_checkpoint_never_came_stays_when_interrupted(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go_back(run, 99)
    (run / "summary.json").unlink()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Program, "random_return", interrupt)
    with pytest.raises(KeyboardInterrupt):
        jmarl.resume(run, progress=False)
    assert (run / "config.json").exists() and lines(run, 0) == []
    assert capsys.readouterr().err == f"jmarl: {run} has no checkpoint yet; it begins again\n"


@pytest.mark.parametrize("lost", ["the checkpoints of a finished run", "the checkpoints' folder"])
def test_a_run_that_lost_its_checkpoints_does_not_begin_again(
    lost: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if lost == "the checkpoints' folder":
        (run / "summary.json").unlink()
        shutil.rmtree(run / "checkpoints")
    go_back(run, 99)
    before = contents(run)
    assert main(["train", "--resume", str(run), "--quiet", "--total-steps", "1600"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"jmarl: run must have its checkpoints, got none in {run / 'checkpoints'}"
    assert contents(run) == before


def test_nothing_is_written_or_swept_where_there_is_no_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text('{"model": "of another program"}')
    (tmp_path / "film.part").write_text("half, but not ours")
    assert main(["train", "--resume", str(tmp_path), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run must have a sound config.json" in line
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "film.part"}


@pytest.mark.parametrize("record", ["rubbish", '{"updates": null}'])
def test_records_that_are_none_are_refused_before_anything_changes(
    record: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Folder(run).metrics(1).open("a") as file:
        file.write(f"{record}\n")
    flip(largest(run / "checkpoints" / str(checkpoint.iterations(run / "checkpoints")[0])))
    before = contents(run)
    assert main(["train", "--resume", str(run), "--quiet", "--total-steps", "1600"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    where = Folder(run).metrics(1)
    last = where.read_text().count("\n")
    assert f"run must have sound metrics, got {where}:{last} (" in line
    assert contents(run) == before


def test_an_environment_of_another_name_is_refused(run: Path) -> None:
    with pytest.raises(
        jmarl.ConfigError, match=r"env must be the run's, 'toy/parts', got 'toy/cue'"
    ):
        jmarl.resume(run, env=jmarl.make_env("toy/cue"), progress=False)


def test_records_that_were_lost_are_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = [line.encode() for line in Folder(run).metrics(1).read_text().splitlines(keepends=True)]
    Folder(run).metrics(0).unlink()
    Folder(run).metrics(1).write_bytes(b"".join(told[:-2]) + told[-2][:20])
    jmarl.resume(run, progress=False)
    first, second = capsys.readouterr().err.splitlines()
    assert f"seed-0.jsonl has lost {len(told)} of its {len(told)} lines" in first
    assert f"seed-1.jsonl has lost 2 of its {len(told)} lines" in second
    assert Folder(run).metrics(1).read_bytes() == b"".join(told[:-2])


def test_files_keep_some_records_of_a_long_run_and_going_on_misses_none(
    trained: jmarl.Result,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert trained.path is not None
    monkeypatch.setattr(program, "RECORDS", 4)
    for back in (12, 4):
        go_back(run, back)
        jmarl.resume(run, progress=False)
    assert capsys.readouterr().err == ""
    kept, told = (untimed(lines(path, 0)) for path in (run, trained.path))
    learnt = lambda records: [r for r in records if "eval/episode_return" not in r]
    scores = lambda records: [r for r in records if "eval/episode_return" in r]
    assert scores(kept) == scores(told)
    late = [r for r in learnt(told) if r["updates"] > scores(told)[-2]["updates"]]
    still = [r for r in late if r in kept]
    assert len(late) > 4 and still[-1] == late[-1] and 2 < len(still) <= 4


# --- one process at a time ----------------------------------------------------------------------


def test_a_second_process_is_refused_and_told_who_holds_the_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(run):
        assert main(["train", "--resume", str(run), "--quiet"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        assert line == f"jmarl: run must not be in use, got {run}, which {holder} holds"
    with locked(run):  # free again
        pass


def test_training_goes_on_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with locked(tmp_path):
        (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be locked" in line and "No locks available" in line


def test_a_run_that_cannot_be_written_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / ".lock").unlink()
    (run / ".lock").mkdir()  # even the superuser cannot write this
    assert main(["train", "--resume", str(run), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"run must be a writable folder, got {run}" in line
