"""Every environment there is keeps the contract."""

from typing import Any

import jax
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import jmarl_envs
from jmarl_envs import check
from jmarl_envs.checker import behaviour, shape_rules, spec_rules
from jmarl_envs.checker.episodes import Trial

NAMES = [name for name in jmarl_envs.names() if not jmarl_envs.entry(name).missing]
# Families of one code with other tables or tasks, each of which has tests of its own too: these
# stand for all in `make test`; `make test-slow` looks at the others.
STANDING = {
    "grid/switch": ("grid/switch2", "grid/switch_paper"),
    "jumanji/": ("jumanji/connector", "jumanji/search_and_rescue"),
    "lbf/": ("lbf/2s-8x8-2p-2f-coop",),
    "matrix/": ("matrix/two_step", "matrix/safe_choice"),
    "mpe/": ("mpe/simple_tag", "mpe/simple_world_comm", "mpe/simple_facmac"),
    "overcooked/": ("overcooked/cramped_room",),
    "overcooked_v2/": ("overcooked_v2/cramped_room",),
    "particle/simple": ("particle/simple_adversary", "particle/simple_reference"),
    "rware/": ("rware/tiny-2ag",),
    "smax/": ("smax/3m", "smax/3-8sz"),
    "storm/": ("storm/storm_2p",),
}
ELSEWHERE = ("jaxnav/", "lbf/", "rware/")  # stepped: episodes compile for long


def names(later: tuple[str, ...] = ()) -> list[Any]:
    """Environments as parameters, slow if among `later` or where another stands for them."""
    families = tuple(STANDING)
    soon = {name for some in STANDING.values() for name in some}
    slow = [x.startswith(later) or (x.startswith(families) and x not in soon) for x in NAMES]
    return [pytest.param(x, marks=[pytest.mark.slow] * y) for x, y in zip(NAMES, slow, strict=True)]


def test_who_stands_for_others_is_there() -> None:
    soon = {name for some in STANDING.values() for name in some}
    assert soon <= set(NAMES) and all(STANDING.values())


@pytest.mark.parametrize("name", names())
def test_every_registered_environment_is_as_its_spec_says(name: str) -> None:
    """By tracing alone: shapes, types, no retracing."""
    env = jmarl_envs.make(name)
    findings = [what for rule in spec_rules.RULES for what in rule(env.spec)]
    traced = shape_rules.trace(env)
    assert not findings + [what for rule in shape_rules.RULES for what in rule(traced)]


@pytest.mark.parametrize("name", names(later=ELSEWHERE))
def test_every_registered_environment_keeps_the_contract(name: str) -> None:
    env = jmarl_envs.make(name)
    trial = Trial(env, episodes=3)
    check(env, trial=trial)

    @settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow])
    @given(seed=st.integers(0, 2**32 - 1))
    def under_any_key(seed: int) -> None:
        assert not behaviour(trial.record(jax.random.key(seed)))

    under_any_key()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mpe/simple_speaker_listener", {"actions": "box"}),
        ("mpe/simple_spread", {"local_ratio": 0.0}),
        ("toy/parts", {"actions": "simplex"}),
        ("toy/echo", {"entities": False, "truncated": True}),
        ("toy/cue", {"horizon": 3}),
        ("toy/clock", {"terminates": True}),
    ],
)
def test_options_keep_the_contract(name: str, options: dict[str, Any]) -> None:
    check(jmarl_envs.make(name, **options), episodes=3)
