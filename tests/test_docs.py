"""Every block of README and docs/ runs as it stands, or shorter by a row that says how.

`make test` runs what is quick, and plans every training at its full size; `make test-slow` runs
all of it. How to add a block is told in documents.py.
"""

import contextlib
import importlib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from doc_shell import Planned, Shell, afresh
from documents import (
    ELSEWHERE,
    LONGEST,
    MADE,
    ROOT,
    SHORTER,
    SLOW,
    STAND_INS,
    Block,
    all_blocks,
    blocks_of,
    documents,
)

from jmarl import forecast
from jmarl.preset_files import load
from jmarl.program import Program
from jmarl_envs import registry

GUIDES = (
    "docs/own_environment.md",
    "docs/own_algorithm.md",
)  # they train in `make test` too
BUILT = (
    "jmarl",
    "envs",
    ".venv",
)  # what a checkout has and a document's folder does not share


class Document:
    """A document's folder, which holds files of the checkout that it names; one Python session."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.names = name, folder, {"__name__": "__main__"}
        self.blocks = blocks_of(name, (ROOT / name).read_text())
        self.shell = Shell(folder, ROOT)
        (folder / ".venv").symlink_to(sys.prefix)
        for block in self.blocks:
            self.bring(set(re.findall(r"[A-Za-z][\w.-]*/[\w./-]+", block.text)))

    def bring(self, words: set[str]) -> None:
        """Copies of what these are in the checkout: blocks may write where they please."""
        for word in words:
            if (ROOT / word).is_file():
                (self.folder / word).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / word, self.folder / word)
            elif (ROOT / word).is_dir():
                shutil.copytree(ROOT / word, self.folder / word, dirs_exist_ok=True)

    def run(self, blocks: list[Block], shorter: bool) -> None:
        """One after the other, in the folder; as they stand, unless `shorter`."""
        with afresh(self.folder):
            self.make({word for block in blocks for word in block.needs})
            for block in blocks:
                print(block.place)
                self.run_one(block, block.shortened if shorter else block.as_it_stands)

    def make(self, words: set[str]) -> None:
        """What these stand for, and what that is made of."""
        for word in reversed(MADE):
            if word in words:
                words |= set(re.findall(r"\w+", MADE[word]))
        for word in MADE:
            if word in words:
                self.shell.run(MADE[word])

    def run_one(self, block: Block, text: str) -> None:
        if block.title:
            (self.folder / block.title).write_text(text)
        elif block.language == "bash":
            print(self.shell.run(text))
        elif block.language == "python":
            code = compile("\n" * (block.line - 1) + text, block.document, "exec")
            with contextlib.suppress(Planned):
                exec(code, self.names)
        else:
            raise AssertionError(f'{block.place} must be a file: ```{block.language} title="..."')
        if block.language == "yaml":
            load(str(self.folder / block.title))


@contextlib.contextmanager
def opened(name: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Document]:
    path = folder / name.replace("/", "-")
    path.mkdir()
    patch.chdir(path)
    patch.syspath_prepend(path)
    patch.setenv("MPLBACKEND", "agg")
    yield Document(name, path)


def plan_alone(patch: pytest.MonkeyPatch) -> None:
    """Trainings end once their settings are known to be sound together."""

    def planned(program: Program) -> None:
        raise Planned

    patch.setattr(Program, "try_shapes", planned)
    patch.setattr(forecast, "foreseen", lambda program: None)  # what this machine has


def refuse_long(patch: pytest.MonkeyPatch) -> None:
    """A training of many steps is refused with what to do."""
    foreseen = forecast.foreseen

    def checked(program: Program) -> Any:
        steps = program.experiment.run.total_steps
        assert steps <= LONGEST, f"{steps:,} steps are long: shorten it in SHORTER (documents.py)"
        return foreseen(program)

    patch.setattr(forecast, "foreseen", checked)


@pytest.mark.parametrize("name", documents())
def test_quick_blocks_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trains = name in GUIDES
    (refuse_long if trains else plan_alone)(monkeypatch)
    with opened(name, tmp_path, monkeypatch) as document:
        document.run([block for block in document.blocks if not block.slow], shorter=trains)


@pytest.mark.slow
@pytest.mark.parametrize("name", documents())
def test_all_blocks_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_long(monkeypatch)
    with opened(name, tmp_path, monkeypatch) as document:
        document.run(document.blocks, shorter=True)


# --- the reference --------------------------------------------------------------------------------


def test_the_reference_is_what_the_code_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    monkeypatch.setattr(registry, "_OUTSIDE", {})  # what other tests have registered
    reference = importlib.import_module("reference")
    folder = ROOT / "docs" / "api"
    kept = {path.name: path.read_text() for path in folder.glob("*.md")}
    stale = [name for name, text in reference.pages().items() if kept.pop(name, "") != text]
    assert not stale and not kept, "make docs"
    assert "## jmarl.train" in (folder / "jmarl.md").read_text()


# --- nothing is left out, and nothing left over ---------------------------------------------------


def test_every_row_of_the_tables_is_used() -> None:
    """A row that no document needs would hide that its words have changed."""
    needed = set().union(*(block.uses for block in all_blocks()))
    rows = {*STAND_INS, *SHORTER, *SLOW, *MADE, *ELSEWHERE}
    assert not rows - needed, "remove these rows from documents.py, or mend their words"


def test_tests_named_elsewhere_exist() -> None:
    for test in ELSEWHERE.values():
        path, name = test.split("::")
        assert f"\ndef {name}(" in (ROOT / path).read_text(), test


def test_every_file_of_a_document_is_used_by_another_block() -> None:
    blocks = all_blocks()
    for file in (block for block in blocks if block.title):
        others = [b.text for b in blocks if b.document == file.document and b is not file]
        stem = file.title.partition(".")[0]
        known = {"pyproject.toml": "pip install"}.get(file.title, stem)
        assert any(re.search(rf"\b{known}\b", text) for text in others), file.place


def test_the_guides_environment_has_fifty_lines() -> None:
    blocks = blocks_of(GUIDES[0], (ROOT / GUIDES[0]).read_text())
    (text,) = (block.text for block in blocks if block.title == "meet.py")
    assert text.count("\n") <= 50


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```\nls\n```", "README.md:2 is in ''"),
        ("```ruby\nls\n```", "README.md:2 is in 'ruby'"),
        ("```bash file.sh\nls\n```", 'expected title="FILE"'),
        ("```bash\nls\n", "README.md:1 opens a block that nothing closes"),
        ("so:\n\n    jmarl envs\n", "README.md:3 is indented"),
    ],
)
def test_what_would_not_run_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        blocks_of("README.md", text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```bash\njmarl trian\n```", "did you mean 'train'"),
        ("```bash\nfalse | true\n```", "exit code 1"),
        ("```bash\nmake no-such-target\n```", "no-such-target"),
        ("```python\nassert 1 == 2, 'so'\n```", "so"),
        ("```yaml\nalgorithm: qmix\n```", "must be a file"),
        (
            "```bash\njmarl train vdn --env matrix/two_step --total-steps 3e4\n```",
            "30,000 steps",
        ),
    ],
)
def test_what_fails_is_told(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_long(monkeypatch)
    blocks = blocks_of("README.md", text)
    with (
        opened("README.md", tmp_path, monkeypatch) as document,
        pytest.raises(AssertionError, match=says),
    ):
        document.run(blocks, shorter=True)


def test_a_shells_commands_meet_the_words_as_bash_made_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(tmp_path, ROOT)
    shell.run("mkdir in && cd in && jmarl --version > told && grep -q jmarl told")
    assert "0." in (tmp_path / "in" / "told").read_text()
    (tmp_path / "words.py").write_text("import sys\nprint(sys.argv[1:])\n")
    assert shell.run("for x in 'a b' c; do python words.py $x; done") == "['a', 'b']\n['c']\n"
    with pytest.raises(AssertionError, match=r"exit code 3 of(.|\n)*said"):
        (tmp_path / "ends.py").write_text("print('said')\nraise SystemExit(3)\n")
        shell.run("python ends.py\necho never")
