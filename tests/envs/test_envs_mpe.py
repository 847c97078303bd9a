"""The particle adapter against jaxmarl itself."""

from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import HASTE

import jmarl_envs
from jmarl.types import EnvSpec
from jmarl_envs.jaxmarl_suite import base
from jmarl_envs.libraries import NEVER
from jmarl_envs.mpe import Mpe
from jmarl_envs.mpe_scenarios import SCENARIOS
from jmarl_envs.time_limit import TimeLimit

LIMIT = 25
# where many bodies touch at once, their forces are added in another order than the library's
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
PREY = [task for task, scenario in SCENARIOS.items() if scenario.scripted_prey]


class Truth(NamedTuple):
    """Of one scenario, worked out from its source."""

    obs_sizes: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...]
    teams: tuple[int, ...]
    shared: bool = False


MOVE = ((5,),)
TRUTH = {
    "simple": Truth((4,), MOVE, (0,), shared=True),
    "simple_tag": Truth((16, 16, 16, 14), MOVE * 4, (0, 0, 0, 1)),
    "simple_world_comm": Truth((34,) * 4 + (28,) * 2, ((5, 4), *MOVE * 5), (0, 0, 0, 0, 1, 1)),
    "simple_spread": Truth((18, 18, 18), MOVE * 3, (0, 0, 0)),
    "simple_crypto": Truth((4, 8, 8), ((4,),) * 3, (0, 1, 1)),
    "simple_speaker_listener": Truth((3, 11), ((3,), (5,)), (0, 0), shared=True),
    "simple_push": Truth((8, 19), MOVE * 2, (0, 1)),
    "simple_adversary": Truth((8, 10, 10), MOVE * 3, (0, 1, 1)),
    "simple_reference": Truth((21, 21), ((5, 10),) * 2, (0, 0)),
    "simple_facmac": Truth((16,) * 3, MOVE * 3, (0,) * 3, shared=True),
    "simple_facmac_3a": Truth((16,) * 3, MOVE * 3, (0,) * 3, shared=True),
    "simple_facmac_6a": Truth((28,) * 6, MOVE * 6, (0,) * 6, shared=True),
    "simple_facmac_9a": Truth((40,) * 9, MOVE * 9, (0,) * 9, shared=True),
}

# By team: return of random play over 25 steps and its standard error, measured with the library.
ANCHORS = {
    "simple_spread": ((-26.4, 0.06),),
    "simple_tag": ((4.35, 0.08), (-15.8, 0.1)),
    "simple_adversary": ((-28.3, 0.1), (7.5, 0.1)),
    "simple_speaker_listener": ((-39.3, 0.2),),
    "simple_push": ((-0.1, 0.1), (-28.2, 0.1)),
    "simple_crypto": ((-1.6e6, 2e4), (8.0, 12.0)),
    "simple_reference": ((-28.3, 0.1),),
}


def adapter(task: str, actions: str, **options: Any) -> tuple[EnvSpec, TimeLimit[Any], Mpe]:
    env = jmarl_envs.make(f"mpe/{task}", actions=actions, **options)
    assert isinstance(env, TimeLimit)
    assert isinstance(env.env, Mpe)
    return env.spec, env, env.env


def chosen(spec: EnvSpec, action: jax.Array) -> dict[str, jax.Array]:
    """Library actions for [A] choices."""
    return dict(zip(spec.agents, action, strict=True))


def relaxed(spec: EnvSpec, action: jax.Array) -> dict[str, jax.Array]:
    """Library actions for [A, U] numbers: each agent's own entries."""
    rows = zip(spec.agents, action, spec.action_sizes, strict=True)
    return {name: row[:size] for name, row, size in rows}


def boxed(spec: EnvSpec, action: jax.Array) -> dict[str, jax.Array]:
    """Library actions for a box: a 5-vector for a force, messages from -1..1 to 0..1."""
    found = relaxed(spec, action)
    for name, parts in zip(spec.agents, TRUTH[spec.name.removeprefix("mpe/")].parts, strict=True):
        numbers, vector = found[name], (found[name] + 1) / 2
        if parts[0] == 5:
            x, y = numbers[0], numbers[1]
            push = [jnp.maximum(side, 0) for side in (-x, x, -y, y)]
            vector = jnp.concatenate([jnp.stack([jnp.zeros(()), *push]), vector[2:]])
        found[name] = vector
    return found


KINDS = {
    "discrete": ("Discrete", chosen),
    "simplex": ("Continuous", relaxed),
    "box": ("Continuous", boxed),
}
# Simplex and box actions differ from the library's in their translation alone, which has a test of
# its own for every scenario; here each way in which the library reads continuous actions is tried.
READERS = ("simple_spread", "simple_world_comm", "simple_crypto", "simple_speaker_listener")
EPISODES = [
    *((task, "discrete") for task in SCENARIOS if task not in PREY),
    *((task, "simplex") for task in READERS),
    ("simple_world_comm", "box"),
    *(
        pytest.param(*pair, marks=pytest.mark.slow)
        for pair in (
            ("simple_reference", "simplex"),
            ("simple_facmac", "simplex"),
            ("simple_speaker_listener", "box"),
        )
    ),
]


@cache
def side_by_side(task: str, kind: str) -> tuple[EnvSpec, Any, Any]:
    """[N, T+1] views and [N, T] outcomes of ours, observations and rewards of the library's."""
    spec, env, _ = adapter(task, kind)
    action_type, translate = KINDS[kind]
    mode = {} if task in PREY else {"action_type": action_type}
    theirs = base.load(SCENARIOS[task].library_id, max_steps=NEVER, **mode)
    still = {name: jnp.zeros(5) for name in theirs.agents if name not in spec.agents}

    def step(carry: Any, key: jax.Array) -> Any:
        ours, other = carry
        act_key, step_key = jax.random.split(key)
        action = jmarl_envs.random_actions(spec, jnp.asarray(spec.action_mask()), act_key)
        if kind == "simplex":  # not one-hots only
            action = jax.random.uniform(act_key, action.shape)
        ours, out = env.step(ours, action, step_key)
        actions = translate(spec, action) | still
        obs, other, reward, _, _ = theirs.step_env(step_key, other, actions)
        return (ours, other), (out, (obs, reward))

    def episode(key: jax.Array) -> Any:
        reset_key, run_key = jax.random.split(key)
        (ours, view), (obs, other) = env.reset(reset_key), theirs.reset(reset_key)
        _, (outs, found) = jax.lax.scan(step, (ours, other), jax.random.split(run_key, LIMIT))
        return view, outs, obs, found

    keys = jax.random.split(jax.random.key(7), 1024 if task in ANCHORS else 8)
    run = jax.jit(jax.vmap(episode), compiler_options=HASTE)
    view, outs, opening, (obs, reward) = jax.tree.map(np.asarray, run(keys))
    views = jax.tree.map(_prepend, view, outs.view)
    rows = {name: _prepend(opening[name], obs[name]) for name in spec.agents}
    return spec, (views, outs), (rows, reward)


def _prepend(first: np.ndarray, rest: np.ndarray) -> np.ndarray:
    return np.concatenate([first[:, None], rest], 1)


@pytest.mark.parametrize(("task", "kind"), EPISODES)
def test_episodes_are_the_librarys_own_and_end_with_their_true_last_view(
    task: str, kind: str
) -> None:
    spec, (views, outs), (rows, reward) = side_by_side(task, kind)
    for agent, (name, size) in enumerate(zip(spec.agents, spec.obs_sizes, strict=True)):
        close(views.obs[:, :, agent, :size], rows[name])
        close(outs.reward[:, :, agent], reward[name])
    close(views.state, np.concatenate(list(rows.values()), -1))
    assert outs.truncated.sum() == len(outs.truncated)
    assert outs.truncated[:, LIMIT - 1].all()
    assert not outs.terminated.any()


@pytest.mark.parametrize("task", ANCHORS)
def test_random_play_earns_what_was_measured_with_the_library(task: str) -> None:
    spec, (_, outs), _ = side_by_side(task, "discrete")
    returns = outs.reward.sum(1, dtype=np.float64)
    for team, (mean, error) in enumerate(ANCHORS[task]):
        own = returns[:, np.array(spec.teams) == team].mean(1)
        assert abs(own.mean() - mean) < 3 * np.hypot(error, own.std() / np.sqrt(own.size))


@pytest.mark.parametrize("task", SCENARIOS)
def test_all_kinds_of_actions_become_the_librarys_vectors(task: str, key: jax.Array) -> None:
    spec, _, discrete = adapter(task, "discrete")
    choice = jmarl_envs.random_actions(spec, jnp.asarray(spec.action_mask()), key)
    for index, vector, parts in zip(
        choice, discrete.vectors(choice), TRUTH[task].parts, strict=True
    ):
        message = int(index) // 5 + 5 if len(parts) == 2 else None
        ones = [int(index) % 5, message] if message is not None else [int(index)]
        assert np.flatnonzero(vector).tolist() == ones
        assert vector.shape == (sum(parts),)

    spec, _, box = adapter(task, "box")
    numbers = jax.random.uniform(key, (spec.num_agents, spec.action_size), minval=-1.0)
    expected = boxed(spec, numbers)
    for name, vector in zip(spec.agents, box.vectors(numbers), strict=True):
        np.testing.assert_array_equal(vector, expected[name])
    for vector in box.vectors(3 * jnp.ones_like(numbers)):  # clipped
        assert float(vector.max()) == 1.0

    spec, _, simplex = adapter(task, "simplex")
    numbers = jax.random.uniform(key, (spec.num_agents, spec.action_size))
    for vector, row, size in zip(simplex.vectors(numbers), numbers, spec.action_sizes, strict=True):
        np.testing.assert_array_equal(vector, row[:size])


@pytest.mark.parametrize("task", SCENARIOS)
def test_spec_tells_who_acts_how(task: str) -> None:
    truth, spec = TRUTH[task], adapter(task, "discrete")[0]
    assert spec.obs_sizes == truth.obs_sizes
    assert spec.action_parts == truth.parts
    assert spec.teams == truth.teams
    assert (spec.team_reward == "shared") == truth.shared
    assert spec.state_size == sum(truth.obs_sizes)
    assert spec.episode_limit == LIMIT
    alike = len(set(truth.obs_sizes)) == 1
    features = (len(truth.teams), truth.obs_sizes[0])
    assert spec.agent_features == (features if alike else None)


def test_parts_of_a_box_are_forces_and_messages() -> None:
    spec, _, _ = adapter("simple_world_comm", "box")
    assert spec.action_parts == ((6,), (2,), (2,), (2,), (2,), (2,))
    assert adapter("simple_speaker_listener", "box")[0].action_parts == ((3,), (2,))


def test_adversaries_are_a_team() -> None:
    spec, _, _ = adapter("simple_crypto", "discrete")
    assert [spec.team_names[team] for team in spec.teams] == ["adversaries", "good", "good"]


@pytest.mark.parametrize(
    ("task", "options", "sizes"),
    [
        ("simple", {"num_agents": 2, "num_landmarks": 3}, (8, 8)),
        ("simple_spread", {"num_agents": 4, "num_landmarks": 2}, (20,) * 4),
        ("simple_tag", {"num_adversaries": 4, "num_good_agents": 2}, (20,) * 4 + (18,) * 2),
        ("simple_adversary", {"num_obs": 3}, (10, 12, 12)),
        ("simple_push", {"num_good_agents": 2}, (10, 21, 21)),
        ("simple_facmac", {"num_adversaries": 2, "num_landmarks": 1}, (12, 12)),
    ],
)
def test_teams_may_have_other_sizes(
    task: str, options: dict[str, int], sizes: tuple[int, ...]
) -> None:
    assert adapter(task, "discrete", **options)[0].obs_sizes == sizes


def test_without_individual_terms_the_reward_is_shared() -> None:
    assert adapter("simple_spread", "discrete", local_ratio=0.0)[0].team_reward == "shared"
    assert adapter("simple", "discrete", num_agents=2)[0].team_reward is None


@pytest.mark.parametrize("task", PREY[1:])
def test_named_sizes_are_the_librarys(task: str) -> None:
    import jaxmarl

    theirs, ours = jaxmarl.make(SCENARIOS[task].alias), adapter(task, "box")[2].library
    for name in ("agents", "score_function", "num_landmarks"):
        assert getattr(theirs, name) == getattr(ours, name)
    for name in ("rad", "accel", "max_speed", "view_radius", "collide", "moveable", "silent"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
