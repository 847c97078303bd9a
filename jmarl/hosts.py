"""The same program in several processes, on one host or many: `jax.distributed`.

Every process runs all of it. The first alone writes the run's folder, shows progress and draws;
checkpoints are written by all, each its share. Until `join` nothing here asks jax for devices.
"""

import atexit
import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax._src.xla_bridge import backends_are_initialized  # jax has no public name for it
from jax.experimental import multihost_utils

from jmarl.fields import ConfigError
from jmarl.files import Unwritten
from jmarl.peers import GRACE, TOGETHER, Peers

ADDRESS = re.compile(r"(?P<host>[^,\s]+):(?P<port>\d{1,5}),(?P<count>\d{1,6}),(?P<rank>\d{1,6})")
INITIALISE = 300  # seconds for all processes to come
MESSAGE = 2**16  # bytes of what the first tells all
KEEPER = Path(__file__).with_name("coordinator.py")


def several() -> bool:
    """Whether this process trains with others."""
    return jax.distributed.is_initialized() and jax.process_count() > 1


def leads() -> bool:
    """Whether this process is the one that writes and shows."""
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def device() -> Any:
    """Where jax computes what is placed nowhere: its first device, or the one it is set to."""
    return next(iter(jnp.zeros(()).devices()))


def led(context: contextlib.AbstractContextManager[Any]) -> Any:
    """For the first process; nothing for the others."""
    return context if leads() else contextlib.nullcontext()


# --- joining ------------------------------------------------------------------------------------


def join(text: str) -> None:
    """Meet the others, as `text` says: "auto" or HOST:PORT,N,I; "" leaves it as it is.

    Raises ConfigError.
    """
    if text and not jax.distributed.is_initialized():
        where = parse(text)
        if backends_are_initialized():
            raise ConfigError(
                "distributed must be asked for before jax has looked for devices, got "
                f"{text!r} after"
            )
        initialise(text, where)
    if jax.distributed.is_initialized() and not TOGETHER:
        if jax.default_backend() == "cpu":
            hush_stdout()
        watch()


def parse(text: str) -> dict[str, Any]:
    """What jax.distributed.initialize takes."""
    if text == "auto":
        return {}
    found = ADDRESS.fullmatch(text)
    if found is None or int(found["port"]) >= 2**16 or int(found["rank"]) >= int(found["count"]):
        raise ConfigError(
            "distributed must be auto or HOST:PORT,N,I, for process I of N, counted from 0, "
            f"got {text!r}"
        )
    return {
        "coordinator_address": f"{found['host']}:{found['port']}",
        "num_processes": int(found["count"]),
        "process_id": int(found["rank"]),
    }


def initialise(text: str, where: dict[str, Any]) -> None:
    # jax would take SIGTERM, which Stop does
    jax.config.update("jax_enable_preemption_service", False)
    try:
        with outlasting():
            jax.distributed.initialize(**where, initialization_timeout=INITIALISE)
    except (ValueError, RuntimeError) as error:
        if not where and "should be defined" in str(error):
            why = "where no cluster (TPU pod, SLURM, Open MPI) tells it"
            raise ConfigError(f"distributed must be HOST:PORT,N,I {why}, got {text!r}") from error
        line = str(error).partition("\n")[0][:200]
        raise ConfigError(f"distributed must lead to the others, got {text!r} ({line})") from error


@contextlib.contextmanager
def outlasting() -> Iterator[None]:
    """Within, the service that jax would start in the first process is one of its own."""
    from jax._src.lib import _jax  # pyright: ignore  # as above; only where it is needed

    before = _jax.get_distributed_runtime_service
    _jax.get_distributed_runtime_service = Keeper
    try:
        yield
    finally:
        _jax.get_distributed_runtime_service = before


class Keeper:
    """coordinator.py, as jax knows its service."""

    def __init__(
        self, address: str, count: int, *, heartbeat_timeout: int, shutdown_timeout: int, **_: Any
    ) -> None:
        require_free(address)
        numbers = map(str, (count, heartbeat_timeout, shutdown_timeout))
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(KEEPER), address, *numbers],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for training
        )

    def shutdown(self) -> None:
        self.process.communicate(b"done")


def require_free(address: str) -> None:
    """ConfigError if somebody listens there."""
    port = int(address.rpartition(":")[2])
    try:
        listening(port).close()
    except OSError as error:
        raise ConfigError(f"distributed must name a free port, got {port} ({error})") from error


def listening(port: int) -> socket.socket:
    """A server's socket at all addresses of this host; any free port if 0."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def hush_stdout() -> None:
    """Python's goes where it went; gloo, which tells of every connection, is not heard."""
    if sys.stdout is None or sys.stdout is not sys.__stdout__ or sys.stdout.fileno() != 1:
        return
    sys.stdout.flush()
    ours = os.dup(1)
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 1)
    sys.stdout = os.fdopen(ours, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)


def watch() -> None:
    """From here on this process ends if another does (peers.py)."""
    peers = Peers(jax.process_index(), jax.process_count())
    TOGETHER.append(peers)
    if peers.count > 1:
        with listening(0) as server:
            port, token = server.getsockname()[1], secrets.token_hex(8)
            port, token = told(lambda: [port, token])
            host = coordinator().rpartition(":")[0]
            if leads():
                peers.welcome(server, token)
            else:
                peers.come(host.strip("[]"), port, token)
    sys.excepthook = fail
    atexit.register(part, peers)


def coordinator() -> str:
    """HOST:PORT of where the processes met."""
    from jax._src import distributed  # as above

    return distributed.global_state.coordinator_address or ""


def part(peers: Peers) -> None:
    """A good end, which is the others' too."""
    peers.leave(0)
    jax.distributed.shutdown()


def fail(*error: Any) -> None:
    """An error that nobody caught. If another process was lost, it is told of instead."""
    time.sleep(GRACE / 5)
    traceback.print_exception(*error)
    sys.stderr.flush()
    os._exit(1)


@contextlib.contextmanager
def needed(*ends: type[BaseException]) -> Iterator[None]:
    """Nothing can be done here without the others; afterwards, or after one of the ends on which
    all agree, they may go."""

    def need(needed: bool) -> None:
        for peers in TOGETHER:
            peers.needed = needed

    need(True)
    try:
        yield
    except ends:
        need(False)
        raise
    need(False)


def advise(words: str) -> None:
    """What to say if another process is lost."""
    for peers in TOGETHER:
        peers.advice = words


# --- agreeing -----------------------------------------------------------------------------------


def told(function: Callable[[], Any]) -> Any:
    """What `function` gives in the first process, for all; JSON, and so are its ConfigErrors."""
    if not several():
        return function()
    answer: dict[str, Any] = {}
    if leads():
        try:
            answer = {"value": function()}
        except (ConfigError, Unwritten) as error:
            answer = {"error": str(error)[:8000]}
    data = np.zeros(MESSAGE, np.uint8)
    text = json.dumps(answer).encode()
    data[: len(text)] = np.frombuffer(text, np.uint8)
    sent = np.asarray(multihost_utils.broadcast_one_to_all(data))
    answer = json.loads(sent.tobytes().rstrip(b"\0"))
    if "error" in answer:
        raise ConfigError(answer["error"])
    return answer["value"]


def agreed(number: int, due: bool = False) -> tuple[int, bool]:
    """The highest number of any process, and what the first says is due."""
    if not several():
        return number, due
    all_of_them = np.asarray(multihost_utils.process_allgather(np.array([number, due])))
    return int(all_of_them[:, 0].max()), bool(all_of_them[0, 1])


def together(name: str) -> None:
    """Wait until all have come here."""
    if several():
        multihost_utils.sync_global_devices(name)
