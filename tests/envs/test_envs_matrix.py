"""Matrix games: every joint policy enumerated, every table entry paid."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmarl_envs
from jmarl.types import Environment, Outcome
from jmarl_envs import BadOption, check
from jmarl_envs.raster import array

TABLES = {
    "mild_penalty": [[12, -0.1, -0.1], [-0.1, 0, 0], [-0.1, 0, 0]],
    "penalty": [[12, -12, -12], [-12, 0, 0], [-12, 0, 0]],
    "safe_choice": [[12, 0, 10], [0, 0, 10], [10, 10, 10]],
}


def play(env: Environment[Any], actions: Any) -> tuple[Any, list[Outcome]]:
    """The first view's observations, and the outcomes of joint `actions`."""
    key = jax.random.key(0)
    state, view = env.reset(key)
    outs = []
    for action in actions:
        state, out = env.step(state, jnp.array(action, jnp.int32), key)
        outs.append(out)
    return view, outs


def two_step_returns() -> dict[tuple[int, ...], float]:
    """By (a0, a1) of step 1 and of step 2."""
    env = jmarl_envs.make("matrix/two_step")
    run = jax.jit(lambda actions: sum(out.reward[0] for out in play(env, actions)[1]))
    choices = itertools.product((0, 1), repeat=4)
    return {c: float(run(jnp.array(c).reshape(2, 2))) for c in choices}


def test_two_step_pays_what_the_paper_says() -> None:
    found = two_step_returns()
    for (first, _, a0, a1), earned in found.items():
        assert earned == (7.0 if first == 0 else [[0, 1], [1, 8]][a0][a1])
    assert max(found.values()) == 8
    assert np.mean(list(found.values())) == 4.75


def test_two_step_is_worth_8_to_the_best_of_all_policies_and_7_to_the_safe_one() -> None:
    """A deterministic policy: agent 0's and agent 1's action at each of 1, 2A, 2B."""
    found = two_step_returns()
    worth = {}
    for policy in itertools.product((0, 1), repeat=6):
        first, second = policy[:2], policy[2:4] if policy[0] == 0 else policy[4:]
        worth[policy] = found[(*first, *second)]
    assert len(worth) == 64
    assert max(worth.values()) == 8
    assert max(value for policy, value in worth.items() if policy[0] == 0) == 7
    assert {policy[0] for policy, value in worth.items() if value == 8} == {1}


@pytest.mark.parametrize(("first", "place"), [(0, [0, 1, 0]), (1, [0, 0, 1])])
def test_two_step_shows_both_where_they_are(first: int, place: list[int]) -> None:
    env = jmarl_envs.make("matrix/two_step")
    view, outs = play(env, [(first, 1 - first), (1, 1)])
    assert view.obs.tolist() == [[1, 0, 0]] * 2
    assert view.state.tolist() == [1, 0, 0]
    assert outs[0].view.obs.tolist() == [place] * 2
    assert np.array(outs[0].view.state).tolist() == place
    assert [bool(out.terminated) for out in outs] == [False, True]
    assert not any(bool(out.truncated) for out in outs)
    assert outs[0].reward.tolist() == [0, 0]
    assert not outs[1].view.obs.any()
    assert env.spec.team_reward == "shared"


def test_the_state_may_open_with_who_the_agents_are() -> None:
    env = jmarl_envs.make("matrix/two_step", agent_ids=True)
    view, outs = play(env, [(1, 0)])
    assert env.spec.agent_features == (2, 2)
    assert view.state.tolist() == [1, 0, 0, 1, 1, 0, 0]
    assert np.array(outs[0].view.state).tolist() == [1, 0, 0, 1, 0, 0, 1]
    assert view.obs.tolist() == [[1, 0, 0]] * 2


def cells(env: Environment[Any]) -> tuple[np.ndarray, Outcome]:
    """The rewards of every joint choice [U, U', 2], and their outcomes."""
    rows, columns = env.spec.action_sizes
    key = jax.random.key(0)
    state, _ = env.reset(key)
    pairs = np.stack(np.meshgrid(range(rows), range(columns), indexing="ij"), -1).reshape(-1, 2)
    _, out = jax.vmap(lambda action: env.step(state, action, key))(jnp.asarray(pairs, jnp.int32))
    return np.asarray(out.reward).reshape(rows, columns, 2), out


@pytest.mark.parametrize("name", TABLES)
def test_one_joint_choice_is_paid_by_the_table_and_ends_the_game(name: str) -> None:
    env = jmarl_envs.make(f"matrix/{name}")
    reward, out = cells(env)
    table = np.array(TABLES[name], np.float32)
    np.testing.assert_array_equal(reward, np.stack([table, table], -1))
    assert out.terminated.all()
    assert not out.truncated.any()
    view, _ = play(env, [])
    assert view.obs.tolist() == [[1, 0]] * 2  # the one-hot of the step
    assert out.view.obs[0].tolist() == [[0, 1]] * 2
    assert np.array(out.view.state)[0].tolist() == [0, 1]


def test_any_table_may_be_played_and_padded_choices_cannot() -> None:
    env = jmarl_envs.make("matrix/one_step", payoff=[[1, 2.5, -3], (4, 5, 6)])
    assert env.spec.action_parts == ((2,), (3,))
    reward, _ = cells(env)
    np.testing.assert_array_equal(reward[..., 0], [[1, 2.5, -3], [4, 5, 6]])
    view, _ = play(env, [])
    assert view.available.tolist() == [[True, True, False], [True, True, True]]


@pytest.mark.parametrize(
    ("payoff", "reason"),
    [
        ((), "rows of numbers"),
        (5, "rows of numbers"),
        ("12", "rows of numbers"),
        ((1, 2), "rows of numbers"),
        (((1,), ()), "rows of numbers"),
        (((1, "a"),), "finite numbers"),
        (((1, float("nan")),), "finite numbers"),
        (((1, 2), (3,)), "equally long"),
    ],
)
def test_a_payoff_that_is_no_table_is_refused(payoff: Any, reason: str) -> None:
    with pytest.raises(BadOption, match=f"matrix/one_step: payoff must be .*{reason}"):
        jmarl_envs.make("matrix/one_step", payoff=payoff)


@pytest.mark.parametrize("target", ["ones", "equal"])
def test_proposition_1_pays_the_joint_choices_it_names(target: str) -> None:
    env = jmarl_envs.make("matrix/proposition1", num_agents=3, target=target)
    paid = {}
    for choice in itertools.product((0, 1), repeat=3):
        view, [out] = play(env, [choice])
        assert len(set(out.reward.tolist())) == 1
        assert bool(out.terminated)
        assert view.obs.tolist() == out.view.obs.tolist() == [[1], [1], [1]]
        paid[choice] = float(out.reward[0])
    wanted = {(1, 1, 1)} if target == "ones" else {(1, 1, 1), (0, 0, 0)}
    assert paid == {choice: float(choice in wanted) for choice in paid}


@pytest.mark.parametrize(("num_agents", "target", "chance"), [(2, "ones", 1), (4, "equal", 2)])
def test_proposition_1_is_won_by_chance_as_rarely_as_it_says(
    num_agents: int, target: str, chance: int, key: jax.Array
) -> None:
    env = jmarl_envs.make("matrix/proposition1", num_agents=num_agents, target=target)
    episodes = 16384
    won = np.asarray(jmarl_envs.random_returns(env, episodes, key))[:, 0].mean()
    p = chance * 0.5**num_agents
    assert abs(won - p) < 3 * np.sqrt(p * (1 - p) / episodes)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("two_step", {}),
        ("two_step", {"agent_ids": True}),
        ("penalty", {}),
        ("one_step", {"payoff": ((1, 2, 3),), "agent_ids": True}),
        ("proposition1", {"num_agents": 5, "target": "equal"}),
        ("proposition1", {"num_agents": 1}),
    ],
)
def test_the_contract_is_kept(name: str, options: dict[str, Any]) -> None:
    check(jmarl_envs.make(f"matrix/{name}", **options), episodes=3)


def test_the_entry_chosen_is_highlighted() -> None:
    env: Any = jmarl_envs.make("matrix/two_step")
    key = jax.random.key(0)
    state, _ = env.reset(key)
    pictures, captions = [], []
    for action in ((1, 0), (1, 1)):
        scene = env.draw(jax.tree.map(np.asarray, state))
        pictures.append(array(scene, 200))
        captions.append(scene.caption)
        state, _ = env.step(state, jnp.array(action, jnp.int32), key)
    last = env.draw(jax.tree.map(np.asarray, state))
    assert captions == ["rows: agent 0, columns: agent 1", "agent 0: 1, agent 1: 0, paid 0"]
    assert last.caption == "agent 0: 1, agent 1: 1, paid 8"
    assert (pictures[0] != pictures[1]).any()
