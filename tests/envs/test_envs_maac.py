"""MAAC's worlds: what random and scripted play earns, their sizes, and Rover-Tower's rules."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maac_play import CHASING, CTC, RANDOM, ROVERS, SCRIPT, STILL, played, world

import jmarl_envs
from jmarl_envs.checker import shape_rules, spec_rules
from jmarl_envs.particle.ordering import nearest_first, order, ranks
from jmarl_envs.particle.rover_tower import Pairs
from jmarl_envs.particle.world import Particles, World
from jmarl_envs.scene import Line, Text, colour

HASTE = {"xla_backend_optimization_level": 0}  # these programs compile longer than they run


def agrees(rewards: np.ndarray, mean: float, error: float) -> None:
    """Mean return over the agents [episodes, T, A] within three standard errors of an anchor."""
    returns = rewards.sum(1, dtype=np.float64).mean(-1)
    own = returns.std() / np.sqrt(len(returns))
    assert abs(returns.mean() - mean) < 3 * np.hypot(error, own), (returns.mean(), own)


def test_ctc_random_play_earns_what_was_measured() -> None:
    """With the authors' code, 150 episodes: each agent's return, errors 0.9."""
    _, out = played(CTC, RANDOM, 1024)
    measured = (-3.0, -4.0, -1.9, -2.6, -2.9, -2.0, -1.6, -0.7)
    for agent, mean in enumerate(measured):
        agrees(out.reward[:, :, [agent]], mean, 0.9)
    assert out.truncated[:, -1].all()
    assert out.truncated.sum() == len(out.truncated)
    assert not out.terminated.any()


def test_ctc_still_agents_earn_what_was_measured() -> None:
    """-4.1 and -7.7; errors of 150 episodes, as of random play."""
    _, out = played(CTC, STILL, 1024)
    for agents, mean in ((slice(0, 6), -4.1), (slice(6, 8), -7.7)):
        rewards = out.reward[:, :, agents]
        error = rewards.sum(1).mean(-1).std() / np.sqrt(150)
        agrees(rewards, mean, error)


@pytest.mark.parametrize(("policy", "mean"), [(SCRIPT, 175.0), (CHASING, 230.5)])
def test_ctc_scripted_play_earns_what_was_measured(policy: int, mean: float) -> None:
    """175, and 227 to 234 with chasing deposits, whence the error. Collectors' own collisions are
    the script's more than the world's: compared are the deposits, who have no part in them.
    """
    _, out = played(CTC, policy, 512)
    agrees(out.reward[:, :, 6:], mean, 3.5)


@pytest.mark.parametrize(("policy", "mean"), [(RANDOM, -10.9), (STILL, -5.3), (SCRIPT, 130.5)])
def test_rover_tower_play_earns_what_was_measured(policy: int, mean: float) -> None:
    _, out = played(ROVERS, policy, 4096)
    agrees(out.reward, mean, 1.3)
    assert out.truncated[:, -1].all()
    assert out.truncated.sum() == len(out.truncated)


def field() -> tuple[World, Particles]:
    """Rover 0 hears tower 1 and rover 1 tower 0; goals are landmark 1 at (1, 0) and 0 at (0, 0)."""
    return world(ROVERS, num_pairs=2, num_landmarks=2, num_messages=5), Particles(
        pos=jnp.array([(0.41, 0.0), (0.58, 0.0), (0.3, 0.3), (0.4, 0.4)]),
        vel=jnp.zeros((4, 2)),
        message=jnp.zeros((4, 5)),
        landmarks=jnp.array([(0.0, 0.0), (1.0, 0.0)]),
        goal=jnp.array([1, 0], jnp.int32),
        extra=Pairs(rover=jnp.array([1, 0], jnp.int32), tower=jnp.array([1, 0], jnp.int32)),
    )


def test_rover_tower_pays_pairs_and_compares_squares() -> None:
    """0.41 squared is 0.1681, within 0.1725; 0.42 squared is 0.1764, beyond."""
    made, state = field()
    reward, info = made.scenario.reward(state), made.scenario.measure(state)
    near, far = 10 - 0.1681, -0.1764
    np.testing.assert_allclose(reward, [near, far, far, near], atol=1e-5)
    assert float(info["reached_rate"]) == 0.5
    np.testing.assert_allclose(info["distance"], 0.415, atol=1e-6)


def test_rover_tower_messages_are_heard_at_once_by_their_rover_alone() -> None:
    """Rover 0 goes right, force 2.25 for 0.1 s: speed 0.225, place 0.41 + 0.0225."""
    made, state = field()
    step = jax.jit(made.step, compiler_options=HASTE)
    state, out = step(state, jnp.array([1, 0, 3, 4], jnp.int32), jax.random.key(0))
    obs = np.asarray(out.view.obs)
    assert made.spec.obs_sizes == (11, 11, 6, 6)
    np.testing.assert_allclose(obs[0], [0, 1, 0, 0, 0, 0, 1, 0.4325, 0, 0.225, 0], atol=1e-6)
    np.testing.assert_allclose(obs[1], [1, 0, 0, 0, 0, 1, 0, 0.58, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(obs[2, :6], [0, 1, 0.58, 0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(obs[3, :6], [1, 0, 0.4325, 0, 0, 0], atol=1e-6)
    np.testing.assert_allclose(state.pos[2:], [(0.3, 0.3), (0.4, 0.4)])


def test_rover_tower_pairs_and_goals_are_drawn_evenly() -> None:
    """Each of 4! pairings, and each landmark for each tower."""
    made = world(ROVERS)
    states, _ = jax.jit(jax.vmap(made.reset), compiler_options=HASTE)(
        jax.random.split(jax.random.key(3), 4800)
    )
    rover, tower = np.asarray(states.extra.rover), np.asarray(states.extra.tower)
    np.testing.assert_array_equal(np.take_along_axis(tower, rover, 1), np.tile(range(4), (4800, 1)))
    _, often = np.unique(rover, axis=0, return_counts=True)
    assert len(often) == 24
    assert ((often - 200) ** 2 / 200).sum() < 49.7  # chi-square, 23 degrees: one in a thousand
    for goals in np.asarray(states.goal).T:
        often = np.bincount(goals, minlength=6)
        assert ((often - 800) ** 2 / 800).sum() < 20.5  # 5 degrees: one in a thousand
    assert (states.goal[:, 0] == states.goal[:, 1]).mean() > 0.1  # repeats are allowed
    assert not np.asarray(states.message).any()


def test_rover_tower_pictures_lead_from_rovers_to_goals() -> None:
    """In the colour of their tower; a tower that spoke shows its word."""
    made, state = field()
    state = state.replace(message=state.message.at[3, 4].set(1.0))
    shapes = made.draw(jax.tree.map(np.asarray, state)).shapes
    lines = {line.colour: line for line in shapes if isinstance(line, Line)}
    np.testing.assert_allclose(
        [(line.x, line.y, line.to_x, line.to_y) for line in (lines[colour(0)], lines[colour(1)])],
        [(0.58, 0, 1, 0), (0.41, 0, 0, 0)],
        atol=1e-6,
    )
    words = [text for text in shapes if isinstance(text, Text) and text.words == "E"]
    np.testing.assert_allclose([(word.x, word.y) for word in words], [(0.4, 0.4)], atol=1e-6)


def no_findings(env: Any) -> None:
    traced = shape_rules.trace(env)
    found = [text for rule in spec_rules.RULES for text in rule(env.spec)]
    assert not found + [text for rule in shape_rules.RULES for text in rule(traced)]


KINDS = st.sampled_from(("discrete", "simplex", "box"))


@given(st.integers(1, 10), st.integers(1, 4), st.integers(1, 8), KINDS, st.booleans())
@settings(max_examples=6)
def test_ctc_scales(h: int, k: int, treasures: int, actions: str, mask_dead: bool) -> None:
    env = jmarl_envs.make(
        CTC,
        num_collectors=h,
        num_deposits=k,
        num_treasures=treasures,
        actions=actions,
        mask_dead=mask_dead,
    )
    no_findings(env)
    seen = 4 + (h + k - 1) * (4 + 2 * k) + treasures * (2 + k)
    assert env.spec.obs_sizes == (seen + k,) * h + (seen,) * k


@given(st.integers(1, 12), st.integers(1, 8), st.integers(1, 9), KINDS)
@settings(max_examples=6)
def test_rover_tower_scales(pairs: int, landmarks: int, messages: int, actions: str) -> None:
    env = jmarl_envs.make(
        ROVERS,
        num_pairs=pairs,
        num_landmarks=landmarks,
        num_messages=messages,
        actions=actions,
    )
    no_findings(env)
    assert env.spec.obs_sizes == (pairs + messages + 4,) * pairs + (pairs + 4,) * pairs


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (CTC, {"num_collectors": 3, "num_deposits": 1, "num_treasures": 1, "actions": "box"}),
        (ROVERS, {"num_pairs": 2, "num_landmarks": 3, "actions": "simplex"}),
    ],
)
def test_other_sizes_and_actions_keep_the_contract(name: str, options: dict[str, Any]) -> None:
    jmarl_envs.check(jmarl_envs.make(name, **options))


def test_specs_are_the_papers() -> None:
    ctc, rovers = jmarl_envs.make("particle/ctc").spec, jmarl_envs.make(ROVERS).spec
    assert ctc == jmarl_envs.make("particle/fullobs_collect_treasure").spec
    assert ctc.obs_sizes == (86,) * 6 + (84,) * 2
    assert ctc.action_parts == ((5,),) * 8
    assert (ctc.episode_limit, rovers.episode_limit) == (100, 25)
    assert rovers == jmarl_envs.make("particle/multi_speaker_listener").spec
    assert rovers.obs_sizes == (13,) * 4 + (8,) * 4
    assert rovers.agents == tuple(f"{kind}_{i}" for kind in ("rover", "tower") for i in range(4))
    assert jmarl_envs.make(ROVERS, actions="box").spec.action_parts == ((2,),) * 4 + ((5,),) * 4
    assert ctc.team_reward is rovers.team_reward is None


@given(st.lists(st.integers(0, 5), min_size=9, max_size=9))
def test_order_is_a_stable_sort(values: list[int]) -> None:
    numbers = jnp.array(values, jnp.float32)
    index, place = np.asarray(jax.jit(order)(numbers)), np.asarray(jax.jit(ranks)(numbers))
    np.testing.assert_array_equal(index, np.argsort(values, kind="stable"))
    np.testing.assert_array_equal(place[index], range(9))


def test_the_nearest_come_first_from_each_place() -> None:
    pos = jnp.array([(0.0, 0.0), (1.0, 0.0), (3.0, 0.0)])
    rows = jnp.concatenate([pos, jnp.array([[7.0], [8.0], [9.0]])], -1)
    others = nearest_first(pos, rows, itself=True)
    assert others[1].tolist() == [[-1, 0, 7], [2, 0, 9]]
    assert others[2].tolist() == [[-2, 0, 8], [-3, 0, 7]]
    assert nearest_first(pos, rows)[2].tolist() == [[0, 0, 9], [-2, 0, 8], [-3, 0, 7]]
