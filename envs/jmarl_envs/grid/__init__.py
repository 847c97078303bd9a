"""VDN's grid worlds: Switch and Checkers as in ma-gym, Fetch, and all with the paper's players."""

from functools import partial

from jmarl_envs.catalogue import Entry, Factory, Listing, options_of
from jmarl_envs.grid.checkers import checkers
from jmarl_envs.grid.fetch import fetch
from jmarl_envs.grid.paper import checkers_paper, fetch_paper, switch_paper
from jmarl_envs.grid.switch import switch

LACKS = ("entities",)


def _switch(num_agents: int, *aliases: str) -> Entry:
    factory = partial(switch, num_agents)
    summary = f"ma-gym's: {num_agents} agents pass a narrow corridor in opposite directions"
    reward = "each: 5 on arrival, before that -0.1 a step (step_cost), afterwards 0; team: sum"
    listing = Listing(summary, reward, (*LACKS, "chance"))
    return Entry(f"grid/switch{num_agents}", factory, listing, options_of(factory), aliases)


def _paper(factory: Factory, name: str, summary: str, reward: str) -> Entry:
    defects = ("sizes are those of a port: the paper tells none", "the beam does nothing")
    listing = Listing(summary, reward, (*LACKS, "chance", "true endings"), defects)
    return Entry(name, factory, listing, options_of(factory))


ENTRIES = (
    _switch(2, "Switch2-v0"),
    _switch(3),
    _switch(4, "Switch4-v0"),
    Entry(
        "grid/checkers",
        checkers,
        Listing(
            "ma-gym's: one clears the way of lemons and should leave the apples to the other",
            "agent 0: 10 an apple, -10 a lemon; agent 1: 1 and -1; -0.01 a step; team: sum",
            (*LACKS, "chance"),
        ),
        options_of(checkers),
        ("Checkers-v0",),
    ),
    Entry(
        "grid/fetch",
        fetch,
        Listing(
            "two agents carry one item after another, best by turns, on a small map of ours",
            "3 to all for picking the item up, 5 for dropping it at the base",
            (*LACKS, "chance", "true endings"),
        ),
        options_of(fetch),
    ),
    _paper(
        switch_paper,
        "grid/switch_paper",
        "the VDN paper's: 8 actions, 5x5 colours, a corridor 20 cells long, round after round",
        "each: 1 on its first arrival in a round; team: sum",
    ),
    _paper(
        checkers_paper,
        "grid/checkers_paper",
        "the VDN paper's: 8 actions, 5x5 colours, 24 apples and 24 lemons, round after round",
        "agent 0: 10 an apple, -10 a lemon; agent 1: 1 and -1; team: sum",
    ),
    _paper(
        fetch_paper,
        "grid/fetch_paper",
        "the VDN paper's: 8 actions, 5x5 colours, a lane 20 cells long",
        "3 to all for picking the item up, 5 for dropping it at the base",
    ),
)
