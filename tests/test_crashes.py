"""What may end a run from outside: signals, full disks, kill -9; and going on in a new process."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from small_runs import TINY, lines, untimed

import jmarl
from jmarl import checkpoint
from jmarl.cli import main
from jmarl.folder import Folder

SMALL = {
    **{name: x for name, x in TINY.items() if name not in ("progress", "hidden_dim")},
    "env": "toy/parts",
    "hidden_dim": "8,8",
}
UNKEPT = {"JAX_ENABLE_COMPILATION_CACHE": "false"}  # what is killed would leave cut entries there
STUCK = """
import jax
from jmarl.signals import Stop, second_ends

forever = jax.jit(lambda x: jax.lax.while_loop(lambda x: x > 0, lambda x: x * 0 + 1, x))
with second_ends(), Stop():
    print("go", flush=True)
    forever(1).block_until_ready()
"""


@pytest.mark.parametrize(("first", "second"), [("SIGINT", "SIGINT"), ("SIGINT", "SIGTERM")])
def test_a_second_signal_ends_at_once_what_python_cannot_interrupt(first: str, second: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUCK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | UNKEPT,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "go\n"
        time.sleep(0.5)
        process.send_signal(signal.Signals[first])
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.Signals[second])
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 128 + signal.Signals[second]
    assert told == "\njmarl: ended at once; what was saved stands\n"


# --- a full disk --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    often = {**TINY, "checkpoint_minutes": 0, "keep_checkpoints": 99}
    jmarl.train("maddpg", "toy/parts", out=out, **often)
    return out


@contextlib.contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """As on a disk with so much room. Compiled programs are read, but none is kept meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    least = jax.config.values["jax_persistent_cache_min_entry_size_bytes"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 2**62)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", least)


@pytest.mark.parametrize("what", ["a checkpoint", "a record"])
def test_a_full_disk_is_told_in_a_line_and_nothing_is_lost(
    what: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    folder = Folder(run)
    done = checkpoint.iterations(folder.checkpoints)
    for at in done[:6]:
        shutil.rmtree(folder.checkpoints / str(at))
    records = folder.metrics(0).stat().st_size
    biggest = max(p.stat().st_size for p in folder.checkpoints.rglob("*"))
    assert records + 1000 < biggest - 1000
    with no_file_above(records + 1000 if what == "a checkpoint" else records // 2 + 1000):
        assert main(["train", "--resume", str(run), "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jmarl: run could not be written ([Errno 27] File too large")
    assert ("/checkpoints/" in line) == (what == "a checkpoint")
    assert line.endswith(f"to go on: jmarl train --resume {run}")
    assert checkpoint.find(folder.checkpoints) is not None
    assert main(["train", "--resume", str(run), "--quiet"]) == 0
    for seed in (0, 1):
        assert untimed(lines(run, seed)) == untimed(lines(trained, seed))
    assert checkpoint.iterations(folder.checkpoints) == done


def test_a_setting_that_finds_no_room_is_told_in_a_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    before = (run / "config.json").read_bytes()
    with no_file_above(100):
        assert main(["train", "--resume", str(run), "--quiet", "--total-steps", "1600"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jmarl: run could not be written ([Errno 27] File too large")
    assert (run / "config.json").read_bytes() == before


def test_a_run_that_finds_no_room_to_begin_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    with no_file_above(100):
        assert main(["train", "maddpg", "--env=toy/parts", "--quiet", f"--out={out}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("jmarl: out must be a writable folder, got ") and "too large" in line
    assert not out.exists()


COMPILES = """
import resource
import sys
from pathlib import Path
import jax
from jmarl import cli

def compiles(words):
    jax.clear_caches()
    jax.jit(lambda x: x + 1)(1)
    return 0

def again():
    print("again", file=sys.stderr)
    print(cli.main([]), *sorted(path.name.split("-")[0] for path in folder.iterdir()))

cli.command = compiles
folder = Path(jax.config.jax_compilation_cache_dir)
cli.main([])
(kept,) = folder.iterdir()
(folder / "jit__lambda-whole").write_bytes(kept.read_bytes())
kept.write_bytes(kept.read_bytes()[:200])
(folder / "jit__lambda-another").write_bytes(b"cut")
(folder / "jit__other-of_that_name").write_bytes(b"unread")
again()
again()
kept.unlink()
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
again()
"""


def test_compiled_programs_that_were_cut_short_are_told_in_a_line_and_mended(
    tmp_path: Path,
) -> None:
    """jax writes them in place: a kill or a full disk leaves a part, which it never replaces."""
    ran = subprocess.run(
        [sys.executable, "-c", COMPILES],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path)},
    )
    assert ran.stdout.splitlines() == [
        *["0 jit__lambda jit__lambda jit__other"] * 2,
        "0 jit__lambda jit__other",
    ]
    cut, whole, full = ran.stderr.removeprefix("again\n").split("again\n")
    told = f"jmarl: a compiled program in {tmp_path} could not be "
    assert cut.startswith(f"{told}read, and is compiled again (jit__lambda: ")
    assert full == f"{told}kept (jit__lambda: OSError: [Errno 27] File too large)\n"
    assert (cut.count("\n"), whole) == (1, "")


# --- nobody watches any more --------------------------------------------------------------------


def test_training_goes_on_when_nobody_reads_its_progress(tmp_path: Path) -> None:
    """As when `2>&1 | tee log` ends before it."""
    ours, theirs = os.pipe()
    os.close(ours)
    words = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    ran = subprocess.run(
        [sys.executable, "-m", "jmarl", "train", "maddpg", *words, "--out", str(tmp_path / "run")],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    assert ran.returncode == 0
    assert (tmp_path / "run" / "summary.json").exists()


def test_a_line_that_nobody_can_read_changes_no_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    full = open("/dev/full", "w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stderr", full)
    assert main(["train", "--resume", "nowhere"]) == 2
    with contextlib.suppress(OSError):
        full.close()


@pytest.mark.parametrize("word", ["--help", "algos"])  # by print, and by a library
def test_a_full_stdout_is_told_in_a_line(word: str) -> None:
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "jmarl", word]
        ran = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ran.returncode == 1
    assert ran.stderr == (
        "jmarl: stdout could not be written ([Errno 28] No space left on device)\n"
    )


def test_a_picture_that_finds_no_room_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.gif"
    with no_file_above(100):
        assert main(["render", "toy/cue", "--out", str(out)]) == 1
    assert capsys.readouterr().err == (
        f"jmarl: {out} could not be written ([Errno 27] File too large)\n"
    )
    assert not list(tmp_path.iterdir())


def test_an_error_that_is_not_stdouts_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(words: list[str]) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("jmarl.cli.command", broken)
    with pytest.raises(OSError, match="Too many open files"):
        main(["algos"])


@pytest.mark.slow
def test_a_run_killed_again_and_again_is_the_undisturbed_one() -> None:
    """tests/soak/soak.py in little."""
    script = Path(__file__).parent / "soak" / "soak.py"
    words = ["--minutes", "0", "--steps", "1200", "--kills", "2", "--seed", "3"]
    ran = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "1 runs whole after 2 kills" in ran.stdout
