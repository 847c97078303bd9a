"""How this process's allocator, if it is glibc's, keeps memory and gives it back.

Other allocators are left as they are.
"""

import ctypes
import sys
from typing import Any

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of malloc.h


def large_blocks_apart() -> None:
    """Blocks from 1 MiB on lie outside the heap, and go back to the system as they are freed.

    By itself glibc raises that size to the largest block that was freed, after which those of
    checkpoints lie in the heaps of their many threads, and small ones hold them there: each
    checkpoint would leave some MB (docs/scale.md). What is free at the end of a heap is kept, up to
    64 MiB, as glibc would have come to by itself; training would wait for pages else.
    """
    if tune := of_glibc("mallopt"):
        tune(MMAP_THRESHOLD, 2**20)
        tune(TRIM_THRESHOLD, 2**26)


def give_back() -> None:
    """Let the system have what is free. glibc would keep 0.5 GB behind compiling."""
    if trim := of_glibc("malloc_trim"):
        trim(0)


def of_glibc(name: str) -> Any:
    """A function of its, or None with another allocator."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return getattr(library, name, None) if hasattr(library, "gnu_get_libc_version") else None
