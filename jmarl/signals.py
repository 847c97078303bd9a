"""Stopping when asked to: between two chunks, with a checkpoint; asked twice, at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

from jmarl.stderr import SHOW_CURSOR


class Stopped(KeyboardInterrupt):
    """Training was asked to stop and did; `how` says how to go on, if that is possible."""

    def __init__(self, number: int, how: str = "") -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}" + f"; {how}" * bool(how))
        self.number = number


class Stop:
    """Within this context the first Ctrl-C or SIGTERM only sets `number`; a second one interrupts.

    Outside the main thread, where Python hands out no signals, nothing is changed.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.number = 0
        self.before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self.ask) for number in self.SIGNALS}
        return self

    def ask(self, number: int, frame: FrameType | None) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def second_ends() -> Iterator[None]:
    """Within, a second Ctrl-C or SIGTERM ends the process at once, for programs and not libraries.

    Python calls handlers between its own instructions alone, and a compiled program may take
    minutes. So a thread reads the signals' numbers, which arrive through a pipe meanwhile.
    """
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    before = signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    thread = threading.Thread(target=end_at_second, args=(ours,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(theirs)
        thread.join()
        os.close(ours)


def end_at_second(pipe: int) -> None:
    asked = 0
    while number := os.read(pipe, 1):
        asked += number[0] in Stop.SIGNALS
        if asked == 2:
            shown = SHOW_CURSOR * os.isatty(2)
            os.write(2, shown + b"\njmarl: ended at once; what was saved stands\n")
            os._exit(128 + number[0])
