"""The recorded returns of random play beside what the specifications measured."""

import re

import numpy as np
import pytest

import jmarl_envs

EPISODES = 64  # of each figure below, in jaxmarl's scale, told with two digits
SMAX = {
    "3m": 0.18,
    "2s3z": 0.20,
    "3s5z": 0.19,
    "8m": 0.18,
    "5m_vs_6m": 0.14,
    "10m_vs_11m": 0.16,
    "3s_vs_5z": 0.22,
    "6h_vs_8z": 0.32,
    "3s5z_vs_3s6z": 0.17,
    "smacv2_5_units": 0.26,
    "smacv2_10_units": 0.30,
}


@pytest.mark.parametrize("task", SMAX)
def test_random_battles_earn_what_was_measured(task: str) -> None:
    listing = jmarl_envs.listings()[f"smax/{task}"]
    ((_, mean, error),) = listing.random_return
    found = re.search(r"and (\d+) episodes", listing.measured)
    assert found is not None
    deviation = error * np.sqrt(int(found[1]))
    allowed = 3 * np.hypot(error, deviation / np.sqrt(EPISODES)) + 0.05  # and the rounding
    assert abs(mean - 10 * SMAX[task]) < allowed


def test_every_environment_of_ours_has_been_measured() -> None:
    listings = jmarl_envs.listings().values()
    assert not [listing.name for listing in listings if not listing.random_return]
