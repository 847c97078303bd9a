"""MAAC's worlds against episodes recorded from the authors' own.

Every file maac_ctc*.npz and maac_rover_tower*.npz is replayed; all sizes stand in it.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jmarl.types import Outcome
from jmarl_envs.particle.rover_tower import Pairs, RoverTower
from jmarl_envs.particle.treasure import FREE, TreasureCollection, Treasures
from jmarl_envs.particle.world import Particles, World

pytestmark = pytest.mark.traces
HASTE = {"xla_backend_optimization_level": 0}  # these programs compile longer than they run
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}
FAR_AWAY = 1e-4  # in 32 bits, of places 1000 away
NEARLY_ALIKE = {"float64": 1e-12, "float32": 1e-6}  # distances that rounding may swap
Data = dict[str, Any]


def recorded(data_dir: Path, name: str) -> list[Data]:
    paths = sorted((data_dir / "traces").glob(f"{name}*.npz"))
    assert paths
    return [arrays(path) for path in paths]


def arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def before(data: Data, name: str) -> Any:
    """[E, T, ...] of the states from which the steps were taken."""
    opening = data[f"init_{name}"][:, None]
    return np.concatenate([opening, data[name][:, :-1]], 1)


class Replayed(TreasureCollection):
    """Treasures come back as recorded: the step's key holds their places and kinds."""

    def fresh(self, key: Any) -> Any:
        return key if isinstance(key, tuple) else super().fresh(key)


def ctc_world(data: Data) -> World:
    collectors = data["init_holding"].shape[1]
    deposits = data["init_agent_pos"].shape[1] - collectors
    treasures = data["init_treasure_alive"].shape[1]
    return World(Replayed(collectors, deposits, treasures, False), "simplex", 100)


def ctc_states(data: Data, dtype: str) -> Particles:
    """[E, T] the states before all steps."""
    pos = before(data, "agent_pos").astype(dtype)
    return Particles(
        pos=pos,
        vel=before(data, "agent_vel").astype(dtype),
        message=pos[..., :0],
        landmarks=pos[:, :, :0],
        goal=before(data, "holding")[:, :, :0].astype(np.int32),
        extra=Treasures(
            pos=before(data, "treasure_pos").astype(dtype),
            kind=before(data, "treasure_type").astype(np.int32),
            there=before(data, "treasure_alive"),
            held=before(data, "holding").astype(np.int32),
        ),
    )


def ctc_inputs(data: Data, dtype: str) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """[E, T] actions, and the places and kinds of what came back."""
    kinds = data["treasure_type"].astype(np.int32)
    return data["action"].astype(dtype), (data["treasure_pos"].astype(dtype), kinds)


def told_apart(data: Data, dtype: str) -> Any:
    """[E, T, N, 1] where `dtype` knows who and what is nearer, by which observations are sorted."""
    pos, treasure = data["agent_pos"], data["treasure_pos_before_post"]
    away: Any = lambda places: np.linalg.norm(pos[:, :, :, None] - places[:, :, None], axis=-1)
    gaps: Any = [np.diff(np.sort(away(places), -1), axis=-1) for places in (pos, treasure)]
    close = [((gap > 0) & (gap < NEARLY_ALIKE[dtype])).any(-1) for gap in gaps]
    return ~(close[0] | close[1])[..., None]


def agrees_with_ctc(data: Data, state: Particles, out: Outcome, tolerance: float) -> None:
    """All of [E, T] states and outcomes; places far away to four digits less in 32 bits."""
    told = told_apart(data, state.pos.dtype.name)
    assert told.mean() > 0.99
    close = partial(np.testing.assert_allclose, rtol=0, atol=tolerance)
    close(state.pos, data["agent_pos"])
    close(state.vel, data["agent_vel"])
    close(out.reward, data["reward"], atol=10 * tolerance)  # a sum of many terms
    found, obs = state.extra, np.asarray(out.view.obs)
    close(found.pos, data["treasure_pos"])
    for name, field in (("type", found.kind), ("alive", found.there)):
        np.testing.assert_array_equal(field, data[f"treasure_{name}"])
    np.testing.assert_array_equal(found.held, data["holding"])
    h = data["holding"].shape[-1]
    width = data["obs_deposit"].shape[-1]
    assert not obs[:, :, h:, width:].any()
    wide = max(FAR_AWAY, tolerance) if state.pos.dtype == np.float32 else tolerance
    for own, expected, sure in (
        (obs[:, :, :h], data["obs_collector"], told[:, :, :h]),
        (obs[:, :, h:, :width], data["obs_deposit"], told[:, :, h:]),
    ):
        far = np.abs(expected) > 500
        close(np.where(far | ~sure, 0, own), np.where(far | ~sure, 0, expected))
        close(np.where(far & sure, own, 0), np.where(far & sure, expected, 0), atol=wide)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ctc_every_recorded_step_is_repeated(data_dir: Path, dtype: str) -> None:
    """From each recorded state: observations, rewards, hands and treasures after the step."""
    for data in recorded(data_dir, "maac_ctc"):
        with jax.enable_x64(dtype == "float64"):
            step = jax.vmap(jax.vmap(ctc_world(data).step))
            run = jax.jit(step, compiler_options=HASTE)
            state, out = run(ctc_states(data, dtype), *ctc_inputs(data, dtype))
        assert state.pos.dtype == out.view.obs.dtype == dtype
        agrees_with_ctc(data, state, out, TOLERANCE[dtype])
        lost = ~before(data, "treasure_alive")
        np.testing.assert_array_equal(lost, data["respawned"])
        carried = lambda held: (np.asarray(held) != FREE).sum(-1)
        found = out.info["collected"] - out.info["delivered"]
        np.testing.assert_array_equal(
            found, carried(data["holding"]) - carried(before(data, "holding"))
        )
        np.testing.assert_array_equal(out.info["collected"], (~state.extra.there).sum(-1))


def ctc_run(data: Data, states: Particles, given: Any) -> tuple[Particles, Outcome]:
    """[R, K] states and outcomes of K steps in a row from each of R states."""
    step = ctc_world(data).step

    def one(state: Particles, given: Any) -> Any:
        state, out = step(state, *given)
        return state, (state, out)

    run = jax.vmap(lambda state, given: jax.lax.scan(one, state, given)[1])
    return jax.jit(run, compiler_options=HASTE)(states, given)


@pytest.mark.parametrize("length", [10, None])
def test_ctc_steps_follow_each_other(data_dir: Path, length: int | None) -> None:
    """Ten steps in a row from recorded states, and whole episodes, in 64 bits.

    Contacts are so stiff that rounding grows: each run agrees to a hundred times what it comes to
    when bodies start a few roundings aside.
    """
    for data in recorded(data_dir, "maac_ctc"):
        episodes, steps = data["reward"].shape[:2]
        each = length or steps
        cut = partial(in_lengths, shape=(episodes * (steps // each), each))
        with jax.enable_x64(True):
            states = jax.tree.map(lambda x, cut=cut: cut(x)[:, 0], ctc_states(data, "float64"))
            given = jax.tree.map(cut, ctc_inputs(data, "float64"))
            state, out = ctc_run(data, states, given)
            aside, _ = ctc_run(data, states.replace(pos=states.pos * (1 + 1e-15)), given)
        rows = {name: cut(x) for name, x in data.items() if x.shape[1:2] == (steps,)}
        worst = np.maximum(apart(state.pos, aside.pos), apart(state.vel, aside.vel))
        for run, by in enumerate(worst):
            one: Any = lambda x, at=run: x[at : at + 1]
            mine, recording = jax.tree.map(one, (state, out)), jax.tree.map(one, rows)
            agrees_with_ctc(recording, *mine, tolerance=max(TOLERANCE["float64"], 100 * by))


def in_lengths(x: Any, shape: tuple[int, int]) -> Any:
    """[R, K, ...]: [E, T, ...] cut into runs of K steps, without what is left at the end."""
    count, length = shape
    end = count // len(x) * length
    return x[:, :end].reshape(*shape, *x.shape[2:])


def apart(one: Any, other: Any) -> np.ndarray:
    """[R] of [R, ...]."""
    return np.abs(np.asarray(one) - np.asarray(other)).max((1, 2, 3))


def test_ctc_opens_with_the_recorded_observations(data_dir: Path) -> None:
    for data in recorded(data_dir, "maac_ctc"):
        with jax.enable_x64(True):
            opening = jax.tree.map(lambda leaf: leaf[:, 0], ctc_states(data, "float64"))
            task = ctc_world(data).scenario
            obs = np.asarray(jax.jit(jax.vmap(task.observe), compiler_options=HASTE)(opening))
        h, width = data["init_holding"].shape[1], data["init_obs_deposit"].shape[-1]
        np.testing.assert_allclose(obs[:, :h], data["init_obs_collector"], atol=1e-10)
        np.testing.assert_allclose(obs[:, h:, :width], data["init_obs_deposit"], atol=1e-10)


def rover_world(data: Data) -> World:
    pairs, landmarks = data["tower_rover"].shape[1], data["landmark_pos"].shape[1]
    return World(RoverTower(pairs, landmarks, data["init_agent_comm"].shape[-1]), "simplex", 25)


def rover_states(data: Data, dtype: str) -> Particles:
    """[E, T] the states before all steps; towers stand still and rovers are silent."""
    steps, pairs = data["rover_pos"].shape[1], data["tower_rover"].shape[1]
    always: Any = lambda rows: np.repeat(rows[:, None], steps, 1)
    towers = always(data["init_agent_pos"][:, pairs:])
    opening = {
        "init_rover_pos": data["init_agent_pos"][:, :pairs],
        "init_rover_vel": data["init_agent_vel"][:, :pairs],
        "init_tower_comm": data["init_agent_comm"][:, pairs:],
    }
    past = lambda name: before(data | opening, name)
    said = past("tower_comm")
    join: Any = lambda rovers, towers: np.concatenate([rovers, towers], 2).astype(dtype)
    return Particles(
        pos=join(past("rover_pos"), towers),
        vel=join(past("rover_vel"), np.zeros_like(towers)),
        message=join(np.zeros_like(said), said),
        landmarks=always(data["landmark_pos"]).astype(dtype),
        goal=always(data["tower_goal_landmark"].astype(np.int32)),
        extra=Pairs(
            rover=always(data["tower_rover"].astype(np.int32)),
            tower=always(data["rover_tower"].astype(np.int32)),
        ),
    )


def rover_actions(data: Data, dtype: str) -> np.ndarray:
    """[E, T, A, U] rovers' moves, then towers' messages."""
    moves, words = data["action_move"], data["action_comm"]
    width = max(moves.shape[-1], words.shape[-1])
    wide = [np.pad(rows, ((0, 0),) * 3 + ((0, width - rows.shape[-1]),)) for rows in (moves, words)]
    return np.concatenate(wide, 2).astype(dtype)


def agrees_with_rovers(data: Data, state: Particles, out: Outcome, tolerance: float) -> None:
    close = partial(np.testing.assert_allclose, rtol=0, atol=tolerance)
    pairs, obs = data["tower_rover"].shape[1], np.asarray(out.view.obs)
    close(state.pos[:, :, :pairs], data["rover_pos"])
    close(state.vel[:, :, :pairs], data["rover_vel"])
    close(state.message[:, :, pairs:], data["tower_comm"])
    close(out.reward, data["reward"], atol=10 * tolerance)
    for own, name in ((obs[:, :, :pairs], "obs_rover"), (obs[:, :, pairs:], "obs_tower")):
        width = data[name].shape[-1]
        close(own[..., :width], data[name])
        assert not own[..., width:].any()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_rover_tower_every_recorded_step_and_whole_episodes_are_repeated(
    data_dir: Path, dtype: str
) -> None:
    """Nothing collides, so 32 bits suffice for whole episodes."""
    for data in recorded(data_dir, "maac_rover_tower"):
        with jax.enable_x64(dtype == "float64"):
            made, key = rover_world(data), jax.random.key(0)

            def step(state: Particles, action: Any, made: Any = made, key: Any = key) -> Any:
                state, out = made.step(state, action, key)
                return state, (state, out)

            states, actions = rover_states(data, dtype), rover_actions(data, dtype)
            single = jax.jit(jax.vmap(jax.vmap(step)), compiler_options=HASTE)
            after, out = single(states, actions)[1]
            agrees_with_rovers(data, after, out, TOLERANCE[dtype])
            run = jax.vmap(lambda state, given: jax.lax.scan(step, state, given)[1])
            first = jax.tree.map(lambda leaf: leaf[:, 0], states)
            after, out = jax.jit(run, compiler_options=HASTE)(first, actions)
            agrees_with_rovers(data, after, out, TOLERANCE[dtype])
            obs = np.asarray(jax.jit(jax.vmap(made.scenario.observe))(first))
        pairs, width = data["tower_rover"].shape[1], data["init_obs_tower"].shape[-1]
        np.testing.assert_allclose(obs[:, :pairs], data["init_obs_rover"], atol=1e-6)
        np.testing.assert_allclose(obs[:, pairs:, :width], data["init_obs_tower"], atol=1e-6)
