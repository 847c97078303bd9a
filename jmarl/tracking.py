"""wandb beside a run: a process that reads what the run writes (follower.py)."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from jmarl.config import find
from jmarl.fields import ConfigError
from jmarl.stderr import say

MODES = ("off", "offline", "online")
ANSWER = 20  # seconds that a server has to answer when the run opens
PATIENCE = 60  # seconds to wait for what is left to upload
LEFT: list["subprocess.Popen[bytes]"] = []  # that outlast their runs
FOLLOWER = Path(__file__).with_name("follower.py")


def require_tracking(mode: str, out: str | Path | None) -> None:
    """ConfigError for what is no mode, or leaves wandb nothing to read."""
    if find(mode, MODES, "mode of wandb") != "off" and out is None:
        raise ConfigError(f"wandb must be off where out is None, got {mode!r}")


@contextlib.contextmanager
def following(folder: Path, mode: str) -> Iterator[None]:
    """wandb is told of the run in `folder` meanwhile; training neither waits for it nor ends by it.

    Afterwards a line says where it went.
    """
    if mode == "off":
        yield
        return
    log = folder / "wandb" / "follower.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", str(FOLLOWER), str(folder), mode, str(ANSWER)],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C is for training, with which it ends
        )
    try:
        yield
    finally:
        say(f"wandb: {last_words(process, log)}")


def last_words(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """What became of it; where it is slow, it is left to go on."""
    try:
        process.communicate(timeout=PATIENCE)  # which closes its stdin
    except subprocess.TimeoutExpired:
        LEFT.append(process)
        return f"not done after {PATIENCE} s; its process goes on by itself"
    if process.returncode:
        return f"it ended early, {log} tells why"
    return log.read_text(errors="replace").strip().rpartition("\n")[2]
