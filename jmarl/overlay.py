"""What an algorithm made of an episode, drawn onto its film: at the agents, and in a panel below.

The picture at a position shows the attention with which the next action is judged (the last step's
at the end), and the intrinsic rewards of the actions before it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from jmarl.recording import Attended, Intrinsic, Watched
from jmarl_envs.scene import (
    FAINT,
    INK,
    WALL,
    Box,
    Circle,
    Line,
    Scene,
    Shape,
    Text,
    colour,
    faded,
    paled,
)

WIDTH = 400.0  # of a panel, in units of its own
NAMES = 92.0  # of it for the agents' names
LETTER, LINE = 11.0, 16.0  # sizes of words and of a line of them
NUMBER = 9.0  # room that a column's number needs
ROWS = 5.0, 15.0, 240.0  # heights: of a row at least and at most, of all where there are many
GAP = 6.0
HALO, LINK = 0.9, 0.45  # widths of full halos and lines, in radii of their agents
CLEAR = 0.45  # opacity of what is laid over a picture
PLUS, MINUS = colour(0), colour(1)


def overlaid(scenes: Iterable[Scene], seen: Attended | Intrinsic) -> Iterator[Scene]:
    """The scenes of an episode's positions, with what was seen in it."""
    for time, scene in enumerate(scenes):
        if isinstance(seen, Attended):
            yield attended(scene, seen, time)
        else:
            yield rewarded(scene, seen, time)


def attended(scene: Scene, seen: Attended, time: int) -> Scene:
    """Halos where a team attends as one; where agents do, lines from each halfway to the others."""
    step = min(time, len(seen.reward) - 1)
    weights, agents = seen.weights[step], seen.spec.num_agents
    top = max(float(seen.weights.max()), 2 / agents)  # where all are alike, half of it
    if weights.ndim == 3:
        shares = weights.mean(1) / top * seen.alive[step, :, None]
        marks, panel = links(scene, shares), maps(seen, step, top)
    else:
        heads = np.ones(len(weights)) if seen.head_weights is None else seen.head_weights[step]
        each = heads @ weights
        marks = halos(scene, each / (each.max() or 1.0))
        panel = bars(seen, step, top)
    return replace(scene, shapes=marks, panel=panel)


def rewarded(scene: Scene, seen: Intrinsic, time: int) -> Scene:
    """Halos for the rewards of the step before, blue above zero and orange below."""
    earned = seen.taken * seen.alive
    most = float(np.abs(earned).max()) or 1.0
    shares = earned[time - 1] / most if time else np.zeros(seen.spec.num_agents)
    return replace(scene, shapes=halos(scene, shares), panel=strip(seen, time, most))


# --- on the picture -----------------------------------------------------------------------------


def halos(scene: Scene, shares: np.ndarray) -> tuple[Shape, ...]:
    """Behind each agent a disc that is the wider the larger its share [A], from -1 to 1."""
    shapes: list[Shape] = []
    for shape in scene.shapes:
        if isinstance(shape, Circle) and shape.agent is not None:
            share = float(shares[shape.agent])
            fill = faded(PLUS if share > 0 else MINUS, CLEAR)
            wide = shape.radius * (1 + HALO * abs(share))
            shapes += [Circle(shape.x, shape.y, wide, fill)] if share else []
        shapes.append(shape)
    return tuple(shapes)


def links(scene: Scene, shares: np.ndarray) -> tuple[Shape, ...]:
    """Behind the agents, from each to the middle between it and each other; shares [A, A]."""
    there = {
        shape.agent: (place, shape)
        for place, shape in enumerate(scene.shapes)
        if isinstance(shape, Circle) and shape.agent is not None
    }
    lines = [
        half_line(there[a][1], there[b][1], float(shares[a, b]))
        for a in there
        for b in there
        if a != b
    ]
    first = min((place for place, _ in there.values()), default=0)
    return (*scene.shapes[:first], *lines, *scene.shapes[first:])


def half_line(a: Circle, b: Circle, share: float) -> Line:
    middle = (a.x + b.x) / 2, (a.y + b.y) / 2
    return Line(a.x, a.y, *middle, faded(INK, CLEAR * share), LINK * a.radius * share)


# --- panels -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Grid:
    """Rows of agents below lines of words."""

    agents: int
    lines: int
    left: float = NAMES
    right: float = WIDTH - GAP

    @property
    def row(self) -> float:
        least, most, all_ = ROWS
        return min(most, max(least, all_ / self.agents))

    @property
    def height(self) -> float:
        return self.lines * LINE + self.agents * self.row + GAP

    def bottom(self, agent: int) -> float:
        """Of an agent's row."""
        return self.height - self.lines * LINE - (agent + 1) * self.row

    def line(self, number: int) -> float:
        """The middle of a line of words."""
        return self.height - (number + 0.5) * LINE

    def column(self, number: int, columns: int) -> tuple[float, float]:
        """(left, width) of one of several."""
        wide = (self.right - self.left) / columns
        return self.left + number * wide + GAP / 2, wide - GAP

    def panel(self, title: str, names: list[str], alive: np.ndarray, shapes: list[Shape]) -> Scene:
        """Names on the left, grey for the dead, as many as there is room for; title on top."""
        every = int(np.ceil(0.6 * LETTER / self.row))
        words: list[Shape] = [text(WIDTH / 2, self.line(0), title, WIDTH)]
        for agent in range(0, self.agents, every):
            ink = INK if alive[agent] else WALL
            middle = self.bottom(agent) + self.row / 2
            room = self.left - GAP, every * self.row
            words.append(text(self.left / 2, middle, names[agent], *room, ink=ink))
        return Scene(0, 0, WIDTH, self.height, (*words, *shapes))


def text(x: float, y: float, words: str, room: float, high: float = LETTER, ink: str = INK) -> Text:
    """Smaller where it would not fit."""
    return Text(x, y, words, min(LETTER, high, room / max(1.0, 0.55 * len(words))), ink)


def maps(seen: Attended, step: int, top: float) -> Scene:
    """Who (rows) attends to whom (columns), a map for each head."""
    agents, heads = seen.weights.shape[1:3]
    grid, shapes = Grid(agents, 3), []
    for head in range(heads):
        left, wide = grid.column(head, heads)
        shapes.append(text(left + wide / 2, grid.line(1), f"head {head + 1}", wide))
        side = wide / agents
        numbers = slice(0, None, int(np.ceil(NUMBER / side)))  # as many as there is room for
        for whom in range(agents)[numbers]:
            middle = left + (whom + 0.45) * side
            shapes.append(text(middle, grid.line(2), str(whom), max(side, NUMBER)))
        frame, inner = (FAINT, 0.9) if side > NUMBER else ("", 1.0)
        cell = partial(Box, width=inner * side, height=0.9 * grid.row)
        for whom in range(agents):
            x = left + whom * side
            for who in np.flatnonzero(seen.alive[step]).tolist():
                share = float(seen.weights[step, who, head, whom]) / top
                fill = FAINT if who == whom and not share else paled(PLUS, share)
                shapes.append(cell(x, grid.bottom(who), fill=fill, outline=frame))
    title = f"attention: who (row) attends to whom (column); full colour is {top:.2f}"
    return grid.panel(title, numbered(seen), seen.alive[step], shapes)


def numbered(seen: Watched) -> list[str]:
    return [f"{number} {name}" for number, name in enumerate(seen.spec.agents)]


def bars(seen: Attended, step: int, top: float) -> Scene:
    """The weights of agents (rows) in each head."""
    heads, agents = seen.weights.shape[1:]
    grid, shapes = Grid(agents, 2), []
    for head in range(heads):
        left, wide = grid.column(head, heads)
        counts = "" if seen.head_weights is None else f" x{seen.head_weights[step, head]:.2g}"
        shapes.append(text(left + wide / 2, grid.line(1), f"head {head + 1}{counts}", wide))
        for agent in range(agents):
            bar = partial(Box, left, grid.bottom(agent), height=0.8 * grid.row)
            share = float(seen.weights[step, head, agent]) / top
            shapes += [bar(wide, fill=FAINT), bar(wide * share, fill=PLUS)]
    title = f"attention of the team to its agents; a full bar is {top:.2f}"
    return grid.panel(title, list(seen.spec.agents), seen.alive[step], shapes)


def strip(seen: Intrinsic, time: int, most: float) -> Scene:
    """The rewards of agents (rows) step by step so far, and the last as a number."""
    steps, agents = seen.taken.shape
    grid = Grid(agents, 1, right=WIDTH - 48)
    wide = (grid.right - grid.left) / steps
    alive = seen.alive[min(time, steps - 1)]
    shapes: list[Shape] = []
    for agent in range(agents):
        bottom = grid.bottom(agent)
        shapes.append(Box(grid.left, bottom, wide * steps, 0.9 * grid.row, outline=FAINT))
        for step in np.flatnonzero(seen.alive[:time, agent]).tolist():
            share = float(seen.taken[step, agent]) / most
            fill = paled(PLUS if share > 0 else MINUS, abs(share))
            shapes.append(Box(grid.left + step * wide, bottom, wide, 0.9 * grid.row, fill))
        if time and seen.alive[time - 1, agent] and grid.row > 0.7 * LETTER:
            told = f"{seen.taken[time - 1, agent]:+.3f}"
            middle = bottom + grid.row / 2
            shapes.append(text((grid.right + WIDTH) / 2, middle, told, 40, grid.row))
    now = grid.left + time * wide
    shapes.append(Line(now, grid.bottom(agents - 1), now, grid.bottom(-1), INK))
    title = f"intrinsic rewards so far: blue up to {most:.3g}, orange down to {-most:.3g}"
    return grid.panel(title, list(seen.spec.agents), alive, shapes)
