"""Runs the shell of documents in bash, and every `jmarl` in it in this process.

So words, quotes, redirections and loops are bash's, and compiled programs are shared: a process of
its own would take six seconds to open. `jmarl` and `python FILE.py` are functions of the shell
that send their words here through a socket and wait for the exit code.
"""

import contextlib
import io
import os
import runpy
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from jmarl import algorithms
from jmarl.cli import main
from jmarl_envs import registry

FUNCTIONS = """\
set -euo pipefail
ask() {
    printf '%s\\0' "$#" "$PWD" "$@" >&"$ASK"
    read -r code <&"$ASK"
    cat "$TOLD/out"; cat "$TOLD/err" >&2
    return "$code"
}
jmarl() { ask jmarl "$@"; }
python() {
    case "${1-}" in
        *.py) ask "$@" ;;
        *) command python "$@" ;;
    esac
}
make() { command make --dry-run --directory "$CHECKOUT" "$@"; }  # only that there is such a target
"""


OURS = frozenset(algorithms.ALL)


class Planned(Exception):
    """Raised by a test in place of training."""


@dataclass(frozen=True)
class Shell:
    """A shell whose commands start in `folder`."""

    folder: Path
    checkout: Path

    def run(self, script: str) -> str:
        """What it prints; AssertionError, with all that was said, unless every command succeeds."""
        told = self.folder / ".told"
        told.mkdir(exist_ok=True)
        ours, theirs = socket.socketpair()
        env = {
            **os.environ,
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
            "ASK": str(theirs.fileno()),
            "TOLD": str(told),
            "CHECKOUT": str(self.checkout),
        }
        with ours, (told / "all").open("w+") as said:
            process = subprocess.Popen(
                ["bash", "-c", FUNCTIONS + script],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs.fileno()],
            )
            theirs.close()
            for cwd, words in asked(ours.makefile("rb")):
                code = answer(cwd, words, told)
                ours.sendall(f"{code}\n".encode())
            code = process.wait()
            said.seek(0)
            text = said.read()
        assert code == 0, f"exit code {code} of\n{script}\n{text}"
        return text


def asked(stream: BinaryIO) -> Iterator[tuple[Path, list[str]]]:
    """Folder and words of each command, until the shell ends."""
    while (count := read_word(stream)) is not None:
        folder, *words = [read_word(stream) or "" for _ in range(int(count) + 1)]
        yield Path(folder), words


def read_word(stream: BinaryIO) -> str | None:
    """Up to the next NUL; None at the end."""
    word = b""
    while byte := stream.read(1):
        if byte == b"\0":
            return word.decode()
        word += byte
    return None


def answer(cwd: Path, words: list[str], told: Path) -> int:
    """The exit code of one command; what it says is left in files."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(cwd),
    ):
        code = code_of(lambda: main(words[1:]) if words[0] == "jmarl" else script(words))
    (told / "out").write_text(out.getvalue())
    (told / "err").write_text(err.getvalue())
    return code


def code_of(command: Callable[[], int]) -> int:
    try:
        return command()
    except Planned:
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:
        traceback.print_exc()
        return 1


def script(words: list[str]) -> int:
    """`python FILE.py ...`, as in a process of its own: it knows what it imports and registers."""
    argv, sys.argv = sys.argv, words
    try:
        with afresh(Path.cwd()):
            runpy.run_path(words[0], run_name="__main__")
    finally:
        sys.argv = argv
    return 0


@contextlib.contextmanager
def afresh(folder: Path) -> Iterator[None]:
    """Modules of this folder are not known within, nor what was registered besides jmarl's own.

    Afterwards all is as it was.
    """
    modules, recipes, outside = taken(folder), dict(algorithms.ALL), dict(registry._OUTSIDE)
    registry._OUTSIDE.clear()
    for name in recipes.keys() - OURS:
        del algorithms.ALL[name]
    try:
        yield
    finally:
        taken(folder)
        sys.modules.update(modules)
        refill(algorithms.ALL, recipes)
        refill(registry._OUTSIDE, outside)


def refill(known: dict[str, Any], before: dict[str, Any]) -> None:
    known.clear()
    known.update(before)


def taken(folder: Path) -> dict[str, ModuleType]:
    """Modules that lie there, out of those that are loaded."""
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    found = [name for name, file in files.items() if file and Path(file).parent == folder]
    return {name: sys.modules.pop(name) for name in found}
