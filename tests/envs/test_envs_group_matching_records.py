"""Group Matching against episodes recorded from the official code, and levels measured with it."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from group_matching import CALM, Sizes, ints, matching

from jmarl.types import View
from jmarl_envs.time_limit import Timed

STAY = 1

# Recorded episodes


def sizes_of(record: Any) -> Sizes:
    """From the entities' three ones: cell c, S + group g, S + G + index."""
    n, width = record["init_entities"].shape[1:]
    ones = np.argwhere(record["init_entities"][0])[:, 1].reshape(n, 3)
    cells = ones[0, 1] - record["group"][0, 0]
    return Sizes(n, int(cells), int(width - cells - n))


def before(record: Any, name: str, opening: str) -> np.ndarray:
    """What stood before each step [E, T, ...]."""
    return np.concatenate([record[opening][:, None], record[name][:, :-1]], 1)


@pytest.mark.traces
def test_every_recorded_step_is_repeated_exactly(data_dir: Path) -> None:
    paths = sorted((data_dir / "traces").glob("refil_group_matching_*.npz"))
    assert paths
    for path in paths:
        with np.load(path) as record:
            replay(record)


def replay(record: Any) -> None:
    """Each step by itself, from the recorded state before it, with the actions executed."""
    sizes, steps = sizes_of(record), record["action"].shape[1]
    cut = record["episode_limit"].any(0)  # [T] a record that ends earlier holds none
    limit = int(cut.argmax()) + 1 if cut.any() else steps + 1
    env, bare = matching(**sizes._asdict(), **CALM, episode_limit=limit)
    live = record["valid"]
    cell = ints(before(record, "cell", "init_cell")[live])
    group = ints(np.repeat(record["group"][:, None], steps, 1)[live])
    time = ints(np.tile(np.arange(steps), (len(live), 1))[live])
    earlier = jax.vmap(bare.ring)(cell, group)
    np.testing.assert_array_equal(earlier.gathered, before(record, "matches", "init_matches")[live])
    keys = jax.random.split(jax.random.key(0), len(time))
    action = ints(record["effective_action"][live])
    after, out = jax.jit(jax.vmap(env.step))(Timed(earlier, time), action, keys)
    np.testing.assert_array_equal(after.inner.cell, record["cell"][live])
    np.testing.assert_array_equal(after.inner.gathered, record["matches"][live])
    for agent in range(sizes.num_agents):
        np.testing.assert_allclose(out.reward[:, agent], record["reward"][live], atol=1e-6)
    solved = record["solved"][live]
    np.testing.assert_array_equal(out.terminated, solved)
    np.testing.assert_array_equal(out.info["solved_rate"], solved)
    np.testing.assert_array_equal(out.truncated, record["episode_limit"][live] & ~solved)
    np.testing.assert_array_equal(out.terminated | out.truncated, record["done"][live])
    entities = out.view.entities
    np.testing.assert_array_equal(entities.features, record["entities"][live])
    masks = np.repeat(record["gt_mask"][:, None], steps, 1)[live]
    np.testing.assert_array_equal(entities.outside, masks.astype(bool))
    assert not entities.hidden.any()
    assert not entities.absent.any()
    opening = jax.vmap(bare.view)(
        jax.vmap(bare.ring)(ints(record["init_cell"]), ints(record["group"]))
    )
    assert opening.entities is not None
    np.testing.assert_array_equal(opening.entities.features, record["init_entities"])
    np.testing.assert_array_equal(opening.entities.hidden, record["init_obs_mask"].astype(bool))
    np.testing.assert_array_equal(opening.entities.absent, record["init_entity_mask"].astype(bool))


# Published levels


def controller(view: View, sizes: Sizes) -> jax.Array:
    """Each group to the cell that is nearest for its farthest member, then in sum; ties: lowest."""
    assert view.entities is not None
    cell = view.entities.features[:, : sizes.num_cells].argmax(-1)
    same = ~jnp.asarray(view.entities.outside)
    ahead = (jnp.arange(sizes.num_cells)[:, None] - cell) % sizes.num_cells  # [S, A] to the right
    way = jnp.minimum(ahead, sizes.num_cells - ahead)
    mine = jnp.where(same, way[:, None], 0)  # [S, A, A]
    goal = (mine.max(-1) * way.size * sizes.num_cells + mine.sum(-1)).argmin(0)
    right = (goal - cell) % sizes.num_cells
    step = jnp.where(right <= sizes.num_cells - right, 2, 0)
    return jnp.where(right == 0, STAY, step).astype(jnp.int32)


POLICIES: dict[str, Any] = {
    "random": lambda view, key: jax.random.randint(key, view.alive.shape, 0, 3, jnp.int32),
    "stay": lambda view, key: jnp.full(view.alive.shape, STAY, jnp.int32),
    "controller": lambda view, key: controller(view, Sizes(8, 6, 2)),
}
EPISODES = 4096


@pytest.fixture(scope="module")
def levels() -> Any:
    """By policy: returns, lengths and whether solved [N], of the paper's game."""
    return {name: play(policy) for name, policy in POLICIES.items()}


def play(policy: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    env, _ = matching()

    def step(carry: Any, key: jax.Array) -> Any:
        state, view, live = carry
        act_key, step_key = jax.random.split(key)
        state, out = env.step(state, policy(view, act_key), step_key)
        over = out.terminated | out.truncated
        return (state, out.view, live & ~over), (out.reward[0] * live, live, out.terminated & live)

    def episode(key: jax.Array) -> Any:
        reset_key, run_key = jax.random.split(key)
        opening = (*env.reset(reset_key), jnp.ones((), bool))
        _, told = jax.lax.scan(step, opening, jax.random.split(run_key, 50))
        return jax.tree.map(lambda leaf: leaf.sum(0), told)

    found = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(5), EPISODES))
    earned, length, solved = (np.asarray(leaf, np.float64) for leaf in found)
    return earned, length, solved


def close(found: np.ndarray, anchor: float, deviation: float, episodes: int) -> bool:
    """Within three standard errors of both measurements."""
    error = np.hypot(found.std() / np.sqrt(found.size), deviation / np.sqrt(episodes))
    return bool(abs(found.mean() - anchor) < 3 * error)


def test_random_play_earns_what_the_official_code_was_measured_to(levels: Any) -> None:
    earned, _, solved = levels["random"]
    assert close(earned, -4.98, 0.77, 4000)
    assert close(earned, -5.00, 0.77, 3000)
    assert abs(earned.std() - 0.77) < 0.1
    for rate, episodes in ((0.0015, 4000), (0.0007, 3000)):
        assert close(solved, rate, np.sqrt(rate), episodes)


def test_staying_earns_no_more(levels: Any) -> None:
    earned, _, solved = levels["stay"]
    assert close(earned, -5.0, earned.std(), 4000)
    assert solved.mean() < 0.01


def test_the_scripted_controller_earns_what_it_did_in_the_official_code(levels: Any) -> None:
    earned, length, solved = levels["controller"]
    assert close(earned, 3.62, 1.25, 4000)
    assert abs(earned.std() - 1.25) < 0.05
    assert close(length, 2.92, length.std(), 4000)
    assert solved.all()
