"""Pictures of Overcooked's kitchens, for both versions of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jmarl_envs.scene import INK, PAPER, Circle, Line, Scene, Shape, cell, colour, disc, label

INGREDIENTS = ("#E6C400", "#B03030", "#4C9A2A", "#8E5EA2")  # onion, tomato, ...
COUNTER, FLOOR, IRON, DISH, SERVE = "#C8B79B", "#F6F1E7", "#404040", "#FFFFFF", "#8CC68C"
SIGNS = {"serve": "serve", "recipe": "", "button": "ask"}


@dataclass(frozen=True)
class Item:
    """What lies somewhere or is carried: ingredients by number, on a plate or not."""

    ingredients: tuple[int, ...] = ()
    plate: bool = False


@dataclass(frozen=True)
class Tile:
    """A cell: floor, counter, pot, serve, plates, pile, recipe or button, and what is on it."""

    kind: str
    item: Item = Item()
    timer: int = 0  # steps until a pot's soup is ready
    cooked: bool = False


@dataclass(frozen=True)
class Cook:
    """An agent at (row, column) that looks to (down, right) and carries something or not."""

    row: int
    column: int
    down: int
    right: int
    carries: Item


def kitchen_scene(tiles: Sequence[Sequence[Tile]], cooks: Sequence[Cook], caption: str) -> Scene:
    rows, columns = len(tiles), len(tiles[0])
    shapes: list[Shape] = []
    for row, line in enumerate(tiles):
        for column, tile in enumerate(line):
            shapes += _tile(tile, row, column, rows)
    for index, cook in enumerate(cooks):
        shapes += _cook(cook, index, rows)
    return Scene(0, 0, columns, rows, tuple(shapes), caption)


def _tile(tile: Tile, row: int, column: int, rows: int) -> list[Shape]:
    ground = {"floor": FLOOR, "serve": SERVE, "recipe": PAPER}.get(tile.kind, COUNTER)
    shapes: list[Shape] = [cell(row, column, rows, ground, PAPER)]
    if tile.kind == "plates":
        shapes += [disc(row, column, rows, fill, r) for fill, r in ((INK, 0.37), (DISH, 0.34))]
        shapes += [Circle(column + 0.5, rows - row - 0.5, 0.22, outline=INK)]
    elif tile.kind == "pile":
        heap = ((0.0, 0.15), (-0.17, -0.1), (0.17, -0.1))
        fill = INGREDIENTS[tile.item.ingredients[0] % len(INGREDIENTS)]
        shapes += [disc(row - up, column + right, rows, fill, 0.16) for right, up in heap]
    elif tile.kind == "pot":
        shapes += [disc(row, column, rows, IRON, 0.42)]
    if tile.kind in SIGNS:
        shapes += [label(row, column, rows, SIGNS[tile.kind], 0.26)]
    if tile.kind != "pile":
        shapes += _item(tile.item, row, column, rows, 0.26)
    if tile.kind == "pot" and (tile.timer or tile.cooked):
        words = "ready" if tile.cooked else str(tile.timer)
        shapes += [label(row, column, rows, words, 0.26, PAPER)]
    return shapes


def _cook(cook: Cook, agent: int, rows: int) -> list[Shape]:
    body = disc(cook.row, cook.column, rows, colour(agent), 0.4, agent)
    nose = Line(
        body.x, body.y, body.x + 0.48 * cook.right, body.y - 0.48 * cook.down, INK, width=0.1
    )
    return [body, nose, *_item(cook.carries, cook.row, cook.column, rows, 0.2)]


def _item(item: Item, row: float, column: float, rows: int, size: float) -> list[Shape]:
    shapes: list[Shape] = []
    if item.plate:
        shapes += [disc(row, column, rows, INK, size + 0.03), disc(row, column, rows, DISH, size)]
    count = len(item.ingredients)
    for nth, kind in enumerate(item.ingredients):
        turn = 2 * math.pi * nth / count
        away = 0.0 if count == 1 else 0.55 * size
        fill = INGREDIENTS[kind % len(INGREDIENTS)]
        spot = (row - away * math.cos(turn), column + away * math.sin(turn))
        shapes += [disc(*spot, rows, fill, 0.45 * size)]
    return shapes
