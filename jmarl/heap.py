"""Memory that this process has freed, and its allocator keeps."""

import ctypes
import sys


def give_back() -> None:
    """Let the system have it. glibc would keep 0.5 GB behind compiling, and of every checkpoint
    some MB for long (docs/scale.md); other allocators give it back by themselves."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
