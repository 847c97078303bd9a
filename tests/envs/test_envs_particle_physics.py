"""Contacts in the particle world: numbers by hand, a loop over pairs, momentum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmarl_envs.particle.physics import bodies, contacts, gains, move, off_diagonal

HASTE = {"xla_backend_optimization_level": 0}  # these programs compile longer than they run


def test_a_full_action_has_a_force() -> None:
    """The acceleration, or 5 where none is set; the fork's: mass x acceleration squared, 5 mass."""
    facts = bodies([0.1] * 3, [False] * 3, [True, True, False], [1.5, 0, 1.5], mass=[2.0, 4.0, 1.0])
    np.testing.assert_array_equal(gains(facts, "openai"), [1.5, 5, 0])
    np.testing.assert_array_equal(gains(facts, "pettingzoo"), [1.5, 5, 0])
    np.testing.assert_array_equal(gains(facts, "maac"), [4.5, 20, 0])


def test_contact_is_a_soft_spring() -> None:
    """At the touching distance 100 x 0.001 x ln 2; 0.1 deep 100 x 0.1; apart nothing."""
    pair = bodies([0.15, 0.15], [True, True], [True, True])
    for distance, size in ((0.3, 0.1 * np.log(2)), (0.2, 10.0), (0.5, 0.0)):
        pos = jnp.array([[0, 0], [0.6, 0.8]]) * distance
        force = contacts(pair, "openai", pos, jnp.zeros((0, 2)))
        pushed = size * np.array([[-0.6, -0.8], [0.6, 0.8]])
        np.testing.assert_allclose(force, pushed, rtol=1e-3, atol=1e-6)


def test_the_fork_weighs_contacts_by_masses() -> None:
    """The other's mass over one's own; the immovable push, but are not pushed."""
    pair = bodies([0.15] * 2, [True] * 2, [True] * 2, mass=[1.0, 4.0])
    pos = jnp.array([[0.0, 0], [0.2, 0]])
    force = contacts(pair, "maac", pos, jnp.zeros((0, 2)))
    np.testing.assert_allclose(force, [[-40, 0], [2.5, 0]], rtol=1e-5)
    wall = bodies([0.15] * 3, [True] * 3, [True, False])
    lined_up = jnp.array([[0.0, 0], [-0.2, 0]])
    force = contacts(wall, "openai", lined_up, jnp.array([[0.25, 0]]))
    np.testing.assert_allclose(force, [[10 - 5, 0], [0, 0]], atol=1e-4)


def test_one_place_for_two_is_no_force() -> None:
    pair = bodies([0.15] * 2, [True] * 2, [True] * 2)
    force = contacts(pair, "openai", jnp.zeros((2, 2)), jnp.zeros((0, 2)))
    np.testing.assert_array_equal(force, np.zeros((2, 2)))


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_contacts_are_those_of_all_pairs(count: int) -> None:
    """Against a loop over pairs, each body with its own radius; some do not collide or move."""
    rng, walls = np.random.default_rng(count), count % 3
    facts = bodies(
        radius=list(rng.uniform(0.05, 0.4, count + walls)),
        collides=list(rng.random(count + walls) < 0.8),
        movable=list(rng.random(count) < 0.8),
    )
    places = rng.uniform(-0.5, 0.5, (8, count + walls, 2))
    with jax.enable_x64(True):
        force = jax.vmap(lambda places: contacts(facts, "openai", places[:count], places[count:]))
        found = jax.jit(force, compiler_options=HASTE)(places)
    expected = np.zeros((8, count, 2))
    for index, a, b in np.ndindex(8, count, count + walls):
        offset = places[index, a] - places[index, b]
        distance = np.linalg.norm(offset)
        if a != b and facts.collides[a] and facts.collides[b] and facts.movable[a]:
            depth = facts.radius[a] + facts.radius[b] - distance
            size = 100 * 1e-3 * np.logaddexp(0, depth / 1e-3)
            expected[index, a] += size * offset / distance
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", [2, 5])
def test_contacts_keep_momentum(count: int) -> None:
    """Without actions a quarter of all momentum is lost, whoever touches whom."""
    facts = bodies([0.15] * count, [True] * count, [True] * count)
    pos, vel = np.random.default_rng(0).uniform(-0.3, 0.3, (2, 64, count, 2))
    with jax.enable_x64(True):
        none, nowhere = jnp.zeros((count, 2)), jnp.zeros((0, 2))
        drift = jax.vmap(lambda pos, vel: move(facts, "openai", pos, vel, nowhere, none)[1])
        after = np.asarray(jax.jit(drift, compiler_options=HASTE)(pos, vel))
    touched = np.abs(after - 0.75 * vel).max((1, 2)) > 1e-3
    assert touched.mean() > 0.2
    np.testing.assert_allclose(after.sum(1), 0.75 * vel.sum(1), atol=1e-12)


def test_off_diagonal_leaves_out_oneself() -> None:
    table = jnp.arange(9).reshape(3, 3)
    np.testing.assert_array_equal(off_diagonal(table), [[1, 2], [3, 5], [6, 7]])
    assert off_diagonal(jnp.zeros((1, 1, 2))).shape == (1, 0, 2)
