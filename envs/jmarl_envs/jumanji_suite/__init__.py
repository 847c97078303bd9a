"""jumanji's multi-agent environments, and the tasks of two of them that papers report on."""

from functools import partial

from jmarl_envs.catalogue import Entry, Listing, Option, Peer, options_of
from jmarl_envs.jumanji_suite import (
    cleaner,
    connector,
    lbf,
    mmst,
    multi_cvrp,
    rware,
    search_and_rescue,
)
from jmarl_envs.jumanji_suite.listings import LISTINGS
from jmarl_envs.jumanji_suite.tasks import LBF, RWARE, Task

GAMES = {  # how each is made, and how the library makes it
    "level_based_foraging": (lbf.foraging, lbf.library, "LevelBasedForaging-v0"),
    "robot_warehouse": (rware.warehouse, rware.library, "RobotWarehouse-v0"),
    "connector": (connector.connector, connector.library, "Connector-v3"),
    "cleaner": (cleaner.cleaner, cleaner.library, "Cleaner-v0"),
    "search_and_rescue": (
        search_and_rescue.search_and_rescue,
        search_and_rescue.library,
        "SearchAndRescue-v0",
    ),
    "multi_cvrp": (multi_cvrp.multi_cvrp, multi_cvrp.library, "MultiCVRP-v0"),
    "mmst": (mmst.mmst, mmst.library, "MMST-v0"),
}


def _game(game: str) -> Entry:
    make, library, alias = GAMES[game]
    name = f"jumanji/{game}"
    factory = partial(make, name)
    return Entry(
        name=name,
        factory=factory,
        listing=LISTINGS[game],
        options=options_of(factory),
        aliases=(alias,),
        peer=Peer("jumanji", library),
    )


def _task(suite: str, game: str, task: str, facts: Task) -> Entry:
    """`game` with its options fixed."""
    make, library, _ = GAMES[game]
    name, listing = f"{suite}/{task}", LISTINGS[game]
    return Entry(
        name=name,
        factory=partial(make, name, **facts.options),
        listing=Listing(facts.summary, listing.reward, listing.lacks, listing.defects),
        options={"episode_limit": Option(facts.episode_limit, least=1)},
        peer=Peer("jumanji", partial(library, **facts.options)),
    )


ENTRIES: tuple[Entry, ...] = (
    *map(_game, GAMES),
    *(_task("lbf", "level_based_foraging", task, facts) for task, facts in LBF.items()),
    *(_task("rware", "robot_warehouse", task, facts) for task, facts in RWARE.items()),
)
