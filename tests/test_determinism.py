"""`--deterministic`: its flag reaches XLA in time, and runs repeat bit for bit."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import pytest

import jmarl
from jmarl import determinism
from jmarl.determinism import FLAG, require_determinism

TESTS_OWN = ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS")  # here programs are as users have them
QUICK = {
    "maddpg": """--env toy/cue --num-envs 4 --rollout-length 5 --total-steps 400 --evaluations 2
--eval-episodes 4 --buffer-size 100 --batch-size 8 --hidden-dim 8,8 --warmup-steps 20""",
    "qmix": """--env matrix/two_step --num-envs 4 --total-steps 200 --evaluations 2
--eval-episodes 4 --buffer-size 20 --batch-size 4 --hidden-dim 8 --rnn-dim 8""",
}


def trained(algorithm: str, out: Path) -> list[dict[str, Any]]:
    """The records of a run in a process of its own, but for what its clock says."""
    words = [*shlex.split(QUICK[algorithm]), "--seeds", "2", "--quiet", "--out", str(out)]
    subprocess.run(
        [sys.executable, "-m", "jmarl", "train", algorithm, "--deterministic", *words],
        check=True,
        env={name: value for name, value in os.environ.items() if name not in TESTS_OWN},
    )
    records = [
        json.loads(line)
        for path in sorted(out.glob("metrics/*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    clock = ("seconds", "steps_per_second")
    return [{k: v for k, v in record.items() if k not in clock} for record in records]


@pytest.mark.parametrize("algorithm", ["maddpg", pytest.param("qmix", marks=pytest.mark.slow)])
def test_a_run_repeats_bit_for_bit_in_another_process(algorithm: str, tmp_path: Path) -> None:
    first, second = (trained(algorithm, tmp_path / name) for name in ("first", "second"))
    assert first == second and len(first) > 4
    assert any("train/loss" in r or "train/critic_loss" in r for r in first)
    assert json.loads((tmp_path / "first/versions.json").read_text())["xla_flags"] == FLAG
    assert json.loads((tmp_path / "first/config.json").read_text())["run"]["deterministic"]


def test_the_flag_is_added_to_those_there_before_jax_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_other=1")
    monkeypatch.setattr(determinism, "backends_are_initialized", lambda: False)
    require_determinism()
    require_determinism()
    assert os.environ["XLA_FLAGS"] == f"--xla_other=1 {FLAG}"


def test_once_jax_has_started_it_is_refused_where_it_matters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "")
    jax.devices()
    require_determinism()  # a CPU repeats itself anyway
    assert os.environ["XLA_FLAGS"] == ""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(jmarl.ConfigError, match=r"^deterministic must be false .* XLA_FLAGS="):
        require_determinism()
    monkeypatch.setenv("XLA_FLAGS", FLAG)
    require_determinism()
