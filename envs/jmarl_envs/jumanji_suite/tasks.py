"""Level-based foraging and robotic warehouse as papers report on them, under their names there.

Sizes as Mava's configurations have them (github.com/instadeepai/Mava, October 2024), which follow
the original environments' ids.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Task(NamedTuple):
    summary: str
    options: Mapping[str, Any]
    episode_limit: int


def _foraging(size: int, agents: int, food: int, sight: int = 0, coop: bool = False) -> Task:
    options = {
        "grid_size": size,
        "fov": sight,
        "num_agents": agents,
        "num_food": food,
        "max_agent_level": 2,
        "force_coop": coop,
    }
    seen = f", {sight} cells in sight" if sight else ""
    together = ", all of it for several agents together" if coop else ""
    return Task(f"{agents} agents, {food} food, {size} x {size}{seen}{together}", options, 100)


def _warehouse(rows: int, agents: int, requests: int) -> Task:
    options = {
        "shelf_rows": rows,
        "shelf_columns": 3,
        "column_height": 8,
        "num_agents": agents,
        "sensor_range": 1,
        "request_queue_size": requests,
    }
    size = f"{9 * rows + 2} x 10"
    return Task(f"{agents} robots, {requests} requests at a time, {size} cells", options, 500)


LBF = {
    "2s-8x8-2p-2f-coop": _foraging(8, 2, 2, sight=2, coop=True),
    "8x8-2p-2f-coop": _foraging(8, 2, 2, coop=True),
    "2s-10x10-3p-3f": _foraging(10, 3, 3, sight=2),
    "10x10-3p-3f": _foraging(10, 3, 3),
    "15x15-3p-5f": _foraging(15, 3, 5),
    "15x15-4p-3f": _foraging(15, 4, 3),
    "15x15-4p-5f": _foraging(15, 4, 5),
}
RWARE = {
    "tiny-2ag": _warehouse(1, 2, 2),
    "tiny-4ag": _warehouse(1, 4, 4),
    "tiny-4ag-easy": _warehouse(1, 4, 8),
    "small-4ag": _warehouse(2, 4, 4),
}
