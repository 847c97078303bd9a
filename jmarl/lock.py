"""One process at a time trains in a run's folder."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from jmarl.fields import ConfigError
from jmarl.stderr import say

NAME = ".lock"
TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the kernel frees however this process ends.

    Raises ConfigError, naming the process that holds it, or if the folder cannot be written.
    Where the file system knows no locks, a line says so and training goes on without.
    """
    try:
        number = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ConfigError(f"run must be a writable folder, got {folder} ({error})") from error
    try:
        if reason := take(number):
            if reason.errno in TAKEN:
                holder = os.read(number, 200).decode(errors="replace") or "another process"
                raise ConfigError(f"run must not be in use, got {folder}, which {holder} holds")
            say(f"{folder} cannot be locked ({reason}); going on")
        with contextlib.suppress(OSError):  # on a full disk nobody is named
            os.ftruncate(number, 0)
            os.write(number, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        os.close(number)


def take(number: int) -> OSError | None:
    """Lock an open file, or say why not."""
    try:
        import fcntl  # not everywhere

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError as error:
        return OSError(errno.ENOSYS, str(error))
    except OSError as error:
        return error
    return None
