"""The wheel holds both packages with their types, and one file states the version."""

import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from jmarl import __version__
from jmarl.preset_files import shipped
from jmarl.zoo import entries

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def dist_info(wheel: zipfile.ZipFile, name: str) -> str:
    return wheel.read(f"jmarl-{__version__}.dist-info/{name}").decode()


def test_wheel_holds_both_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    assert tops == {"jmarl", "jmarl_envs"}


def test_wheel_holds_the_preset_files(wheel: zipfile.ZipFile) -> None:
    folder = "jmarl/presets/"
    packed = [name for name in wheel.namelist() if name.startswith(folder)]
    names = {f"@{name.removeprefix(folder).removesuffix('.yaml')}" for name in packed}
    assert names == shipped().keys()


def test_wheel_holds_the_zoo(wheel: zipfile.ZipFile) -> None:
    packed = {name: wheel.read(name) for name in wheel.namelist() if "/policies/" in name}
    assert packed == {
        f"jmarl/policies/{entry.path.name}": entry.path.read_bytes() for entry in entries().values()
    }


@pytest.mark.parametrize("package", ["jmarl", "jmarl_envs"])
def test_packages_are_typed(wheel: zipfile.ZipFile, package: str) -> None:
    assert f"{package}/py.typed" in wheel.namelist()


def test_wheel_carries_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    assert "jmarl = jmarl.cli:main" in dist_info(wheel, "entry_points.txt")
    assert "Apache License" in dist_info(wheel, "licenses/LICENSE")


def test_nothing_caps_jax(wheel: zipfile.ZipFile) -> None:
    needs = re.findall(r"^Requires-Dist: (.*)$", dist_info(wheel, "METADATA"), re.MULTILINE)
    assert any(need.startswith("jax>") for need in needs)
    assert not [need for need in needs if re.search(r"<|==|~=", need.partition(";")[0])]


def test_one_version() -> None:
    assert metadata.version("jmarl") == __version__
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert __version__ in (ROOT / "CHANGELOG.md").read_text()
