"""Keeps the place where processes of jax.distributed meet: a process of its own.

    python -P coordinator.py ADDRESS COUNT HEARTBEAT SHUTDOWN < pipe

jax lets the first of them keep it, and ends all others by a page of C++ where that one is killed.
This one outlasts it, so that they can say in a line what happened (peers.py). It ends with its
stdin, at once after a word there.
"""

import sys
import time

from jaxlib import _jax  # pyright: ignore

LINGER = 60  # seconds for the others to end, where the first process was killed


def main() -> None:
    address, *numbers = sys.argv[1:]
    count, heartbeat, shutdown = map(int, numbers)
    service = _jax.get_distributed_runtime_service(
        address, count, heartbeat_timeout=heartbeat, shutdown_timeout=shutdown
    )
    if not sys.stdin.read():
        time.sleep(LINGER)
    service.shutdown()


if __name__ == "__main__":
    main()
