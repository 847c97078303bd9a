"""A spec must agree with itself."""

from dataclasses import replace
from typing import Any

import pytest

import jmarl_envs
from jmarl_envs.checker import spec_rules

SPEC = jmarl_envs.make("toy/cue").spec  # two agents with three choices each

# What rules on the spec say of these changes to it.
SPECS: dict[str, tuple[dict[str, Any], str]] = {
    "names": (dict(agents=("a", "a")), "no name twice"),
    "counts": (dict(teams=(0,)), "spec.teams: expected one entry for each of 2 agents, found 1"),
    "sizes": (dict(obs_sizes=(2, 0)), "spec.obs_sizes: expected positive sizes"),
    "parts": (dict(action_parts=((3,), ())), "spec.action_parts: expected positive parts"),
    "limit": (dict(episode_limit=0), "spec.episode_limit: expected at least 1, found 0"),
    "kind": (dict(action_kind="continuous"), "spec.action_kind: expected one of"),
    "box": (
        dict(action_kind="box", action_parts=((1, 2), (2,))),
        "expected one part in a box, found ((1, 2), (2,))",
    ),
    "team_names": (dict(team_names=("us", "them")), "spec.teams: expected every index"),
    "team_reward": (dict(team_reward="first"), "spec.team_reward: expected one of"),
    "features": (dict(agent_features=(2, 4)), "spec.agent_features: expected 2"),
    "entities": (dict(num_entities=1, entity_size=1), "expected at least 2 entities"),
    "reduction": (dict(info=(("won", "max"),)), "expected 'sum' or 'last' for 'won'"),
    "hash": (dict(teams=[0, 0]), "spec: expected something hashable"),
}


@pytest.mark.parametrize(("changes", "report"), SPECS.values(), ids=SPECS)
def test_a_spec_that_disagrees_with_itself_is_reported(
    changes: dict[str, Any], report: str
) -> None:
    spec = replace(SPEC, **changes)
    assert report in "\n".join(finding for rule in spec_rules.RULES for finding in rule(spec))
