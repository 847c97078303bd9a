"""The notebooks are plain files that leave jax alone, and their cells run in order, in short."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

import jmarl_envs.registry
from jmarl.algorithms import ALL

FOLDER = Path(__file__).parents[1] / "experiments" / "notebooks"
NAMES = ("quick_start", "paper_figure", "sweeps", "your_own")


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.ipynb").read_text())


def code(name: str) -> list[str]:
    """Of the cells, in order."""
    return ["".join(c["source"]) for c in read(name)["cells"] if c["cell_type"] == "code"]


def test_these_are_all_the_notebooks() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.ipynb" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_plain(name: str) -> None:
    notebook = read(name)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    cells = notebook["cells"]
    assert cells[0]["cell_type"] == "markdown" and cells[0]["source"][0].startswith("# ")
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        common = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            assert cell.keys() == common | {"outputs", "execution_count"}
            assert not cell["outputs"] and cell["execution_count"] is None
        else:
            assert cell["cell_type"] == "markdown" and cell.keys() == common
        assert all(isinstance(line, str) and len(line) <= 130 for line in cell["source"])


@pytest.mark.parametrize("name", NAMES)
def test_jax_stays_as_the_runtime_has_it(name: str) -> None:
    cells = code(name)
    assert cells[0] == code(NAMES[0])[0], "all set up alike"
    whole = "\n".join(cells)
    assert re.findall(r'"pip", (.*)]', whole) == ['"install", "--quiet", "--no-deps"']
    assert not re.search(r"^\s*[!%]|jaxlib|jax\[|jax\s*[=<>~]=|--upgrade|-U\b", whole, re.MULTILINE)
    assert "jax.devices()" in whole and 'os.environ.get("JMARL_SHORT")' in whole


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names of a fresh session in an empty folder, in short; what it registers is forgotten."""
    names = ("notebook", "IPython", "IPython.display")
    module, ipython, display = (ModuleType(name) for name in names)
    for name, made in zip(names, (module, ipython, display), strict=True):
        monkeypatch.setitem(sys.modules, name, made)
    vars(ipython)["version_info"] = (9, 0)  # matplotlib asks
    vars(display)["Image"] = lambda filename: Image.open(filename).verify()
    monkeypatch.setattr(jmarl_envs.registry, "_OUTSIDE", dict(jmarl_envs.registry._OUTSIDE))
    monkeypatch.setenv("JMARL_SHORT", "1")
    monkeypatch.chdir(tmp_path)
    known = dict(ALL)
    yield vars(module)
    ALL.clear()
    ALL.update(known)


@pytest.mark.parametrize("name", NAMES)
def test_the_cells_run_in_order(name: str, notebook: dict[str, Any]) -> None:
    for nth, source in enumerate(code(name), 1):
        exec(compile(source, f"{name}, code cell {nth}", "exec"), notebook)


def test_the_readme_leads_to_every_notebook() -> None:
    text = (FOLDER.parents[1] / "README.md").read_text()
    badge = r"\[!\[Open in Colab\]\(\S+colab-badge\.svg\)\]\(experiments/notebooks/(\w+)\.ipynb\)"
    assert sorted(re.findall(badge, text)) == sorted(NAMES)
