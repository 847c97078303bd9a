"""The particle world against episodes recorded from openai's multiagent-particle-envs.

Every file openai_simple_*.npz is replayed; how many agents and landmarks there are stands in it.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

import jmarl_envs
from jmarl.types import View
from jmarl_envs.particle.physics import gains
from jmarl_envs.particle.world import Particles, World
from jmarl_envs.time_limit import TimeLimit

pytestmark = pytest.mark.traces
HASTE = {"xla_backend_optimization_level": 0}  # these programs compile longer than they run
TOLERANCE = {"float64": 1e-11, "float32": 1e-5}
RECORDED = {"simple_spread", "simple_speaker_listener", "simple_adversary", "simple_tag"}
CONTACTS = {"simple_spread", "simple_tag", "simple_push"}  # too stiff for free runs in 32 bits


class Trace(NamedTuple):
    """A file: what was recorded [E, T, ...] (`init_*`: [E, ...]), and the environment it is of."""

    task: str
    data: dict[str, np.ndarray]

    @property
    def steps(self) -> tuple[int, int]:
        return self.data["reward"].shape[:2]

    def world(self, actions: str) -> World:
        count, total = len(self.data["const_accel"]), len(self.data["const_size"])
        widths = [self.data[f"obs_{agent}"].shape[-1] for agent in range(count)]
        adversaries = widths.count(widths[0])  # where there are any, the first is one of them
        sides = {"num_adversaries": adversaries, "num_good_agents": count - adversaries}
        options = {
            "simple_spread": {"num_agents": count},
            "simple_speaker_listener": {"num_symbols": int(self.data["const_dim_c"])},
        }
        env = jmarl_envs.make(
            f"particle/{self.task}",
            actions=actions,
            num_landmarks=total - count,
            **options.get(self.task, sides),
        )
        assert isinstance(env, TimeLimit)
        assert isinstance(env.env, World)
        return env.env

    def before(self, name: str) -> np.ndarray:
        """[E, T, ...] of the state from which each step was taken."""
        first = self.data[f"init_{name}"][:, None]
        return np.concatenate([first, self.data[name][:, :-1]], 1)

    def states(self, dtype: str) -> Particles:
        """[E, T] the states before all steps."""
        _, steps = self.steps
        for_all_steps = lambda rows: np.repeat(rows[:, None], steps, 1)
        fields: dict[str, Any] = {
            "pos": self.before("agent_pos").astype(dtype),
            "vel": self.before("agent_vel").astype(dtype),
            "message": self.before("agent_comm").astype(dtype),
            "landmarks": for_all_steps(self.data["landmark_pos"]).astype(dtype),
            "goal": for_all_steps(self.data["goal_landmark"].astype(np.int32)),
        }
        return Particles(**fields)

    def actions(self, dtype: str) -> np.ndarray:
        """[E, T, A, U] as "simplex" reads them: moves and messages of those who have them."""
        movable, silent = self.data["const_movable"], self.data["const_silent"]
        move, said = self.data["action_move"], self.data["action_comm"]
        width = max(
            5 * movable[agent] + said.shape[-1] * ~mute for agent, mute in enumerate(silent)
        )
        rows = np.zeros((*move.shape[:-1], width), dtype)
        for agent, mute in enumerate(silent):
            parts = [move[:, :, agent]] if movable[agent] else []
            parts += [] if mute else [said[:, :, agent]]
            joined = np.concatenate(parts, -1)
            rows[:, :, agent, : joined.shape[-1]] = joined
        return rows


@pytest.fixture(scope="module")
def traces(data_dir: Path) -> list[Trace]:
    """All files, their names without what is not the task's."""
    found = []
    names = sorted((n.removeprefix("particle/") for n in jmarl_envs.names()), key=len)
    for path in sorted((data_dir / "traces").glob("openai_simple_*.npz")):
        stem = path.stem.removeprefix("openai_")
        task = max((name for name in names if stem.startswith(name)), key=len)
        with np.load(path) as file:
            found.append(Trace(task, {name: file[name] for name in file}))
    assert {trace.task for trace in found} >= RECORDED
    return found


def test_bodies_are_the_originals(traces: list[Trace]) -> None:
    for task, data in traces:
        world = Trace(task, data).world("discrete")
        facts, count = world.scenario.bodies, len(data["const_accel"])
        np.testing.assert_array_equal(facts.radius, data["const_size"], task)
        np.testing.assert_array_equal(facts.collides, data["const_collide"], task)
        np.testing.assert_array_equal(facts.movable, data["const_movable"][:count], task)
        assert not data["const_movable"][count:].any()
        np.testing.assert_array_equal(
            gains(facts, "openai"), data["const_accel"] * facts.movable, task
        )
        limits = np.where(np.isinf(facts.max_speed), -1, facts.max_speed)
        np.testing.assert_array_equal(limits, data["const_max_speed"], task)
        np.testing.assert_array_equal(world.scenario.speaks, ~data["const_silent"], task)
        assert world.scenario.vocabulary == data["const_dim_c"]
        if data["const_shared_reward"]:
            assert world.spec.team_reward == "shared"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_recorded_step_is_repeated(traces: list[Trace], dtype: str) -> None:
    """Positions, velocities, messages, observations and rewards after each recorded state."""
    for trace in traces:
        with jax.enable_x64(dtype == "float64"):
            world = trace.world("simplex")
            states, actions = trace.states(dtype), trace.actions(dtype)
            after, out = _steps(world, states, actions)
            assert after.pos.dtype == out.view.obs.dtype == out.reward.dtype == dtype
        agree = _comparison(trace.task, TOLERANCE[dtype])
        agree(after.pos, trace.data["agent_pos"])
        agree(after.vel, trace.data["agent_vel"])
        agree(after.message, trace.data["agent_comm"])
        agree(out.reward, trace.data["reward"])
        _observations_agree(trace, out.view.obs, "obs", agree)


def test_the_forks_rewards_are_the_agents_own(traces: list[Trace]) -> None:
    """Not summed over agents, as openai's are before they are shared. (The fork's tag differs.)"""
    for trace in traces:
        if trace.task == "simple_tag":
            continue
        with jax.enable_x64(True):
            world = trace.world("simplex")
            world.scenario.variant = "maac"
            states = trace.states("float64")
            later = states.replace(pos=trace.data["agent_pos"], vel=trace.data["agent_vel"])
            found = _batched(world.scenario.reward)(later)
        _comparison(trace.task, 1e-11)(found, trace.data["reward_individual"])


def test_one_hots_are_choices(traces: list[Trace]) -> None:
    """Discrete actions do what the recorded one-hots did."""
    for trace in traces:
        with jax.enable_x64(True):
            world, hard = trace.world("discrete"), trace.data["kind"] != 1
            moves = trace.data["action_move"].argmax(-1)
            said = trace.data["action_comm"].argmax(-1)
            index = np.where(world.moves, moves + 5 * said * world.speaks, said)[hard]
            states = _of_states(trace.states("float64"), hard)
            after, out = _steps(world, states, index.astype(np.int32))
        agree = _comparison(trace.task, 1e-11)
        agree(after.pos, trace.data["agent_pos"][hard])
        agree(after.message, trace.data["agent_comm"][hard])
        agree(out.reward, trace.data["reward"][hard])


def test_the_first_observations_are_repeated(traces: list[Trace]) -> None:
    for trace in traces:
        with jax.enable_x64(True):
            world = trace.world("simplex")
            view: View = _batched(world.view)(_of_states(trace.states("float64"), np.s_[:, :1]))
        obs = np.asarray(view.obs)[:, 0]
        _observations_agree(trace, obs, "init_obs", _comparison(trace.task, 1e-11))


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
def test_whole_episodes_are_repeated(traces: list[Trace], dtype: str, tolerance: float) -> None:
    for trace in traces:
        if dtype == "float32" and trace.task in CONTACTS:
            continue
        with jax.enable_x64(dtype == "float64"):
            world = trace.world("simplex")
            first = _of_states(trace.states(dtype), np.s_[:, 0])
            states, outs = _episodes(world, first, trace.actions(dtype))
        agree = _comparison(trace.task, tolerance)
        agree(states.pos, trace.data["agent_pos"])
        agree(outs.reward, trace.data["reward"])


def _episodes(world: World, first: Particles, actions: np.ndarray) -> Any:
    """[E, T] states and outcomes from [E] states on."""

    def step(state: Particles, action: jax.Array) -> Any:
        state, out = world.step(state, action, jax.random.key(0))
        return state, (state, out)

    run = jax.vmap(lambda state, actions: jax.lax.scan(step, state, actions)[1])
    return jax.jit(run, compiler_options=HASTE)(first, actions)


def _steps(world: World, states: Particles, actions: np.ndarray) -> Any:
    """[E, T] states and outcomes after one step from each state."""
    step = lambda state, action: world.step(state, action, jax.random.key(0))
    return _batched(step)(states, actions)


def _batched(function: Any) -> Any:
    """`function` over axes [E, T]."""
    return jax.jit(jax.vmap(jax.vmap(function)), compiler_options=HASTE)


def _of_states(states: Particles, index: Any) -> Particles:
    return jax.tree.map(lambda leaf: leaf[index], states)


def _comparison(task: str, tolerance: float) -> Any:
    def agree(found: Any, expected: np.ndarray) -> None:
        np.testing.assert_allclose(
            np.asarray(found), expected, rtol=tolerance, atol=tolerance, err_msg=task
        )

    return agree


def _observations_agree(trace: Trace, obs: Any, name: str, agree: Any) -> None:
    """[..., A, O] padded rows against each agent's own recorded width."""
    obs = np.asarray(obs)
    for agent in range(obs.shape[-2]):
        expected = trace.data[f"{name}_{agent}"]
        agree(obs[..., agent, : expected.shape[-1]], expected)
        assert not obs[..., agent, expected.shape[-1] :].any()
