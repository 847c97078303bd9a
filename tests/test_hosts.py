"""The same training in several processes, which need each other and end together."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
from small_runs import lines, untimed

from jmarl import ConfigError, checkpoint, hosts, peers
from jmarl.folder import Folder
from jmarl.mesh import Mesh
from jmarl.peers import KILLED, LOST, Peers
from jmarl.words import read_order

RUN = [
    *("iql", "--env=matrix/two_step", "--rnn-dim=0", "--hidden-dim=8", "--batch-size=4"),
    *("--mesh=seed=2,env=2", "--seeds=2", "--num-envs=8", "--eval-episodes=4"),
]
SHORT = [*RUN, "--total-steps=480", "--evaluations=2", "--checkpoint-minutes=0"]
SHORT += ["--keep-checkpoints=99"]
ENDLESS = [*RUN, "--total-steps=1e7", "--evaluations=10000", "--checkpoint-minutes=0.01"]
UNKEPT = {"JAX_ENABLE_COMPILATION_CACHE": "false"}  # what is killed would leave cut entries there


def free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def started(
    words: list[str], devices: int, out: Path, **variables: str
) -> "subprocess.Popen[bytes]":
    """`jmarl train`, its stdout and stderr in files."""
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    with out.with_suffix(".out").open("wb") as told, out.with_suffix(".err").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "jmarl", "train", *words],
            env=os.environ | flags | variables,
            stdout=told,
            stderr=said,
        )


def pair(words: list[str], folder: Path, **variables: str) -> list["subprocess.Popen[bytes]"]:
    """Two processes of two devices each, that train together."""
    place = f"127.0.0.1:{free_port()},2"
    return [
        started([*words, f"--distributed={place},{i}"], 2, folder / f"process-{i}", **variables)
        for i in range(2)
    ]


def ended(processes: list["subprocess.Popen[bytes]"], seconds: float = 500) -> list[int]:
    try:
        return [process.wait(seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()


def said(folder: Path, nth: int, ending: str = "err") -> str:
    return (folder / f"process-{nth}.{ending}").read_text()


# --- two processes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes have trained to the end, in run/."""
    folder = tmp_path_factory.mktemp("hosts")
    codes = ended(pair([*SHORT, "--out", str(folder / "run")], folder))
    assert codes == [0, 0], said(folder, 0) + said(folder, 1)
    return folder


def test_one_process_writes_and_shows(both: Path) -> None:
    assert "iql on matrix/two_step" in said(both, 0, "out")
    assert "Gloo" not in said(both, 0, "out")
    assert "4 x cpu" in said(both, 0)
    assert said(both, 1) == said(both, 1, "out") == ""
    run = Folder(both / "run")
    records = [json.loads(x) for x in run.metrics(0).read_text().splitlines()]
    assert [r["updates"] for r in records] == [0, 104, 104, 208, 208]  # trained, then evaluated
    for at in checkpoint.iterations(run.checkpoints):
        found = checkpoint.find(run.checkpoints, at)
        assert found is not None and found.iteration == at
    assert (run.path / "summary.json").exists() and not list(run.path.rglob("*.part"))


def test_one_process_goes_on_with_what_two_have_saved_and_learns_the_same(
    both: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(both / "run", tmp_path / "run")
    done = checkpoint.iterations(Folder(run).checkpoints)
    for at in done[: len(done) // 2]:
        shutil.rmtree(Folder(run).checkpoints / str(at))
    resumed = started(["--resume", str(run), "--quiet"], 4, tmp_path / "process-0")
    assert ended([resumed]) == [0], said(tmp_path, 0)
    for seed in (0, 1):
        here, there = untimed(lines(run, seed)), untimed(lines(both / "run", seed))
        assert len(here) == len(there)
        for mine, theirs in zip(here, there, strict=True):
            assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-5)


@pytest.mark.slow
def test_two_processes_go_on_with_what_they_or_one_have_saved(both: Path, tmp_path: Path) -> None:
    """A checkpoint does not tell how many wrote it."""
    alone = tmp_path / "alone"
    assert ended([started([*SHORT, f"--out={alone}"], 4, tmp_path / "process-0")]) == [0]
    for name, run in (("again", shutil.copytree(both / "run", tmp_path / "run")), ("one", alone)):
        (place := tmp_path / name).mkdir()
        done = checkpoint.iterations(Folder(run).checkpoints)
        for at in done[: len(done) // 2]:
            shutil.rmtree(Folder(run).checkpoints / str(at))
        assert ended(pair(["--resume", str(run)], place)) == [0, 0], said(place, 0)
        for seed in (0, 1):
            for mine, theirs in zip(
                untimed(lines(run, seed)), untimed(lines(both / "run", seed)), strict=True
            ):
                assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-5)


@contextlib.contextmanager
def training(folder: Path) -> Any:
    """Two processes in the middle of it, with a checkpoint behind them."""
    processes = pair([*ENDLESS, "--quiet", f"--out={folder / 'run'}"], folder, **UNKEPT)
    try:
        until = time.monotonic() + 400
        while not checkpoint.iterations(folder / "run" / "checkpoints"):
            assert all(process.poll() is None for process in processes), said(folder, 0)
            assert time.monotonic() < until
            time.sleep(0.1)
        yield processes
    finally:
        for process in processes:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_where_one_process_is_killed_the_other_says_so_and_ends(
    victim: int, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with training(tmp_path) as processes:
        processes[victim].kill()
        assert processes[1 - victim].wait(30) == LOST
    assert said(tmp_path, 1 - victim) == (
        f"jmarl: process {victim} of 2 was lost, and so ends this one; "
        f"to go on: jmarl train --resume {run}\n"
    )
    found = checkpoint.find(Folder(run).checkpoints)
    assert found is not None
    words = ["--resume", str(run), "--quiet", f"--total-steps={max(found.meta['env_steps']) + 1}"]
    assert ended([started(words, 4, tmp_path / "process-2")]) == [0], said(tmp_path, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("whom", "number"), [([1], signal.SIGTERM), ([0, 1], signal.SIGINT)])
def test_processes_stop_at_the_same_iteration(
    whom: list[int], number: signal.Signals, tmp_path: Path
) -> None:
    with training(tmp_path) as processes:
        for nth in whom:
            processes[nth].send_signal(number)
        assert [process.wait(120) for process in processes] == [128 + number] * 2
    for nth in (0, 1):
        assert said(tmp_path, nth) == (
            f"jmarl: stopped by {number.name}; to go on: jmarl train --resume {tmp_path / 'run'}\n"
        )
    found = checkpoint.find(Folder(tmp_path / "run").checkpoints)
    assert found is not None and not found.damaged


@pytest.mark.slow
def test_what_only_the_first_process_finds_wrong_all_say(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
    assert ended(pair([*SHORT, f"--out={tmp_path / 'run'}"], tmp_path)) == [2, 2]
    assert said(tmp_path, 0) == said(tmp_path, 1)
    assert "jmarl: out must be a new or empty folder" in said(tmp_path, 0)


# --- what the others tell -----------------------------------------------------------------------


class Deaf(Peers):
    """Remembers what would have ended it."""

    fate: tuple[int | None, int | None] = None, None

    def give_up(self, rank: int, code: int) -> None:
        self.fate = rank, code


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Deaf]]:
    monkeypatch.setattr(peers, "GRACE", 0.2)
    them = [Deaf(rank, 3) for rank in range(3)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        first = threading.Thread(target=them[0].welcome, args=(server, "word"))
        first.start()
        with socket.create_connection(server.getsockname()) as stranger:
            stranger.sendall(b"nonsense")
            for one in them[1:]:
                one.come("127.0.0.1", server.getsockname()[1], "word")
            first.join()
    assert set(them[0].links) == {1, 2}
    yield them
    for link in (link for one in them for link in one.links.values() if link.fileno() >= 0):
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
    for thread in threading.enumerate():
        if thread.name.startswith("peer"):
            thread.join()


def fates(them: list[Deaf], seconds: float = 5) -> list[Any]:
    until = time.monotonic() + seconds
    while any(one.needed and one.fate[0] is None for one in them) and time.monotonic() < until:
        time.sleep(0.01)
    return [one.fate for one in them]


@pytest.mark.parametrize("victim", [0, 1])
def test_a_lost_process_is_told_to_all_others(victim: int, three: list[Deaf]) -> None:
    lost = three[victim]
    lost.needed = False
    for link in lost.links.values():
        link.shutdown(socket.SHUT_RDWR)
    assert [fate for one, fate in zip(three, fates(three), strict=True) if one is not lost] == [
        (victim, KILLED)
    ] * 2


def test_a_good_end_ends_nobody_else_and_a_bad_one_does(three: list[Deaf]) -> None:
    three[1].leave(0)
    assert fates(three, 0.5) == [(None, None)] * 3
    three[2].leave(2)
    assert fates(three) == [(2, 2), (None, None), (None, None)]


def test_who_ends_in_time_as_all_do_is_not_ended(three: list[Deaf]) -> None:
    three[1].leave(130)
    time.sleep(0.05)  # they have heard
    for one in three:
        one.needed = False
    time.sleep(0.5)
    assert fates(three) == [(None, None)] * 3


# --- words --------------------------------------------------------------------------------------


def test_the_flag_stands_alone_or_tells_an_address() -> None:
    for words, meant in (
        (["--distributed"], "auto"),
        (["--distributed", "--quiet"], "auto"),
        (["--distributed", "a:1,2,0"], "a:1,2,0"),
    ):
        order = read_order(["qmix", *words])
        assert order is not None and order.flags["distributed"] == meant


def test_addresses_are_read() -> None:
    assert hosts.parse("auto") == {}
    assert hosts.parse("10.0.0.1:1234,16,15") == {
        "coordinator_address": "10.0.0.1:1234",
        "num_processes": 16,
        "process_id": 15,
    }


@pytest.mark.parametrize(
    "text", ["here", "a:1", "a:1,2", "a:1,2,2", "a:1,0,0", "a:99999,2,0", ":1,2,0", "a:1,2,-1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=f"^distributed must be auto or HOST.* got '{text}'$"):
        hosts.parse(text)


def test_it_is_asked_for_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "backends_are_initialized", lambda: True)
    with pytest.raises(ConfigError, match=r"distributed must be asked for before .* got 'auto'"):
        hosts.join("auto")


def test_auto_needs_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(**_: Any) -> None:
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(hosts, "backends_are_initialized", lambda: False)
    monkeypatch.setattr(jax.distributed, "initialize", nowhere)
    with pytest.raises(ConfigError, match=r"must be HOST:PORT,N,I where no cluster .* got 'auto'"):
        hosts.join("auto")


def test_a_port_in_use_is_refused() -> None:
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigError, match=f"must name a free port, got {port}"):
            hosts.require_free(f"127.0.0.1:{port}")


def test_no_process_is_left_without_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "devices", lambda: [None] * 4)
    Mesh(seed=2).require_devices()
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ConfigError, match=r"all 4 devices of the 2 processes.*got seed=2,env=1"):
        Mesh(seed=2).require_devices()
    Mesh(seed=2, env=2).require_devices()
