"""jaxmarl's environments beside its particle worlds (mpe.py) and its battles (smax)."""

from jmarl_envs.catalogue import Entry
from jmarl_envs.jaxmarl_suite import (
    coin_game,
    hanabi,
    jaxnav,
    mabrax,
    overcooked,
    overcooked_v2,
    storm,
    switch_riddle,
)

FAMILIES = (overcooked, overcooked_v2, hanabi, coin_game, switch_riddle, jaxnav, storm, mabrax)
ENTRIES: tuple[Entry, ...] = tuple(entry for family in FAMILIES for entry in family.ENTRIES)
