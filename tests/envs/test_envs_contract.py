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
# The same code with other tables as those that stand here, or slow to compile and stepped in tests
# of its own; `make test-slow` looks at all of them.
ONE_OF_MANY = {
    "jaxnav/": (),
    "jumanji/mmst": (),
    "lbf/": (),
    "mpe/simple_facmac_": (),
    "overcooked/": ("overcooked/cramped_room",),
    "overcooked_v2/": ("overcooked_v2/cramped_room",),
    "rware/": (),
    "smax/": ("smax/3m", "smax/3-8sz"),
    "storm/": ("storm/storm_2p",),
}


def marked(name: str) -> Any:
    """The environment as a parameter, slow where another of its kind stands for it."""
    chosen = [some for start, some in ONE_OF_MANY.items() if name.startswith(start)]
    slow = bool(chosen) and name not in chosen[0]
    return pytest.param(name, marks=pytest.mark.slow if slow else ())


@pytest.mark.parametrize("name", NAMES)
def test_every_registered_environment_is_as_its_spec_says(name: str) -> None:
    """By tracing alone: shapes, types, no retracing."""
    env = jmarl_envs.make(name)
    findings = [what for rule in spec_rules.RULES for what in rule(env.spec)]
    traced = shape_rules.trace(env)
    assert not findings + [what for rule in shape_rules.RULES for what in rule(traced)]


@pytest.mark.parametrize("name", [marked(name) for name in NAMES])
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
