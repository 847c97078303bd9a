"""Pictures of particle worlds: discs on a plane, goals ringed, messages in rows beneath."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jmarl_envs.scene import FAINT, INK, PAPER, WALL, Box, Circle, Scene, Shape, Text, faded, ink_on

SIDE = 1.5  # the window reaches from -SIDE to SIDE, or further in steps of STEP if somebody left
STEP = 0.5
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Body:
    """A disc. `rings` are the colours of those whose goal it is; `agent` as a circle has it."""

    x: float
    y: float
    radius: float
    colour: str = WALL
    label: str = ""
    rings: tuple[str, ...] = ()
    agent: int | None = None


@dataclass(frozen=True)
class Message:
    """What somebody said in the last step: a weight from 0 to 1 for each word."""

    speaker: str
    weights: Sequence[float]
    colour: str = INK


def particle_scene(
    agents: Sequence[Body],
    landmarks: Sequence[Body] = (),
    messages: Sequence[Message] = (),
    caption: str = "",
) -> Scene:
    """Landmarks below agents, the square from -1 to 1 in which episodes open behind them."""
    side = reach([*agents, *landmarks])
    unit = side / SIDE  # letters and rings keep their size in pixels
    start = Box(-1, -1, 2, 2, outline=FAINT)
    bodies = [shape for body in (*landmarks, *agents) for shape in disc(body, unit)]
    height = 0.2 * unit * len(messages)
    said = [
        shape
        for row, message in enumerate(messages)
        for shape in words(message, -side, -side - 0.2 * unit * (row + 1), unit)
    ]
    shapes = (start, *bodies, *_floor(side, height), *said)
    return Scene(-side, -side - height, 2 * side, 2 * side + height, shapes, caption)


def reach(bodies: Sequence[Body]) -> float:
    """How far the window goes: SIDE, or so far that every body is seen."""
    furthest = max((max(abs(b.x), abs(b.y)) + b.radius for b in bodies), default=0.0)
    return max(SIDE, STEP * math.ceil(furthest / STEP))


def disc(body: Body, unit: float) -> list[Shape]:
    """The rings of a body, the body, and its label: within it, or above if it is small."""
    shapes: list[Shape] = []
    for nth, colour in reversed(list(enumerate(body.rings, 1))):
        gap = 0.05 * unit * nth
        shapes.append(Circle(body.x, body.y, body.radius + gap, colour))
        shapes.append(Circle(body.x, body.y, body.radius + gap - 0.025 * unit, PAPER))
    shapes.append(Circle(body.x, body.y, body.radius, body.colour, agent=body.agent))
    if body.label:
        size, y, ink = 0.11 * unit, body.y, ink_on(body.colour)
        if body.radius < 0.7 * size:
            y, ink = body.y + body.radius + 0.05 * unit * len(body.rings) + 0.6 * size, INK
        shapes.append(Text(body.x, y, body.label, size, ink))
    return shapes


def words(message: Message, left: float, bottom: float, unit: float) -> list[Shape]:
    """One row: who speaks, and a cell for each word, the fuller the louder."""
    size, step = 0.11 * unit, 0.19 * unit
    shapes: list[Shape] = [Text(left + 0.5 * unit, bottom + step / 2, message.speaker, size)]
    for word, weight in enumerate(message.weights):
        x = left + unit + word * step
        fill = faded(message.colour, min(max(float(weight), 0.0), 1.0))
        shapes.append(Box(x, bottom + 0.02 * unit, 0.16 * unit, 0.16 * unit, fill, WALL))
        ink = PAPER if weight > 0.6 else INK
        letter = LETTERS[word % len(LETTERS)]
        shapes.append(Text(x + 0.08 * unit, bottom + 0.1 * unit, letter, size, ink))
    return shapes


def _floor(side: float, height: float) -> list[Shape]:
    """What is said stands on paper, also where a body reaches below the window's square."""
    return [Box(-side, -side - height, 2 * side, height, PAPER)] if height else []
