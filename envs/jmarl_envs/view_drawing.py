"""A picture of any environment: what each agent observes, as coloured cells."""

import math
from collections.abc import Sequence

import numpy as np

from jmarl.types import EnvSpec, View
from jmarl_envs.scene import FAINT, INK, WALL, Box, Scene, Shape, Text, colour, faded

WIDE = 1.5  # the picture's width over its height, about
LABEL = 24  # letters that a label has room for


def scales(obs: np.ndarray) -> np.ndarray:
    """[O] the largest size of each entry over all that was observed [..., O]; 1 where all is 0."""
    largest = np.abs(obs.reshape(-1, obs.shape[-1])).max(0)
    return np.where(largest > 0, largest, 1.0)


def view_scene(spec: EnvSpec, view: View, scale: np.ndarray, labels: Sequence[str]) -> Scene:
    """A block of cells for each agent under its label, each entry over its `scale` [O].

    Blue is above zero, orange below. The labels of those who do not live are grey.
    """
    columns = min(spec.obs_size, max(8, math.ceil(math.sqrt(2 * spec.obs_size))))
    letter = columns / (0.55 * max(LABEL, *map(len, labels)))
    wide, high = 1.08 * columns, math.ceil(spec.obs_size / columns) + 3 * letter
    across = blocks_across(spec.num_agents, wide / high)
    down = math.ceil(spec.num_agents / across)
    shapes: list[Shape] = []
    for agent, label in enumerate(labels):
        left, top = (agent % across) * wide, -(agent // across) * high
        ink = INK if view.alive[agent] else WALL
        shapes.append(Text(left + columns / 2, top - letter, label, letter, ink))
        seen = np.asarray(view.obs)[agent] / scale
        shapes += cells(seen[: spec.obs_sizes[agent]], columns, left, top - 2 * letter)
    margin = 0.04 * columns
    return Scene(-margin, -down * high, across * wide, down * high, tuple(shapes))


def blocks_across(count: int, shape: float) -> int:
    """How many blocks, each `shape` times as wide as high, make a row of a well-shaped picture."""
    off = lambda across: abs(math.log(across * shape / math.ceil(count / across) / WIDE))
    return min(range(1, count + 1), key=off)


def cells(values: np.ndarray, columns: int, left: float, top: float) -> list[Shape]:
    """Numbers from -1 to 1, row by row."""
    shapes: list[Shape] = []
    for index, value in enumerate(np.clip(values, -1.0, 1.0).tolist()):
        row, column = divmod(index, columns)
        fill = faded(colour(0) if value > 0 else colour(1), abs(value))
        shapes.append(Box(left + column, top - row - 1, 1, 1, fill, FAINT))
    return shapes
