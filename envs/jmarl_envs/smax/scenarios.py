"""Who fights whom: jaxmarl 0.2.0's scenarios, and those of SMAC that its unit types allow."""

from collections.abc import Mapping
from dataclasses import dataclass

MARINE, MARAUDER, STALKER, ZEALOT, ZERGLING, HYDRALISK = range(6)
NAMES = ("marine", "marauder", "stalker", "zealot", "zergling", "hydralisk")
Army = tuple[tuple[int, int], ...]  # (how many, of which type)


@dataclass(frozen=True)
class Scenario:
    """One side each. `random` draws types and places anew in every episode, as SMACv2 does."""

    allies: Army
    enemies: Army
    listed: bool = True  # among jaxmarl's own
    random: bool = False

    @property
    def summary(self) -> str:
        if self.random:
            size = self.allies[0][0]
            return f"SMACv2: {size} against {size} units of random types from random places"
        return f"{words(self.allies)} against {words(self.enemies)}"


def words(army: Army) -> str:
    """3 stalkers and 5 zealots"""
    return " and ".join(f"{count} {NAMES[kind]}s" for count, kind in army)


def kinds(army: Army) -> list[int]:
    """Each unit's type."""
    return [kind for count, kind in army for _ in range(count)]


def _even(*army: tuple[int, int], listed: bool = True) -> Scenario:
    return Scenario(army, army, listed)


def _against(allies: tuple[int, int], enemies: tuple[int, int], listed: bool = True) -> Scenario:
    return Scenario((allies,), (enemies,), listed)


def _random(size: int) -> Scenario:
    army = ((size, MARINE),)  # types are drawn over these
    return Scenario(army, army, random=True)


SCENARIOS: Mapping[str, Scenario] = {
    "3m": _even((3, MARINE)),
    "2s3z": _even((2, STALKER), (3, ZEALOT)),
    "25m": _even((25, MARINE)),
    "3s5z": _even((3, STALKER), (5, ZEALOT)),
    "8m": _even((8, MARINE)),
    "5m_vs_6m": _against((5, MARINE), (6, MARINE)),
    "10m_vs_11m": _against((10, MARINE), (11, MARINE)),
    "27m_vs_30m": _against((27, MARINE), (30, MARINE)),
    "3s5z_vs_3s6z": Scenario(((3, STALKER), (5, ZEALOT)), ((3, STALKER), (6, ZEALOT))),
    "3s_vs_5z": _against((3, STALKER), (5, ZEALOT)),
    "6h_vs_8z": _against((6, HYDRALISK), (8, ZEALOT)),
    "smacv2_5_units": _random(5),
    "smacv2_10_units": _random(10),
    "smacv2_20_units": _random(20),
    "5m": _even((5, MARINE), listed=False),
    "8m_vs_9m": _against((8, MARINE), (9, MARINE), listed=False),
    "3s_vs_3z": _against((3, STALKER), (3, ZEALOT), listed=False),
    "3s_vs_4z": _against((3, STALKER), (4, ZEALOT), listed=False),
    "corridor": _against((6, ZEALOT), (24, ZERGLING), listed=False),
}
