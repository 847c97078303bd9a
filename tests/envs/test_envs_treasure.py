"""What happens in Cooperative Treasure Collection, worked by hand, and its laws."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maac_play import CHASING, CTC, played, world

from jmarl_envs.particle.treasure import FREE, GONE, TreasureCollection, Treasures
from jmarl_envs.particle.world import Particles
from jmarl_envs.scene import WALL, Circle, colour

HASTE = {"xla_backend_optimization_level": 0}  # these programs compile longer than they run


def test_treasures_are_gone_for_one_step() -> None:
    """And come back within the field, of either kind; those that stay do not change."""
    states, out = played(CTC, CHASING, 512)
    found = states.extra
    earlier = jax.tree.map(lambda leaf: leaf[:, :-1], found)
    later = jax.tree.map(lambda leaf: leaf[:, 1:], found)
    assert later.there[~earlier.there].all()
    np.testing.assert_array_equal((~later.there).sum(-1), out.info["collected"][:, :-1])
    assert (found.pos[~found.there] == GONE).all()
    kept = earlier.there & later.there
    np.testing.assert_array_equal(earlier.pos[kept], later.pos[kept])
    np.testing.assert_array_equal(earlier.kind[earlier.there], later.kind[earlier.there])
    places, kinds = later.pos[~earlier.there], later.kind[~earlier.there]
    assert len(places) > 10_000
    assert np.abs(places).max() <= 0.95 < np.abs(places).max() + 0.001
    assert np.abs(places.mean(0)).max() < 0.02  # the standard error is 0.005
    assert set(kinds) == {0, 1}
    assert abs(kinds.mean() - 0.5) < 0.02


def test_hands_change_by_taking_and_bringing_alone() -> None:
    states, out = played(CTC, CHASING, 512)
    held, pos, found = states.extra.held, states.pos[:, 1:], states.extra
    filled = (held[:, :-1] == FREE) & (held[:, 1:] != FREE)
    emptied = (held[:, :-1] != FREE) & (held[:, 1:] == FREE)
    changed = held[:, :-1] != held[:, 1:]
    np.testing.assert_array_equal(changed, filled | emptied)
    home = np.linalg.norm(pos[:, :, :6, None] - pos[:, :, None, 6:], axis=-1)
    kind = np.maximum(held[:, :-1], 0)[..., None]
    near = np.take_along_axis(home, kind, -1)[..., 0] < 0.125
    carried = held[:, :-1] != FREE
    np.testing.assert_array_equal(emptied, carried & near)
    for which in (0, 1):  # no more bearers of a kind than treasures of it that went
        went = (found.there[:, :-1] & ~found.there[:, 1:]) & (found.kind[:, :-1] == which)
        assert ((filled & (held[:, 1:] == which)).sum(-1) <= went.sum(-1)).all()
    through = out.info["collected"][:, :-1] - filled.sum(-1)  # taken and brought at once
    np.testing.assert_array_equal(out.info["delivered"][:, :-1], emptied.sum(-1) + through)
    assert through.min() == 0
    assert through.max() > 0


@cache
def duo(mask_dead: bool = False) -> TreasureCollection:
    return TreasureCollection(2, 2, 2, mask_dead)


def scene(
    collectors: Any,
    treasures: Any,
    kinds: Any = (0, 1),
    held: Any = (FREE, FREE),
    there: Any = (1, 1),
) -> Particles:
    """Two collectors; deposit 0 at (1, 0), deposit 1 at (0, 1); two treasures."""
    return Particles(
        pos=jnp.array([*collectors, (1.0, 0.0), (0.0, 1.0)]),
        vel=jnp.zeros((4, 2)),
        message=jnp.zeros((4, 0)),
        landmarks=jnp.zeros((0, 2)),
        goal=jnp.zeros(0, jnp.int32),
        extra=Treasures(
            pos=jnp.array(treasures, jnp.float32),
            kind=jnp.array(kinds, jnp.int32),
            there=jnp.array(there, bool),
            held=jnp.array(held, jnp.int32),
        ),
    )


@cache
def program(mask_dead: bool) -> Any:
    task = duo(mask_dead)

    def tell(state: Particles) -> Any:
        after = task.after(state, jax.random.key(0)).extra
        return task.observe(state), task.reward(state), task.measure(state), after

    return jax.jit(tell, compiler_options=HASTE)


def told(state: Particles, mask_dead: bool = False) -> Any:
    """A state's observations, rewards and metrics, and what follows."""
    return jax.tree.map(np.asarray, program(mask_dead)(state))


def counts(info: Any) -> list[int]:
    return [int(info[name]) for name in ("collected", "delivered", "collisions")]


def test_two_collectors_touch_a_treasure_and_the_first_takes_it() -> None:
    """Both touch: 2 x 5 for all. They touch each other: -5 each. Their middle is (0.03, 0)."""
    state = scene([(0.0, 0.0), (0.06, 0.0)], [(0.03, 0.0), (0.5, 0.5)])
    _, reward, info, found = told(state)
    own, second = 10 - 5 - 0.1 * 0.03, 10 - 0.1 * np.hypot(0.03, 1.0)
    np.testing.assert_allclose(reward, [own, own, 10 - 0.1 * 0.97, second], atol=1e-5)
    assert counts(info) == [1, 0, 1]
    assert found.held.tolist() == [0, FREE]
    assert found.there.tolist() == [False, True]
    assert found.pos[0].tolist() == [GONE, GONE]
    np.testing.assert_allclose(found.pos[1], [0.5, 0.5])


def test_a_collector_takes_one_treasure_and_leaves_the_next_to_another() -> None:
    """Both touch both; without touching each other they would not be near enough: three pairs."""
    places = [(0.0, 0.0), (0.04, 0.0)]
    _, _, info, found = told(scene([(0.0, 0.0), (0.05, 0.0)], places, kinds=(1, 0)))
    assert found.held.tolist() == [1, 0]
    assert counts(info) == [2, 0, 1]
    _, reward, info, found = told(scene([(0.0, 0.0), (0.5, 0.0)], places, kinds=(1, 0)))
    assert found.held.tolist() == [1, FREE]
    assert found.there.tolist() == [False, True]
    assert counts(info) == [1, 0, 0]
    np.testing.assert_allclose(reward[:2], [10.0, 10.0 - 0.046], atol=1e-5)


def test_what_is_taken_beside_its_deposit_is_brought_at_once_and_unpaid() -> None:
    state = scene([(0.9, 0.0), (-1.0, 0.0)], [(0.9, 0.05), (-1.0, 1.0)])
    _, reward, info, found = told(state)
    assert found.held.tolist() == [FREE, FREE]
    assert counts(info) == [1, 1, 0]
    np.testing.assert_allclose(reward[:2], [5 - 0.005, 5 - 0.1], atol=1e-5)
    _, _, info, found = told(scene([(0.9, 0.0), (-1.0, 0.0)], [(0.9, 0.05), (-1.0, 1.0)], (1, 1)))
    assert found.held.tolist() == [1, FREE]
    assert counts(info) == [1, 0, 0]


def test_bearers_and_their_deposits_seek_each_other() -> None:
    """Far away: a tenth of the distance. Touching: 5 for all, and the hands are empty."""
    free = [(0.5, -1.0), (-1.0, -1.0)]
    _, reward, _, found = told(scene([(0.0, 0.5), (0.0, -0.5)], free, held=(1, 0)))
    far = np.hypot(1.0, 0.5)
    np.testing.assert_allclose(reward, [-0.05, -0.1 * far, -0.1 * far, -0.05], atol=1e-6)
    assert found.held.tolist() == [1, 0]
    _, reward, info, found = told(scene([(0.0, 0.9), (0.0, -0.5)], free, held=(1, 1)))
    np.testing.assert_allclose(reward[[0, 1, 3]], [4.99, 4.85, 4.99], atol=1e-5)
    assert counts(info) == [0, 1, 0]
    assert found.held.tolist() == [FREE, 1]


def test_observations_list_the_nearest_first_and_equals_by_index() -> None:
    """Collector 1 and deposit 0 are as near to collector 0 as both treasures to each other."""
    state = scene([(0.5, 0.0), (0.5, 0.5)], [(0.25, 0.0), (0.75, 0.0)], (1, 0), held=(FREE, 1))
    state = state.replace(vel=jnp.array([(0.1, 0.2), (0.3, 0.4), (0.5, 0.6), (0.7, 0.8)]))
    obs = np.asarray(told(state)[0])
    other = [0.0, 0.5, 0.3, 0.4, 0, 0, 0, 1]  # holds kind 1
    deposits = [[0.5, 0.0, 0.5, 0.6, 1, 0, 0, 0], [-0.5, 1.0, 0.7, 0.8, 0, 1, 0, 0]]
    treasures = [[-0.25, 0.0, 0, 1], [0.25, 0.0, 1, 0]]
    own = [0.5, 0.0, 0.1, 0.2, 0, 0]
    expected = np.concatenate([own, other, *deposits, *treasures])
    np.testing.assert_allclose(obs[0], expected, atol=1e-6)
    first = [-0.5, 0.0, 0.1, 0.2, 0, 0, 0, 0]  # deposit 0 sees: no hands of its own, padded
    np.testing.assert_allclose(obs[2, :12], [1.0, 0.0, 0.5, 0.6, *first], atol=1e-6)
    assert not obs[2, -2:].any()


@pytest.mark.parametrize("mask_dead", [False, True])
def test_the_gone_lie_far_away_or_are_masked(mask_dead: bool) -> None:
    collectors, gone = [(0.0, 0.0), (0.5, 0.0)], (GONE, GONE)
    state = scene(collectors, [gone, (0.0, 0.5)], (1, 0), there=(0, 1))
    obs, reward, _, found = told(state, mask_dead)
    last = [0, 0, 0, 0] if mask_dead else [GONE, GONE, 0, 1]
    np.testing.assert_allclose(obs[0, -8:], [0.0, 0.5, 1, 0, *last], atol=1e-3)
    np.testing.assert_allclose(reward[0], -0.05, atol=1e-5)
    assert found.there.tolist() == [True, True]  # it comes back
    obs, reward, _, _ = told(scene(collectors, [gone, gone], there=(0, 0)), mask_dead)
    away = 0.0 if mask_dead else 0.1 * np.hypot(GONE, GONE)
    np.testing.assert_allclose(reward[0], -away, rtol=1e-5)
    assert np.abs(obs[2, 28:34]).max() <= (0 if mask_dead else 2000)


@cache
def seen() -> Any:
    task = world(CTC).scenario
    return jax.jit(jax.vmap(lambda s: (task.observe(s), task.reward(s), task.features(s))))


@given(st.permutations(range(6)), st.permutations(range(6)))
@settings(max_examples=20)
def test_permuted_collectors_see_and_earn_the_same(team: list[int], treasures: list[int]) -> None:
    states = jax.tree.map(lambda leaf: leaf[:, 50], played(CTC, CHASING, 512)[0])
    told_apart = (~states.extra.there).sum(-1) < 2  # two that are gone lie in the same place
    states = jax.tree.map(lambda leaf: leaf[told_apart][:64], states)
    rows, own, loot = np.array([*team, 6, 7]), np.array(team), np.array(treasures)
    found = states.extra
    swapped = states.replace(
        pos=states.pos[:, rows],
        vel=states.vel[:, rows],
        extra=Treasures(
            pos=found.pos[:, loot],
            kind=found.kind[:, loot],
            there=found.there[:, loot],
            held=found.held[:, own],
        ),
    )
    obs, reward, _ = map(np.asarray, seen()(states))
    other_obs, other_reward, _ = map(np.asarray, seen()(swapped))
    np.testing.assert_array_equal(other_obs, obs[:, rows])
    np.testing.assert_allclose(other_reward, reward[:, rows], atol=1e-5)


def test_the_state_tells_all_and_is_of_ordinary_size() -> None:
    """Treasures (place, kind, there), then what is held; the gone are zeros."""
    states = jax.tree.map(lambda leaf: leaf[:64, 50], played(CTC, CHASING, 512)[0])
    found, features = states.extra, np.asarray(seen()(states)[2])
    assert not found.there.all()
    rows = features[:, :30].reshape(-1, 6, 5)
    there = found.there[..., None]
    np.testing.assert_array_equal(rows[..., :2], np.where(there, found.pos, 0))
    np.testing.assert_array_equal(rows[..., 2:4], (found.kind[..., None] == [0, 1]) & there)
    np.testing.assert_array_equal(rows[..., 4:], there)
    held = features[:, 30:].reshape(-1, 6, 2)
    np.testing.assert_array_equal(held, found.held[..., None] == [0, 1])


def test_entities_tell_what_the_state_tells() -> None:
    """Which it is, its kind, place, speed; the gone are absent."""
    states = jax.tree.map(lambda leaf: leaf[:64, 50], played(CTC, CHASING, 512)[0])
    entities = jax.jit(jax.vmap(world(CTC).scenario.entities))(states)
    found = states.extra
    np.testing.assert_array_equal(entities.absent, np.pad(~found.there, ((0, 0), (8, 0))))
    assert entities.absent.any()
    hidden = np.broadcast_to(entities.absent[:, None], (64, 8, 14))
    np.testing.assert_array_equal(entities.hidden, hidden)
    what, kind, place, speed = np.split(np.asarray(entities.features), [3, 5, 7], axis=-1)
    bodies, loot = slice(0, 8), np.where(found.there[..., None], found.pos, 0)
    np.testing.assert_array_equal(place, np.concatenate([states.pos, loot], 1))
    np.testing.assert_array_equal(speed[:, bodies], states.vel)
    assert not speed[:, 8:].any()
    np.testing.assert_array_equal(what[0, bodies], np.repeat(np.eye(3)[:2], (6, 2), 0))
    np.testing.assert_array_equal(what[:, 8:, 2], found.there)
    np.testing.assert_array_equal(kind[:, :6], found.held[..., None] == [0, 1])
    np.testing.assert_array_equal(kind[0, 6:8], np.eye(2))
    bright = found.there[..., None] & (found.kind[..., None] == [0, 1])
    np.testing.assert_array_equal(kind[:, 8:], bright)


def test_episodes_open_with_empty_hands_and_scattered_treasures() -> None:
    made = world(CTC)
    keys = jax.random.split(jax.random.key(2), 2048)
    states, _ = jax.jit(jax.vmap(made.reset), compiler_options=HASTE)(keys)
    pos, found = np.asarray(states.pos), jax.tree.map(np.asarray, states.extra)
    for places, most in ((pos, 1.0), (found.pos, 0.95)):
        assert most - 0.001 < np.abs(places).max() <= most
        np.testing.assert_allclose((places**2).mean((0, 1)), most**2 / 3, atol=0.02)
    assert found.there.all()
    assert (found.held == FREE).all()
    assert not np.asarray(states.vel).any()
    assert set(found.kind.flat) == {0, 1}
    assert abs(found.kind.mean() - 0.5) < 0.02
    steps = [
        np.corrcoef(found.pos[:, 0, 0], other)[0, 1] for other in (pos[:, 0, 0], found.kind[:, 0])
    ]
    assert np.abs(steps).max() < 0.1  # drawn apart; the standard error is 0.02


def test_pictures_show_what_is_carried_and_what_there_is() -> None:
    """Collector 0 carries kind 1, collector 1 nothing; treasure 0 is gone."""
    places = [(GONE, GONE), (0.5, 0.5)]
    state = scene([(0.0, 0.5), (0.0, -0.5)], places, held=(1, FREE), there=(0, 1))
    shapes = duo().draw(jax.tree.map(np.asarray, state)).shapes
    fills = {(disc.x, disc.y): disc.fill for disc in shapes if isinstance(disc, Circle)}
    assert fills == {
        (0.0, 0.5): colour(1),
        (0.0, -0.5): WALL,
        (1.0, 0.0): colour(0),
        (0.0, 1.0): colour(1),
        (0.5, 0.5): colour(1),
    }
