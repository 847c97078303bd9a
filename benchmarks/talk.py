"""A process that does what it is told to by lines, and answers by lines of JSON."""

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Self

from throughput import STOPPING, obituary


class Talk:
    """It does not outlive its `with` block, nor `limit` seconds: a program that hangs hears
    nothing. `variables` are added to this process's environment for it."""

    def __init__(
        self, command: Sequence[str], limit: float, variables: Mapping[str, str] | None = None
    ) -> None:
        self.command, self.limit = command, limit
        self.environ = {**os.environ, **(variables or {})}

    def __enter__(self) -> Self:
        self.errors = tempfile.TemporaryFile("w+")
        pipe, errors = subprocess.PIPE, self.errors
        # a signal that came while the process is made would leave an orphan: it waits
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        self.process = subprocess.Popen(
            self.command, stdin=pipe, stdout=pipe, stderr=errors, text=True, env=self.environ
        )
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.late = False
        self.timer = threading.Timer(self.limit, self.expire)
        self.timer.daemon = True
        self.timer.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.timer.cancel()
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def expire(self) -> None:
        self.late = True
        self.process.kill()

    def say(self, word: str) -> None:
        """One line; nothing where it has ended, which `hear` tells of."""
        assert self.process.stdin is not None
        try:
            print(word, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return

    def end(self) -> None:
        """There is no more to do."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None

    def hear(self, wanted: str) -> Any:
        """The next event of this name; Ended if the process fails or ends first."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line) if line.startswith("{") else {}  # a library may print
            if "failed" in event:
                raise Ended(event["failed"])
            if wanted in event:
                return event[wanted]
        self.process.wait()
        if self.late:
            raise Ended(f"took more than {self.limit:,.0f} s")
        self.errors.seek(0)
        raise Ended(obituary(self.process.returncode, self.errors.read()))


class Ended(Exception):
    """Why a process told nothing more."""
