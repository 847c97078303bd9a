"""Small diagnostic environments with known answers: each is solved only if one thing works."""

from jmarl_envs.catalogue import Entry, Factory, Listing, options_of
from jmarl_envs.toys.bandits import cue, parts, reach
from jmarl_envs.toys.clock import clock
from jmarl_envs.toys.echo import echo


def _entry(factory: Factory, name: str, summary: str, reward: str, *lacks: str) -> Entry:
    return Entry(name, factory, Listing(summary, reward, lacks), options_of(factory))


ENTRIES = (
    _entry(
        echo,
        "toy/echo",
        "memory: a cue shown at the start is to be named at the end",
        "at the last step 1 to all if everybody names the cue",
    ),
    _entry(
        cue,
        "toy/cue",
        "no memory: name the cue that is seen",
        "each: 1 for its own cue",
        "entities",
        "a team reward",
    ),
    _entry(
        clock,
        "toy/clock",
        "bootstrapping: worth 1 / (1 - gamma), since only time runs out",
        "1 to all at every step",
        "entities",
        "anything to learn but the value",
    ),
    _entry(
        reach,
        "toy/reach",
        "continuous actions: choose the number that is seen",
        "each: minus its action's squared distance to its goal",
        "entities",
        "a team reward",
        "true endings",
    ),
    _entry(
        parts,
        "toy/parts",
        "unequal agents, actions in parts: name each part's cue",
        "each: the share of its parts that are right",
        "entities",
        "a team reward",
        "true endings",
    ),
)
