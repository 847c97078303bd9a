"""jmarl crossplay: who acts for whom, what is averaged, what is drawn, what is refused."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import jit

import jmarl
import jmarl_envs
from jmarl import checkpoint
from jmarl.cli import main
from jmarl.config import experiment
from jmarl.contest import Side, refuse_other_teams
from jmarl.folder import create, short_names
from jmarl.pairings import mixed, pairing_keys
from jmarl.plots import crossplay_tables
from jmarl.program import Program
from jmarl.recording import unused
from jmarl.statistics import crossed_interval
from jmarl.types import EnvSpec, Key, Outcome, Policy, View
from jmarl_envs import registry

SEEDS = {"one": (0, 3), "two": (40, 2)}  # the first one, how many


class Duel:
    """Two on the left, one on the right; each is paid the number that it chooses, three times."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale
        self.spec = EnvSpec(
            name="mine/duel",
            agents=("ann", "bob", "cid"),
            obs_sizes=(1, 1, 1),
            action_kind="discrete",
            action_parts=((9,),) * 3,
            state_size=1,
            episode_limit=3,
            teams=(0, 0, 1),
            team_names=("left", "right"),
            info=(("lead", "last"),),
        )

    def reset(self, key: Key) -> tuple[Array, View]:
        return jnp.zeros(()), self.view()

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        paid, no = self.scale * action.astype(jnp.float32), jnp.zeros((), bool)
        info = {"lead": paid[0] - paid[2]}
        return state + 1, Outcome(self.view(), paid, no, state + 1 >= 3, info)

    def view(self) -> View:
        return View(jnp.ones((3, 1)), jnp.ones((3, 9), bool), jnp.ones(3, bool), jnp.ones(1))


@pytest.fixture(scope="module", autouse=True)
def duel() -> Iterator[None]:
    """The registry knows the environment, as long as these tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_OUTSIDE", {})
        jmarl_envs.register("mine/duel", Duel)
        yield


def untrained(folder: Path, algorithm: str = "ddpg", **settings: Any) -> Path:
    """A run whose teams are as they were drawn."""
    sizes = {"num_envs": 2, "hidden_dim": (4,), "buffer_size": 99, "warmup_steps": 0}
    options = settings.pop("env_options", {})
    plan = experiment(algorithm, "", options, {**sizes, "env": "mine/duel", **settings})
    made = create(str(folder), plan, {})
    program = Program(jmarl.make_env(plan.run.env, **options), plan)
    learner = jit(jax.vmap(program.loop(plan.config).algorithm.init))(program.keys[0])
    meta = {"evaluations": [{"episode_return": [0.0] * plan.run.seeds}]}
    checkpoint.save(made.checkpoints, 0, {"learner": learner}, meta)
    return made.path


@pytest.fixture(scope="module")
def runs(duel: None, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [untrained(folder / n, seed=first, seeds=count) for n, (first, count) in SEEDS.items()]


@pytest.fixture(scope="module")
def found(runs: list[Path]) -> jmarl.Crossplay:
    return jmarl.crossplay(runs, episodes=2)


def test_every_left_team_meets_every_right_team(runs: list[Path], found: jmarl.Crossplay) -> None:
    """Each choice is a team's own, so its return is what it earns in its own run."""
    alone = [jmarl.evaluate(run, episodes=1)[0] for run in runs]
    assert len(set(np.concatenate([x["episode_return_right"] for x in alone]).tolist())) > 2
    assert list(found.scores) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for (i, j), scores in found.scores.items():
        left, right = alone[i]["episode_return_left"], alone[j]["episode_return_right"]
        assert scores["lead"].shape == (len(left), len(right))
        for name, own in {"left": left[:, None], "right": right}.items():
            expected = np.broadcast_to(own, (len(left), len(right)))
            np.testing.assert_allclose(scores[f"episode_return_{name}"], expected, rtol=1e-6)


def test_tables_and_numbers(found: jmarl.Crossplay) -> None:
    assert found.measures == ["episode_return_left", "episode_return_right", "lead"]
    means = found.table("lead")[..., 0]
    expected = [[found.scores[i, j]["lead"].mean() for j in (0, 1)] for i in (0, 1)]
    np.testing.assert_allclose(means, expected)
    data = found.as_json()["pairings"]
    assert [(x["left"], x["right"]) for x in data] == [
        *(("one", "one"), ("one", "two")),
        *(("two", "one"), ("two", "two")),
    ]
    assert data[1]["scores"]["lead"] == found.scores[0, 1]["lead"].tolist()
    panels = crossplay_tables(found).axes
    assert [panel.get_title() for panel in panels[:3]] == found.measures
    cells = [text.get_text().splitlines()[0] for text in panels[2].texts]
    assert cells == [f"{mean:.3g}" for mean in means.ravel()]
    assert [label.get_text() for label in panels[0].get_xticklabels()] == ["one", "two"]


def test_agents_act_by_the_policy_of_their_team() -> None:
    """With memories of their own: each counts its steps by its own number."""

    def counting(by: int) -> Policy[Array]:
        step = lambda carry, view, key: (carry + by, view.obs[..., 0] + carry[:, None], ())
        return Policy(lambda key, num_envs: jnp.zeros(num_envs), step)

    both = mixed(counting(1), counting(10), jnp.array([False, False, True]))
    view: Any = jax.tree.map(lambda x: jnp.broadcast_to(x, (2, *x.shape)), Duel().view())
    carry = both.reset(jax.random.key(0), 2)
    for expected in ([1.0, 1.0, 1.0], [2.0, 2.0, 11.0], [3.0, 3.0, 21.0]):
        carry, action, _ = both.step(carry, view, jax.random.key(0))
        assert action.tolist() == [expected] * 2


def test_pairings_play_the_same_episodes_whatever_the_number_of_seeds() -> None:
    data = lambda sizes: np.asarray(jax.random.key_data(pairing_keys(jax.random.key(3), sizes)))
    large = data((3, 4))
    np.testing.assert_array_equal(large[:2, :3], data((2, 3)))
    assert len(np.unique(large.reshape(12, -1), axis=0)) == 12


def test_the_interval_of_crossed_seeds() -> None:
    """Rows that differ by 2 sqrt(2): 12.706 is Student's t of one degree of freedom."""
    rows = np.array([[1.0, 1.0], [3.0, 3.0]])
    assert crossed_interval(rows) == pytest.approx((2.0, 12.706), rel=1e-4)
    assert crossed_interval(rows.T) == pytest.approx((2.0, 12.706), rel=1e-4)
    assert crossed_interval(rows + 5 * rows.T) == pytest.approx((12.0, 12.706 * 26**0.5), rel=1e-4)
    assert crossed_interval([[1.0, 2.0]]) == (1.5, 0.0)


def test_the_command_prints_tables_and_leaves_files(
    runs: list[Path], found: jmarl.Crossplay, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.png"
    words = [*map(str, runs), "--episodes", "2", "--out", str(out)]
    assert main(["crossplay", *words]) == 0
    printed = capsys.readouterr().out
    assert "lead: left of" in printed and f"{found.table('lead')[0, 1, 0]:.3f}" in printed
    assert out.read_bytes().startswith(b"\x89PNG")
    assert json.loads(out.with_suffix(".json").read_text()) == found.as_json()
    out.with_suffix(".json").write_text('{"mine": 1}')
    assert main(["crossplay", *words]) == 2
    assert capsys.readouterr().err == (
        f"jmarl: out must leave a name for its numbers, '{tmp_path}/x.json' are others\n"
    )


def test_what_cannot_meet_is_refused_in_a_line(runs: list[Path], tmp_path: Path) -> None:
    def says(match: str, *others: Path, **settings: Any) -> None:
        with pytest.raises(jmarl.ConfigError, match=match):
            jmarl.crossplay([runs[0], *others], **settings)

    says("runs must be at least two, got 1")
    says("runs must be different ones", runs[0])
    says("episodes must be between 1 and 100,000, got 0", runs[1], episodes=0)
    says("checkpoint must be newest, best or an iteration, got 'x'", runs[1], checkpoint="x")
    other = untrained(tmp_path / "other", env_options={"scale": 2.0}, seeds=1)
    says(r"share an environment, one's is mine/duel, got mine/duel \{'scale': 2.0\}", other)
    cue = [untrained(tmp_path / n, env="toy/cue", seeds=1) for n in ("a", "b")]
    with pytest.raises(jmarl.ConfigError, match="an environment of two teams, toy/cue has team"):
        jmarl.crossplay(cue)


def test_teams_that_act_in_different_ways_are_refused() -> None:
    spec = Duel().spec
    program: Any = lambda kind: SimpleNamespace(
        env=SimpleNamespace(spec=replace(spec, action_kind=kind))
    )
    sides = [Side(kind, program(kind), None) for kind in ("simplex", "discrete")]
    says = "simplex takes simplex actions, got discrete with discrete ones"
    with pytest.raises(jmarl.ConfigError, match=f"runs must act in the same way, {says}"):
        refuse_other_teams(sides)


def test_a_free_name_is_free_for_the_numbers_too(tmp_path: Path) -> None:
    (tmp_path / "x.json").touch()
    assert unused(tmp_path / "x.png", ".json").name == "x-2.png"
    assert unused(tmp_path / "x.png").name == "x.png"


def test_runs_of_one_name_are_told_apart() -> None:
    assert short_names([Path("/a/x/one"), Path("/a/y/one")]) == ["x/one", "y/one"]
    assert short_names([Path("/a/x/one"), Path("/a/x/two")]) == ["one", "two"]
