"""How this process's allocator, if it is glibc's, keeps memory and gives it back.

Other allocators are left as they are.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of malloc.h
SMALL, LARGE, END = 2**15, 2**20, 2**26  # bytes


def large_blocks_apart() -> None:
    """Blocks from 1 MiB on lie outside the heaps, but where these have room free for them, and go
    back to the system as they are freed.

    By itself glibc raises that size to the largest block that was freed, after which large ones lie
    in the heaps, where small ones hold them. What is free at the end of a heap is kept, up to 64
    MiB, as glibc would have come to by itself; training would wait for pages else.
    """
    tune(LARGE, END)


@contextmanager
def giving_back() -> Iterator[None]:
    """For work by many threads, each of which may have a heap: as `large_blocks_apart` from 32 KiB
    on, and no free end is kept. A checkpoint would else leave some MB behind (docs/scale.md)."""
    tune(SMALL, SMALL)
    try:
        yield
    finally:
        large_blocks_apart()
        give_back()


def give_back() -> None:
    """Let the system have what is free. glibc would keep 0.5 GB behind compiling."""
    if trim := of_glibc("malloc_trim"):
        trim(0)


def tune(apart: int, end: int) -> None:
    """From what size on blocks lie outside the heaps, and how much is kept at the end of each."""
    if mallopt := of_glibc("mallopt"):
        mallopt(MMAP_THRESHOLD, apart)
        mallopt(TRIM_THRESHOLD, end)


def of_glibc(name: str) -> Any:
    """A function of its, or None with another allocator."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return getattr(library, name, None) if hasattr(library, "gnu_get_libc_version") else None
