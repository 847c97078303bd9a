"""Words to whoever watches, on a stderr that may be gone: a run does not depend on it."""

import contextlib
import sys
from typing import Any, TextIO

SHOW_CURSOR = b"\x1b[?25h"  # which a progress bar hides


def say(line: str) -> None:
    """One line, from jmarl."""
    with contextlib.suppress(OSError):
        print(f"jmarl: {line}", file=sys.stderr, flush=True)


class Patient:
    """A text file that may be a closed pipe or on a full disk: what it refuses is dropped."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self.file.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self.file.flush()
