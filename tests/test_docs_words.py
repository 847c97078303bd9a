"""What README and docs/ name in passing is there: commands, flags, make targets, files, links."""

import contextlib
import importlib.util
import io
import re
import shlex
from functools import cache
from pathlib import Path

import pytest
from documents import ROOT, documents

from jmarl.algorithms import ALL
from jmarl.cli import COMMANDS, main
from jmarl.config import RunConfig, hints
from jmarl.words import FLAGS, SWITCHES

FOLDERS = ("benchmarks/", "docs/", "envs/", "experiments/", "jmarl/", "tests/")
THEIRS = "docs/differences.md"  # names files and settings of other frameworks, too


def outside_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def spans(text: str) -> list[str]:
    """What stands in backticks outside of blocks, each in one line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", outside_blocks(text))]


@cache
def train_flags() -> set[str]:
    configs = [RunConfig, *(type(recipe.config) for recipe in ALL.values())]
    settings = {name.replace("_", "-") for cls in configs for name in hints(cls)}
    return settings | {f"no-{name}" for name in settings} | {*FLAGS, *SWITCHES}


@cache
def helps() -> str:
    """What all commands but train say of themselves."""
    out = io.StringIO()
    for command in COMMANDS.keys() - {"train"}:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):  # argparse's way
            main([command, "--help"])
    return out.getvalue()


def anchors(path: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", outside_blocks(path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def is_flag(word: str) -> bool:
    flag = word.removeprefix("--").partition("=")[0]
    known = flag in train_flags() or flag.startswith(("env.", "xla_"))
    return known or f"--{flag}" in helps()


def lost_commands(text: str) -> list[str]:
    """Those that jmarl, or a command of it, does not have."""
    lost = []
    for span in spans(text):
        words = shlex.split(span) if span.startswith(("jmarl ", "--")) else []
        named = [word for word in words[1:2] if words[0] == "jmarl" and not word.startswith("-")]
        unknown = [word for word in words if word.startswith("--") and not is_flag(word)]
        lost += [span] * bool(set(named) - set(COMMANDS) or unknown)
    return lost


def lost_names(text: str) -> list[str]:
    """Targets of make, and names of the two packages, that are not there."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lost = []
    for span in spans(text):
        words = span.split()
        asked = {word for word in words[1:] if re.fullmatch(r"[a-z-]+", word)}
        lost += [span] * bool(words[0] == "make" and asked - set(targets))
        name = re.match(r"(jmarl|jmarl_envs)\.(\w+)", span)
        lost += [span] * bool(name and not is_name(*name.groups()))
    return lost


def is_name(package: str, name: str) -> bool:
    module = importlib.import_module(package)
    return hasattr(module, name) or importlib.util.find_spec(f"{package}.{name}") is not None


def lost_files(text: str) -> list[str]:
    paths = [span.removeprefix("python ").split()[0].partition("::")[0] for span in spans(text)]
    plain = [path for path in paths if path.startswith(FOLDERS) and re.fullmatch(r"[\w./-]+", path)]
    return [path for path in plain if not (ROOT / path).exists()]


def lost_links(text: str, here: Path) -> list[str]:
    """Those to files or headings that are not there, from a document at `here`."""
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", outside_blocks(text)):
        file, _, anchor = link.partition("#")
        path = here.parent / file if file else here
        if "://" not in link and (not path.exists() or (anchor and anchor not in anchors(path))):
            lost.append(link)
    return lost


@pytest.mark.parametrize("name", documents())
def test_what_is_named_in_passing_is_there(name: str) -> None:
    path = ROOT / name
    text = path.read_text()
    assert not lost_commands(text)
    assert not lost_names(text)
    assert name == THEIRS or not lost_files(text)
    assert not lost_links(text, path)


@pytest.mark.parametrize("span", ["jmarl trian qmix", "jmarl eval --faster", "--no-such-flag 3"])
def test_a_lost_command_is_found(span: str) -> None:
    assert lost_commands(f"say `{span}`, not `jmarl train qmix --lr 1`") == [span]


@pytest.mark.parametrize("span", ["make nothing", "jmarl.nothing()", "jmarl_envs.none(x)"])
def test_a_lost_name_is_found(span: str) -> None:
    assert lost_names(f"`{span}` `make test` `jmarl.train(...)` `jmarl_envs.check`") == [span]


def test_a_lost_file_or_link_is_found() -> None:
    assert lost_files("`tests/none.py`, `python tests/conftest.py -x`") == ["tests/none.py"]
    text = "[a](none.md) [b](README.md#start) [c](README.md#nowhere) [d](https://example.org)"
    assert lost_links(text, ROOT / "CHANGELOG.md") == ["none.md", "README.md#nowhere"]
