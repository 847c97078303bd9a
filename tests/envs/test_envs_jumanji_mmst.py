"""Spanning trees beside jumanji's own, whose observation is the first agent's alone."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmarl_envs
from jmarl_envs import raster
from jmarl_envs.catalogue import BadOption

HASTE = {"xla_backend_optimization_level": 0}  # these programs compile longer than they run
AGENTS, NODES, LIMIT, EPISODES = 2, 36, 60, 8


@pytest.fixture(scope="module")
def played() -> Any:
    """[N, T, ...]: whether jumanji's episode goes on, our state and outcome, its timestep."""
    env: Any = jmarl_envs.make(
        "jumanji/mmst", num_agents=AGENTS, num_nodes_per_agent=2, episode_limit=LIMIT
    )
    entry = jmarl_envs.entry("MMST-v0")
    assert entry.name == "jumanji/mmst"
    assert entry.peer is not None
    make: Any = entry.peer.make
    lib = make(num_agents=AGENTS, num_nodes_per_agent=2, time_limit=LIMIT)

    def step(carry: Any, key: jax.Array) -> Any:
        ours, view, theirs, live = carry
        action = jmarl_envs.random_actions(env.spec, view.available, key)
        ours, out = env.step(ours, action, key)
        theirs, ts = lib.step(theirs, action)
        state = ours.inner.replace(key=jax.random.key_data(ours.inner.key))
        return (ours, out.view, theirs, live & ~ts.last()), (live, state, out, ts)

    def episode(key: jax.Array) -> Any:
        reset_key, run_key = jax.random.split(key)
        (ours, view), (theirs, _) = env.reset(reset_key), lib.reset(reset_key)
        carry = ours, view, theirs, jnp.ones((), bool)
        return jax.lax.scan(step, carry, jax.random.split(run_key, LIMIT))[1]

    run = jax.jit(jax.vmap(episode), compiler_options=HASTE)
    return env, *jax.tree.map(np.asarray, run(jax.random.split(jax.random.key(0), EPISODES)))


def test_the_first_agent_sees_what_the_library_shows(played: Any) -> None:
    _, live, _, out, ts = played
    facts = out.view.obs[:, :, 0, : 3 * NODES * AGENTS].reshape(EPISODES, LIMIT, AGENTS, 3, NODES)
    labels = np.full((EPISODES, LIMIT, NODES), -1)
    for agent in range(AGENTS):
        labels = np.where(facts[:, :, agent, 1] == 1, 2 * agent + 1, labels)  # wants it
    for agent in range(AGENTS):
        labels = np.where(facts[:, :, agent, 0] == 1, 2 * agent, labels)  # has it
    np.testing.assert_array_equal(labels[live], ts.observation.node_types[live])
    places = facts[:, :, :, 2].argmax(-1)
    np.testing.assert_array_equal(places[live], ts.observation.positions[live])
    edges = ts.observation.adj_matrix[..., *np.triu_indices(NODES, 1)]
    np.testing.assert_array_equal(out.view.obs[:, :, 0, 3 * NODES * AGENTS :][live], edges[live])


def test_each_agent_comes_first_in_what_it_sees(played: Any) -> None:
    env, _, _, out, _ = played
    facts = out.view.obs[..., : 3 * NODES * AGENTS].reshape(EPISODES, LIMIT, AGENTS, AGENTS, -1)
    rows = out.view.state[..., : 3 * NODES * AGENTS].reshape(EPISODES, LIMIT, AGENTS, -1)
    assert env.spec.agent_features == (AGENTS, 3 * NODES)
    np.testing.assert_array_equal(facts[:, :, 0], rows)
    np.testing.assert_array_equal(facts[:, :, 1], rows[:, :, ::-1])


def test_rewards_masks_and_endings_are_the_librarys_but_time_is_no_true_ending(played: Any) -> None:
    _, live, state, out, ts = played
    np.testing.assert_array_equal(out.reward[live], np.stack([ts.reward] * AGENTS, -1)[live])
    some = ts.observation.action_mask.any(-1, keepdims=True)
    mask = np.where(
        some, ts.observation.action_mask, np.arange(NODES) == state.positions[..., None]
    )
    np.testing.assert_array_equal(out.view.available[live], mask[live])
    np.testing.assert_array_equal(out.view.alive, ~state.finished_agents)
    last = ts.step_type == 2
    np.testing.assert_array_equal((out.terminated | out.truncated)[live], last[live])
    np.testing.assert_array_equal(out.terminated[live], state.finished_agents.all(-1)[live])
    assert out.terminated[live].any()
    assert out.truncated[live].any()
    assert not out.truncated[:, : LIMIT - 1].any()
    solved = out.info["connected_share"] == 1
    np.testing.assert_array_equal(out.info["solved_rate"][live], solved[live])


def test_graphs_without_room_are_refused() -> None:
    with pytest.raises(BadOption, match="at most 9 nodes"):
        jmarl_envs.make("jumanji/mmst", num_nodes_per_agent=10)


def test_a_state_can_be_drawn(played: Any) -> None:
    env, _, state, *_ = played
    scene = env.env.draw(jax.tree.map(lambda leaf: leaf[0, 5], state))
    assert "step 6" in scene.caption
    assert raster.array(scene).std() > 1
