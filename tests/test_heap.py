"""What a process has freed goes back to the system."""

import subprocess
import sys

import pytest

FILLED = """
from pathlib import Path
from jmarl.heap import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_freed_goes_back_to_the_system() -> None:
    env = {"PYTHONMALLOC": "malloc", "PYTHONPATH": ":".join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", FILLED], capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) > 30
