"""Pictures of the toys: rows of cells, the filled ones being what there is to name."""

from collections.abc import Mapping, Sequence

from jmarl_envs.scene import INK, PAPER, WALL, Box, Circle, Line, Scene, Shape, Text, colour

NAME = 3.0  # width of a row's name, in cells


def board(rows: Mapping[str, Sequence[bool]], caption: str = "") -> Scene:
    """A numbered cell for each entry of each row, those that are true filled."""
    shapes: list[Shape] = []
    for index, (name, cells) in enumerate(rows.items()):
        y = -1.2 * (index + 1)
        shapes.append(Text(NAME / 2, y + 0.5, name, 0.4))
        for number, full in enumerate(cells):
            fill, ink = (colour(0), PAPER) if full else (PAPER, INK)
            shapes.append(Box(NAME + number, y, 1, 1, fill, WALL))
            shapes.append(Text(NAME + number + 0.5, y + 0.5, str(number), 0.4, ink))
    width = NAME + max(map(len, rows.values())) + 0.2
    height = 1.2 * len(rows) + 0.4
    return Scene(0, 0.2 - height, width, height, tuple(shapes), caption)


def scale(points: Mapping[str, float], caption: str = "") -> Scene:
    """A number from -1 to 1 for each row."""
    shapes: list[Shape] = []
    for index, (name, value) in enumerate(points.items()):
        y = -0.4 * (index + 1)
        shapes += [
            Text(-1.5, y, name, 0.13),
            Line(-1, y, 1, y, WALL),
            *(Line(x, y - 0.05, x, y + 0.05, WALL) for x in (-1, 0, 1)),
            Circle(value, y, 0.07, colour(0)),
        ]
    height = 0.4 * (len(points) + 1)
    return Scene(-2, -height, 3.2, height, tuple(shapes), caption)
