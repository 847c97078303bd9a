"""Vehicle routing (MultiCVRP): vehicles bring customers their goods, in soft time windows.

All vehicles drive at once, each to a customer whose demand it can meet or back to the depot, which
fills it up; of two with the same customer in mind the later one is sent to the depot. The team pays
for distances and for arriving early or late. An episode ends for good when all demands are met and
all vehicles are home; and after two steps per customer, when the team is charged an estimate of all
that is left at its worst. That charge stands for the future, so it is no truncation.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import View
from jmarl_envs.catalogue import BadOption
from jmarl_envs.jumanji_suite.base import Adapter, build, flat, numbers, team_spec
from jmarl_envs.scene import PALETTE, PAPER, WALL, Box, Circle, Line, Scene, Shape, Text, colour
from jmarl_envs.time_limit import TimeLimit

VEHICLE_FACTS = 4  # x, y, its time, goods on board
PLACE_FACTS = 7  # x, y, demand, window's start and end, penalties for early and late
FLEETS = {6: (2, 3), 20: (2, 3), 50: (2, 3, 4, 5), 100: (2, 3, 4, 5), 150: (5,)}


class MultiCvrp(Adapter):
    """`library` is jumanji's MultiCVRP."""

    def __init__(self, library: Any, name: str) -> None:
        vehicles, customers = library._num_vehicles, library._num_customers
        size = VEHICLE_FACTS * vehicles + PLACE_FACTS * (customers + 1)
        turns = np.arange(vehicles)
        self.others = (turns[:, None] + turns) % vehicles  # [A, A], oneself first
        side, load, late = library._map_max, library._max_capacity, library._max_end_window
        self.vehicle_units = np.array([side, side, late, load], np.float32)
        place_units = np.array([side, side, load, late, late, 1, 1], np.float32)
        self.map_units = np.repeat(place_units, customers + 1)
        spec = team_spec(
            name,
            num_agents=vehicles,
            obs_size=size,
            num_actions=customers + 1,
            state_size=size,
            episode_limit=2 * customers,
            team_reward="shared",
            agent_features=(vehicles, VEHICLE_FACTS),
            info=(("solved_rate", "last"), ("served_share", "last")),
        )
        super().__init__(library, spec)

    def view(self, state: Any, seen: Any) -> View:
        """Observed: one's own facts, the other vehicles', and of all places (the depot first) their
        coordinates, then their demands, and so on; in the state vehicles stand in order. Lengths
        are parts of the map's side, goods of a full load, times of the latest window's end."""
        vehicles, places = seen.vehicles, seen.nodes
        columns = *vehicles.coordinates.T, vehicles.local_times, vehicles.capacities
        fleet = numbers(*columns) / self.vehicle_units
        # fact by fact, as they come: place by place took half as long again (benchmarks/NOTES.md)
        facts = seen.windows.start, seen.windows.end, seen.coeffs.early, seen.coeffs.late
        map_ = flat(places.coordinates, places.demands, *facts) / self.map_units
        everyone = fleet[self.others].reshape(len(fleet), -1)
        rows = jnp.broadcast_to(map_, (len(fleet), len(map_)))
        return View(
            obs=jnp.concatenate([everyone, rows], 1),
            available=seen.action_mask,
            alive=jnp.ones(len(fleet), bool),
            state=flat(fleet, map_),
        )

    def info(self, state: Any, timestep: Any, over: Array) -> Mapping[str, Array]:
        left = (state.nodes.demands > 0).sum(dtype=jnp.float32)
        solved = (left == 0) & (state.vehicles.positions == 0).all()
        share = 1 - left / self.library._num_customers
        return {"solved_rate": solved.astype(jnp.float32), "served_share": share}

    def draw(self, state: Any) -> Scene:
        """The depot square, customers with what they still want, vehicles with their ways."""
        side, sites = float(self.library._map_max), state.nodes.coordinates
        unit = side / 30
        shapes: list[Shape] = []
        for index, stops in enumerate(state.order):
            way = sites[stops[: int(state.step_count)]]
            for (x, y), (to_x, to_y) in pairwise(way):
                shapes.append(Line(x, y, to_x, to_y, colour(index), unit / 6))
        x, y = sites[0]
        shapes.append(Box(x - unit, y - unit, 2 * unit, 2 * unit, WALL))
        for (x, y), demand in zip(sites[1:], state.nodes.demands[1:], strict=True):
            shapes.append(Circle(x, y, unit, PALETTE[4] if demand else PALETTE[2]))
            shapes += [Text(x, y, str(demand), unit)] if demand else []
        for index, place in enumerate(state.vehicles.positions):
            x, y = sites[place]
            shapes.append(Circle(x + unit * index, y + unit, 0.8 * unit, colour(index)))
            shapes.append(Text(x + unit * index, y + unit, str(index + 1), unit, PAPER))
        left, cost = int((state.nodes.demands > 0).sum()), float(state.vehicles.distances.sum())
        caption = f"{left} customers to serve, {cost:.1f} driven"
        return Scene(-2 * unit, -2 * unit, side + 4 * unit, side + 4 * unit, tuple(shapes), caption)


def library(num_customers: int = 20, num_vehicles: int = 2) -> Any:
    """jumanji's environment itself."""

    def make(environments: Any) -> Any:
        generators = environments.routing.multi_cvrp.generator
        return environments.MultiCVRP(
            generators.UniformRandomGenerator(num_customers, num_vehicles)
        )

    return build(make)


def multi_cvrp(
    name: str,
    num_customers: Literal[6, 20, 50, 100, 150] = 20,
    num_vehicles: Literal[2, 3, 4, 5] = 2,
) -> TimeLimit[Any]:
    """Episodes have at most two steps per customer."""
    fleets = FLEETS[num_customers]
    if num_vehicles not in fleets:
        allowed = " or ".join(map(str, fleets))
        raise BadOption(f"{name}: {num_customers} customers take {allowed} vehicles")
    return TimeLimit(MultiCvrp(library(num_customers, num_vehicles), name))
