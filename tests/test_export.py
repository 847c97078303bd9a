"""Policies for use elsewhere: they act as the team did, of their own view alone, without jmarl."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import Zoo, assert_same, jit
from safetensors.numpy import load, load_file, save
from small_runs import TINY

import jmarl
from jmarl import exporting, files, weights
from jmarl.algorithms import ALL
from jmarl.cli import main
from jmarl.config import Experiment, experiment
from jmarl.portable import Agent
from jmarl.types import ActionKind, View

KEY = jax.random.key(3)
SMALL = {"hidden_dim": 8, "rnn_dim": 8, "entity_dim": 8, "hypernet_dim": 8, "critic_dim": 8}
# beside the algorithms as they are: the algorithm, the kind of actions, settings
VARIANTS: dict[str, tuple[str, ActionKind, dict[str, Any]]] = {
    "maddpg-relaxed": ("maddpg", "simplex", {"eval_actions": "sample"}),
    "maddpg-normed": ("maddpg", "box", {"norm_input": True}),
    "maddpg-ensemble": ("maddpg", "discrete", {"ensemble": 3, "eval_actions": "sample"}),
    "mappo-sampled": ("mappo", "discrete", {"eval_actions": "sample", "rnn_dim": 8}),
    "refil-feedforward": ("refil", "discrete", {"rnn_dim": 0, "last_action": False}),
    "iql-apart": ("iql", "discrete", {"parameter_sharing": False}),
}
QUICK = ("maddpg", "qmix", "refil", "mappo-sampled", "maddpg-ensemble", "maddpg-normed")


def case(name: str) -> tuple[Experiment, Zoo]:
    """An algorithm or a variant, and where it plays."""
    algorithm, kind, settings = VARIANTS.get(name, (name, "discrete", {}))
    known = vars(ALL[algorithm].config)
    small = {name: value for name, value in SMALL.items() if known.get(name)}
    env = Zoo(((3,), (2,), (3,)), (4, 3, 2), kind, limit=6)
    return experiment(algorithm, settings=small | settings), env


def drawn(plan: Experiment, env: Zoo) -> Any:
    """A learner with opinions: three times those it opens with."""
    learner = jit(plan.recipe.make(env.spec, plan.config).init)(KEY)
    return jax.tree.map(lambda x: 3 * x, learner)


def written(name: str, folder: Path) -> tuple[Experiment, Zoo, Any]:
    """As `jmarl export` would of a trained team."""
    plan, env = case(name)
    learner = drawn(plan, env)
    files.write_folder(folder, exporting.packed(plan, env.spec, learner, {"seed": 5}))
    return plan, env, learner


def play(team: jmarl.Team, steps: int = 6) -> tuple[View, Array, Array]:
    """Views, keys and actions of an episode, [T, ...]."""
    state, view = team.env.reset(KEY)

    def step(now: Any, key: Array) -> tuple[Any, Any]:
        state, view, carry = now
        carry, action = team.act(carry, view, key)
        state, out = team.env.step(state, action, key)
        return (state, out.view, carry), (view, action)

    keys = jax.random.split(KEY, steps)
    _, (views, actions) = jit(lambda: jax.lax.scan(step, (state, view, team.reset(KEY)), keys))()
    return views, keys, actions


def own_views(plan: Experiment, view: View) -> dict[str, Any]:
    """What the functions take of views [T, ...], without `last`, which the players know."""
    if not plan.recipe.entities:
        return {"obs": view.obs, "available": view.available}
    assert view.entities is not None
    agents = len(view.obs[0])
    seen = {name: getattr(view.entities, name) for name in ("features", "absent")}
    seen = {name: np.repeat(x[:, None], agents, 1) for name, x in seen.items()}
    seen |= {"hidden": view.entities.hidden, "available": view.available}
    return seen | ({"last": np.zeros(len(view.obs))} if plan.config.last_action else {})


def store(name: str, folder: Path) -> None:
    """An exported policy, and an episode that the team read from it has played."""
    plan, env, _ = written(name, folder)
    team = jmarl.load_policy(folder, env=env)
    assert team.seed == 5
    views, keys, actions = play(team)
    assert len(np.unique(actions[..., 0] if actions.ndim > 2 else actions)) > 1
    episode: dict[str, Any] = own_views(plan, views) | {"actions": actions}
    data = {"keys": jax.random.key_data(keys), "open_key": jax.random.key_data(KEY)}
    np.savez(folder / "episode.npz", **data, **episode)


def act_alone(folders: Sequence[Path]) -> None:
    """In a process without jmarl; fails with what differs."""
    script = Path(__file__).with_name("jax_alone.py")
    env = {name: x for name, x in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(script), *map(str, folders)]
    ran = subprocess.run(command, capture_output=True, text=True, env=env)
    assert ran.returncode == 0, ran.stderr


def test_functions_act_as_the_team_where_jmarl_is_not(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in QUICK]
    for folder in folders:
        store(folder.name, folder)
    act_alone(folders)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in (*ALL, *VARIANTS) if name not in QUICK])
def test_every_algorithm_can_be_exported(name: str, tmp_path: Path) -> None:
    store(name, tmp_path / name)
    act_alone([tmp_path / name])


def test_a_difference_would_be_told(tmp_path: Path) -> None:
    store("iql-apart", tmp_path / "iql")
    file = tmp_path / "iql" / "episode.npz"
    with np.load(file) as arrays:
        episode = dict(arrays)
    np.savez(file, **{**episode, "actions": (episode["actions"] + 1) % 2})
    with pytest.raises(AssertionError, match="step 0"):
        act_alone([tmp_path / "iql"])


# --- of its own view alone ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "view"),
    {
        "maddpg": {"obs": "float32[b,4]", "available": "bool[b,3]"},
        "qmix": {"obs": "float32[b,4]", "available": "bool[b,3]"},
        "refil": {
            "features": "float32[b,5,3]",
            "absent": "bool[b,5]",
            "hidden": "bool[b,5]",
            "last": "int32[b,3]",
            "available": "bool[b,3]",
        },
    }.items(),
)
def test_a_function_takes_one_agents_view_and_no_state(
    name: str, view: dict[str, str], tmp_path: Path
) -> None:
    written(name, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "policy.json").read_text())
    carry = {"maddpg": {}}.get(name, {"hidden": "float32[b,8]", "last": "int32[b]"})
    takes = {"agent": "int32[b]", "carry": carry, "view": view, "keys": "uint32[b,2]"}
    assert told["functions"]["act"]["takes"] == takes
    assert told["functions"]["act"]["gives"] == {"carry": carry, "action": "int32[b]"}
    assert told["words"].keys() >= {"agent", "keys", "carry", "action", *view}


def agent_of(name: str) -> tuple[Experiment, Agent]:
    plan, env = case(name)
    policy = plan.recipe.make(env.spec, plan.config).exploit(drawn(plan, env))
    entities = plan.recipe.entities
    return plan, Agent(env.spec, policy, entities, entities and plan.config.last_action)


def test_what_is_hidden_does_not_count() -> None:
    """The last agent is hidden from the first; its features and its action before may be any."""
    _, agent = agent_of("refil")
    normal = lambda key, like: jax.random.normal(jax.random.key(key), like.shape)
    seen = agent.example()
    seen |= {"features": normal(0, seen["features"]), "available": jnp.ones(3, bool)}
    seen["hidden"] = jnp.arange(5) == 2
    who, key = jnp.int32(0), jax.random.key_data(KEY)
    carry = agent.reset(who, key)
    act = jit(agent.act)
    expected = act(who, carry, seen, key)
    blind = seen | {"features": seen["features"].at[2].set(9.0), "last": jnp.array([0, 0, 2])}
    assert_same(act(who, carry, blind, key), expected)
    for name, other in (("features", seen["features"].at[1].set(9.0)), ("last", seen["last"] + 1)):
        hidden = act(who, carry, seen | {name: other}, key)[0]["hidden"]
        assert np.abs(hidden - expected[0]["hidden"]).max() > 1e-3
    own = seen | {"last": seen["last"].at[0].set(2)}  # which the carry knows better
    assert_same(act(who, carry, own, key), expected)


@pytest.mark.parametrize("name", ["maddpg", "qmix"])
def test_others_do_not_count_in_the_team_either(name: str) -> None:
    """What the function says is what the team's policy says, whatever the others see."""
    _, agent = agent_of(name)
    spec, who, key = agent.spec, jnp.int32(1), jax.random.key_data(KEY)
    obs = jax.random.normal(KEY, (7, 3, spec.obs_size))
    obs = obs.at[:, 1].set(obs[0, 1])
    available = jnp.asarray(spec.action_mask())[None]
    step = lambda obs: agent.policy.step(
        agent.policy.reset(KEY, 1), View(obs[None], available, jnp.ones((1, 3), bool)), KEY
    )[1][0]
    actions = jit(jax.vmap(step))(obs)
    seen = {"obs": obs[0, 1], "available": available[0, 1]}
    _, own = jit(agent.act)(who, agent.reset(who, key), seen, key)
    np.testing.assert_array_equal(actions[:, 1], own)
    assert len(np.unique(actions[:, 0])) > 1  # they did see other things


# --- weights --------------------------------------------------------------------------------------


def test_weights_are_what_acting_reads_and_no_more(tmp_path: Path) -> None:
    plan, _, learner = written("qmix", tmp_path / "out")
    arrays = load_file(tmp_path / "out" / "policy.safetensors")
    assert all(name.startswith("params/agent/") for name in arrays) and len(arrays) == 8
    kernel = learner.params["agent"]["last"]["kernel"]
    np.testing.assert_array_equal(arrays["params/agent/last/kernel"], kernel)
    normed = written("maddpg-normed", tmp_path / "normed")[2]
    arrays = load_file(tmp_path / "normed" / "policy.safetensors")
    np.testing.assert_array_equal(arrays["seen/mean"], normed.seen.mean)
    assert not [name for name in arrays if "critic" in name or "target" in name or "opt" in name]
    assert plan == weights.read(tmp_path / "out" / "policy.safetensors").experiment


def damaged(data: bytes, about: dict[str, Any]) -> dict[str, tuple[bytes, str]]:
    """Files that cannot be a policy, and what the line must say."""
    arrays = load(data)
    less = {name: x for name, x in arrays.items() if name != "params/agent/last/bias"}
    wide = {**arrays, "params/agent/last/bias": np.zeros(9, np.float32)}
    packed = lambda arrays, about: save(arrays, {"jmarl": json.dumps(about)})
    unknown = {**about, "experiment": {**about["experiment"], "algorithm": "qmx"}}
    return {
        "text": (b"not at all", "policy must be a safetensors file of `jmarl export`"),
        "cut": (data[:-10], "policy must be a safetensors file"),
        "others": (save(arrays), "policy must be a safetensors file"),
        "empty": (packed(arrays, {}), "policy must be a safetensors file"),
        "list": (packed(arrays, []), "policy must be a safetensors file"),
        "unknown": (packed(arrays, unknown), "no algorithm is named 'qmx'"),
        "less": (packed(less, about), "params/agent/last/bias is None in"),
        "wide": (packed(wide, about), "params/agent/last/bias is ((9,), 'float32') in"),
    }


def test_a_file_that_is_no_policy_is_refused(tmp_path: Path) -> None:
    _, env, _ = written("qmix", tmp_path / "out")
    about = json.loads((tmp_path / "out" / "policy.json").read_text())
    data = (tmp_path / "out" / "policy.safetensors").read_bytes()
    for name, (broken, says) in damaged(data, about).items():
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(broken)
        with pytest.raises(jmarl.ConfigError) as caught:
            jmarl.load_policy(file, env=env)
        assert says in str(caught.value)
    with pytest.raises(jmarl.ConfigError, match=r"training seed must be one of \[5\], got 1"):
        jmarl.load_policy(tmp_path / "out", 1, env)


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    jmarl.train("maddpg", "toy/parts", out=out, **TINY)
    return out


def test_a_run_is_exported(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("maddpg-toy-parts-seed-1", "maddpg-toy-parts-seed-1-2"):
        assert main(["export", str(run), "--seed", "1"]) == 0
        told, folder = capsys.readouterr().out, tmp_path / name
        assert told.startswith("maddpg on toy/parts, team of seed 1\n")
        assert f'jmarl.load_policy("{folder}")' in told and 'for name in ("reset", "act"))' in told
        assert {path.name for path in folder.iterdir()} == {
            *("policy.safetensors", "policy.json", "reset.stablehlo", "act.stablehlo")
        }
        assert all(f"wrote      {path} (" in told for path in folder.iterdir())
    team, again = jmarl.load_policy(run, 1), jmarl.load_policy("maddpg-toy-parts-seed-1")
    assert (again.seed, again.env.spec) == (1, team.env.spec)
    assert_same(play(again, 4)[2], play(team, 4)[2])


def test_the_best_checkpoint_goes_too(run: Path, tmp_path: Path) -> None:
    made = jmarl.export_policy(run, checkpoint="best", out=tmp_path / "best")
    team = jmarl.load_policy(run, checkpoint="best")
    again = jmarl.load_policy(made.path / "policy.safetensors")
    assert made.about["checkpoint"] == "best" and made.about["seed"] == team.seed == again.seed
    assert_same(play(again, 4)[2], play(team, 4)[2])


def test_the_words_of_use_work(run: Path, tmp_path: Path) -> None:
    made = jmarl.export_policy(run, out=tmp_path / "new" / "out")
    env = jmarl.load_policy(made.path).env
    given = {
        "agent": np.arange(2, dtype=np.int32),
        "keys": np.zeros((2, 2), np.uint32),
        "view": {
            "obs": np.zeros((2, env.spec.obs_size), np.float32),
            "available": env.spec.action_mask()[:2],
        },
    }
    exec(made.use, given)
    assert given["action"].shape == (2, env.spec.action_size)


def test_nothing_is_left_of_what_cannot_be_written(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, count = files.write_whole, []

    def full(path: Path, data: bytes) -> None:
        count.append(path)
        if len(count) == 3:
            raise OSError(28, "No space left on device")
        whole(path, data)

    monkeypatch.setattr(files, "write_whole", full)
    out = tmp_path / "out"
    assert main(["export", str(run), "--out", str(out)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert str(out) in line and "could not be written" in line and "No space left" in line
    assert not list(tmp_path.iterdir())


def test_wrong_use_is_one_line(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("mine")
    wrong = {
        "nowhere": "run must be the folder of a run",
        f"{run} --seed 7": "training seed must be one of [0, 1], got 7",
        f"{run} --seed x": "seed must be a whole number, got 'x'",
        f"{run} --checkpoint last": "checkpoint must be newest, best or an iteration, got 'last'",
        f"{run} --out {tmp_path}": "out must be a new or empty folder",
        f"{run} --out {tmp_path}/mine": "out must be a new or empty folder",
        f"{run} --oout x": "--oout",
    }
    for words, says in wrong.items():
        assert main(["export", *words.split()]) == 2
        captured = capsys.readouterr()
        (line,) = captured.err.splitlines()
        assert says in line and captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
