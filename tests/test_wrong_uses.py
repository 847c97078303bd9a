"""Wrong uses, as a newcomer makes them: one line names the field, the value and what is allowed."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import jax
import pytest
import yaml

import jmarl
from jmarl.cli import main
from jmarl.config import experiment
from jmarl.folder import create

Says = tuple[str, str, str]  # the field, the value that it was given, and what is allowed
SWEEP = {
    "method": "grid",
    "parameters": {"lr": {"values": [1e-3]}},
    "command": shlex.split("jmarl train vdn --env matrix/two_step ${args}"),
}
FILES = {  # beside runs called RUN and OTHER
    "keys.yaml": {"algorithm": "qmix", "settigns": {}},
    "none.yaml": {"env": "smax/3m"},
    "bounds.yaml": {"algorithm": "qmix", "settings": {"lr": -1}},
    "type.yaml": {"algorithm": "qmix", "settings": {"batch_size": "many"}},
    "list.yaml": ["qmix"],
    "good.yaml": SWEEP,
    "method.yaml": {**SWEEP, "method": "gird"},
    "goal.yaml": {**SWEEP, "metric": {"goal": "highest"}},
    "unknown.yaml": {**SWEEP, "parameters": {"lrr": {"value": 3}}},
    "negative.yaml": {**SWEEP, "parameters": {"lr": {"values": [1e-3, -1]}}},
    "drawn.yaml": {**SWEEP, "parameters": {"lr": {"min": 0.1, "max": 1.0}}},
    "missing.yaml": {**SWEEP, "parameters": {}},
    "normal.yaml": {
        **SWEEP,
        "method": "random",
        "parameters": {"lr": {"distribution": "normal", "min": 0, "max": 1}},
    },
    "python.yaml": {**SWEEP, "command": ["python", "train.py"]},
    "three.yaml": {**SWEEP, "command": 3},
    "metric.yaml": {**SWEEP, "metric": "eval/nope"},
    "null.yaml": {**SWEEP, "metric": None},
    "letters.yaml": {
        **SWEEP,
        "method": "random",
        "parameters": {"lr": {"min": "a", "max": "b"}},
    },
    "options.yaml": {**SWEEP, "parameters": {"env.size": {"values": [3, 4]}}},
    "both.yaml": {
        **SWEEP,
        "parameters": {"td_lambda": {"values": [0.0, 0.5]}, "n_step": {"values": [1, 3]}},
    },
    "short.yaml": {**SWEEP, "parameters": {"total_steps": {"values": [6000, 10]}}},
}
USES: dict[str, Says] = {  # words after `jmarl`, or Python
    "tarin qmix": ("command", "'tarin'", "did you mean 'train'?"),
    # train: names
    "train qmx": ("algorithm", "'qmx'", "did you mean 'qmix'?"),
    "train dreamer": ("algorithm", "'dreamer'", "there is maddpg, ddpg, maac"),
    "train qmix lr 0.1": ("algorithm", "'qmix lr 0.1'", "settings are flags: --seeds 4"),
    "train qmix --lerning-rate 1": ("flag", "'lerning-rate'", "`jmarl train qmix --help`"),
    "train qmix --critic-lr 1e-3": ("flag", "'critic-lr' (maddpg, ddpg", "did you mean 'lr'?"),
    "train maddpg --mixing-dim 3": ("flag", "'mixing-dim' (qmix", "did you mean 'hidden-dim'?"),
    "train maddpg --lr 1e-3": ("flag", "'lr'", "did you mean 'actor-lr' or 'critic-lr'"),
    "train qmix --preset pymarll": ("preset", "'pymarll'", "there is pymarl, pymarl2, fast"),
    "train qmix --env smax/3mm": ("environment", "'smax/3mm'", "did you mean 'smax/3m'?"),
    "train qmix --env nope": ("environment", "'nope'", "`jmarl envs` lists them all"),
    "train qmix --env smax": ("environment", "'smax'", "`jmarl envs smax` lists that suite's"),
    # train: types and bounds
    "train qmix --lr fast": ("lr", "'fast'", "a number"),
    "train qmix --lr -1": ("lr", "-1.0", "at least 0"),
    "train qmix --lr nan": ("lr", "'nan'", "a number"),
    "train qmix --lr": ("lr", "none", "must have a value"),
    "train qmix --lr 1 --lr 2": ("lr", "'1' and '2'", "once"),
    "train qmix --batch-size 1.5": ("batch_size", "'1.5'", "a whole number"),
    "train qmix --num-envs 0": ("num_envs", "0", "at least 1"),
    "train qmix --buffer-size 1e10": ("buffer_size", "10000000000", "below 2**31"),
    "train qmix --gamma 1.5": ("gamma", "1.5", "between 0 and 1"),
    "train qmix --hidden-dim 64,x": ("hidden_dim", "'64,x'", "commas between, as in 64,64"),
    "train qmix --optimiser sgd": ("optimiser", "'sgd'", "one of rmsprop, adam"),
    "train qmix --double-q maybe": ("double_q", "'maybe'", "true or false"),
    "train qmix --quiet=maybe": ("quiet", "'maybe'", "true or false"),
    "train qmix --seeds 0": ("seeds", "0", "at least 1"),
    "train qmix --seed -1": ("seed", "-1", "at least 0"),
    "train qmix --nonfinite ignore": ("nonfinite", "'ignore'", "one of stop, go_on"),
    "train qmix --rollout-length 20": ("rollout_length", "20", "whose rollouts are whole episodes"),
    "train maddpg --total-steps 10": ("total_steps", "10", "1,600"),
    # train: what does not go together
    "train qmix --env mpe/simple_tag": ("env", "adversaries, good", "one team"),
    "train refil --env matrix/two_step": ("env", "matrix/two_step", "refil/group_matching, smax/"),
    "train qatten --env matrix/two_step": ("env", "matrix/two_step", "qmix and vdn do without"),
    "train qmix --env mpe/simple_spread": ("team_reward", "'auto'", "--team-reward sum"),
    "train qmix --env grid/fetch --actions box": ("actions", "box", "must be discrete"),
    "train qmix --env matrix/two_step --env.size 3": ("option", "'size'", "allowed: agent_ids"),
    "train maddpg --env.num_agents -2": ("num_agents", "-2", "an integer of at least 1"),
    "train maddpg --team-algorithms foo=ddpg --env mpe/simple_tag": (
        *("team_algorithms", "'foo'", "adversaries, good"),
    ),
    "train qmix --env grid/fetch --n-step 3 --td-lambda 0.6": ("td_lambda", "0.6", "n_step"),
    "train qmix --episodes-per-update 1e-9": ("episodes_per_update", "1e-09", "at least 2.98e-08"),
    "train maddpg --env-steps-per-update 1e-320": ("env_steps_per_update", "1e-320", "at least"),
    # train: devices, wandb, folders
    "train qmix --env matrix/two_step --mesh gpu=2": ("mesh", "'gpu=2'", "seed=2,env=4"),
    "train qmix --mesh seed=3 --seeds 4": ("seeds", "4", "a multiple of the mesh's seed=3"),
    "train qmix --wandb onlin": ("wandb", "'onlin'", "there is off, offline, online"),
    "train qmix --out list.yaml": ("out", "'list.yaml'", "a new or empty folder"),
    "train qmix --out RUN": ("out", "'RUN'", "jmarl train --resume RUN"),
    "train --resume nowhere": ("run", "'nowhere'", "the folder of a run"),
    "train --resume empty": ("run", "'empty'", "one with config.json"),
    "train --resume RUN --lr 0.1": ("lr", "0.1", "total_steps, checkpoint_minutes"),
    "train vdn --resume RUN": ("algorithm", "'vdn'", "was 'qmix'"),
    "train --resume RUN --out other": ("out", "'other'", "not be given to resume"),
    # preset files
    "train @qmix/smax-3n": ("preset file", "'@qmix/smax-3n'", "did you mean '@qmix/smax-3m'?"),
    "train ./nowhere.yaml": ("preset file", "./nowhere.yaml", "readable"),
    "train ./keys.yaml": ("key", "'settigns'", "did you mean 'settings'?"),
    "train ./none.yaml": ("algorithm", "./none.yaml", "one of maddpg, ddpg"),
    "train ./list.yaml": ("preset file", "['qmix']", "lines of `key: value`"),
    "train ./bounds.yaml": ("lr", "-1.0", "at least 0"),
    "config ./type.yaml": ("batch_size", "'many'", "a whole number"),
    "config qmix --out here": ("out", "'here'", "not be given to config"),
    # sweeps
    "sweep nowhere.yaml": ("sweep", "'nowhere.yaml'", "a YAML file"),
    "sweep list.yaml": ("sweep", "list.yaml", "a mapping"),
    "sweep method.yaml": ("method", "'gird'", "there is grid, random, bayes"),
    "sweep goal.yaml": ("goal", "'highest'", "there is maximize, minimize"),
    "sweep unknown.yaml": ("setting", "'lrr'", "did you mean 'lr'?"),
    "sweep negative.yaml": ("lr", "-1", "at least 0"),
    "sweep drawn.yaml": ("lr", "a distribution", "values in a grid"),
    "sweep missing.yaml": ("parameters", "{}", "a mapping of names"),
    "sweep normal.yaml": ("distribution of lr", "'normal'", "uniform, log_uniform_values"),
    "sweep python.yaml": ("command", "python train.py", "begin with jmarl"),
    "sweep three.yaml": ("command", "got 3", "a list of words"),
    "sweep metric.yaml": ("metric", "'eval/nope'", "a mapping of names"),
    "sweep null.yaml": ("metric", "None", "a mapping of names"),
    "sweep letters.yaml": ("min of lr", "'a'", "a number"),
    "sweep options.yaml": ("trial 000 (env.size 3)", "'size'", "allowed: agent_ids"),
    "sweep both.yaml": ("trial 003 (n_step 3, td_lambda 0.5)", "0.5", "must be 0 where n_step"),
    "sweep short.yaml": ("trial 001 (total_steps 10)", "10", "at least one rollout"),
    "sweep good.yaml --trials 0": ("trials", "0", "between 1 and 1,000,000"),
    "sweep good.yaml --out RUN": ("out", "RUN", "a new or empty folder, or a sweep's"),
    # what becomes of runs
    "eval nowhere": ("run", "'nowhere'", "the folder of a run"),
    "eval RUN --episodes many": ("episodes", "'many'", "a whole number"),
    "eval RUN --episodes 0": ("episodes", "0", "between 1 and 1,000,000"),
    "eval RUN --seed 4294967296": ("seed", "4,294,967,296", "between 0 and 2,147,483,647"),
    "eval RUN --seed 1.5": ("seed", "'1.5'", "a whole number"),
    "eval RUN --record --seed -1": ("seed", "-1", "between 0"),
    "eval RUN --checkpoint ''": ("checkpoint", "''", "newest, best"),
    "eval RUN --checkpoint first": ("checkpoint", "'first'", "newest, best"),
    "eval RUN --record --checkpoint 7": ("checkpoint", "'7'", "best with --record"),
    "eval RUN --sed 3": ("arguments", "--sed", "see jmarl eval --help"),
    "export RUN --checkpoint newset": ("checkpoint", "'newset'", "newest, best"),
    "render smax/3mm": ("environment", "'smax/3mm'", "did you mean 'smax/3m'?"),
    "render toy/echo --fps 0": ("fps", "0", "between 1 and 50"),
    "render toy/echo --policy clever": ("policy", "'clever'", "auto, random, trained"),
    "render toy/echo --pixel 90": ("flag", "'pixel'", "did you mean 'pixels'?"),
    "render toy/echo --out nowhere/x.gif": ("out", "'nowhere/x.gif'", "a folder that exists"),
    "plot nope": ("plot or run", "'nope'", "there is curves, attention"),
    "plot atention RUN": ("plot", "'atention'", "did you mean 'attention'?"),
    "plot attention RUN": ("attention", "a run of qmix", "maac or qatten or refil"),
    "plot curves RUN --colour red": ("flag", "'colour'", "out, measure, by"),
    "compare RUN --by name": ("by", "'name'", "settings, folder"),
    "compare RUN --output x": ("arguments", "--output", "see jmarl compare --help"),
    "crossplay RUN": ("runs", "1", "at least two"),
    "crossplay RUN RUN": ("runs", "/RUN, ", "must be different ones"),
    "crossplay RUN OTHER": ("run", "/RUN'", "must have a checkpoint"),
    "envs smacs": ("environment", "'smacs'", "did you mean 'smax'?"),
    "envs atari/pong": ("environment", "'atari/pong'", "`jmarl envs` lists all"),
    "algos qmix": ("arguments", "qmix", "see jmarl algos --help"),
    # from Python
    "jmarl.make_env('toy/ehco')": ("environment", "'toy/ehco'", "did you mean 'toy/echo'?"),
    "jmarl.make_env('toy/echo', horizn=3)": ("option", "'horizn'", "did you mean 'horizon'?"),
    "jmarl.make_env('toy/echo', horizon=0)": ("horizon", "0", "an integer of at least 1"),
    "jmarl.make_algorithm('qmx', SPEC)": ("algorithm", "'qmx'", "did you mean 'qmix'?"),
    "jmarl.make_algorithm('qmix', SPEC, gama=1)": ("setting", "'gama'", "did you mean 'gamma'?"),
    "jmarl.make_algorithm('qmix', SPEC, lr='x')": ("lr", "'x'", "a number"),
    "jmarl.train('vdn', 'matrix/two_step', sed=1)": ("setting", "'sed'", "did you mean 'seed'?"),
    "jmarl.train('vdn', seeds=True)": ("seeds", "True", "a whole number"),
    "jmarl.train('vdn', out=None, wandb='online')": ("wandb", "'online'", "off where out is None"),
    "jmarl.resume('RUN', seeds=3)": ("seeds", "3", "may change"),
    "jmarl.load_policy('nowhere')": ("run", "'nowhere'", "the folder of a run"),
    "jmarl.compare([])": ("runs", "none", "at least one"),
    "jmarl.compare('RUN')": ("runs", "'RUN' alone", "a list"),
    "jmarl.compare(['RUN'], measures='reward')": ("measures", "'reward' alone", "a list"),
    "jmarl.crossplay('RUN')": ("runs", "'RUN' alone", "a list"),
    "jmarl.train('vdn', list)": ("env", "<class 'list'>", "a name, or an environment with spec"),
    "jmarl.train('vdn', jmarl.make_env)": ("env", "<function make_env", "an environment with spec"),
    "jmarl.make_algorithm('qmix', 'smax/3m')": ("spec", "'smax/3m'", "an environment's EnvSpec"),
    "jmarl.load_policy('zoo/qmix-matrix-two_step', env='x')": ("env", "'x'", "an environment with"),
}


def begun(run: Path) -> None:
    """Evaluated once, with no checkpoint yet."""
    made = create(str(run), experiment("qmix", settings={"env": "matrix/two_step"}), {})
    made.metrics(0).write_text('{"env_steps": 0, "updates": 0, "eval/episode_return": 7.0}\n')
    (run / ".lock").touch()  # as whoever asks to go on leaves it


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Files, an empty folder, and two runs."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        begun(folder / "RUN")
        begun(folder / "OTHER")
        (folder / "empty").mkdir()
        for name, data in FILES.items():
            (folder / name).write_text(yaml.safe_dump(data))
        yield folder


@pytest.fixture
def never_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> NoReturn:
        pytest.fail("a program was compiled before the mistake was told")

    monkeypatch.setattr(jax.stages.Lowered, "compile", refuse)


def told(use: str, capsys: pytest.CaptureFixture[str]) -> str:
    if use.startswith("jmarl."):
        spec = jmarl.make_env("matrix/two_step").spec
        with pytest.raises(ValueError) as raised:
            eval(use, {"jmarl": jmarl, "SPEC": spec})
        assert type(raised.value).__module__.startswith(("jmarl.", "jmarl_envs."))
        return str(raised.value)
    assert main(shlex.split(use)) == 2
    out, err = capsys.readouterr()
    assert not out and err.endswith("\n")
    return err.removesuffix("\n")


@pytest.mark.usefixtures("never_compiled")
@pytest.mark.parametrize("use", USES)
def test_a_line_names_the_field_the_value_and_what_is_allowed(
    use: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.rglob("*"))
    line = told(use, capsys)
    assert "\n" not in line
    assert all(part in line for part in USES[use]), line
    assert sorted(place.rglob("*")) == before
