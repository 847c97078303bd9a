"""JaxNav against jaxmarl itself, and robots driven by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxmarl_peers import HASTE, side_by_side

import jmarl_envs
from jmarl_envs.catalogue import BadOption
from jmarl_envs.jaxmarl_suite.jaxnav import library
from jmarl_envs.libraries import firm
from jmarl_envs.plain import plain
from jmarl_envs.scene import Box, Text

LIMIT, BEAMS = 120, 20


@pytest.mark.parametrize("kind", ["box", "discrete"])
def test_episodes_are_the_librarys_own(kind: str) -> None:
    options: dict[str, Any] = {"num_agents": 3, "lidar_num_beams": BEAMS}
    env = jmarl_envs.make("jaxnav/jaxnav", actions=kind, episode_limit=LIMIT, **options)
    mode = "Discrete" if kind == "discrete" else "Continuous"

    def translate(action: jax.Array, key: jax.Array) -> dict[str, jax.Array]:
        if kind == "box":  # a speed from 0 to 1 m/s and up to 30 degrees in a second
            action = jnp.stack([0.5 + 0.5 * action[:, 0], action[:, 1] * jnp.pi / 6], 1)
        return {f"agent_{robot}": action[robot] for robot in range(3)}

    theirs = library(act_type=mode, max_steps=LIMIT, **options)
    played = side_by_side(env, theirs, episodes=6, translate=translate)
    played.assert_alike(rtol=1e-5)
    live, out = played.live, played.outcome
    np.testing.assert_array_equal(played.ended[live], played.over[live])
    np.testing.assert_array_equal(out.info["goals"][live], played.told["GoalR"].sum(-1)[live])
    crashes = ((played.told["MapC"] + played.told["AgentC"]) > 0).sum(-1)
    np.testing.assert_array_equal(out.info["crashes"][live], crashes[live])
    assert crashes[live].sum() > 0
    assert out.terminated.any()


def course(places: list[tuple[float, float]], looks: list[float], goals: list[Any]) -> Any:
    """Robots on an empty map, driven straight on until the end: env, states, outcomes."""
    env: Any = jmarl_envs.make("jaxnav/jaxnav", rew_lambda=1.0, lidar_num_beams=BEAMS)
    border = jnp.pad(jnp.zeros((9, 9), int), 1, constant_values=1)
    state = env.reset(jax.random.key(0))[0].inner.replace(
        pos=jnp.array(places), theta=jnp.array(looks), goal=jnp.array(goals), map_data=border
    )
    step = jax.jit(env.env.step, compiler_options=HASTE)
    states, outs = [firm(state)], []
    while not outs or not outs[-1].terminated:
        state, out = step(states[-1], jnp.array([[1.0, 0.0]] * 2), jax.random.key(0))
        states.append(state)
        outs.append(out)
    return env.env, [plain(state) for state in states], outs


def test_robots_that_arrive() -> None:
    """Speeding up by 0.1 m/s in each tenth of a second: after three steps 6 cm are made."""
    env, states, outs = course([(3.0, 3.0), (3.0, 7.0)], [0.0, 0.0], [(3.55, 3.0), (3.505, 7.0)])
    np.testing.assert_allclose([state.pos[0, 0] for state in states], [3, 3.01, 3.03, 3.06])
    assert len(outs) == 3
    assert [float(out.info["goals"]) for out in outs] == [1, 0, 1]  # within half a metre
    assert [float(out.info["solved_rate"]) for out in outs] == [0, 0, 1]
    rewards = np.array([out.reward for out in outs])
    progress = 0.25 * np.array([0.01, 0.02]) - 0.01
    np.testing.assert_allclose(rewards[:, 0], [*progress, 4 - 0.01], atol=1e-6)
    np.testing.assert_allclose(rewards[:, 1], [4 - 0.01, 0, 0], atol=1e-6)
    assert outs[-1].view.alive.all()
    words = [shape.words for shape in env.draw(states[1]).shapes if isinstance(shape, Text)]
    assert words == ["ok"]


def test_robots_that_crash_live_no_more() -> None:
    """Robots are half a metre wide, the border a metre: both touch it after three steps."""
    env, states, outs = course([(1.3, 3.0), (5.0, 1.3)], [np.pi, -np.pi / 2], [(8.0, 8.0)] * 2)
    assert len(outs) == 3
    assert [out.view.alive.tolist() for out in outs] == [[True] * 2] * 2 + [[False] * 2]
    assert float(outs[-1].info["crashes"]) == 2
    assert float(outs[-1].info["solved_rate"]) == 0
    assert float(outs[-1].reward.max()) < -4
    blocks = [shape for shape in env.draw(states[0]).shapes if isinstance(shape, Box)]
    assert len(blocks) == 40


def test_the_state_tells_robots_and_map() -> None:
    _, _, outs = course([(3.0, 3.0), (3.0, 7.0)], [0.0, np.pi / 2], [(3.505, 3.0), (3.0, 7.505)])
    state = np.asarray(outs[0].view.state)
    assert state.shape == (2 * 10 + 81,)
    robot = [3.01 / 11, 3 / 11, 1, 0, 0.1, 0, 3.505 / 11, 3 / 11, 1, 0]
    np.testing.assert_allclose(state[:10], robot, atol=1e-6)
    np.testing.assert_allclose(state[12:14], [0, 1], atol=1e-6)
    assert not state[20:].any()


@pytest.mark.slow
def test_options_keep_the_contract() -> None:
    env = jmarl_envs.make(
        "jaxnav/jaxnav",
        num_agents=3,
        actions="discrete",
        map_size=9,
        rew_lambda=0.0,
        valid_path_check=True,
        lidar_num_beams=BEAMS,
        episode_limit=30,
    )
    assert env.spec.team_reward == "shared"
    assert env.spec.obs_sizes == (BEAMS + 5,) * 3
    assert env.spec.action_sizes == (15,) * 3
    jmarl_envs.check(env, episodes=3)


def test_there_are_two_beams_at_least() -> None:
    """jaxmarl squeezes the axis of a single one away, and fails."""
    with pytest.raises(BadOption, match="at least 2"):
        jmarl_envs.make("jaxnav/jaxnav", lidar_num_beams=1)
    env = jmarl_envs.make("jaxnav/jaxnav", lidar_num_beams=2)
    assert jax.eval_shape(env.reset, jax.random.key(0))[1].obs.shape == (2, 2 + 5)
