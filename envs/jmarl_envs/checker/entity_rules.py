"""Rules on teams that change and on entities. Each yields what is wrong, in words."""

from typing import Any

import numpy as np

from jmarl_envs.checker.episodes import Episodes
from jmarl_envs.checker.words import Findings, first


def the_absent_do_not_live(episodes: Episodes) -> Findings:
    """An agent whose slot is empty cannot act."""
    entities = episodes.record.view.entities
    if entities is None:
        return
    both = _agents(episodes, entities.absent) & episodes.record.view.alive
    if both.any():
        yield f"view.alive: expected false where entities are absent, found true {first(both)}"


def empty_slots_hold_nothing(episodes: Episodes) -> Findings:
    entities = episodes.record.view.entities
    if entities is None:
        return
    filled = entities.absent & (entities.features != 0).any(-1)
    if filled.any():
        where = first(filled, "slot")
        yield f"entities.features: expected zeros in empty slots, found some {where}"


def nobody_sees_the_absent(episodes: Episodes) -> Findings:
    entities = episodes.record.view.entities
    if entities is None:
        return
    seen = (entities.absent[..., None, :] & ~entities.hidden).any(-1)
    if seen.any():
        yield f"entities.hidden: expected true for empty slots, found false {first(seen)}"


def the_living_see_themselves(episodes: Episodes) -> Findings:
    view = episodes.record.view
    if view.entities is None:
        return
    own = np.diagonal(_agents(episodes, view.entities.hidden), axis1=-2, axis2=-1)
    blind = own & view.alive
    if blind.any():
        yield f"entities.hidden: expected each living agent to see itself, found not {first(blind)}"


def teams_are_drawn_at_the_reset(episodes: Episodes) -> Findings:
    """Who is absent at first stays so, and nobody else goes: the dead are present."""
    entities = episodes.record.view.entities
    if entities is None:
        return
    absent = _agents(episodes, entities.absent)
    moved = (absent != absent[:1]) & episodes.reached[..., None]
    if moved.any():
        yield f"entities.absent: expected the same agents all along, found others {first(moved)}"


def groups_are_mutual(episodes: Episodes) -> Findings:
    """Nobody is outside of its own group, and of two agents both say the same."""
    entities = episodes.record.view.entities
    if entities is None or entities.outside is None:
        return
    outside = _agents(episodes, entities.outside)
    wrong = outside != np.swapaxes(outside, -2, -1)
    wrong |= outside & np.eye(outside.shape[-1], dtype=bool)
    if wrong.any():
        where = first(wrong.any(-1))
        yield f"entities.outside: expected each agent in its own group and both alike {where}"


def _agents(episodes: Episodes, mask: Any) -> np.ndarray:
    """The part of a mask [..., E] that is about agents [..., A]."""
    return np.asarray(mask)[..., : episodes.spec.num_agents]


RULES = (
    the_absent_do_not_live,
    empty_slots_hold_nothing,
    nobody_sees_the_absent,
    the_living_see_themselves,
    teams_are_drawn_at_the_reset,
    groups_are_mutual,
)
