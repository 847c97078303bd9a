"""Payoff tables as pictures."""

from jmarl_envs.scene import INK, PAPER, WALL, Box, Scene, Shape, Text, colour, faded

GAP = 1.0  # between tables, and round them
ROWS_COLOUR, COLUMNS_COLOUR, CHOSEN = colour(0), colour(1), colour(6)


def draw_tables(
    tables: tuple[tuple[tuple[float, ...], ...], ...],
    titles: tuple[str, ...],
    current: int,
    chosen: tuple[int, int, int],
) -> Scene:
    """Tables side by side; `chosen` is the last choice's table, row and column (-1: none yet)."""
    rows, columns = len(tables[0]), len(tables[0][0])
    shapes: list[Shape] = []
    for index, table in enumerate(tables):
        left = GAP + index * (columns + GAP)
        ready = colour(2) if index == current else INK
        shapes.append(Text(left + columns / 2, rows + 0.7, titles[index], 0.32, ready))
        shapes += _axes(left, rows, columns)
        if index == current:
            shapes += _frame(left, rows, columns)
        for row, entries in enumerate(table):
            for column, payoff in enumerate(entries):
                taken = chosen == (index, row, column)
                shapes += _entry(left + column, rows - 1 - row, payoff, taken)
    width = GAP + len(tables) * (columns + GAP)
    return Scene(0, -0.3, width, rows + 1.3, tuple(shapes), _caption(tables, chosen))


def _entry(x: float, y: float, payoff: float, taken: bool) -> list[Shape]:
    paint = CHOSEN if taken else faded(WALL, 0.08)
    size = 0.36 if len(f"{payoff:g}") < 4 else 0.26
    return [Box(x, y, 1, 1, paint, WALL), Text(x + 0.5, y + 0.5, f"{payoff:g}", size)]


def _axes(left: float, rows: int, columns: int) -> list[Shape]:
    """The players' actions: agent 0's at the rows, agent 1's at the columns."""
    at_rows = [Text(left - 0.25, rows - 0.5 - r, str(r), 0.26, ROWS_COLOUR) for r in range(rows)]
    at_columns = [
        Text(left + 0.5 + c, rows + 0.22, str(c), 0.26, COLUMNS_COLOUR) for c in range(columns)
    ]
    return [*at_rows, *at_columns]


def _frame(left: float, rows: int, columns: int) -> list[Shape]:
    """A thick outline round the table that is to be played: what its entries leave uncovered."""
    edge = 0.06
    around = Box(left - edge, -edge, columns + 2 * edge, rows + 2 * edge, colour(2))
    return [around, Box(left, 0, columns, rows, PAPER)]


def _caption(
    tables: tuple[tuple[tuple[float, ...], ...], ...], chosen: tuple[int, int, int]
) -> str:
    table, row, column = chosen
    if row < 0:
        return "rows: agent 0, columns: agent 1"
    return f"agent 0: {row}, agent 1: {column}, paid {tables[table][row][column]:g}"
