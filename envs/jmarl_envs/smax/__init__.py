"""SMAX, jaxmarl's StarCraft-like battles: allies against a scripted enemy, on a map of 32 x 32.

A step is half a second. Actions: up, right, down, left, stop, attack enemy 0, 1, ... in reach.
The rules, the random numbers and the observations are jaxmarl 0.2.0's, and tests compare with it
step by step; the arrays are our own (rules.py). Ours are also

- `state`: a row for each unit, allies first: health, x, y, cooldown (all from 0 to 1), type. In
  jaxmarl's world state the positions and cooldowns are raw, and teams and type numbers follow;
- `entities` (views.py), which hide what an agent does not see;
- true endings (a side is dead) apart from the limit, which is exact (jaxmarl plays a step more);
- rewards ten times jaxmarl's, so that the best return is 20 as in SMAC;
- teams whose size and types change with every episode (teams.py).
"""

from functools import partial
from typing import Annotated, Literal

from jmarl_envs.catalogue import BadOption, Count, Entry, Listing, Peer, Range, options_of
from jmarl_envs.smax.game import Smax
from jmarl_envs.smax.library import Openings, peer, rules_of
from jmarl_envs.smax.rules import Battle
from jmarl_envs.smax.scenarios import (
    MARAUDER,
    MARINE,
    SCENARIOS,
    STALKER,
    ZEALOT,
    Scenario,
)
from jmarl_envs.smax.teams import SLOTS, TeamOpenings
from jmarl_envs.time_limit import TimeLimit

Positive = Annotated[float, Range(0.0)]
Size = Annotated[int, Range(1, SLOTS)]
Targets = Literal["closest", "random"]

TEAMS = {"3-8sz": (STALKER, ZEALOT), "3-8mm": (MARINE, MARAUDER)}
REWARD = (
    "all allies: reward_scale x the enemies' mean lost share of health, and reward_scale more for "
    "a win; at best 2 reward_scale"
)
LACKS = (
    "StarCraft's own AI, terrain, shields, healing: figures do not compare with SMAC's",
    "units but marines, marauders, stalkers, zealots, zerglings, hydralisks",
    "jaxmarl's conic observations, continuous actions, and control of both teams",
)


def scenario(
    task: str,
    episode_limit: Count = 100,
    reward_scale: Positive = 10.0,
    entities: bool = True,
    attack_mode: Targets = "closest",
    enemy_shoots: bool = True,
    see_enemy_actions: bool = True,
    walls_cause_death: bool = True,
) -> TimeLimit[Battle]:
    """One of SCENARIOS. `reward_scale=1` gives jaxmarl's rewards; the last four are its own."""
    found = SCENARIOS[task]
    rules = rules_of(
        found,
        random_targets=attack_mode == "random",
        enemy_shoots=enemy_shoots,
        see_enemy_actions=see_enemy_actions,
        walls_cause_death=walls_cause_death,
    )
    name = f"smax/{task}"
    return TimeLimit(Smax(name, rules, Openings(found), episode_limit, reward_scale, entities))


def changing_teams(
    task: str,
    min_units: Size = 3,
    max_units: Size = SLOTS,
    rotated_starts: bool = True,
    shuffled_slots: bool = True,
    episode_limit: Count = 150,
    reward_scale: Positive = 10.0,
    entities: bool = True,
    attack_mode: Targets = "closest",
) -> TimeLimit[Battle]:
    """Teams drawn anew in every episode, always in eight slots a side.

    Train on some sizes and test on others (`max_units=5`, then `min_units=6`): the spec is the
    same. Keep `shuffled_slots` then, or the later slots are never seen in training.
    """
    if min_units > max_units:
        raise BadOption(f"smax/{task}: {min_units=} must not be above {max_units=}")
    kinds = TEAMS[task]
    rules = rules_of(full_teams(task), random_targets=attack_mode == "random")
    openings = TeamOpenings(rules, kinds, min_units, max_units, rotated_starts, shuffled_slots)
    name = f"smax/{task}"
    return TimeLimit(Smax(name, rules, openings, episode_limit, reward_scale, entities))


def full_teams(task: str) -> Scenario:
    """All slots filled."""
    army = ((SLOTS, TEAMS[task][0]),)
    return Scenario(army, army)


def _scenario_entry(task: str, found: Scenario) -> Entry:
    factory = partial(scenario, task)
    aliases = (task,) if found.listed else ()
    if task == "5m":
        aliases = ("HeuristicEnemySMAX",)  # what jaxmarl makes of it where no scenario is named
    return Entry(
        name=f"smax/{task}",
        factory=factory,
        listing=Listing(found.summary, REWARD, LACKS),
        options=options_of(factory),
        aliases=aliases,
        peer=Peer("jaxmarl", partial(peer, found)),
    )


def _team_entry(task: str, summary: str, *lacks: str) -> Entry:
    factory = partial(changing_teams, task)
    return Entry(
        name=f"smax/{task}",
        factory=factory,
        listing=Listing(summary, REWARD, (*LACKS, *lacks)),
        options=options_of(factory),
    )


ENTRIES = (
    *(_scenario_entry(task, found) for task, found in SCENARIOS.items()),
    _team_entry(
        "3-8sz",
        "REFIL's 3-8sz: in every episode 3 to 8 stalkers and zealots, the same on both sides",
        "REFIL's reward (by the largest team's health and kills; here every win is worth as much)",
    ),
    _team_entry(
        "3-8mm",
        "3 to 8 marines and marauders, the same on both sides: ours, in the place of REFIL's "
        "3-8MMM, which has medivacs",
    ),
)
