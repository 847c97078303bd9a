"""Every algorithm goes on from disk in a new process as if nothing had happened, bit for bit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from probes import Zoo, algorithms
from small_runs import lines, untimed
from test_algorithms import TINY, tiny

import jmarl
from jmarl import checkpoint
from jmarl.algorithms import ALL
from jmarl.config import Experiment, RunConfig
from jmarl.folder import Folder
from jmarl.program import Program

RUN = {
    "num_envs": 4,
    "rollout_length": 5,
    "total_steps": 160,
    "evaluations": 1,
    "eval_episodes": 4,
    "seeds": 2,
    "checkpoint_minutes": 0,
    "keep_checkpoints": 99,
}
ELSEWHERE = """
import sys
import jmarl
from probes import Zoo
jmarl.resume(sys.argv[1], env=Zoo(kind=sys.argv[2]), progress=False)
"""


def resume_elsewhere(run: Path, kind: str) -> None:
    paths = os.pathsep.join([*sys.path, os.path.dirname(__file__)])
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(run), kind],
        env=os.environ | {"PYTHONPATH": paths},
        check=True,
    )


@pytest.mark.parametrize("name", algorithms("maddpg", "qmix"))  # steps and episodes
def test_a_run_resumed_in_a_new_process_is_the_unbroken_one(name: str, tmp_path: Path) -> None:
    recipe, whole, broken = ALL[name], tmp_path / "whole", tmp_path / "broken"
    config = tiny(recipe)
    small = {field: getattr(config, field) for field in TINY if hasattr(config, field)}
    plan = Experiment(name, "", RunConfig(), config, {})
    shape = {field: value for field, value in RUN.items() if field not in plan.unused}
    kind = recipe.action_kinds(config)[0]
    jmarl.train(name, Zoo(kind=kind), out=whole, progress=False, **shape, **small)
    shutil.copytree(whole, broken)
    folder = Folder(broken)
    done = checkpoint.iterations(folder.checkpoints)
    for at in done[: len(done) // 2 + 1]:  # as if it had been killed there
        shutil.rmtree(folder.checkpoints / str(at))
    resume_elsewhere(broken, kind)
    for seed in (0, 1):
        assert untimed(lines(broken, seed)) == untimed(lines(whole, seed))
    found = [checkpoint.find(Folder(run).checkpoints) for run in (whole, broken)]
    state = Program(Zoo(kind=kind), folder.experiment()).state
    like = {"learner": state.learner, "rest": state.replace(learner=None), "best": state.learner}
    ends = [checkpoint.restore(each, like) for each in found if each]
    assert len(ends) == 2 and len(done) > 3
    for theirs, mine in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_array_equal(checkpoint.raw(mine), checkpoint.raw(theirs))
