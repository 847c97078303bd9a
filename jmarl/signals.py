"""Stopping when asked to: between two chunks, with a checkpoint."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


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
