"""The grid worlds against simulators in plain Python, and against episodes worked by hand."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from grid_rules import DOWN, LEFT, RIGHT, STAY, CheckersRules, FetchRules, Played, SwitchRules, play

import jmarl_envs
from jmarl_envs import check
from jmarl_envs.raster import array

LETTERS = "dlur."  # down, left, up, right, stay: for episodes written down
EPISODES = 48
RULES = {
    "grid/switch2": lambda: SwitchRules(2),
    "grid/switch3": lambda: SwitchRules(3),
    "grid/switch4": lambda: SwitchRules(4),
    "grid/checkers": CheckersRules,
    "grid/fetch": FetchRules,
}


@cache
def random_play(name: str) -> Played:
    """Random moves, but by turns of 12 steps one agent mostly walks: somebody gets somewhere."""
    env = jmarl_envs.make(name)
    agents = env.spec.num_agents
    shape = (env.spec.episode_limit, EPISODES, agents)
    time, episode, agent = jnp.indices(shape)
    ahead = jnp.where((agent + time // (12 * agents)) % 2 == 0, RIGHT, LEFT)
    walks = (time // 12 + episode) % agents == agent
    move_key, walk_key = jax.random.split(jax.random.key(1))
    moves = jax.random.randint(move_key, shape, 0, 5, jnp.int32)
    return play(env, jnp.where(walks & jax.random.bernoulli(walk_key, 0.6, shape), ahead, moves))


def script(text: str) -> jax.Array:
    """[T, 1, A] of an episode written down: a word a step, a letter an agent."""
    return jnp.array([[[LETTERS.index(letter) for letter in word]] for word in text.split()])


def returns(played: Played) -> list[float]:
    """Each agent's, of a single episode."""
    return played.out.reward[:, 0].sum(0, dtype=np.float64).round(4).tolist()


@pytest.mark.parametrize("name", RULES)
def test_random_episodes_are_those_of_the_plain_simulator(name: str) -> None:
    played, happened = random_play(name), 0.0
    for episode in range(EPISODES):
        rules, stories = RULES[name](), []
        np.testing.assert_allclose(played.first.obs[episode], rules.obs(), atol=1e-6)
        for actions in played.action[:, episode].tolist():
            stories.append(rules.step(actions))
            if stories[-1].over:
                break
        out = jax.tree.map(lambda leaf: leaf[: len(stories), episode], played.out)  # noqa: B023
        np.testing.assert_allclose(out.reward, [told.rewards for told in stories], atol=1e-5)
        np.testing.assert_allclose(out.view.obs, [told.obs for told in stories], atol=1e-6)
        assert out.terminated.tolist() == [told.over for told in stories]
        for count, found in out.info.items():
            assert found.tolist() == [told.info[count] for told in stories]
            happened += found.sum()
    assert happened >= 10  # else the episodes show too little


@pytest.mark.parametrize(
    ("name", "agents", "size", "limit", "rule"),
    [
        ("grid/switch2", 2, 2, 50, "sum"),
        ("grid/switch4", 4, 2, 50, "sum"),
        ("grid/checkers", 2, 47, 100, "sum"),
        ("grid/fetch", 2, 7, 50, "shared"),
    ],
)
def test_sizes_are_ma_gyms(name: str, agents: int, size: int, limit: int, rule: str) -> None:
    spec = jmarl_envs.make(name).spec
    assert spec.obs_sizes == (size,) * agents
    assert spec.action_parts == ((5,),) * agents
    assert (spec.episode_limit, spec.team_reward) == (limit, rule)


def test_the_first_of_two_through_the_corridor_should_be_the_first_to_move() -> None:
    """Agent 1 steps into the cell that agent 0 just left; the other way round costs a step."""
    env = jmarl_envs.make("grid/switch2")
    best = play(env, script("dd rd rd r. r. uu rl .l .l .l .u .l"))
    assert returns(best) == [4.4, 3.9]  # after 7 and 12 steps
    assert best.out.terminated[:, 0].tolist() == [False] * 11 + [True]
    assert best.out.info["arrivals"][:, 0].tolist() == [0] * 6 + [1] + [0] * 4 + [1]
    slower = play(env, script("dd dl dl .l .l uu ul r. r. r. r. u. r."))
    assert returns(slower) == [3.8, 4.4]
    assert not slower.out.terminated[:12].any()
    assert slower.out.terminated[12, 0]


def test_who_has_arrived_stands_in_the_way_and_acts_no_more() -> None:
    """Agent 0 chooses to leave its goal at (0, 6), and agent 2 comes to below it: nobody moves."""
    env = jmarl_envs.make("grid/switch3")
    walk = "d.. r.. r.. r.. r.. r.. u.. d.u l.r d.r l.r d.r l.r d.u"
    played = play(env, script(walk))
    assert returns(played)[0] == pytest.approx(5 - 0.6)  # nothing after arrival
    assert not played.out.view.alive[6:, 0, 0].any()
    assert played.out.view.alive[:6, 0, 0].all()
    assert played.out.view.alive[:, 0, 1:].all()
    assert played.out.view.available.all()
    np.testing.assert_allclose(played.out.view.obs[6:, 0, 0], [[0, 1]] * 8)
    assert played.out.view.obs[-1, 0, 2].tolist() == [0.5, 1]
    assert played.out.view.state[-1, 0, :3].tolist() == [0, 1, 1]


def test_nobody_passes_in_the_corridor() -> None:
    env = jmarl_envs.make("grid/switch2")
    played = play(env, script("dd rl rl rl rl rl rl"))
    columns = played.out.view.obs[:, 0, :, 1].tolist()
    np.testing.assert_allclose(columns[-1], [0.5, 0.67])  # agent 0 came first to the middle
    assert columns[2] == columns[-1]


def test_checkers_is_best_played_with_three_lemons_in_37_steps() -> None:
    """90 for the apples, -3 for the lemons of row 1, which part them, and -0.02 a step.

    A search over all ways to play without other losses found none that is shorter.
    """
    walk = """dd ld rd uu dl dl dr dr du ud ld ld lu rl dl dl dl ur ur dd dd ld ld lu rl dl dl dl
    ur ur dr dl lr lr ur dr dr"""
    played = play(jmarl_envs.make("grid/checkers"), script(walk))
    assert sum(returns(played)) == pytest.approx(86.26)
    assert returns(played) == [89.63, -3.37]
    assert played.out.terminated[:, 0].tolist() == [False] * 36 + [True]
    assert played.out.info["apples"].sum() == 9
    assert played.out.info["lemons"].sum() == 3
    assert played.out.view.state[-1, 0, 4:].sum() == 6  # lemons that are left


def test_a_lemon_costs_what_an_apple_earns() -> None:
    """Agent 0 eats a lemon, then an apple; agent 1 the same; then both stand still."""
    played = play(jmarl_envs.make("grid/checkers"), script("ll ll .."))
    np.testing.assert_allclose(
        played.out.reward[:, 0], [[-10.01, -1.01], [9.99, 0.99], [-0.01, -0.01]], atol=1e-5
    )


def test_checkers_window_at_the_start() -> None:
    """Agent 0 at (0, 6): above nothing, left a lemon at (0, 5), below it an apple at (1, 5)."""
    obs = jmarl_envs.make("grid/checkers").reset(jax.random.key(0))[1].obs
    np.testing.assert_allclose(obs[:, :2], [[0, 0.86], [0.67, 0.86]], atol=1e-6)
    assert np.flatnonzero(obs[0, 2:]).tolist() == [3 * 5 + 0, 4 * 5 + 2, 6 * 5 + 1]
    assert np.flatnonzero(obs[1, 2:]).tolist() == [0 * 5 + 1, 3 * 5 + 0, 4 * 5 + 3]


def test_fetch_earns_most_by_turns() -> None:
    """43 is the most there is in 50 steps (found by dynamic programming); alone it is 24."""
    env = jmarl_envs.make("grid/fetch")
    out, back = "r r r r r r r", "l l l l l l l l"
    alone = play(
        env, script(" ".join(move + "." for move in f"d {out} {back} r {out} {back}".split()))
    )
    assert returns(alone) == [16, 16]
    walk = """d. r. r. r. r. r. r. ru lr lr lr lr l. lr lr lr .l rl rl rl rl rl rl rl rr lr lr lr
    lr l. lr lr lr .l rl rl rl rl rl rl rl rr lr lr lr lr l. lr lr lr"""
    played = play(env, script(walk))
    assert returns(played) == [43, 43]
    paid = np.flatnonzero(played.out.reward[:, 0, 0]) + 1
    assert paid.tolist() == [8, 16, 24, 25, 33, 41, 42, 50]
    assert played.out.info["deliveries"].sum() == 5
    assert played.out.truncated[:, 0].tolist() == [False] * 49 + [True]
    # agent 0 at the pick-up with the item, agent 1 one step on its way; nothing lies there
    assert played.out.view.state[7, 0].tolist() == [0.5, 1, 1, 0.5, 0.125, 0, 0]


@pytest.mark.parametrize(("name", "size"), [("grid/switch4", 2), ("grid/checkers", 47)])
def test_clock_and_everybodys_observations(name: str, size: int) -> None:
    """ma-gym's v3: each agent's own numbers and the time, those of all agents to all."""
    env = jmarl_envs.make(name, clock=True, full_obs=True, episode_limit=8)
    plain = jmarl_envs.make(name, episode_limit=8)
    agents = env.spec.num_agents
    still = jnp.full((3, 1, agents), STAY)
    obs = play(env, still).out.view.obs[:, 0]
    assert env.spec.obs_sizes == ((size + 1) * agents,) * agents
    assert (obs == obs[:, :1]).all()
    parts = obs[:, 0].reshape(3, agents, size + 1)
    np.testing.assert_array_equal(parts[..., -1], [[t / 8] * agents for t in (1, 2, 3)])
    np.testing.assert_array_equal(parts[..., :-1], play(plain, still).out.view.obs[:, 0])
    assert (play(env, still).out.view.state[:, 0, -1] == [0.125, 0.25, 0.375]).all()


def test_step_costs_are_subtracted() -> None:
    for name in ("grid/switch2", "grid/checkers"):
        played = play(jmarl_envs.make(name, step_cost=0.25), script("uu .."))
        assert returns(played) == [-0.5, -0.5]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("grid/switch3", {"clock": True, "full_obs": True, "step_cost": 0.0}),
        ("grid/checkers", {"clock": True, "full_obs": True, "episode_limit": 7}),
        ("grid/fetch", {"width": 6, "lane": 3}),
    ],
)
def test_options_keep_the_contract(name: str, options: dict[str, Any]) -> None:
    check(jmarl_envs.make(name, **options), episodes=3)


@pytest.mark.parametrize("name", RULES)
def test_pictures_show_who_moves(name: str) -> None:
    env: Any = jmarl_envs.make(name)
    state, _ = env.reset(jax.random.key(0))
    later, _ = env.step(state, jnp.full(env.spec.num_agents, DOWN), jax.random.key(1))
    before, after = (array(env.draw(jax.tree.map(np.asarray, s)), 200) for s in (state, later))
    assert before.shape == after.shape
    assert (before != after).any()
