"""A run that cannot be lost: damage, full disks, two processes, changed settings."""

import json
import math
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import TINY, lines, untimed

import jmarl
from jmarl import checkpoint, files
from jmarl.best import Best
from jmarl.folder import Folder
from jmarl.program import Program

OFTEN = {**TINY, "checkpoint_minutes": 0, "keep_checkpoints": 99}


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
