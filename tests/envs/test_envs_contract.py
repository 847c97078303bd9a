"""Every environment there is keeps the contract."""

from typing import Any

import pytest

import jmarl_envs
from jmarl_envs import check

# other sizes of simple_facmac, whose numbers test_envs_mpe.py compares
NAMES = [name for name in jmarl_envs.names() if not name.startswith("mpe/simple_facmac_")]


@pytest.mark.parametrize("name", NAMES)
def test_every_registered_environment_keeps_the_contract(name: str) -> None:
    check(jmarl_envs.make(name))


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
