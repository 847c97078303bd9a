"""MABrax against jaxmarl itself. Needs brax, which `pip install 'jmarl[mabrax]'` brings."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxmarl_peers import HASTE

import jmarl_envs
from jmarl_envs.jaxmarl_suite.mabrax import TASKS, library
from jmarl_envs.libraries import quietly
from jmarl_envs.plain import plain
from jmarl_envs.scene import Circle

SIZES = {  # of each agent's observation and action, and of the robot's own observation
    "ant_4x2": ((18,) * 4, (2,) * 4, 27),
    "halfcheetah_6x1": ((9, 9, 8, 9, 9, 8), (1,) * 6, 17),
    "hopper_3x1": ((8, 9, 8), (1,) * 3, 11),
    "humanoid_9_8": ((248, 176), (9, 8), 244),
    "walker2d_2x3": ((10, 10), (3, 3), 17),
}


def test_without_brax_the_message_says_how_to_install_it() -> None:
    entry = jmarl_envs.entry("humanoid_9|8")
    assert entry.name == "mabrax/humanoid_9_8"
    if entry.missing:
        with pytest.raises(jmarl_envs.MissingPackage, match=r"pip install 'jmarl\[mabrax\]'"):
            entry.make()


@pytest.fixture(scope="module", params=TASKS)
def played(request: pytest.FixtureRequest) -> tuple[Any, Any, Any]:
    """40 steps of one robot, by us and by the library: env, ours, theirs."""
    pytest.importorskip("brax", reason="brax is not installed: pip install 'jmarl[mabrax]'")
    env = jmarl_envs.make(f"mabrax/{request.param}", episode_limit=30)
    theirs = library(request.param, auto_reset=False)
    agents, sizes = env.spec.agents, env.spec.action_sizes

    def step(carry: Any, key: jax.Array) -> Any:
        (ours, other), (act_key, step_key) = carry, jax.random.split(key)
        action = jax.random.uniform(act_key, (len(agents), env.spec.action_size), minval=-1.0)
        ours, out = env.step(ours, action, step_key)
        rows = {name: row[:n] for name, row, n in zip(agents, action, sizes, strict=True)}
        with quietly():
            obs, other, reward, endings, _ = theirs.step_env(step_key, other, rows)
        return (ours, other), (out, obs, reward[agents[0]], endings["__all__"], other.obs, ours)

    def episode(key: jax.Array) -> Any:
        ours, _ = env.reset(key)
        with quietly():
            _, other = theirs.reset(key)
        return jax.lax.scan(step, (ours, other), jax.random.split(key, 40))[1]

    out, *found = plain(jax.jit(episode, compiler_options=HASTE)(jax.random.key(5)))
    return env, out, found


def test_episodes_are_the_librarys_own(played: tuple[Any, Any, Any]) -> None:
    env, out, (obs, reward, over, whole, _) = played
    live = np.cumsum(over) - over == 0
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    for agent, (name, size) in enumerate(zip(env.spec.agents, env.spec.obs_sizes, strict=True)):
        close(out.view.obs[live][:, agent, :size], obs[name][live])
        close(out.reward[live][:, agent], reward[live])
    close(out.view.state[live], whole[live])
    np.testing.assert_array_equal(out.terminated[live], over[live])
    np.testing.assert_array_equal(out.truncated[live], ((np.arange(40) >= 29) & ~over)[live])
    np.testing.assert_array_equal(out.info["fall_rate"][live], over[live])


def test_spec_tells_who_moves_what(played: tuple[Any, Any, Any]) -> None:
    spec = played[0].spec
    obs, actions, whole = SIZES[spec.name.removeprefix("mabrax/")]
    assert spec.obs_sizes == obs
    assert spec.action_sizes == actions
    assert spec.state_size == whole


def test_a_defect_of_the_humanoid(played: tuple[Any, Any, Any]) -> None:
    """The library's lists of what is seen are for 376 numbers."""
    env, out, _ = played
    if env.spec.name == "mabrax/humanoid_9_8":
        beyond = [np.array(seen) >= 244 for seen in env.env.library.agent_obs_mapping.values()]
        assert [mask.sum() for mask in beyond] == [93, 51]
        for agent, mask in enumerate(beyond):
            seen = out.view.obs[:, agent, : mask.size][:, mask]
            np.testing.assert_array_equal(seen, np.repeat(out.view.state[:, -1:], mask.sum(), 1))


def test_pictures_show_all_bodies(played: tuple[Any, Any, Any]) -> None:
    env, _, found = played
    state = jax.tree.map(lambda leaf: leaf[3], found[-1])
    bodies = len(state.inner.pipeline_state.x.pos)
    discs = [s for s in env.draw(state).shapes if isinstance(s, Circle) and s.radius >= 0.1]
    assert len(discs) == bodies


def test_options_keep_the_contract() -> None:
    pytest.importorskip("brax", reason="brax is not installed: pip install 'jmarl[mabrax]'")
    env = jmarl_envs.make("mabrax/walker2d_2x3", backend="spring", episode_limit=12)
    jmarl_envs.check(env, episodes=3)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    wild, tame = (jnp.full((2, 3), size) for size in (5.0, 1.0))  # clipped
    results = [jax.jit(env.step)(state, action, jax.random.key(1))[1] for action in (wild, tame)]
    np.testing.assert_array_equal(results[0].view.obs, results[1].view.obs)
