"""A battle as a picture."""

from typing import Any

from jmarl_envs.scene import (
    INK,
    PAPER,
    WALL,
    Box,
    Circle,
    Line,
    Scene,
    Shape,
    Text,
    colour,
    faded,
)
from jmarl_envs.smax.rules import MAP, MOVES, Rules

MARGIN = 1.0
SIZE = 1.2  # units are drawn so many times larger than they are
TEAMS = ("allies", "enemies")


def scene(rules: Rules, battle: Any) -> Scene:
    """Living units in their team's colour with their type's letter and health, and who attacks."""
    alive = battle.health > 0
    living = [unit for unit in range(rules.num_units) if alive[unit]]
    shapes: list[Shape] = [Box(0, 0, MAP, MAP, outline=WALL)]
    for part in (disc, health_bar):
        shapes += [shape for unit in living for shape in part(rules, battle, unit)]
    shapes += [attack(rules, battle, unit) for unit in living if battle.action[unit] >= MOVES]
    counts = alive[: rules.num_allies].sum(), alive[rules.num_allies :].sum()
    present = battle.present[: rules.num_allies].sum(), battle.present[rules.num_allies :].sum()
    sides = zip(TEAMS, counts, present, strict=True)
    caption = ", ".join(f"{name} {left} of {all_}" for name, left, all_ in sides)
    side = MAP + 2 * MARGIN
    return Scene(-MARGIN, -MARGIN, side, side, tuple(shapes), caption)


def attack(rules: Rules, battle: Any, unit: int) -> Line:
    """From an attacker to its target."""
    chosen, n = int(battle.action[unit]) - MOVES, rules.num_allies
    target = n + chosen if unit < n else n - 1 - chosen
    x, y, to_x, to_y = (battle.x[unit], battle.y[unit], battle.x[target], battle.y[target])
    return Line(float(x), float(y), float(to_x), float(to_y), faded(INK, 0.5), 0.1)


def disc(rules: Rules, battle: Any, unit: int) -> tuple[Shape, ...]:
    kind, x, y = int(battle.kind[unit]), float(battle.x[unit]), float(battle.y[unit])
    radius = SIZE * rules.radius[kind]
    letter = Text(x, y, rules.letters[kind], radius * 1.5, PAPER)
    own = unit if unit < rules.num_allies else None  # enemies are no agents
    return Circle(x, y, radius, team_colour(rules, unit), INK, own), letter


def health_bar(rules: Rules, battle: Any, unit: int) -> tuple[Shape, ...]:
    kind, x, y = int(battle.kind[unit]), float(battle.x[unit]), float(battle.y[unit])
    radius = SIZE * rules.radius[kind]
    left, above, width = x - radius, y + radius + 0.1, 2 * radius
    share = float(battle.health[unit]) / rules.health[kind]
    empty = Box(left, above, width, 0.25, PAPER)
    return empty, Box(left, above, width * share, 0.25, team_colour(rules, unit))


def team_colour(rules: Rules, unit: int) -> str:
    return colour(int(unit >= rules.num_allies))
