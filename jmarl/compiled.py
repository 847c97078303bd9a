"""Compiled programs that could not be read from disk or kept there: told in a line, and mended."""

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jmarl.stderr import say

WARNED = re.compile(r"Error (reading|writing) persistent compilation cache entry for '(.*?)': (.*)")


@contextlib.contextmanager
def mended() -> Iterator[None]:
    """Within it, entries of jax's compilation cache that are cut short do not stay.

    A kill or a full disk leaves such ones. jax then warns, compiles again, and never writes over
    what is there: each later run would warn again, and wait.
    """
    with warnings.catch_warnings():
        warnings.showwarning = partial(show, warnings.showwarning)
        yield


def show(others: Callable[..., None], message: Warning | str, *about: Any) -> None:
    """Take the place of warnings.showwarning, which shows all that is not of the cache."""
    found = WARNED.match(str(message))
    if found is None:
        return others(message, *about)
    did, program, why = found.groups()
    folder = Path(jax.config.values["jax_compilation_cache_dir"] or "")
    for path in folder.glob(f"{program}-*"):
        if is_cut_short(path):
            path.unlink(missing_ok=True)
    failed = "be read, and is compiled again" if did == "reading" else "be kept"
    say(f"a compiled program in {folder} could not {failed} ({program}: {why})")


def is_cut_short(path: Path) -> bool:
    from jax._src.compilation_cache import decompress_executable  # jax has no public name for it

    with contextlib.suppress(OSError):
        data = path.read_bytes()
        try:
            decompress_executable(data)
        except Exception:  # of zlib or zstd, whichever jax found
            return True
    return False
