"""jmarl render: what is played, what is drawn, what is refused, what is left behind."""

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from PIL import Image

import jmarl
import jmarl_envs
from jmarl.cli import main
from jmarl.exploration import uniform_policy
from jmarl.recording import record
from jmarl.rendering import shown_on_top
from jmarl.teams import Team
from jmarl.types import EnvSpec, Key, Outcome, View
from jmarl_envs.common import agent_names, open_view
from jmarl_envs.film import Take, ending, in_words, labels, scenes
from jmarl_envs.mpe_drawing import goals_of
from jmarl_envs.particles_drawing import Body, Message, particle_scene, reach
from jmarl_envs.plain import plain
from jmarl_envs.raster import frames, gif, image
from jmarl_envs.scene import PAPER, Box, Circle, Scene, Text, colour
from jmarl_envs.video import mp4
from jmarl_envs.view_drawing import blocks_across, scales, view_scene

TINY: dict[str, Any] = {
    **{"num_envs": 4, "rollout_length": 5, "seeds": 2, "evaluations": 2, "eval_episodes": 4},
    **{"total_steps": 400, "buffer_size": 100, "batch_size": 8, "hidden_dim": (8, 8)},
    **{"warmup_steps": 20, "progress": False},
}


class Countdown:
    """Ends truly after 3 of at most 6 steps; the state is a key and the time. No `draw`."""

    spec = EnvSpec(
        name="mine/countdown",
        agents=agent_names(2),
        obs_sizes=(2, 1),
        action_kind="discrete",
        action_parts=((2,), (2,)),
        state_size=1,
        episode_limit=6,
        teams=(0, 1),
        team_names=("red", "blue"),
    )

    def reset(self, key: Key) -> tuple[tuple[Key, Array], View]:
        return (key, jnp.int32(0)), self.view(jnp.int32(0))

    def step(self, state: Any, action: Array, key: Key) -> tuple[tuple[Key, Array], Outcome]:
        time = state[1] + 1
        reward = jnp.array([1.0, -2.0]) * time
        never = jnp.zeros((), bool)
        return (key, time), Outcome(self.view(time), reward, time >= 3, never)

    def view(self, time: Array) -> View:
        obs = jnp.array([[1.0, -2.0], [4.0, 0.0]]) * time
        return open_view(self.spec, obs, jnp.ones(1) * time)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert jmarl.train("maddpg", "toy/cue", out=out, **TINY).path == out
    return out


@pytest.fixture(scope="module")
def take() -> Take:
    env = Countdown()
    played = record(env, uniform_policy(env.spec), jax.random.key(0), 2)
    return Take(*plain(played).episode(1))


def drawn(env: Any, state: Any) -> Scene:
    return env.draw(state)


def seconds(gif: Path) -> float:
    """How long it lasts: pictures that are alike are stored as one that stays longer."""
    with Image.open(gif) as file:
        pauses = []
        for frame in range(getattr(file, "n_frames", 1)):
            file.seek(frame)
            pauses.append(file.info["duration"])
    return sum(pauses) / 1000


# --- what is played -----------------------------------------------------------------------------


def test_an_episode_is_cut_at_its_true_end(take: Take) -> None:
    assert take.steps == 3 and take.terminated
    assert take.state[1].tolist() == [0, 1, 2, 3]
    assert take.state[0].dtype == np.uint32, "typed keys come as numbers"
    assert take.view.obs[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert take.reward.tolist() == [[1, -2], [2, -4], [3, -6]]
    assert take.action.shape == (3, 2)


def test_an_episode_that_the_clock_ends_is_whole() -> None:
    env = jmarl_envs.make("toy/clock", episode_limit=5)
    played = record(env, uniform_policy(env.spec), jax.random.key(0), 1)
    whole = Take(*plain(played).episode(0))
    assert whole.steps == 5 and not whole.terminated
    assert whole.state.time.tolist() == [0, 1, 2, 3, 4, 5]


def test_the_carry_goes_through_an_episode() -> None:
    """A policy that counts its steps, from the 7 that it opens with."""
    env = Countdown()

    def step(carry: Array, view: View, key: Key) -> tuple[Array, Array, tuple[()]]:
        return carry + 1, jnp.broadcast_to(carry[:, None], (1, 2)), ()

    policy = jmarl.types.Policy(lambda key, num_envs: jnp.full(num_envs, 7), step)
    played = record(env, policy, jax.random.key(0), 1)
    assert played.action[:3, 0, 0].tolist() == [7, 8, 9]


# --- what is drawn ------------------------------------------------------------------------------


def test_captions_tell_the_step_and_each_teams_return(take: Take) -> None:
    drawn = list(scenes(Countdown(), take, "episode 2, "))
    assert [scene.caption for scene in drawn] == [
        "episode 2, step 0 of 6    return of red 0.00, blue 0.00",
        "episode 2, step 1 of 6    return of red 1.00, blue -2.00",
        "episode 2, step 2 of 6    return of red 3.00, blue -6.00",
        "episode 2, step 3 of 6, ended    return of red 6.00, blue -12.00",
    ]
    assert ending(replace(take, terminated=False), 3) == ", time is up"


def test_a_teams_return_is_its_agents_mean() -> None:
    spec = replace(Countdown.spec, teams=(0, 0), team_names=("team",))
    assert in_words(spec, np.array([1.0, 4.0])) == "return 2.50"


def test_the_environments_own_drawing_and_caption_come_first() -> None:
    env = jmarl_envs.make("toy/echo", horizon=2, num_cues=2)
    played = record(env, uniform_policy(env.spec), jax.random.key(0), 1)
    own = Take(*plain(played).episode(0))
    first, *_, last = scenes(env, own)
    plainly = drawn(env, jax.tree.map(lambda x: x[0], own.state))
    assert first.shapes == plainly.shapes
    assert first.caption == "shown now alone\nstep 0 of 2    return 0.00"
    assert last.caption.startswith("remember\nstep 2 of 2, ended    return ")


def test_without_a_drawing_the_observations_are_shown(take: Take) -> None:
    scene = list(scenes(Countdown(), take))[3]
    # each entry over its largest size in the film: (3, -6) of (12, 6), and 12 of 12
    boxes = [shape.fill for shape in scene.shapes if isinstance(shape, Box)]
    blue, orange = colour(0), colour(1)
    assert boxes == [f"{blue}40", f"{orange}ff", f"{blue}ff"]  # 0x40 of 0xff: a quarter
    words = [shape.words for shape in scene.shapes if isinstance(shape, Text)]
    did = take.action[2].tolist()
    assert words == [f"agent_0: did {did[0]}, got 3", f"agent_1: did {did[1]}, got -6"]
    assert labels(Countdown.spec, take, 0) == ["agent_0", "agent_1"]


def test_all_cells_lie_in_the_window_and_the_dead_are_grey() -> None:
    spec = replace(Countdown.spec, agents=agent_names(5), obs_sizes=(30,) * 5, teams=(0,) * 5)
    spec = replace(spec, action_parts=((2,),) * 5)
    alive = np.array([True, False, True, True, True])
    view = View(np.ones((5, 30)), np.ones((5, 2), bool), alive)  # type: ignore[arg-type]
    scene = view_scene(spec, view, np.ones(30), list("abcde"))
    boxes = [shape for shape in scene.shapes if isinstance(shape, Box)]
    assert len(boxes) == 150 and len({(box.x, box.y) for box in boxes}) == 150
    for box in boxes:
        assert scene.left <= box.x and box.x + 1 <= scene.left + scene.width
        assert scene.bottom <= box.y and box.y + 1 <= scene.bottom + scene.height
    inks = [shape.colour for shape in scene.shapes if isinstance(shape, Text)]
    assert len({ink for ink, lives in zip(inks, alive, strict=True) if lives}) == 1
    assert inks[1] != inks[0]
    assert 0.5 < scene.width / scene.height < 4


def test_an_entry_that_is_always_zero_stays_white() -> None:
    assert scales(np.array([[[0.0, -3.0]], [[0.0, 2.0]]])).tolist() == [1, 3]


def test_blocks_make_a_well_shaped_picture() -> None:
    assert blocks_across(1, 0.1) == 1
    assert blocks_across(4, 1.5) == 2
    assert blocks_across(30, 0.01) == 30 and blocks_across(30, 100.0) == 1


# --- particles ----------------------------------------------------------------------------------


def test_the_window_holds_still_until_somebody_leaves() -> None:
    assert reach([Body(1.3, -1.2, 0.1)]) == 1.5
    assert reach([Body(1.3, -1.45, 0.1)]) == 2.0  # to -1.55, in steps of a half
    assert reach([Body(-7.0, 0.0, 0.2)]) == 7.5


def test_discs_have_their_true_radius_and_goals_a_ring() -> None:
    scene = particle_scene([Body(0.5, 0.0, 0.15, "#000001")], [Body(0, 1, 0.2, rings=("#000002",))])
    discs = [shape for shape in scene.shapes if isinstance(shape, Circle)]
    ring, gap, landmark, agent = discs
    assert (agent.x, agent.y, agent.radius, agent.fill) == (0.5, 0, 0.15, "#000001")
    assert (landmark.radius, ring.fill, gap.fill) == (0.2, "#000002", PAPER)
    assert ring.radius > gap.radius > landmark.radius
    assert (scene.left, scene.bottom, scene.width, scene.height) == (-1.5, -1.5, 3, 3)


def test_messages_stand_in_rows_beneath() -> None:
    scene = particle_scene([], (), [Message("ann", (0, 1)), Message("bob", (0.5, 0))])
    assert scene.height == pytest.approx(3.4) and scene.bottom == pytest.approx(-1.9)
    fills = [s.fill[-2:] for s in scene.shapes if isinstance(s, Box) and s.y < -1.5 and s.width < 1]
    assert fills == ["00", "ff", "80", "00"]


@pytest.mark.parametrize(
    ("goal", "found"), [(None, []), (np.int32(2), [2]), (np.array([0, 1]), [0, 1])]
)
def test_goals_are_none_one_or_each_agents(goal: Any, found: list[int]) -> None:
    assert goals_of(SimpleNamespace(goal=goal)).tolist() == found
    secret = SimpleNamespace(goal=None, goal_colour=np.array([0, 255.0]))
    assert goals_of(secret).tolist() == [1]


def test_a_reference_game_shows_whose_goal_is_where() -> None:
    env = jmarl_envs.make("mpe/simple_reference")
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    state = plain(state)
    scene = drawn(env, state)
    discs = [s for s in scene.shapes if isinstance(s, Circle)]
    for agent, goal in enumerate(state.inner.goal):
        (ring,) = [d for d in discs if d.fill == colour(agent) and d.radius > 0.2]
        assert (ring.x, ring.y) == pytest.approx(state.inner.p_pos[2 + goal].tolist())
    assert {s.words for s in scene.shapes if isinstance(s, Text)} >= {"0 agent_0", "1 agent_1", "J"}


def test_long_captions_shrink_and_lines_add_up() -> None:
    blank = Scene(0, 0, 1, 1)
    heights = [image(replace(blank, caption=c), 100).height for c in ("", "a", "a\nb", "w" * 20)]
    assert heights == [100, 122, 140, 122]
    inked = np.asarray(image(replace(blank, caption="w" * 12), 100))[100:].min((0, 2)) < 128
    assert not inked[:2].any() and not inked[-2:].any(), "cut off"


# --- films --------------------------------------------------------------------------------------


def moving() -> list[Image.Image]:
    """A blue box that goes to the right, 101 by 67 pixels."""
    boxes = [Box(place, 20, 30, 30, colour(0)) for place in (0, 20, 40, 60)]
    return frames([Scene(0, 0, 101, 67, (box,)) for box in boxes], 101)


def test_an_mp4_has_the_frames_of_the_gif() -> None:
    """As many, where they were, of even sides and in the pixels that all players know; the last
    stays for a second."""
    film = moving()
    assert [frame.size for frame in film] == [(101, 67)] * 4
    pictures = [np.asarray(frame) for frame in film]
    data = mp4(pictures, 20)
    with av.open(io.BytesIO(data), "r") as file:
        (stream,) = file.streams.video
        assert (stream.width, stream.height, stream.pix_fmt) == (102, 68, "yuv420p")
        assert stream.duration and stream.time_base
        assert float(stream.duration * stream.time_base) == pytest.approx(3 / 20 + 1)
        seen = [
            (float(frame.time or 0), frame.to_ndarray(format="rgb24"))
            for frame in file.decode(stream)
        ]
    assert [time for time, _ in seen] == pytest.approx([0, 0.05, 0.1, 0.15])
    for nth, ((_, shown), picture) in enumerate(zip(seen, pictures, strict=True)):
        off = np.abs(shown[:67, :101] - picture.astype(int))
        assert off.mean() < 2 and off[32, 15 + 20 * nth].max() < 4, "the box has its blue"
        assert (shown[67:] > 250).all() and (shown[:, 101:] > 250).all()
    with Image.open(io.BytesIO(gif(film, 20))) as file:
        for nth, picture in enumerate(pictures):
            file.seek(nth)
            same = np.asarray(file.convert("RGB")).astype(int)
            assert np.abs(same - picture).mean() < 6  # few colours
    assert data.index(b"moov") < data.index(b"mdat"), "plays before all is there"


def test_a_film_of_one_frame_and_of_none() -> None:
    with av.open(io.BytesIO(mp4([np.zeros((64, 64, 3), np.uint8)], 10)), "r") as file:
        assert file.streams.video[0].frames == 1 and file.duration == pytest.approx(1e6)
    with pytest.raises(ValueError, match="at least one scene"):
        frames([])


def test_a_panel_lies_below_and_is_as_wide_as_the_picture() -> None:
    red = Scene(0, 0, 10, 2, (Box(0, 0, 10, 2, "#FF0000"),))
    whole = image(Scene(0, 0, 1, 1, panel=red), 100)
    assert whole.size == (100, 120)
    assert whole.getpixel((50, 50)) == (255, 255, 255) and whole.getpixel((50, 110)) == (255, 0, 0)
    # a narrow picture stands in the middle above
    tall = image(Scene(0, 0, 1, 4, (Box(0, 0, 1, 4, "#0000FF"),), panel=red), 100)
    assert tall.size == (80, 116)
    row = np.asarray(tall)[50]
    assert (row[[0, 20, 60, 79]] == 255).all() and tuple(row[40]) == (0, 0, 255)


# --- the command --------------------------------------------------------------------------------


def test_an_environments_films_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["render", "toy/echo", "--env.horizon", "3", "--fps", "20", "--pixels=80"]
    for name in ("toy-echo.gif", "toy-echo-2.gif"):  # nothing is overwritten that was not named
        assert main([*words, "--episodes", "2"]) == 0
        out, _ = capsys.readouterr()
        lines = out.splitlines()
        assert lines[0] == "toy/echo, random policy"
        assert lines[1].startswith("  episode 1  3 steps, return ") and len(lines) == 5
        assert str(tmp_path / name) in lines[3] and " kB)" in lines[3]
        assert str((tmp_path / name).with_suffix(".mp4")) in lines[4] and " MP4 " in lines[4]
        # 8 pictures, the last of which stays for a second
        assert seconds(tmp_path / name) == pytest.approx(7 / 20 + 1)
    with Image.open(tmp_path / "toy-echo.gif") as file:
        assert max(file.size[0], file.size[1] - 40) == 80
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["toy-echo-2.gif", "toy-echo-2.mp4", "toy-echo.gif", "toy-echo.mp4"]


def test_a_named_gif_is_replaced_and_a_folder_takes_the_default_name(tmp_path: Path) -> None:
    out = tmp_path / "it.gif"
    out.write_bytes(b"GIF89a, once")
    made = jmarl.render("toy/clock", out=out, episodes=1, pixels=80)
    assert made.path == out and out.stat().st_size > 100
    assert made.returns.tolist() == [[10, 10]] and made.steps.tolist() == [10]
    made = jmarl.render("toy/clock", out=tmp_path, pixels=80)
    assert made.paths == (tmp_path / "toy-clock.gif", tmp_path / "toy-clock.mp4")
    assert made.path == made.paths[0]


@pytest.mark.parametrize(
    ("words", "written"),
    [
        ("--out a.mp4", ["a.mp4"]),
        ("--out a.GIF", ["a.GIF"]),
        ("--out a.mp4 --format both", ["a.gif", "a.mp4"]),
        ("--format mp4", ["toy-clock.mp4"]),
        ("--format gif", ["toy-clock.gif"]),
    ],
)
def test_the_ending_or_the_format_chooses(
    words: str, written: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["render", "toy/clock", "--pixels", "64", *words.split()]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == written
    openings = {".gif": (0, b"GIF8"), ".mp4": (4, b"ftyp")}
    for path in tmp_path.iterdir():
        offset, mark = openings[path.suffix.lower()]
        assert path.read_bytes()[offset : offset + 4] == mark


def test_an_mp4_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "it.mp4"
    jmarl.render("toy/clock", out=out, pixels=64)
    before = out.read_bytes()
    monkeypatch.setattr("jmarl_envs.video.coded", lambda frame: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        jmarl.render("toy/clock", out=out, pixels=80)
    assert out.read_bytes() == before and list(tmp_path.iterdir()) == [out]
    monkeypatch.undo()
    jmarl.render("toy/clock", out=out, pixels=80)
    assert out.read_bytes() != before


def test_the_seed_chooses_the_episode(tmp_path: Path) -> None:
    def returns(seed: int, name: str) -> list[float]:
        made = jmarl.render("toy/reach", out=tmp_path / name, seed=seed, pixels=64)
        return made.returns.ravel().tolist()

    assert returns(3, "a.gif") == returns(3, "b.gif") != returns(4, "c.gif")
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_a_runs_team_plays_greedily(run: Path, tmp_path: Path) -> None:
    seed = jmarl.load_policy(run).seed
    made = jmarl.render(run, out=tmp_path / "team.gif", pixels=64)
    assert made.policy == f"trained, seed {seed}" and made.spec.name == "toy/cue"
    other = jmarl.render(run, out=tmp_path / "other.gif", pixels=64, team_seed=1 - seed)
    assert other.policy == f"trained, seed {1 - seed}"
    # greedy teams are what evaluation measures: the same scores over many episodes
    scores, _ = jmarl.evaluate(run, 400)
    played = jmarl.render(run, out=tmp_path / "many.gif", pixels=64, episodes=100)
    expected = scores["episode_return"][seed]
    error = played.returns.mean(1).std() / 10 + 1e-6
    assert abs(played.returns.mean() - expected) < 4 * error + 0.05


def test_a_run_can_be_played_at_random(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.gif"
    assert main(["render", str(run), "--policy", "random", "--out", str(out), "--pixels=64"]) == 0
    assert out.is_file()


def test_an_environment_of_ones_own(tmp_path: Path) -> None:
    made = jmarl.render(Countdown(), out=tmp_path / "mine.gif", pixels=200)
    assert made.returns.tolist() == [[6, -12]] and made.steps.tolist() == [3]


WRONG = {  # the words after `jmarl render`: what the one line must say
    "toy/ehco": ("no environment is named 'toy/ehco'", "did you mean 'toy/echo'"),
    "nowhere": ("no environment is named 'nowhere'",),
    ".": ("run must be the folder of a run",),
    "toy/echo toy/cue": ("one environment or run", "'toy/echo toy/cue'"),
    "--seed 3": ("one environment or run", "got none"),
    "toy/echo --policy trained": ("policy trained needs the folder of a run", "toy/echo"),
    "toy/echo --policy greedy": ("no policy is named 'greedy'", "random", "trained"),
    "toy/echo --team-seed 1": ("team_seed needs a trained team",),
    "toy/echo --fps 0": ("fps must be between 1 and 50, got 0",),
    "toy/echo --fps fast": ("fps must be a whole number, got 'fast'",),
    "toy/echo --pixels 9": ("pixels must be between 64 and 2,000, got 9",),
    "toy/echo --episodes 0": ("episodes must be between 1 and 100, got 0",),
    "toy/echo --seed -1": ("seed must be between 0",),
    "toy/echo --pixel 90": ("no flag of render is named 'pixel'", "did you mean 'pixels'"),
    "toy/echo --out": ("out must have a value",),
    "toy/echo --out none/x.gif": ("out must lie in a folder that exists, got 'none/x.gif'",),
    "toy/echo --out x.png": ("out must end in .gif or .mp4, got 'x.png'",),
    "toy/echo --out x.gif --format mp4": ("out must end in .mp4, got 'x.gif'",),
    "toy/echo --out NOTES.mp4": ("out must be an MP4 if it exists, got 'NOTES.mp4'",),
    "toy/echo --format avi": ("no format is named 'avi'", "gif, mp4, both"),
    "toy/echo --overlay atention": ("no overlay is named 'atention'", "did you mean 'attention'"),
    "toy/echo --overlay attention": (
        "overlay attention is drawn for runs of maac or qatten or refil, got a random policy",
    ),
    "toy/echo --out NOTES.gif": ("out must be a GIF if it exists, got 'NOTES.gif'",),
    "toy/echo --env.horizn 3": ("'horizn'", "did you mean 'horizon'"),
    "toy/echo --env.horizon 0": ("horizon must be an integer of at least 1",),
}


@pytest.mark.parametrize("words", WRONG)
def test_wrong_use_is_one_line_and_writes_nothing(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("NOTES.gif", "NOTES.mp4"):
        (tmp_path / name).write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert main(["render", *words.split()]) == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert not out and all(part in line for part in WRONG[words]), line
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"] * 2


def test_what_a_run_cannot_be_asked_for(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.gif"
    with pytest.raises(jmarl.ConfigError, match=r"seed must be one of \[0, 1\], got 7"):
        jmarl.render(run, out=out, team_seed=7)
    with pytest.raises(jmarl.ConfigError, match="env options are for environments by name"):
        jmarl.render(run, out=out, env_options={"horizon": 3})
    with pytest.raises(
        jmarl.ConfigError, match="runs of maac or qatten or refil, got a team of maddpg"
    ):
        jmarl.render(run, out=out, overlay="attention")
    assert not out.exists()


def test_what_an_exported_team_cannot_show() -> None:
    """Its file holds what acts, not what learns."""
    env = Countdown()
    team = Team(env, 0, uniform_policy(env.spec), "qatten")
    assert shown_on_top("auto", team, "trained") == ""
    with pytest.raises(jmarl.ConfigError, match="got an exported team of qatten"):
        shown_on_top("attention", team, "trained")


@pytest.mark.parametrize("words", [[], ["--help"], ["toy/echo", "-h"]])
def test_help_tells_all_flags(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", *words]) == 0
    told = capsys.readouterr().out
    flags = (
        "policy",
        "out",
        "format",
        "overlay",
        "seed",
        "episodes",
        "fps",
        "pixels",
        "team-seed",
        "env.NAME",
    )
    assert all(f"--{flag} " in told for flag in flags)
