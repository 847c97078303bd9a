"""Teams that learn by different algorithms side by side, as the MADDPG paper compares them."""

import numpy as np

from jmarl.fields import ConfigError
from jmarl.types import EnvSpec

KINDS = ("maddpg", "ddpg")  # their critics see every agent, or their own alone


def local_agents(spec: EnvSpec, otherwise: bool, team_algorithms: str) -> np.ndarray:
    """Whose critics see their own agent alone, [A] bool.

    `team_algorithms` says so for teams, as in "adversaries=ddpg,good=maddpg", by their names or
    those of their agents without the number ("adversary"); `otherwise` for teams it leaves out.
    Raises ConfigError for what it cannot mean.
    """
    local = np.full(spec.num_agents, otherwise)
    told: set[str] = set()
    for entry in filter(None, team_algorithms.split(",")):
        team, _, kind = (part.strip() for part in entry.partition("="))
        if team not in (teams := team_members(spec)):
            known = ", ".join(spec.team_names)
            raise ConfigError(f"team_algorithms must be of teams there are ({known}), got {team!r}")
        if kind not in KINDS:
            raise ConfigError(f"team_algorithms must be {' or '.join(KINDS)}, got {entry!r}")
        if told & set(members := teams[team]):
            raise ConfigError(f"team_algorithms must name each team once, got {team_algorithms!r}")
        told |= set(members)
        local[[spec.agents.index(agent) for agent in members]] = kind == "ddpg"
    return local


def team_members(spec: EnvSpec) -> dict[str, list[str]]:
    """The agents of each team by its name, and by their own names' stem where one team has it."""
    teams: dict[str, list[str]] = {name: [] for name in spec.team_names}
    stems: dict[str, set[str]] = {}
    for agent, team in zip(spec.agents, spec.teams, strict=True):
        teams[spec.team_names[team]].append(agent)
        stems.setdefault(agent.rstrip("0123456789").rstrip("_"), set()).add(spec.team_names[team])
    alone = {stem: teams[name] for stem, (name, *others) in stems.items() if not others}
    return alone | teams
