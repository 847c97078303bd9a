"""Names, options and what is told without making anything."""

import re
import subprocess
import sys
from typing import Any, Literal

import numpy as np
import pytest

import jmarl_envs
from jmarl_envs import registry
from jmarl_envs.catalogue import Count, Option, options_of
from jmarl_envs.toys.clock import clock


@pytest.fixture(autouse=True)
def nothing_stays_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_OUTSIDE", {})


def test_every_name_is_listed_with_facts_that_are_true() -> None:
    listings = jmarl_envs.listings()
    assert list(listings) == list(jmarl_envs.names())
    for name, listing in listings.items():
        if listing.missing:  # its package is not installed
            continue
        facts = registry.spec_facts(jmarl_envs.make(name).spec)
        del facts["action_kinds"]
        assert {key: getattr(listing, key) for key in facts} == facts
        assert [team for team, _, _ in listing.random_return] == list(listing.team_names)
        assert ("entities" in listing.lacks) == (listing.num_entities == 0)
        assert listing.name == name
        assert listing.summary
        assert listing.reward


def test_a_listing_tells_kinds_options_and_defects() -> None:
    crypto = jmarl_envs.listings()["mpe/simple_crypto"]
    assert crypto.action_kinds == ("discrete", "simplex", "box")
    assert any("255" in defect for defect in crypto.defects)
    assert ("episode_limit", "25", "an integer of at least 1") in crypto.options
    assert "MPE_simple_crypto_v3" in crypto.aliases
    assert jmarl_envs.listings()["toy/reach"].action_kinds == ("box",)
    assert any("prey" in defect for defect in jmarl_envs.listings()["mpe/simple_facmac_9a"].defects)


def test_recorded_random_returns_agree_with_the_theory() -> None:
    listings = jmarl_envs.listings()
    for name, expected in (("toy/echo", 1 / 9), ("toy/cue", 1 / 3), ("toy/reach", -10 / 3)):
        [(_, mean, error)] = listings[name].random_return
        assert abs(mean - expected) < 3 * error


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mpe/simple_spred", "mpe/simple_spread"),
        ("spread", "mpe/simple_spread"),
        ("MPE_simple_spread_v2", "MPE_simple_spread_v3"),
        ("toy/ech", "toy/echo"),
    ],
)
def test_an_unknown_name_gets_a_hint_in_one_line(name: str, hint: str) -> None:
    expected = (
        f"no environment is named '{name}'; did you mean '{hint}'? (`jmarl envs` lists them all)"
    )
    with pytest.raises(jmarl_envs.UnknownName, match=re.escape(expected)) as raised:
        jmarl_envs.make(name)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        (
            "mpe/simple_spread",
            {"num_agent": 3},
            "mpe/simple_spread has no option 'num_agent'; did you mean 'num_agents'? "
            "(allowed: actions, episode_limit, num_agents, num_landmarks, local_ratio)",
        ),
        (
            "toy/clock",
            {"zzz": 1},
            "toy/clock has no option 'zzz' (allowed: num_agents, episode_limit, terminates)",
        ),
        (
            "mpe/simple_spread",
            {"episode_limit": 0},
            "mpe/simple_spread: episode_limit must be an integer of at least 1, not 0",
        ),
        (
            "mpe/simple_tag",
            {"actions": "boxes"},
            "mpe/simple_tag: actions must be one of 'discrete', 'simplex', 'box', not 'boxes'",
        ),
        (
            "mpe/simple_spread",
            {"local_ratio": 1.5},
            "mpe/simple_spread: local_ratio must be a number from 0 to 1, not 1.5",
        ),
        (
            "toy/echo",
            {"num_agents": True},
            "toy/echo: num_agents must be an integer of at least 1, not True",
        ),
        ("toy/echo", {"truncated": 1}, "toy/echo: truncated must be True or False, not 1"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(
    name: str, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ValueError) as raised:
        jmarl_envs.make(name, **options)
    assert str(raised.value) == expected


def test_numpy_numbers_are_numbers() -> None:
    assert jmarl_envs.make("toy/clock", episode_limit=np.int64(3)).spec.episode_limit == 3
    assert Option(0.5, least=0.0).accepts(np.float32(0.1))


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_numbers_are_finite(number: float) -> None:
    assert not Option(0.5).accepts(number)


def test_the_librarys_ids_are_accepted() -> None:
    assert (
        jmarl_envs.make("MPE_simple_speaker_listener_v4").spec.name == "mpe/simple_speaker_listener"
    )


def test_an_environment_may_be_registered_from_outside() -> None:
    def factory(num_agents: Count = 2, mode: Literal["a", "b"] = "a") -> Any:
        return clock(num_agents=num_agents)

    told = jmarl_envs.Listing(summary="a clock", reward="1 a step")
    jmarl_envs.register("mine/clock", factory, listing=told)
    assert jmarl_envs.make("mine/clock", num_agents=3).spec.num_agents == 3
    assert "mine/clock" in jmarl_envs.names()
    listing = jmarl_envs.listings()["mine/clock"]
    assert (listing.summary, listing.agents) == ("a clock", ("agent_0", "agent_1"))
    assert listing.random_return == ()
    with pytest.raises(jmarl_envs.BadOption, match="mode must be one of 'a', 'b', not 'c'"):
        jmarl_envs.make("mine/clock", mode="c")
    with pytest.raises(ValueError, match="an environment named 'mine/clock' already"):
        jmarl_envs.register("mine/clock", factory)
    with pytest.raises(ValueError, match="named suite/task, not 'clock'"):
        jmarl_envs.register("clock", factory)


def test_one_that_cannot_be_made_does_not_hide_the_others() -> None:
    def factory(**anything: Any) -> Any:
        raise ImportError("no such library")

    jmarl_envs.register("mine/broken", factory)
    listings = jmarl_envs.listings()
    assert listings["mine/broken"].defects == ("cannot be made: no such library",)
    assert listings["toy/echo"].agents


def test_other_packages_may_offer_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "theirs/clock"

        def load(self) -> Any:
            return clock

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point()])
    registry._installed.cache_clear()
    try:
        assert jmarl_envs.make("theirs/clock", episode_limit=2).spec.episode_limit == 2
        with pytest.raises(jmarl_envs.UnknownName, match="theirs/clock has no option 'speed'"):
            jmarl_envs.make("theirs/clock", speed=2)
    finally:
        registry._installed.cache_clear()


def test_options_are_read_off_a_signature() -> None:
    assert options_of(clock) == {
        "num_agents": Option(2, least=1),
        "episode_limit": Option(10, least=1),
        "terminates": Option(False),
    }
    assert options_of(lambda **anything: clock()) is None


SCRIPT = """
import sys
import jmarl_envs
jmarl_envs.listings()
assert "jaxmarl" not in sys.modules
streams = sys.stdout, sys.stderr, sys.__stdout__
jmarl_envs.make("mpe/simple")
assert "jaxmarl" in sys.modules
assert streams == (sys.stdout, sys.stderr, sys.__stdout__)
"""


def test_a_library_is_imported_when_needed_and_in_silence() -> None:
    paths = [path for path in sys.path if path]
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path += {paths}\n{SCRIPT}"],
        capture_output=True,
        text=True,
    )
    assert (result.stdout, result.stderr, result.returncode) == ("", "", 0)
