"""Processes that train together: where one is lost, the others end in a line, and soon.

Each holds a connection to the first, which tells the others of every end. The kernel closes the
connections of a killed process at once, those of a host that is gone when it answers no more.
"""

import contextlib
import os
import socket
import threading
import time

from jmarl.stderr import SHOW_CURSOR

LOST = 4  # the exit code of a process that ends because another did
KILLED = -1  # in place of an exit code
GRACE = 5.0  # seconds that a process has to end by itself, as another did
PATIENCE = 60.0  # seconds to connect
KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}  # 25 s until a host is gone


class Peers:
    """What this process, `rank` of `count`, hears of the others; a thread for each connection."""

    def __init__(self, rank: int, count: int) -> None:
        self.rank, self.count = rank, count
        self.needed = True  # the others: nothing can be done without them
        self.advice = "what was saved stands"
        self.links: dict[int, socket.socket] = {}
        self.ended = set[int]()

    # --- meeting --------------------------------------------------------------------------------

    def welcome(self, server: socket.socket, token: str) -> None:
        """The first: wait until all others have come."""
        server.settimeout(PATIENCE)
        while len(self.links) < self.count - 1:
            link, _ = server.accept()
            link.settimeout(PATIENCE)
            said, _, rank = link.recv(200).decode(errors="replace").partition(" ")
            if said == token:
                self.follow(int(rank), link)
            else:
                link.close()
        server.close()

    def come(self, host: str, port: int, token: str) -> None:
        """All others."""
        link = socket.create_connection((host, port), PATIENCE)
        link.sendall(f"{token} {self.rank}".encode())
        self.follow(0, link)

    def follow(self, rank: int, link: socket.socket) -> None:
        link.settimeout(None)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):  # not on every system
                link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self.links[rank] = link
        threading.Thread(
            target=self.listen, args=(rank, link), daemon=True, name=f"peer {rank}"
        ).start()

    # --- ends -----------------------------------------------------------------------------------

    def listen(self, rank: int, link: socket.socket) -> None:
        """Until the link ends; without a word of the process behind it, that was killed."""
        with contextlib.suppress(OSError), link, link.makefile() as lines:
            for line in lines:
                who, code = map(int, line.split())
                self.hear(who, code)
        if rank not in self.ended:
            self.hear(rank, KILLED)

    def hear(self, rank: int, code: int) -> None:
        self.ended.add(rank)
        if self.rank == 0:
            self.tell(rank, code)
        if code > 0 and self.needed:
            time.sleep(GRACE)
        if code and self.needed:
            self.give_up(rank, code)

    def tell(self, rank: int, code: int) -> None:
        for to, link in self.links.items():
            if to != rank:
                with contextlib.suppress(OSError):  # it has ended too
                    link.sendall(f"{rank} {code}\n".encode())

    def give_up(self, rank: int, code: int) -> None:
        """At once: the main thread may wait in a compiled program for what will never come."""
        how = "was lost" if code == KILLED else f"ended with exit code {code}"
        shown = SHOW_CURSOR * os.isatty(2)
        line = f"jmarl: process {rank} of {self.count} {how}, and so ends this one; {self.advice}\n"
        with contextlib.suppress(OSError):
            os.write(2, shown + line.encode())
        os._exit(LOST)

    def leave(self, code: int) -> None:
        """Tell the others, and listen no more."""
        self.needed = False
        self.tell(self.rank, code)


TOGETHER: list[Peers] = []  # with whom this process trains, if it does not train alone


def leave(code: int) -> int:
    """The exit code of a process; one of several that did not succeed ends here, without the
    barrier at which jax would wait for the others."""
    for peers in TOGETHER:
        if code:
            if peers.needed:
                time.sleep(GRACE / 5)  # if another was lost, that is why, and it is told instead
            peers.leave(code)
            os._exit(code)
    return code
