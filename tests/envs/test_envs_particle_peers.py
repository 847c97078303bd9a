"""The particle world's pettingzoo variant against jaxmarl and mpe2, state by state."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmarl_envs
from jmarl.types import EnvSpec
from jmarl_envs.jaxmarl_suite import base
from jmarl_envs.libraries import NEVER, quietly
from jmarl_envs.mpe_scenarios import SCENARIOS
from jmarl_envs.particle import PEERS
from jmarl_envs.particle.world import Particles, World
from jmarl_envs.time_limit import TimeLimit

HASTE = {"xla_backend_optimization_level": 0}  # these programs compile longer than they run
TASKS = ("spread", "speaker_listener", "push", "adversary", "tag", "crypto", "reference")
KINDS = ("discrete", "simplex")  # "box" has a test of its own: it is another way to say simplex
READERS = ("spread", "speaker_listener", "crypto", "reference")  # each reads messages its own way
EPISODES, STEPS = 64, 25
JAXMARL_ORDER = {"crypto": (0, 2, 1)}  # Eve, Alice, Bob


def environment(task: str, kind: str, **options: Any) -> tuple[TimeLimit[Any], World]:
    env = jmarl_envs.make(f"particle/simple_{task}", variant="pettingzoo", actions=kind, **options)
    assert isinstance(env, TimeLimit)
    assert isinstance(env.env, World)
    return env, env.env


@cache
def played(
    task: str, kind: str, sizes: tuple[tuple[str, int], ...] = ()
) -> tuple[World, Particles, np.ndarray, Particles, Any]:
    """[E * T] states, actions in them, the states and outcomes they lead to."""
    env, world = environment(task, kind, **dict(sizes))

    def step(state: Any, key: jax.Array) -> Any:
        action = some_action(env.spec, kind, key)
        after, out = env.step(state, action, key)
        return after, (state.inner, action, after.inner, out)

    def episode(key: jax.Array) -> Any:
        reset_key, run_key, near_key = jax.random.split(key, 3)
        state, _ = env.reset(reset_key)
        crowd = jnp.where(jax.random.bernoulli(near_key), 0.3, 1.0)  # contacts are many in half
        state = state.replace(inner=state.inner.replace(pos=crowd * state.inner.pos))
        return jax.lax.scan(step, state, jax.random.split(run_key, STEPS))[1]

    keys = jax.random.split(jax.random.key(3), EPISODES)
    found = jax.jit(jax.vmap(episode), compiler_options=HASTE)(keys)
    found = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1, *leaf.shape[2:]), found)
    return world, *found


def some_action(spec: EnvSpec, kind: str, key: jax.Array) -> jax.Array:
    """Uniformly random; any numbers from 0 to 1 where the kind allows them."""
    if kind == "discrete":
        return jmarl_envs.random_actions(spec, jnp.asarray(spec.action_mask()), key)
    return jax.random.uniform(key, (spec.num_agents, spec.action_size))


def theirs(task: str, state: Particles, kind: str, sizes: Mapping[str, int]) -> tuple[Any, Any]:
    """jaxmarl's environment, and our batch of states as its own."""
    mode = {"discrete": "Discrete", "simplex": "Continuous"}[kind]
    name = SCENARIOS[f"simple_{task}"].library_id
    library = base.load(name, max_steps=NEVER, action_type=mode, **sizes)
    order = np.array(JAXMARL_ORDER.get(task, range(len(library.agents))))
    _, start = library.reset(jax.random.key(0))
    still = np.zeros_like(state.landmarks)
    fields = {
        "p_pos": np.concatenate([state.pos[:, order], state.landmarks], 1),
        "p_vel": np.concatenate([state.vel[:, order], still], 1),
        "c": state.message[:, order],
    }
    if task == "crypto":  # its own colours are 255: with ones, the rest is the same
        colours = np.eye(4, dtype=np.float32)[state.goal]
        fields |= {"goal_colour": colours[:, 0], "private_key": colours[:, 1]}
    elif start.goal is not None:
        fields["goal"] = state.goal
    count = len(state.pos)
    whole = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *jnp.shape(leaf))), start)
    return library, whole.replace(**fields)


@pytest.mark.parametrize(
    ("task", "kind", "sizes"),
    [
        *((task, "discrete", {}) for task in TASKS),
        *((task, "simplex", {}) for task in READERS),
        ("spread", "discrete", {"num_agents": 4, "num_landmarks": 2}),
        ("push", "discrete", {"num_adversaries": 2, "num_good_agents": 3}),
        ("adversary", "discrete", {"num_adversaries": 2, "num_landmarks": 3}),
    ],
)
def test_steps_are_jaxmarls(task: str, kind: str, sizes: dict[str, int]) -> None:
    world, state, action, after, out = played(task, kind, tuple(sizes.items()))
    other_sizes = dict(sizes)
    if task == "adversary" and sizes:
        other_sizes["num_obs"] = other_sizes.pop("num_landmarks")
    library, other = theirs(task, state, kind, other_sizes)
    order = JAXMARL_ORDER.get(task, range(len(library.agents)))
    names = {ours: library.agents[place] for place, ours in enumerate(order)}
    widths = world.spec.action_sizes
    actions = {
        names[i]: action[:, i] if kind == "discrete" else action[:, i, : widths[i]]
        for i in range(len(names))
    }
    step = jax.vmap(lambda state, actions: library.step_env(jax.random.key(0), state, actions))
    obs, other, reward, _, _ = jax.jit(step, compiler_options=HASTE)(other, actions)
    for i, name in names.items():
        size = world.spec.obs_sizes[i]
        place = library.agents.index(name)
        close(out.view.obs[:, i, :size], obs[name])
        close(out.reward[:, i], reward[name])
        close(after.pos[:, i], other.p_pos[:, place])
        close(after.vel[:, i], other.p_vel[:, place])


def close(ours: Any, other: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(ours, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("task", "kind", "sizes", "their_sizes"),
    [
        *((task, kind, {}, {}) for task in TASKS for kind in KINDS),
        ("spread", "discrete", {"num_agents": 6, "num_landmarks": 6}, {"N": 6}),
        ("adversary", "discrete", {"num_good_agents": 4, "num_landmarks": 4}, {"N": 4}),
        (
            "tag",
            "discrete",
            {"num_adversaries": 4, "num_good_agents": 3, "num_landmarks": 1},
            {"num_adversaries": 4, "num_good": 3, "num_obstacles": 1},
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_steps_are_mpe2s(
    task: str, kind: str, sizes: dict[str, int], their_sizes: dict[str, int]
) -> None:
    """In 64 bits; every seventh of the states."""
    _, state, action, _, _ = played(task, kind, tuple(sizes.items()))
    chosen = np.s_[::7]
    state = jax.tree.map(lambda leaf: as_wide(leaf[chosen]), state)
    action = as_wide(action[chosen])
    with jax.enable_x64(True):
        _, world = environment(task, kind, **sizes)
        step = lambda state, action: world.step(state, action, jax.random.key(0))
        stepped = jax.jit(jax.vmap(step), compiler_options=HASTE)(state, action)
        after, out = jax.tree.map(np.asarray, stepped)
    other = mpe2(task, kind, **their_sizes)
    for i in range(len(state.pos)):
        obs, reward, place = mpe2_step(
            other, jax.tree.map(lambda leaf, i=i: leaf[i], state), action[i], world.spec
        )
        for agent, name in enumerate(other.possible_agents):
            size = world.spec.obs_sizes[agent]
            close(out.view.obs[i, agent, :size], obs[name], 1e-6)  # theirs come in 32 bits
            close(out.reward[i, agent], reward[name], 1e-9)
        close(np.concatenate([after.pos[i], after.vel[i]]), place, 1e-9)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_episodes_are_as_long_as_mpe2s(task: str) -> None:
    _, _, action, _, out = played(task, "discrete")
    other, lasts = mpe2(task, "discrete"), []
    other.reset(seed=0)
    for row in action[:STEPS]:
        actions = dict(zip(other.possible_agents, row, strict=True))
        _, _, ended, late, _ = other.step(actions)
        assert not any(ended.values())
        lasts.append(all(late.values()))
    assert not out.terminated.any()
    truncated = out.truncated.reshape(EPISODES, STEPS)
    np.testing.assert_array_equal(truncated, np.tile(lasts, (EPISODES, 1)))
    assert lasts == [False] * 24 + [True]


def as_wide(leaf: np.ndarray) -> np.ndarray:
    return leaf.astype(np.float64) if leaf.dtype == np.float32 else leaf


def mpe2(task: str, kind: str, **sizes: int) -> Any:
    version = "v4" if task == "speaker_listener" else "v3"
    with quietly():
        module = import_module(f"mpe2.simple_{task}_{version}")
        continuous = kind == "simplex"
        return module.parallel_env(continuous_actions=continuous, max_cycles=STEPS, **sizes)


def mpe2_step(
    env: Any, state: Particles, action: np.ndarray, spec: EnvSpec
) -> tuple[Mapping[str, np.ndarray], Mapping[str, float], np.ndarray]:
    """Observations, rewards, and positions and velocities [2 A, 2] one step after `state`."""
    env.reset(seed=0)
    world = env.unwrapped.world
    for i, agent in enumerate(world.agents):
        agent.state.p_pos, agent.state.p_vel = state.pos[i].copy(), state.vel[i].copy()
        agent.state.c = state.message[i].copy()
    for body, place in zip(world.landmarks, state.landmarks, strict=True):
        body.state.p_pos = place.copy()
    set_goals(spec.name.removeprefix("particle/simple_"), world, state.goal)
    if action.ndim == 1:
        chosen = [int(index) for index in action]
    else:
        chosen = [row[:size] for row, size in zip(action, spec.action_sizes, strict=True)]
    obs, reward, _, _, _ = env.step(dict(zip(env.possible_agents, chosen, strict=True)))
    places = [agent.state.p_pos for agent in world.agents]
    return obs, reward, np.array(places + [agent.state.p_vel for agent in world.agents])


def set_goals(task: str, world: Any, goal: Any) -> None:
    """Our goals, where mpe2's scenario keeps its own."""
    agents, landmarks = world.agents, world.landmarks
    if task in ("push", "adversary"):
        for agent in agents:
            agent.goal_a = landmarks[goal]
    if task == "push":
        agents[1].color = np.where(np.arange(3) == goal + 1, 0.75, 0.25)
    if task == "speaker_listener":
        agents[0].goal_b = landmarks[goal]
    if task == "reference":  # an agent keeps the landmark to which it guides the other
        agents[0].goal_b, agents[1].goal_b = landmarks[goal[1]], landmarks[goal[0]]
    if task == "crypto":
        for agent in agents:
            agent.goal_a = landmarks[goal[0]]
        agents[2].key = landmarks[goal[1]].color


@pytest.mark.parametrize("task", READERS)
def test_a_box_says_in_its_own_way_what_a_simplex_says(task: str) -> None:
    """Forces in -1..1 are differences of opposite moves; messages in -1..1 stand for 0..1."""
    _, state, action, after, out = played(task, "simplex")
    _, world = environment(task, "box")
    rows = np.zeros((*action.shape[:2], world.spec.action_size), np.float32)
    for agent, parts in enumerate(environment(task, "simplex")[1].spec.action_parts):
        vector, moves = action[:, agent, : sum(parts)], parts[0] == 5
        sides = [vector[:, 2] - vector[:, 1], vector[:, 4] - vector[:, 3]] if moves else []
        said = 2 * vector[:, 5 * moves :] - 1
        row = np.concatenate([*(side[:, None] for side in sides), said], -1)
        rows[:, agent, : row.shape[1]] = row
    step = lambda state, action: world.step(state, action, jax.random.key(0))
    found, boxed = jax.jit(jax.vmap(step), compiler_options=HASTE)(state, rows)
    close(found.pos, after.pos)
    close(found.vel, after.vel)
    close(found.message, after.message)
    close(boxed.reward, out.reward)
    beyond, _ = jax.jit(jax.vmap(step), compiler_options=HASTE)(state, np.sign(rows) * 3)
    corner, _ = jax.jit(jax.vmap(step), compiler_options=HASTE)(state, np.sign(rows))
    close(beyond.vel, corner.vel)
    close(beyond.message, corner.message)


@pytest.mark.parametrize("name", PEERS)
def test_peers_are_of_the_same_shape(name: str) -> None:
    options, peer = PEERS[name]
    ours, other = jmarl_envs.make(name, **options).spec, jmarl_envs.make(peer).spec
    assert ours.obs_sizes == other.obs_sizes
    assert ours.action_parts == other.action_parts
    assert ours.teams == other.teams
    entry = jmarl_envs.entry(peer)
    assert entry.peer is not None
    assert entry.peer.library == "jaxmarl"
