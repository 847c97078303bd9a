"""What a picture of a state is made of: shapes in the environment's own coordinates.

An environment that can be drawn has `draw(state) -> Scene`. States come as numpy, drawing runs on
the host, and `jmarl_envs.raster` makes pixels of what it returns. x points right and y up.
"""

from dataclasses import dataclass, field

# colours that the colour-blind tell apart (Okabe and Ito), for teams, kinds, goals in this order
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#666666")
INK, PAPER, WALL, FAINT = "#222222", "#FFFFFF", "#777777", "#E6E6E6"


def colour(index: int) -> str:
    """The palette, round and round."""
    return PALETTE[index % len(PALETTE)]


def faded(colour: str, opacity: float) -> str:
    """#rrggbb, seen through: `opacity` from 0 to 1."""
    return f"{colour}{round(255 * opacity):02x}"


def parts(colour: str) -> tuple[int, ...]:
    """Red, green and blue of #rrggbb."""
    return tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))


def paled(colour: str, share: float) -> str:
    """`colour` as it looks on paper, seen through: `share` from 0 to 1. Unlike what is faded it
    may overlap."""
    return "#" + "".join(f"{round(255 + share * (part - 255)):02x}" for part in parts(colour))


def ink_on(fill: str) -> str:
    """For words on a colour #rrggbb: white, or dark on yellow and paler ones."""
    red, green, blue = parts(fill)
    return INK if 0.3 * red + 0.59 * green + 0.11 * blue > 180 else PAPER


@dataclass(frozen=True)
class Circle:
    """A disc round (x, y), or a ring where only `outline` has a colour.

    One that stands for an agent may say which one, so that more can be drawn at its place.
    """

    x: float
    y: float
    radius: float
    fill: str = ""
    outline: str = ""
    agent: int | None = None  # its place among the agents


@dataclass(frozen=True)
class Box:
    """A rectangle; (x, y) is its lower left corner."""

    x: float
    y: float
    width: float
    height: float
    fill: str = ""
    outline: str = ""


@dataclass(frozen=True)
class Line:
    """From (x, y) to (to_x, to_y); `width` in the environment's units, at least a pixel."""

    x: float
    y: float
    to_x: float
    to_y: float
    colour: str = INK
    width: float = 0.0


@dataclass(frozen=True)
class Text:
    """Words centred on (x, y); `size` is a letter's height in the environment's units."""

    x: float
    y: float
    words: str
    size: float
    colour: str = INK


Shape = Circle | Box | Line | Text


@dataclass(frozen=True)
class Scene:
    """The window (left, bottom, width, height), what lies in it from back to front, and a caption.

    What lies outside of the window is cut off.
    """

    left: float
    bottom: float
    width: float
    height: float
    shapes: tuple[Shape, ...] = field(default=())
    caption: str = ""  # lines below the picture, in small letters
    panel: "Scene | None" = None  # below these, as wide as the picture


def grid_lines(rows: int, columns: int, colour: str = FAINT) -> tuple[Line, ...]:
    """The lines between unit cells; cell (row, column) is the box at (column, rows - 1 - row)."""
    across = [Line(0, y, columns, y, colour) for y in range(rows + 1)]
    along = [Line(x, 0, x, rows, colour) for x in range(columns + 1)]
    return (*across, *along)


def cell(
    row: float, column: float, rows: int, fill: str = "", outline: str = "", margin: float = 0.0
) -> Box:
    """A unit cell of a grid whose row 0 is on top, smaller by `margin` on each side."""
    side = 1 - 2 * margin
    return Box(column + margin, rows - 1 - row + margin, side, side, fill, outline)


def disc(
    row: float,
    column: float,
    rows: int,
    fill: str,
    radius: float = 0.35,
    agent: int | None = None,
) -> Circle:
    """A disc in the middle of a grid's cell; `agent` as a circle has it."""
    return Circle(column + 0.5, rows - row - 0.5, radius, fill, agent=agent)


def label(
    row: float, column: float, rows: int, words: str, size: float = 0.4, colour: str = INK
) -> Text:
    """Words in the middle of a grid's cell."""
    return Text(column + 0.5, rows - row - 0.5, words, size, colour)
