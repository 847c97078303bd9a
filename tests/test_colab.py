"""What is installed beside a jax that stays as it is."""

import subprocess
import sys
from importlib import metadata
from typing import Any

import pytest

from jmarl import colab

NEEDS = {  # of installed packages; jax is older than asked, flax lacks something, gym is too old
    "jmarl": ["jax>=0.10", "Flax>=0.12", "gym>=1", 'pip; extra == "dev"', "old_name", "wandb"],
    "jax": ["jaxlib<=0.9,>=0.9", "numpy>=2"],
    "flax": ["jax>=0.11", 'exotic; python_version < "3"', "msgpack"],
    "gym": ["cloudpickle"],
    "old-name": [],
    "numpy": [],
}
VERSIONS = {
    "jax": "0.9",
    "jaxlib": "0.9",
    "flax": "0.12",
    "gym": "0.26",
    "old-name": "1",
    "numpy": "2.1",
}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Versions by package; pip adds what it is told to, and must not be told of jax."""
    there = dict(VERSIONS)

    def version(name: str) -> str:
        try:
            return there[name.lower().replace("_", "-")]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    def pip(command: list[str], check: bool) -> Any:
        assert check and command[:4] == [sys.executable, "-m", "pip", "install"]
        assert "--no-deps" in command
        there.update({word.split(">")[0]: "9" for word in command[4:] if word[0] != "-"})

    monkeypatch.setattr(metadata, "requires", lambda name: NEEDS.get(name))
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(subprocess, "run", pip)
    return there


def test_what_is_missing_or_old_is_found_at_any_depth_but_never_jax(machine: Any) -> None:
    assert colab.lacking("jmarl") == {"gym": "gym>=1", "wandb": "wandb", "msgpack": "msgpack"}


def test_all_is_installed_by_itself_and_jax_stays(
    machine: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    colab.main()
    assert set(machine) - set(VERSIONS) == {"wandb", "msgpack", "cloudpickle"}
    assert (machine["gym"], machine["jax"]) == ("9", "0.9")
    first, second, last = capsys.readouterr().out.splitlines()
    assert (first, second) == ("installing gym>=1 msgpack wandb", "installing cloudpickle")
    kept, told = last.split("; ")
    assert kept == "jax is the one that was here, 0.9"
    assert told.split(", ") == ["jmarl needs jax>=0.10", "flax needs jax>=0.11"]


def test_pip_that_changes_nothing_is_asked_once(
    machine: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: None)
    colab.main()
    assert capsys.readouterr().out.count("installing") == 1


def test_nothing_is_lacking_here() -> None:
    assert colab.lacking("jmarl") == {}
