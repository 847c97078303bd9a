"""What a process has freed goes back to the system."""

import platform
import subprocess
import sys

import pytest

of_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunes glibc's heap")
RESIDENT = """
from pathlib import Path
from jmarl.heap import give_back, large_blocks_apart

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
LARGE = """
TUNE
once = bytearray(b"x") * 2**24
del once  # behind which glibc by itself would put blocks of this size into the heap
kept, freed = [], []
for _ in range(20):
    freed.append(bytearray(b"x") * 2**21)
    kept.append([bytearray(400) for _ in range(100)])
before = resident()
del freed
print(before - resident())
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
    assert printed(LARGE.replace("TUNE", "")) < 10
    assert printed(LARGE.replace("TUNE", "large_blocks_apart()")) > 30
