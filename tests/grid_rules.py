"""The grid worlds once more, from their rules, in plain Python without arrays; and how to play."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

HASTE = {"xla_backend_optimization_level": 0}  # these programs compile longer than they run
DOWN, LEFT, UP, RIGHT, STAY = range(5)
STEPS = {DOWN: (1, 0), LEFT: (0, -1), UP: (-1, 0), RIGHT: (0, 1), STAY: (0, 0)}

Place = tuple[int, int]


class Told(NamedTuple):
    """What a simulator tells of a step."""

    rewards: list[float]
    over: bool
    obs: list[list[float]]
    info: Mapping[str, float]


def moved(place: Place, action: int) -> Place:
    return place[0] + STEPS[action][0], place[1] + STEPS[action][1]


class SwitchRules:
    """ma-gym's Switch from its rules: one agent after the other, no arrays."""

    def __init__(self, agents: int) -> None:
        self.places: list[Place] = [(0, 1), (0, 5), (2, 1), (2, 5)][:agents]
        self.goals: list[Place] = [(0, 6), (0, 0), (2, 6), (2, 0)][:agents]
        self.arrived = [False] * agents

    def obs(self) -> list[list[float]]:
        return [[round(row / 2, 2), round(column / 6, 2)] for row, column in self.places]

    def step(self, actions: list[int]) -> Told:
        rewards, arrivals = [], 0
        for agent, action in enumerate(actions):
            if self.arrived[agent]:
                rewards.append(0.0)
                continue
            row, column = moved(self.places[agent], action)
            floor = 0 <= row < 3 and 0 <= column < 7 and (row == 1 or column in (0, 1, 5, 6))
            if floor and (row, column) not in self.places:
                self.places[agent] = (row, column)
            self.arrived[agent] = self.places[agent] == self.goals[agent]
            arrivals += self.arrived[agent]
            rewards.append(5.0 if self.arrived[agent] else -0.1)
        solved = all(self.arrived)
        return Told(rewards, solved, self.obs(), {"arrivals": arrivals, "solved_rate": solved})


class CheckersRules:
    """ma-gym's Checkers from its rules."""

    def __init__(self) -> None:
        self.places: list[Place] = [(0, 6), (2, 6)]
        self.food: dict[Place, str] = {}
        for row in range(3):
            for column in range(6):
                self.food[row, column] = "lemon" if (row + column) % 2 else "apple"

    def obs(self) -> list[list[float]]:
        rows = []
        for row, column in self.places:
            numbers = [round(row / 3, 2), round(column / 7, 2)]
            for near_row in (row - 1, row, row + 1):
                for near_column in (column - 1, column, column + 1):
                    near = (near_row, near_column)
                    food = self.food.get(near)
                    numbers += [food == "lemon", food == "apple"]
                    numbers += [self.places[0] == near, self.places[1] == near, 0]
            rows.append([float(number) for number in numbers])
        return rows

    def step(self, actions: list[int]) -> Told:
        rewards, eaten = [], {"apple": 0, "lemon": 0}
        for agent, action in enumerate(actions):
            reward, place = -0.01, moved(self.places[agent], action)
            if 0 <= place[0] < 3 and 0 <= place[1] < 8 and place not in self.places:
                self.places[agent] = place
                food = self.food.pop(place, None)
                if food is not None:
                    eaten[food] += 1
                    worth = 10.0 if agent == 0 else 1.0
                    reward += worth if food == "apple" else -worth
            rewards.append(reward)
        solved = "apple" not in self.food.values()
        counts = {"apples": eaten["apple"], "lemons": eaten["lemon"], "solved_rate": solved}
        return Told(rewards, solved, self.obs(), counts)


class FetchRules:
    """Our small Fetch from its rules."""

    def __init__(self, width: int = 9, lane: int = 1) -> None:
        self.width, self.lane = width, lane
        self.places: list[Place] = [(0, 1), (2, 1)]
        self.bearer: int | None = None

    def floor(self, row: int, column: int) -> bool:
        inside = 0 <= row < 3 and 0 <= column < self.width
        return inside and (row == 1 or self.lane == 3 or not 2 <= column < self.width - 2)

    def obs(self) -> list[list[float]]:
        share = [(row / 2, column / (self.width - 1)) for row, column in self.places]
        holds = [self.bearer == 0, self.bearer == 1]
        lies = self.bearer is None
        return [[*share[a], *share[1 - a], holds[a], holds[1 - a], lies] for a in (0, 1)]

    def step(self, actions: list[int]) -> Told:
        goals = []
        for agent, action in enumerate(actions):
            goal = moved(self.places[agent], action)
            goals.append(goal if self.floor(*goal) else self.places[agent])
        if goals[0] != goals[1]:
            self.places = goals
        picked = dropped = 0
        if self.bearer is not None and self.places[self.bearer] == (1, 0):
            self.bearer, dropped = None, 1
        if self.bearer is None and (1, self.width - 1) in self.places:
            self.bearer, picked = self.places.index((1, self.width - 1)), 1
        reward = 3.0 * picked + 5.0 * dropped
        counts = {"pickups": picked, "deliveries": dropped}
        return Told([reward, reward], False, self.obs(), counts)


FORWARD, BACK, ASIDE_LEFT, ASIDE_RIGHT, TURN_LEFT, TURN_RIGHT, BEAM, STILL = range(8)
COLOURS = {"wall": (0.5, 0.5, 0.5), "green": (0, 0.8, 0), "orange": (1, 0.6, 0)}


class PaperRules:
    """The paper's players from their rules: column + row * 1j, and turning right is times 1j."""

    def __init__(self, game: str, corridors: int = 1) -> None:
        self.game, self.corridors = game, corridors
        self.begin()

    def begin(self) -> None:
        self.marked = [False, False]
        self.signs: dict[complex, str] = {30 + 3j: "green", 3 + 3j: "orange"}
        self.places, self.faces = [4 + 2j, 30 + 4j], [1 + 0j, -1 + 0j]
        if self.game == "fetch":
            self.places, self.faces = [4 + 2j, 4 + 4j], [1 + 0j, 1 + 0j]
        elif self.game == "checkers":
            self.places, self.faces = [16 + 0j, 16 + 2j], [-1 + 0j, -1 + 0j]
            cells = [(column, row) for column in range(16) for row in range(3)]
            self.signs = {x + y * 1j: "orange" if (x + y) % 2 else "green" for x, y in cells}

    def wall(self, place: complex) -> bool:
        if self.game == "checkers":
            return not (0 <= place.real < 18 and 0 <= place.imag < 3)
        if not (0 <= place.real < 34 and 0 <= place.imag < 7):
            return True
        if not 7 <= place.real <= 26 or self.corridors == 0:
            return False
        return 1 <= place.imag <= 5 if self.corridors == 2 else place.imag != 3

    def colour(self, viewer: int, place: complex) -> tuple[float, ...]:
        if place == self.places[viewer]:
            return (0, self.marked[viewer], 1)
        if place == self.places[1 - viewer]:
            return (1, self.marked[1 - viewer], 0)
        return (
            COLOURS["wall"]
            if self.wall(place)
            else COLOURS.get(self.signs.get(place, ""), (0, 0, 0))
        )

    def obs(self) -> list[list[float]]:
        """Row by row from far to near, each from the player's left to its right."""
        rows = []
        for agent in (0, 1):
            place, face = self.places[agent], self.faces[agent]
            seen = [
                place + far * face + wide * face * 1j
                for far in (4, 3, 2, 1, 0)
                for wide in (-2, -1, 0, 1, 2)
            ]
            rows.append([float(part) for cell in seen for part in self.colour(agent, cell)])
        return rows

    def goal(self, agent: int, action: int) -> complex:
        steps = {FORWARD: 1, BACK: -1, ASIDE_LEFT: -1j, ASIDE_RIGHT: 1j}
        goal = self.places[agent] + self.faces[agent] * steps.get(action, 0)
        return self.places[agent] if self.wall(goal) else goal

    def walk(self, actions: list[int]) -> None:
        goals = [self.goal(agent, action) for agent, action in enumerate(actions)]
        if self.game != "fetch":
            for agent in (0, 1):
                if goals[agent] != self.places[1 - agent]:
                    self.places[agent] = goals[agent]
        elif goals[0] != goals[1]:
            self.places = goals
        for agent, action in enumerate(actions):
            self.faces[agent] *= {TURN_LEFT: -1j, TURN_RIGHT: 1j}.get(action, 1)

    def step(self, actions: list[int]) -> list[float]:
        self.walk(actions)
        return {"switch": self.switch, "checkers": self.checkers, "fetch": self.fetch}[self.game]()

    def switch(self) -> list[float]:
        rewards = []
        for agent, goal in enumerate((30 + 3j, 3 + 3j)):
            new = self.places[agent] == goal and not self.marked[agent]
            self.marked[agent] |= new
            rewards.append(float(new))
        if all(self.marked):
            self.begin()
        return rewards

    def checkers(self) -> list[float]:
        worth = {"green": 1.0, "orange": -1.0, "": 0.0}
        eaten = [self.signs.pop(place, "") for place in self.places]
        if "green" not in self.signs.values():
            self.begin()
        return [10 * worth[eaten[0]], worth[eaten[1]]]

    def fetch(self) -> list[float]:
        reward = 0.0
        for agent in (0, 1):
            if self.marked[agent] and self.places[agent] == 3 + 3j:
                self.marked[agent], self.signs[30 + 3j], reward = False, "green", 5.0
        for agent in (0, 1):
            if self.places[agent] == 30 + 3j and self.signs.pop(30 + 3j, ""):
                self.marked[agent], reward = True, reward + 3.0
        return [reward, reward]


class Played(NamedTuple):
    """What the environment did: T steps of N episodes, past their true ends too."""

    first: Any
    action: Any  # [T, N, A]
    out: Any


def play(env: Any, action: jax.Array, first_key: int = 0) -> Played:
    """Episodes of given actions [T, N, A]."""
    keys = jax.random.split(jax.random.key(first_key), action.shape[1])
    state, first = jax.vmap(env.reset)(keys)

    def step(state: Any, action: jax.Array) -> tuple[Any, Any]:
        return jax.vmap(env.step)(state, action, keys)

    run = jax.jit(lambda state, action: jax.lax.scan(step, state, action), compiler_options=HASTE)
    return jax.tree.map(np.asarray, Played(first, action, run(state, action)[1]))
