"""What a process has freed goes back to the system."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from jmarl import checkpoint, heap, train

of_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunes glibc's heap")
RESIDENT = """
from pathlib import Path
from jmarl.heap import give_back, giving_back, large_blocks_apart

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
"""
SMALL = """
kept, freed = [], []
for _ in range(200_000):  # small pieces, some of which stay and hold the heap where it is
    freed.append(bytearray(400))
    if len(freed) % 2000 == 0:
        kept.append(bytearray(400))
del freed
before = resident()
give_back()
print(before - resident())
"""
BLOCKS = """
once = bytearray(b"x") * 2**24
del once  # behind which glibc by itself would put blocks of this size into the heap

def left_by(size):
    kept, freed = [], []
    for _ in range(2**25 // size):
        freed.append(bytearray(b"x") * size)
        kept.append([bytearray(400) for _ in range(10)])
    before = resident()
    del freed
    return before - resident()
"""


def printed(program: str) -> float:
    env = {"PYTHONMALLOC": "malloc", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", RESIDENT + program]
    ran = subprocess.run(command, capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stderr
    return float(ran.stdout)


@of_glibc
def test_what_is_freed_goes_back_to_the_system() -> None:
    assert printed(SMALL) > 30


@of_glibc
def test_large_blocks_go_back_by_themselves() -> None:
    assert printed(BLOCKS + "print(left_by(2**21))") < 10
    assert printed(BLOCKS + "large_blocks_apart(); print(left_by(2**21))") > 25


@of_glibc
def test_smaller_ones_do_while_a_checkpoint_is_written() -> None:
    assert printed(BLOCKS + "large_blocks_apart(); print(left_by(2**18))") < 10
    within = "with giving_back(): left = left_by(2**18)\nprint(left)"
    assert printed(BLOCKS + within) > 25
    behind = "with giving_back(): pass\nprint(left_by(2**18))"
    assert printed(BLOCKS + behind) < 10


def test_training_keeps_large_blocks_apart_and_checkpoints_smaller_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    monkeypatch.setattr(heap, "tune", lambda *sizes: told.append(sizes))
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *args: (told.append("saved"), save(*args)))
    settings = {"total_steps": 200, "evaluations": 1, "eval_episodes": 1, "num_envs": 2}
    small = {"hidden_dim": (4,), "warmup_episodes": 4, "batch_size": 2, "buffer_size": 8}
    train("iql", "matrix/two_step", out=tmp_path / "run", progress=False, **settings, **small)
    large, less = (heap.LARGE, heap.END), (heap.SMALL, heap.SMALL)
    assert told == [large, less, "saved", large]
