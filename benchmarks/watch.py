"""What a person sees while the ladder is measured: a live bar on a terminal, else plain lines."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from rung import LONG, PHASES, REPEATS

# seconds of each phase, until a rung has shown how long it takes here
GUESSES: dict[str, float] = dict(zip(PHASES, (4.0, 5.0, 10.0, 3.0, 5.0, 9.0, 2.0), strict=True))


@dataclass(frozen=True)
class Step:
    """One rung, and how much it learns in the shortest call that is timed."""

    label: str
    updates_per_call: int


@dataclass
class Forecast:
    """How long it will take: phases as the latest rung's, training by its gradient steps."""

    steps: Sequence[Step]
    seconds: float  # asked of each repeat
    seconds_per_update: float = 0.02
    known: dict[str, float] = field(default_factory=GUESSES.copy)

    def of(self, step: Step, phase: str) -> float:
        if phase != "training":
            return self.known[phase]
        call = step.updates_per_call * self.seconds_per_update
        return call if call > LONG * self.seconds else (REPEATS + 1) * max(call, self.seconds)

    def left(self, index: int, phase: str, elapsed: float) -> float:
        """After `elapsed` seconds of a phase of the rung at `index`."""
        here = self.of(self.steps[index], phase) - elapsed
        later = PHASES[PHASES.index(phase) + 1 :]
        rest = sum(self.of(self.steps[index], name) for name in later)
        return max(here, 0.0) + rest + self.after(index)

    def after(self, index: int) -> float:
        """All rungs behind the one at `index`."""
        return sum(self.of(step, name) for step in self.steps[index + 1 :] for name in PHASES)

    def learn(self, phase: str, seconds: float) -> None:
        if phase != "training":
            self.known[phase] = seconds


class Watch:
    """Told of rungs, phases and ends; writes to stderr, so that stdout holds the results alone."""

    def __init__(self, forecast: Forecast) -> None:
        self.forecast, self.index = forecast, -1
        self.phase, self.began = PHASES[0], time.monotonic()
        self.phase_began = self.rung_began = self.began
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.live = Live(
            console=self.console,
            get_renderable=self.picture,
            refresh_per_second=2,  # it takes time from what is measured
            transient=True,
            redirect_stdout=False,
        )

    def __enter__(self) -> "Watch":
        count, about = len(self.forecast.steps), clock(self.forecast.after(-1))
        self.console.print(f"{count} rung{'s' * (count > 1)}, about {about}")
        return self

    def __exit__(self, *raised: object) -> None:
        self.live.stop()

    def opens(self) -> None:
        """The next rung."""
        self.index += 1
        self.phase = PHASES[0]
        self.rung_began = self.phase_began = time.monotonic()
        if self.console.is_terminal:
            self.live.start()

    def hear(self, phase: str) -> None:
        """A phase began, and the one before has ended."""
        now = time.monotonic()
        self.forecast.learn(self.phase, now - self.phase_began)
        self.phase, self.phase_began = phase, now

    def closes(self, result: dict[str, Any]) -> None:
        """The rung is over."""
        if "failed" not in result:
            self.hear(PHASES[-1])
            speed = result["training"]["gradient_steps_per_second"]["median"]
            self.forecast.seconds_per_update = 1 / speed
            said = f"{result['training']['env_steps_per_second']['median']:,.0f} steps/s"
        else:
            said = f"failed: {result['failed']}"
        self.live.stop()
        if not self.console.is_terminal:
            took = time.monotonic() - self.rung_began
            left = self.forecast.after(self.index)
            then = f", about {clock(left)} left" if left else ""
            step = self.forecast.steps[self.index]
            self.console.print(f"{step.label}: {said}  ({took:.0f} s{then})", markup=False)

    def picture(self) -> Group:
        """Two lines, narrow enough for any terminal."""
        now, steps = time.monotonic(), self.forecast.steps
        left = self.forecast.left(self.index, self.phase, now - self.phase_began)
        done = now - self.began
        where = f"rung {self.index + 1} of {len(steps)}"
        grid = Table.grid(padding=(0, 1), expand=False)
        bar = ProgressBar(total=done + left, completed=done, width=40)
        grid.add_row(bar, f"{done / (done + left):4.0%}", f"about {clock(left)} left")
        return Group(Text(f"{steps[self.index].label}: {self.phase} ({where})"), grid)


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 120:
        return f"{minutes // 60} h"
    return f"{minutes}:{rest:02d} min" if minutes else f"{rest} s"
