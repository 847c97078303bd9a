"""jmarl plot attention: what is shown, what is drawn, what is refused, what is left behind."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from PIL import Image
from probes import jit

import jmarl
import jmarl_envs
from jmarl import checkpoint
from jmarl.algorithms import ALL
from jmarl.cli import main
from jmarl.config import experiment
from jmarl.exploration import uniform_policy
from jmarl.folder import create, open_folder
from jmarl.plots import attention_map, intrinsic_map
from jmarl.program import Program, key_of_play
from jmarl.recording import Attended, record
from jmarl.teams import team_of, trained
from jmarl.types import EnvSpec, Key, Outcome, View
from jmarl_envs import registry

HEADS = 3
TINY: dict[str, Any] = {
    **{"heads": HEADS, "query_dim": 5, "attention_dim": 4, "weight_dim": 5, "bias_dim": 4},
    **{"rnn_dim": 4, "hidden_dim": 4, "team_reward": "sum"},
}
RUN: dict[str, Any] = {
    **{"num_envs": 2, "seeds": 2, "warmup_episodes": 2, "buffer_size": 4, "batch_size": 2},
}


class Fading:
    """Three agents; the last dies at step 2, and all ends truly after 4 of at most 6 steps."""

    spec = EnvSpec(
        name="mine/fading",
        agents=("ann", "bob", "cid"),
        obs_sizes=(1, 1, 1),
        action_kind="discrete",
        action_parts=((2,),) * 3,
        state_size=7,
        episode_limit=6,
        teams=(0, 0, 0),
        agent_features=(3, 2),
    )

    def reset(self, key: Key) -> tuple[Array, View]:
        state = jnp.concatenate([jax.random.normal(key, (6,)), jnp.zeros(1)])
        return state, self.view(state)

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        state = state.at[:6].multiply(-1.5).at[6].add(1)
        ends = state[6] >= 4
        return state, Outcome(self.view(state), state[0:6:2] * (1 + action), ends, ~ends & ends)

    def view(self, state: Array) -> View:
        alive = jnp.array([True, True, False]) | (state[6] < 2)
        return View(state[0:6:2, None], jnp.ones((3, 2), bool), alive, state)


@pytest.fixture(scope="module", autouse=True)
def fading() -> Iterator[None]:
    """The registry knows the environment, as long as these tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_OUTSIDE", {})
        jmarl_envs.register(Fading.spec.name, Fading)
        yield


@pytest.fixture(scope="module")
def run(fading: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained("qatten", {**TINY, **RUN}, tmp_path_factory.mktemp("runs") / "run")


def untrained(algorithm: str, settings: dict[str, Any], path: Path) -> Path:
    """Two teams as they were drawn, of which the second evaluated better."""
    plan = experiment(algorithm, settings={**settings, "env": Fading.spec.name})
    folder = create(str(path), plan, {})
    program = Program(Fading(), plan)
    state = jit(program._start)(program.keys[0], plan.config)
    meta = {"evaluations": [{"episode_return": [1.0, 2.0]}]}
    checkpoint.save(folder.checkpoints, 0, {"learner": state.learner}, meta)
    return folder.path


def made_up(steps: int, heads: int, dead: bool = True, **changes: Any) -> Attended:
    """Numbers that nobody played: agent 1 of 3 is dead from step 2 on."""
    spec = Fading.spec
    odd = np.random.default_rng(0).random((steps, heads, 3))
    alive = np.ones((steps, 3), bool)
    alive[2:, 1] = not dead
    reward = np.arange(1.0, steps + 1)[:, None] * np.array([0.0, 3.0, 0.0])
    weights = odd / odd.sum(-1, keepdims=True)
    seen = Attended(spec, "qatten", 5, alive, reward, True, weights, odd.sum(-1))
    return replace(seen, **changes)


# --- what is shown ------------------------------------------------------------------------------


def layers(params: Any, x: np.ndarray, head: Any = ...) -> np.ndarray:
    """fc2(relu(fc1(x))), of one of several side by side."""
    for name in ("fc1", "fc2"):
        x = x @ np.asarray(params[name]["kernel"])[head] + np.asarray(params[name]["bias"])[head]
        x = np.maximum(x, 0) if name == "fc1" else x
    return x


def test_weights_are_those_of_the_formula(run: Path) -> None:
    """softmax(query . key / sqrt(width)) and |w(s)| for each head, in numpy, with the state
    followed by hand: its features change sign and grow by half at each step."""
    env = Fading()
    seen = jmarl.attention(run, seed=3, team_seed=0)
    assert seen.weights.shape == (4, HEADS, 3) and seen.terminated and seen.team_seed == 0
    assert seen.alive.tolist() == [[True] * 3] * 2 + [[True, True, False]] * 2
    _, learner = team_of(*trained(open_folder(run)), 0)
    mixer = jax.device_get(learner.params["mixer"])
    played = record(env, uniform_policy(env.spec), key_of_play(3), 1)  # opens as all do
    first = np.asarray(played.state[0, 0, :6], np.float64)
    states = np.array([np.append(first * (-1.5) ** step, step) for step in range(4)])
    own = states[:, :6].reshape(4, 3, 2)
    paid = seen.reward / (-1.5 * own[..., 0])  # one more than the action
    assert (np.isclose(paid, 1) | np.isclose(paid, 2)).all()
    keys = mixer["key"]
    for head in range(HEADS):
        query = layers(mixer["query"], states, head)
        key = own @ keys["kernel"][head] + keys["bias"][head]
        power = np.exp((key @ query[..., None])[..., 0] / np.sqrt(4))
        expected = power / power.sum(-1, keepdims=True)
        np.testing.assert_allclose(seen.weights[:, head], expected, rtol=1e-4)
    assert seen.head_weights is not None
    np.testing.assert_allclose(seen.head_weights, np.abs(layers(mixer["head"], states)), rtol=1e-4)


def test_the_best_team_plays_the_episode_that_render_shows(run: Path, tmp_path: Path) -> None:
    made = jmarl.render(run, out=tmp_path / "x.gif", seed=7, pixels=64)
    seen = jmarl.attention(run, seed=7)
    assert made.policy == "trained, seed 1" and seen.team_seed == 1
    assert made.overlay == "attention"
    np.testing.assert_array_equal(seen.reward.sum(0), made.returns[0])
    with pytest.raises(jmarl.ConfigError, match=r"training seed must be one of \[0, 1\], got 7"):
        jmarl.attention(run, team_seed=7)
    bare = jmarl.render(run, out=tmp_path / "bare.gif", seed=7, pixels=64, overlay="none")
    assert bare.overlay == ""
    with Image.open(made.path) as over, Image.open(bare.path) as plain:
        assert over.width == plain.width and over.height > plain.height


def test_an_episode_on_record_is_a_batch_to_its_end() -> None:
    env = Fading()
    batch = record(env, uniform_policy(env.spec), jax.random.key(0), 2).batch()
    sides = lambda flags: [list(map(int, column)) for column in np.asarray(flags).T]
    assert sides(batch.start) == [[1, 0, 0, 0, 0, 0, 0]] * 2
    assert sides(batch.valid) == [[1, 1, 1, 1, 0, 0]] * 2
    assert sides(batch.terminated) == [[0, 0, 0, 1, 0, 0]] * 2
    assert not batch.truncated.any()
    clock = jmarl.make_env("toy/clock", episode_limit=3)
    batch = record(clock, uniform_policy(clock.spec), jax.random.key(0), 1).batch()
    assert sides(batch.truncated) == [[0, 0, 1]] and not batch.terminated.any()


def test_unweighted_heads_have_no_weights() -> None:
    env = Fading()
    plain: Any = jmarl.make_algorithm("qatten", env.spec, weighted_heads=False, **TINY)
    learner = jit(plain.init)(jax.random.key(0))
    seen = jit(plain.attention)(
        learner, record(env, plain.exploit(learner), jax.random.key(0), 2).batch()
    )
    assert seen.head_weights is None and seen.weights.shape == (6, 2, HEADS, 3)
    np.testing.assert_allclose(seen.weights.sum(-1), 1, rtol=1e-6)


def test_what_a_recipe_shows_its_algorithm_has() -> None:
    for recipe in ALL.values():
        team = {"team_reward": "sum"} if hasattr(recipe.config, "team_reward") else {}
        config = recipe.config.replace(**team)
        assert all(
            callable(getattr(recipe.make(Fading.spec, config), name)) for name in recipe.shows
        )
    assert "attention" in ALL["qatten"].shows and not ALL["vdn"].shows


# --- what is drawn ------------------------------------------------------------------------------


def heat(figure: Figure, panel: int) -> QuadMesh:
    (mesh,) = (c for c in figure.axes[panel].collections if isinstance(c, QuadMesh))
    return mesh


def test_each_head_is_a_map_of_agents_and_steps_in_one_scale() -> None:
    seen = made_up(5, 2)
    figure = attention_map(seen)
    for head in range(2):
        mesh = heat(figure, head)
        np.testing.assert_array_equal(mesh.get_array(), seen.weights[:, head].T)
        assert mesh.get_clim() == (0, seen.weights.max())
        axes = figure.axes[head]
        assert axes.get_ylabel() == f"head {head + 1}" and axes.yaxis_inverted()
        assert [label.get_text() for label in axes.get_yticklabels()] == ["ann", "bob", "cid"]
    assert figure.axes[3].get_xlabel() == "step of the episode"
    assert figure.axes[3].get_xlim() == (0, 5)
    assert "1/3" in figure.axes[4].get_ylabel()  # of the colours
    title = figure.get_suptitle()
    assert "qatten on mine/fading" in title and "seed 5, 5 steps, ended" in title


def test_the_dead_are_hatched_from_the_step_of_their_death() -> None:
    seen = made_up(5, 1)
    hatches = [c for c in attention_map(seen).axes[0].collections if c.get_hatch()]
    (path,) = [path for hatch in hatches for path in hatch.get_paths()]
    extents = path.get_extents()
    assert (extents.x0, extents.x1, extents.y0, extents.y1) == (2, 5, 1, 2)
    returned = seen.alive.copy()
    returned[3] = True  # dead at 2 and 4
    again = attention_map(replace(seen, alive=returned)).axes[0].collections
    paths = [path.get_extents() for c in again if c.get_hatch() for path in c.get_paths()]
    assert [(box.x0, box.x1) for box in paths] == [(2, 3), (4, 5)]
    legends = [attention_map(made_up(5, 1, dead)).axes[0].get_legend() for dead in (True, False)]
    assert legends[0] is not None and legends[1] is None


def test_head_weights_and_earnings_are_lines_below() -> None:
    seen = made_up(3, 2)
    _, _, weights, earned, _ = attention_map(seen).axes
    assert seen.head_weights is not None
    stairs: list[Any] = list(weights.patches)
    for head, line in enumerate(stairs):
        np.testing.assert_array_equal(line.get_data().values, seen.head_weights[:, head])
        assert line.get_label() == f"head {head + 1}"
    (line,) = earned.lines
    assert np.asarray(line.get_ydata()).tolist() == [0, 1, 3, 6]  # mean over agents of 3, 9, 18
    assert "return so far" in earned.get_ylabel()
    alike = attention_map(replace(seen, head_weights=None))
    assert len(alike.axes) == 4 and "heads count alike" in alike.get_suptitle()


def test_names_of_many_agents_do_not_overlap() -> None:
    seen = made_up(4, 1)
    agents = tuple(f"a{i}" for i in range(60))
    spec = replace(seen.spec, agents=agents, teams=(0,) * 60)
    many = {name: np.repeat(getattr(seen, name), 20, -1) for name in ("weights", "alive", "reward")}
    named = attention_map(replace(seen, spec=spec, **many)).axes[0].get_yticklabels()
    assert [label.get_text() for label in named] == [f"a{i}" for i in range(0, 60, 3)]


@pytest.mark.parametrize(("own", "alike"), [(0, "1/2"), (0.5, "1/3")])
def test_agents_who_attend_have_a_row_each_and_their_heads_a_column(own: float, alike: str) -> None:
    """Where not to themselves, blank there, and all alike is a share of the others."""
    weights = np.random.default_rng(1).random((5, 3, 2, 3))
    weights[:, range(3), :, range(3)] = own
    seen = made_up(5, 2, weights=weights, head_weights=None)
    figure = attention_map(seen)
    for row in range(3):
        for column in range(2):
            shown: Any = heat(figure, 2 * row + column).get_array()
            expected = weights[:, row, column].T.copy()
            expected[row] = own or np.nan
            np.testing.assert_array_equal(shown.filled(np.nan), expected)
    assert [figure.axes[at].get_ylabel() for at in range(0, 6, 2)] == ["ann to", "bob to", "cid to"]
    assert [figure.axes[at].get_title("left") for at in range(2)] == ["head 1", "head 2"]
    assert len(figure.axes) == 8 and alike in figure.axes[7].get_ylabel()
    assert "heads count alike" not in figure.get_suptitle()
    assert figure.axes[6].get_xlabel() == "step of the episode"


# --- the command --------------------------------------------------------------------------------


def test_a_picture_of_a_run(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "attention-mine-fading.png",
        "attention-mine-fading-2.png",
    ):  # nothing is overwritten
        assert main(["plot", "attention", str(run), "--seed", "7", "--team-seed=0"]) == 0
        told = capsys.readouterr().out.splitlines()
        assert told[0] == "qatten on mine/fading, team of seed 0"
        assert told[1].startswith("  episode    4 steps, return ")
        assert str(tmp_path / name) in told[2] and " kB)" in told[2]
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    mine = tmp_path / "mine.png"
    mine.write_bytes(b"\x89PNG, once")
    path, seen = jmarl.plot("attention", run, out=mine)
    assert path == mine and mine.stat().st_size > 1000
    assert isinstance(seen, Attended) and seen.weights.shape == (4, HEADS, 3)
    before = mine.read_bytes()
    monkeypatch.setattr(Figure, "savefig", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        jmarl.plot("attention", run, out=mine)
    assert mine.read_bytes() == before and len(list(tmp_path.iterdir())) == 3


def test_intrinsic_rewards_are_those_of_the_actions_that_the_team_took(
    fading: None, tmp_path: Path
) -> None:
    settings = {"seeds": 2, "num_envs": 2, "rnn_dim": 4, "hidden_dim": 4, "critic_hidden_dim": 4}
    run = untrained("liir", {**settings, "team_reward": "sum"}, tmp_path / "run")
    path, seen = jmarl.plot("intrinsic", run, out=tmp_path / "x.png", compile_cache="off")
    assert path.read_bytes()[:4] == b"\x89PNG" and isinstance(seen, jmarl.Intrinsic)
    assert seen.rewards.shape == (4, 3, 2) and seen.action.shape == (4, 3)
    assert seen.taken[1, 2] == seen.rewards[1, 2, seen.action[1, 2]]
    # what is drawn: agents from the top, steps from the left, 0 in the middle of the colours
    mesh = heat(intrinsic_map(seen), 0)
    shown: Any = mesh.get_array()
    np.testing.assert_array_equal(shown, seen.taken.T)
    low, high = mesh.get_clim()
    assert low == -high and high == np.abs(seen.taken).max()
    # what was played: the rewards follow from the learner and what the agents saw
    program, learners, scores = trained(open_folder(run), None)
    team, learner = team_of(program, learners, scores, None)
    assert team == seen.team_seed == 1
    algorithm: Any = program.loop(program.experiment.config).algorithm
    played = record(program.env, algorithm.exploit(learner), key_of_play(0), 1)
    first = algorithm.intrinsic(learner, played.batch())[0, 0]
    np.testing.assert_allclose(seen.rewards[0], first, rtol=1e-5)
    made = jmarl.render(run, out=tmp_path / "x.mp4", episodes=2, pixels=64)
    assert made.overlay == "intrinsic"
    with pytest.raises(jmarl.ConfigError, match="got a team of liir"):
        jmarl.render(run, out=tmp_path / "y.mp4", overlay="attention")


WRONG = {  # the words after `jmarl plot`, in a folder with two runs: what the one line must say
    "attention": (
        "plot takes what to draw and a run, got 'attention'",
        "plot attention|intrinsic RUN",
    ),
    "qattn": ("no plot or run is named 'qattn'", "attention"),
    "qatten": ("run must have evaluations, got", "qatten"),
    "atention qatten": ("no plot or run is named 'atention'; did you mean 'attention'?",),
    "attention qatten maddpg": ("got 'attention qatten maddpg'",),
    "--seed 3": ("plot takes what to draw and a run, got none",),
    "intrinsic qatten": ("intrinsic is shown by runs of liir, got", "a run of qatten"),
    "attention nowhere": ("run must be the folder of a run", "'nowhere'"),
    "attention maddpg": (
        "attention is shown by runs of maac or qatten or refil, got",
        "a run of maddpg",
    ),
    "attention qatten": ("run must have a checkpoint",),
    "attention qatten --seed -1": ("seed must be between 0",),
    "attention qatten --seed x": ("seed must be a whole number, got 'x'",),
    "attention qatten --sed 3": ("no flag of plot attention is named 'sed'", "did you mean 'seed'"),
    "attention qatten --out": ("out must have a value",),
    "attention qatten --out x.gif": ("out must end in .png, got 'x.gif'",),
    "attention qatten --out none/x.png": ("out must lie in a folder that exists",),
    "attention qatten --out NOTES.png": ("out must be a PNG if it exists, got 'NOTES.png'",),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_use_is_one_line_and_writes_nothing(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "NOTES.png").write_text("mine")
    for name in ("maddpg", "qatten"):  # begun, with nothing learned
        settings = {"env": "toy/cue", **({"team_reward": "sum"} if name == "qatten" else {})}
        create(str(tmp_path / name), experiment(name, settings=settings), {})
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert main(["plot", *words.split()]) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert not out and all(part in line for part in WRONG[words]), line
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "NOTES.png").read_text() == "mine"


@pytest.mark.parametrize("words", [[], ["--help"], ["attention", "-h"]])
def test_help_tells_all_flags_and_who_has_attention(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", *words]) == 0
    told = capsys.readouterr().out
    assert all(f"--{flag} " in told for flag in ("out", "seed", "team-seed", "compile-cache"))
    assert (
        "for runs of maac or qatten or refil" in told
        and "for runs of\n               liir\n" in told
    )
