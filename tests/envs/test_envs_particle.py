"""The particle world's scenarios: moves, rewards and observations by hand, laws, conversions."""

from functools import cache
from itertools import permutations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmarl_envs
from jmarl.types import EnvSpec
from jmarl_envs import check
from jmarl_envs.particle.conversions import convert, convert_returns, spread_scales
from jmarl_envs.particle.physics import Variant
from jmarl_envs.particle.tag import leaving
from jmarl_envs.particle.world import Particles, World
from jmarl_envs.raster import array
from jmarl_envs.scene import Circle, colour
from jmarl_envs.time_limit import TimeLimit

HASTE = {"xla_backend_optimization_level": 0}  # these programs compile longer than they run
VARIANTS: tuple[Variant, ...] = ("openai", "maac", "pettingzoo")
TASKS = ("spread", "speaker_listener", "push", "adversary", "tag", "crypto", "reference")
PUSHES = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)  # of openai's moves


def world(task: str, **options: Any) -> World:
    env = jmarl_envs.make(f"particle/simple_{task}", **options)
    assert isinstance(env, TimeLimit)
    assert isinstance(env.env, World)
    return env.env


def placed(env: World, pos: Any, landmarks: Any, goal: Any = 0, **more: Any) -> Particles:
    """A state at rest and in silence; `more` replaces what it names."""
    pos = jnp.asarray(pos, jnp.float32)
    fields: dict[str, Any] = {
        "pos": pos,
        "vel": jnp.zeros_like(pos),
        "message": jnp.zeros((len(pos), env.scenario.vocabulary)),
        "landmarks": jnp.asarray(landmarks, jnp.float32),
        "goal": jnp.asarray(goal, jnp.int32),
    }
    fields |= {name: jnp.asarray(value, jnp.float32) for name, value in more.items()}
    return Particles(**fields)


# Physics


def test_an_action_shows_at_once_or_a_step_later() -> None:
    for variant, right, first in (("openai", 1, 0.05), ("maac", 1, 0.05), ("pettingzoo", 2, 0)):
        env = world("spread", variant=variant, num_agents=1)
        state = placed(env, [[0, 0]], [[1, 1]] * 3)
        state, _ = env.step(state, jnp.array([right]), jax.random.key(0))
        np.testing.assert_allclose(state.vel, [[0.5, 0]], rtol=1e-6)  # 5 x 0.1
        np.testing.assert_allclose(state.pos, [[first, 0]], rtol=1e-6)
        state, _ = env.step(state, jnp.array([0]), jax.random.key(0))
        np.testing.assert_allclose(state.vel, [[0.375, 0]], rtol=1e-6)  # a quarter is lost
        np.testing.assert_allclose(state.pos, [[first + (0.0375 if first else 0.05), 0]], rtol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_moves_have_directions(variant: Variant) -> None:
    """openai and maac: right, left, up, down; pettingzoo: left, right, down, up."""
    env = world("spread", variant=variant, num_agents=5)
    push, _ = env.read(jnp.arange(5))
    np.testing.assert_array_equal(push, -PUSHES if variant == "pettingzoo" else PUSHES)


@pytest.mark.parametrize(("variant", "speeds"), [("openai", (0.3, 0.4)), ("maac", (0.9, 1.3))])
def test_the_forks_acceleration_is_squared_and_speeds_are_capped(
    variant: Variant, speeds: tuple[float, float]
) -> None:
    """Predators 3 and prey 4: 0.1 x 9 is below the cap of 1, 0.1 x 16 above that of 1.3."""
    env = world("tag", variant=variant, num_adversaries=1, num_landmarks=1)
    state = placed(env, [[0, 0], [5, 0]], [[9, 9]])
    state, _ = env.step(state, jnp.array([1, 3]), jax.random.key(0))
    np.testing.assert_allclose(state.vel, [[speeds[0], 0], [0, speeds[1]]], rtol=1e-6)


# Rewards and observations by hand


@pytest.mark.parametrize(
    ("variant", "expected"),
    [("openai", (-9.2,) * 3), ("maac", (-3.4, -3.4, -2.4)), ("pettingzoo", (-1.2, -1.2, -0.7))],
)
def test_spread_pays_for_distance_and_contacts(
    variant: Variant, expected: tuple[float, ...]
) -> None:
    """Landmarks 0.3, 0.9 and 0.2 from their nearest; agents 0 and 1 touch."""
    env = world("spread", variant=variant)
    state = placed(env, [[0, 0], [0.2, 0], [2, 0]], [[-0.3, 0], [2, 0.9], [2, -0.2]])
    np.testing.assert_allclose(env.scenario.reward(state), expected, rtol=1e-5)
    found = env.scenario.measure(state)
    np.testing.assert_allclose(found["collisions"], 1)
    np.testing.assert_allclose(found["landmark_distance"], 1.4 / 3, rtol=1e-6)
    np.testing.assert_allclose(found["occupied"], 0)
    at_goals = placed(env, [[0, 0], [1, 0], [2, 0]], [[0.09, 0], [1, 0.11], [2, 0]])
    np.testing.assert_allclose(env.scenario.measure(at_goals)["occupied"], 2)


def test_spread_sees_velocity_place_landmarks_others_and_silence() -> None:
    env = world("spread", num_agents=2, num_landmarks=1)
    state = placed(env, [[1, 2], [4, 6]], [[0, 3]], vel=[[0.1, 0.2], [0.3, 0.4]])
    expected = [
        [0.1, 0.2, 1, 2, -1, 1, 3, 4, 0, 0],
        [0.3, 0.4, 4, 6, -4, -3, -3, -4, 0, 0],
    ]
    np.testing.assert_allclose(env.scenario.observe(state), expected, rtol=1e-6)


def test_spreads_entities_tell_what_agents_observe() -> None:
    """Velocity, place, offsets to the landmarks and to the others, made of entities again."""
    env = world("spread", num_agents=3, num_landmarks=2)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    _, out = jax.jit(env.step)(state, jnp.array([1, 2, 3]), jax.random.key(1))
    entities = out.view.entities
    assert entities is not None and not entities.absent.any() and not entities.hidden.any()
    kind, place, speed = np.split(np.asarray(entities.features), [2, 4], axis=-1)
    np.testing.assert_array_equal(kind, [[1, 0]] * 3 + [[0, 1]] * 2)
    for agent, obs in enumerate(np.asarray(out.view.obs)):
        others = [other for other in (3, 4, 0, 1, 2) if other != agent]
        told = [speed[agent], place[agent], *(place[other] - place[agent] for other in others)]
        np.testing.assert_allclose(obs, np.concatenate([*told, np.zeros(4)]), atol=1e-6)


def test_the_listener_goes_where_the_speaker_knows() -> None:
    env = world("speaker_listener", num_landmarks=4, num_symbols=2)
    landmarks = [[0, 0], [1, 0], [3, 1], [0, 9]]
    heard = [[0, 1], [0, 0]]
    state = placed(env, [[9, 9], [2, 0]], landmarks, 2, message=heard)
    np.testing.assert_allclose(env.scenario.reward(state), [-4, -4])
    obs = env.scenario.observe(state)
    np.testing.assert_allclose(obs[0, :4], [0.15, 0.15, 0.65, 0.15])
    np.testing.assert_allclose(obs[1], [0, 0, -2, 0, -1, 0, 1, 1, -2, 9, 0, 1])
    assert env.spec.obs_sizes == (4, 12)
    assert env.spec.action_parts == ((2,), (5,))
    once = world("speaker_listener", variant="maac", num_landmarks=4, num_symbols=2).scenario
    np.testing.assert_allclose(once.reward(state), [-2, -2])
    for place, reached in ((3.14, 1.0), (3.16, 0.0)):
        found = env.scenario.measure(placed(env, [[0, 0], [place, 1]], landmarks, 2))
        np.testing.assert_allclose(found["target_reached"], reached)
        np.testing.assert_allclose(found["distance"], place - 3, atol=1e-6)


def test_push_pays_for_the_nearest_good_agent() -> None:
    env = world("push", num_adversaries=2, num_good_agents=2, num_landmarks=3)
    places = [[0, 1], [0, 3], [0, 4], [2, 0]]
    state = placed(env, places, [[5, 5], [0, 0], [-5, 5]], 1)
    np.testing.assert_allclose(env.scenario.reward(state), [2 - 1, 2 - 3, -4, -2], rtol=1e-6)
    found = env.scenario.measure(state)
    np.testing.assert_allclose(found["goal_distance"], 2)
    np.testing.assert_allclose(found["adversary_distance"], 1)
    for place, reached in ((0.049, 1.0), (0.051, 0.0)):
        near = placed(env, [*places[:2], [0, 4], [place, 0]], [[5, 5], [0, 0], [-5, 5]], 1)
        np.testing.assert_allclose(env.scenario.measure(near)["goal_reached"], reached)
    assert env.spec.obs_sizes == (14, 14, 32, 32)
    obs = env.scenario.observe(state)
    np.testing.assert_allclose(obs[0, :14], [0, 0, 5, 4, 0, -1, -5, 4, 0, 2, 0, 3, 2, -1])
    own, paints = [0.25, 0.25, 0.75, 0.25], np.eye(3, 4, 1) * 0.8 + 0.1
    head, tail = [0, 0, 0, -4, *own, 5, 1, 0, -4, -5, 1], [0, -3, 0, -1, 2, -4]
    np.testing.assert_allclose(obs[2], [*head, *paints.reshape(-1), *tail], rtol=1e-6)


@pytest.mark.parametrize(("variant", "power"), [("openai", 2), ("maac", 2), ("pettingzoo", 1)])
def test_adversaries_pay_for_distance(variant: Variant, power: int) -> None:
    env = world("adversary", variant=variant, num_adversaries=2)
    state = placed(env, [[0, 3], [4, 0], [0, -2], [0, 0.5]], [[8, 8], [0, 0]], 1)
    expected = [-(3**power), -(4**power), 7 - 0.5, 7 - 0.5]
    np.testing.assert_allclose(env.scenario.reward(state), expected, rtol=1e-6)
    np.testing.assert_allclose(env.scenario.observe(state)[3, :2], [0, -0.5])
    seen = [8, 5, 0, -3, 4, -3, 0, -5, 0, -2.5, 0, 0]
    np.testing.assert_allclose(env.scenario.observe(state)[0], seen)
    near = placed(env, [[0, 0.17], [4, 0], [0, -2], [0, 0.15]], [[8, 8], [0, 0]], 1)
    found = env.scenario.measure(near)
    assert (found["good_success"], found["adversary_success"]) == (1, 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_tag_pays_for_every_contact(variant: Variant) -> None:
    """Predators 0 and 1 touch prey 0, predator 1 also prey 1; prey 1 is out by 0.05."""
    env = world("tag", variant=variant, num_adversaries=2, num_good_agents=2, num_landmarks=1)
    state = placed(env, [[0.7, 0], [0.88, 0], [0.8, 0], [0.95, 0]], [[-3, 0]], vel=np.eye(4, 2))
    hunt, flight = np.array([30.0, 30.0]), np.array([-20.0, -10.0 - 0.5])
    if variant == "maac":  # least distances 0.1 and 0.07; sums 0.1 + 0.08 and 0.25 + 0.07
        hunt, flight = hunt - 0.1 * 0.17, flight + 0.1 * np.array([0.18, 0.32])
    np.testing.assert_allclose(env.scenario.reward(state), [*hunt, *flight], rtol=1e-5)
    np.testing.assert_allclose(env.scenario.measure(state)["touches"], 3)
    obs = env.scenario.observe(state)
    seen = [1, 0, 0.7, 0, -3.7, 0, 0.18, 0, 0.1, 0, 0.25, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(obs[0], seen, atol=1e-6)
    state = state.replace(vel=jnp.arange(8.0).reshape(4, 2))
    velocities = env.scenario.observe(state)[:, 12:]
    np.testing.assert_allclose(velocities, [[4, 5, 6, 7]] * 2 + [[6, 7, 0, 0], [4, 5, 0, 0]])
    assert env.spec.obs_sizes == (16, 16, 14, 14)


def test_prey_pays_for_leaving() -> None:
    found = leaving(jnp.array([0.0, 0.89, 0.95, 1.0, 1.05, 1.5, 3.0, 400.0]))
    np.testing.assert_allclose(found, [0, 0, 0.5, 1, np.exp(0.1), np.e, 10, 10], atol=1e-5)


def test_crypto_compares_what_bob_and_eve_say() -> None:
    """Squared errors: Eve says (0.5, 0.5, 0, 0), Bob the right thing; silence has none."""
    env = world("crypto")
    said = [[0.5, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    state = placed(env, np.zeros((3, 2)), np.zeros((2, 2)), [1, 0], message=said)
    np.testing.assert_allclose(env.scenario.reward(state), [-0.5, 0.5, 0.5])
    goal, secret, heard = [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]
    expected = [heard + [0] * 4, secret + heard, goal + secret]
    np.testing.assert_array_equal(env.scenario.observe(state), expected)
    found = env.scenario.measure(state)
    np.testing.assert_allclose([found["bob_right"], found["eve_right"]], [1 / 25, 0])
    for who, reward in ((0, (0, 0, 0)), (1, (-0.5, 0.5, 0.5))):
        quiet = state.replace(message=state.message.at[who].set(0.0))
        np.testing.assert_allclose(env.scenario.reward(quiet), reward)
        assert not env.scenario.measure(quiet)[("eve_right", "bob_right")[who]]


@pytest.mark.parametrize(
    ("variant", "expected"),
    [("openai", (-10, -10)), ("maac", (-1, -9)), ("pettingzoo", (-1.5, -2.5))],
)
def test_reference_pays_for_the_agent_one_guides(
    variant: Variant, expected: tuple[float, float]
) -> None:
    """Agent 0 is 3 from its goal, landmark 0; agent 1 is 1 from landmark 2."""
    env = world("reference", variant=variant)
    said = np.eye(2, 10) * 0.5
    landmarks = [[3, 0], [7, 7], [0, 1]]
    state = placed(env, [[0, 0], [0, 2]], landmarks, [0, 2], message=said)
    np.testing.assert_allclose(env.scenario.reward(state), expected, rtol=1e-6)
    obs = env.scenario.observe(state)
    heard = [0.25, 0.25, 0.75, 0, 0.5] + [0] * 8
    np.testing.assert_allclose(obs[0], [0, 0, 3, 0, 7, 7, 0, 1, *heard])
    np.testing.assert_allclose(obs[1, 8:13], [0.75, 0.25, 0.25, 0.5, 0])
    found = env.scenario.measure(state)
    np.testing.assert_allclose([found["distance"], found["targets_reached"]], [2, 0])
    there = env.scenario.measure(placed(env, [[3, 0.1], [9, 9]], landmarks, [0, 2]))
    np.testing.assert_allclose(there["targets_reached"], 1)


# Conversions


@cache
def rewards_of_all(task: str) -> tuple[EnvSpec, dict[str, jax.Array]]:
    """Every variant's rewards [256, A] for the same states, reached by random play."""
    first = world(task)

    def after(key: jax.Array) -> Particles:
        reset_key, act_key = jax.random.split(key)
        state, view = first.reset(reset_key)
        state = state.replace(pos=state.pos * 0.5)  # contacts are many
        action = jmarl_envs.random_actions(first.spec, view.available, act_key)
        return first.step(state, action, key)[0]

    def paid(key: jax.Array) -> dict[str, jax.Array]:
        state = after(key)
        return {name: scenario.reward(state) for name, scenario in scenarios.items()}

    scenarios = {variant: world(task, variant=variant).scenario for variant in VARIANTS}
    keys = jax.random.split(jax.random.key(5), 256)
    return first.spec, jax.jit(jax.vmap(paid), compiler_options=HASTE)(keys)


UNTOLD = {  # (from, to) that the rewards do not determine
    "spread": [("openai", "maac"), ("openai", "pettingzoo")],
    "reference": [("openai", "maac"), ("openai", "pettingzoo")],
    "tag": [pair for pair in permutations(VARIANTS, 2) if "maac" in pair],
}


@pytest.mark.parametrize("task", TASKS)
def test_rewards_convert_state_by_state(task: str) -> None:
    spec, rewards = rewards_of_all(task)
    for source, target in permutations(VARIANTS, 2):
        if (source, target) in UNTOLD.get(task, []):
            with pytest.raises(ValueError, match="do not tell"):
                convert(spec, rewards[source], source, target)
            continue
        found = convert(spec, rewards[source], source, target)
        np.testing.assert_allclose(found, rewards[target], rtol=1e-4, atol=1e-5)
        if task in ("adversary", "reference") and "pettingzoo" in (source, target):
            with pytest.raises(ValueError, match="convert each reward"):
                convert_returns(spec, rewards[source].sum(0), source, target, 256)
        elif task not in ("adversary", "reference"):
            total = convert_returns(spec, rewards[source].sum(0), source, target, 256)
            np.testing.assert_allclose(total, rewards[target].sum(0), rtol=1e-4, atol=1e-2)


def test_other_environments_have_no_conversions() -> None:
    spec = jmarl_envs.make("particle/rover_tower").spec
    with pytest.raises(ValueError, match="rover_tower"):
        convert(spec, jnp.zeros(8), "maac", "openai")


def test_spreads_scales_are_those_of_the_literature() -> None:
    """Random play, -26.36 with PettingZoo, is -233 in EPyMARL's paper and -700 in openai's logs."""
    found = spread_scales(-26.36)
    assert found == pytest.approx(
        {
            "agent": -26.36,
            "team": -79.08,
            "maac agent": -77.72,
            "openai agent": -233.16,
            "openai team": -699.48,
        }
    )
    six = spread_scales(-10.0, num_agents=6, steps=10)
    assert (six["openai agent"], six["openai team"]) == (-180.0, -1080.0)


# Other sizes

SIZES = {  # options, observation sizes
    "spread": ({"num_agents": 4, "num_landmarks": 2}, (4 + 4 + 12,) * 4),
    "speaker_listener": ({"num_landmarks": 2, "num_symbols": 5}, (3, 2 + 4 + 5)),
    "push": ({"num_adversaries": 2, "num_landmarks": 1}, (8, 8, 16)),
    "adversary": ({"num_good_agents": 3, "num_landmarks": 4}, (14, 16, 16, 16)),
    "tag": ({"num_good_agents": 2, "num_landmarks": 3}, (22, 22, 22, 20, 20)),
    "crypto": ({"num_landmarks": 4}, (4, 8, 8)),
    "reference": ({"num_landmarks": 5}, (2 + 10 + 5 + 10,) * 2),
}


@pytest.mark.parametrize("task", TASKS)
def test_observations_grow_with_the_numbers(task: str) -> None:
    options, sizes = SIZES[task]
    assert world(task, **options).spec.obs_sizes == sizes


@pytest.mark.parametrize(
    ("task", "variant", "kind"),
    [("spread", "pettingzoo", "box"), ("crypto", "maac", "simplex"), ("tag", "maac", "discrete")],
)
def test_other_sizes_keep_the_contract(task: str, variant: str, kind: str) -> None:
    options, _ = SIZES[task]
    name = f"particle/simple_{task}"
    check(jmarl_envs.make(name, variant=variant, actions=kind, **options), episodes=2)


@given(st.sampled_from(["push", "adversary", "tag"]), st.lists(st.integers(1, 5), min_size=3))
@settings(max_examples=20)
def test_any_sizes_have_their_shapes(task: str, counts: list[int]) -> None:
    """Observations are as wide as the spec says: beyond lies nothing, the last entry is used."""
    adversaries, good, landmarks = counts[:3]
    env = world(task, num_adversaries=adversaries, num_good_agents=good, num_landmarks=landmarks)
    state, view = jax.eval_shape(env.reset, jax.random.key(0))
    count = adversaries + good
    assert state.pos.shape == (count, 2)
    assert state.landmarks.shape == (landmarks, 2)
    assert view.obs.shape == (count, env.spec.obs_size)
    assert view.state.shape == (env.spec.state_size,)
    reward = jax.eval_shape(env.scenario.reward, state)
    assert (reward.shape, reward.dtype) == ((count,), jnp.float32)
    assert env.spec.teams == (0,) * adversaries + (1,) * good


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("task", ["spread", "push", "adversary", "tag"])
def test_a_permuted_team_is_paid_permuted(task: str, variant: Variant) -> None:
    """Good agents are alike: who has which number changes only who gets what."""
    options = {"num_agents": 4} if task == "spread" else {"num_good_agents": 3}
    env = world(task, variant=variant, **options)
    first = env.spec.num_agents - (4 if task == "spread" else 3)
    order = np.array([*range(first), *(first + np.array([2, 0, 1])), *range(first + 3, 4)])
    reset, step = (jax.jit(f, compiler_options=HASTE) for f in (env.reset, env.step))
    state, _ = reset(jax.random.key(2))
    pos, action = np.asarray(state.pos), np.arange(env.spec.num_agents) % 5
    state = state.replace(pos=pos * 0.4, vel=pos[::-1])
    swapped = state.replace(pos=state.pos[order], vel=state.vel[order])
    after, out = step(state, action, jax.random.key(0))
    then, there = step(swapped, action[order], jax.random.key(0))
    np.testing.assert_allclose(then.pos, after.pos[order], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(there.reward, out.reward[order], rtol=1e-4, atol=1e-4)
    own = 4 if task in ("spread", "tag") else 2  # velocity and place; velocity, or the goal
    np.testing.assert_allclose(there.view.obs[:, :own], out.view.obs[order, :own], atol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_starts_fill_their_squares(task: str) -> None:
    """[-1, 1]^2, but obstacles of tag [-0.9, 0.9]^2; goals are uniform; all rest in silence."""
    env = world(task)
    states, _ = jax.jit(jax.vmap(env.reset), compiler_options=HASTE)(
        jax.random.split(jax.random.key(1), 4096)
    )
    for places, reach in ((states.pos, 1.0), (states.landmarks, 0.9 if task == "tag" else 1.0)):
        assert 0.98 * reach < np.abs(places).max() <= reach
        np.testing.assert_allclose(np.mean(places), 0, atol=0.03)
        np.testing.assert_allclose(np.std(places), reach / np.sqrt(3), rtol=0.03)
    assert not states.vel.any() and not states.message.any()
    goals = np.asarray(states.goal).reshape(4096, -1).T
    for goal in goals if task not in ("spread", "tag") else ():
        shares = np.bincount(goal) / 4096
        np.testing.assert_allclose(shares, 1 / states.landmarks.shape[1], atol=0.03)
    if len(goals) == 2:  # drawn for themselves
        assert abs(np.corrcoef(goals)[0, 1]) < 0.06


@pytest.mark.parametrize("actions", ["discrete", "simplex", "box"])
def test_in_64_bits_states_keep_their_types(actions: str) -> None:
    """From reset to step, whatever the actions' own: else no scan can carry them."""
    names = [name for name in jmarl_envs.names() if name.startswith("particle/")]
    dtypes = [jnp.int32] if actions == "discrete" else [jnp.float32, jnp.float64]
    types = lambda tree: [
        (leaf.shape, leaf.dtype, leaf.weak_type) for leaf in jax.tree.leaves(tree)
    ]
    assert len(names) == 9
    with jax.enable_x64(True):
        for env in (jmarl_envs.make(name, actions=actions) for name in names):
            width = () if actions == "discrete" else (env.spec.action_size,)
            for dtype in dtypes:
                action = jax.ShapeDtypeStruct((env.spec.num_agents, *width), dtype)
                state, view = jax.eval_shape(env.reset, jax.random.key(0))
                after, out = jax.eval_shape(env.step, state, action, jax.random.key(0))
                assert types((state, view)) == types((after, out.view)), env.spec.name


def test_teams_that_are_paid_alike_say_so() -> None:
    shared = {
        ("spread", "openai"): "shared",
        ("spread", "maac"): None,
        ("reference", "openai"): "shared",
        ("reference", "maac"): None,
        ("speaker_listener", "maac"): "shared",
        ("tag", "openai"): "shared",
        ("adversary", "pettingzoo"): "shared",
    }
    for (task, variant), rule in shared.items():
        assert world(task, variant=variant).spec.team_reward == rule
    assert world("tag", num_good_agents=2).spec.team_reward is None
    assert world("adversary", num_adversaries=2).spec.team_reward is None
    assert world("push", num_good_agents=2).spec.team_reward is None


def test_papers_names_are_known() -> None:
    for alias, name in {
        "cooperative_navigation": "simple_spread",
        "cooperative_communication": "simple_speaker_listener",
        "keep_away": "simple_push",
        "physical_deception": "simple_adversary",
        "predator_prey": "simple_tag",
        "covert_communication": "simple_crypto",
    }.items():
        assert jmarl_envs.make(f"particle/{alias}").spec.name == f"particle/{name}"


@pytest.mark.parametrize("task", TASKS)
def test_pictures_show_all_bodies_in_their_size(task: str) -> None:
    """In the colours of their teams; in the reference game everybody has a colour and a goal."""
    env = world(task)
    state, _ = env.reset(jax.random.key(4))
    state = jax.tree.map(np.asarray, state).replace(pos=np.asarray(state.pos) * 3)
    scene = env.scenario.draw(state)
    discs = [shape for shape in scene.shapes if isinstance(shape, Circle)]
    fills = {(round(c.x, 5), round(c.y, 5), c.radius): c.fill for c in discs}
    places = np.concatenate([state.pos, state.landmarks]).tolist()
    shown = []
    for (x, y), radius in zip(places, env.scenario.bodies.radius.tolist(), strict=True):
        shown.append(fills[round(x, 5), round(y, 5), radius])
        assert scene.left <= x - radius and x + radius <= scene.left + scene.width
    own = range(2) if task == "reference" else env.spec.teams
    assert shown[: len(own)] == [colour(index) for index in own]
    assert array(scene, 100).std() > 0
