"""Presets as files: an algorithm, an environment and settings in YAML, by path or by name.

    algorithm: qmix
    preset: fast                # of the algorithm, to begin with
    env: smax/3m
    env_options: {episode_limit: 50}
    settings: {total_steps: 8e5}

All but the algorithm may be left out. The files that come with jmarl are named after it and their
environment, @qmix/smax-3m. They lie where the studies do that they come from, in
experiments/presets; a wheel holds them beside this file, as presets/.
"""

import contextlib
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from jmarl import files
from jmarl.algorithms import ALL
from jmarl.algorithms.recipe import Recipe
from jmarl.config import Experiment, experiment, find
from jmarl.fields import ConfigError
from jmarl.folder import place

ENDINGS = (".yaml", ".yml")


@dataclass(frozen=True)
class PresetFile:
    """What a file says; its keys are the fields."""

    algorithm: str
    preset: str = ""
    env: str = ""
    env_options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def planned(
    algorithm: str,
    preset: str = "",
    env_options: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Experiment:
    """`experiment` of an algorithm or of a preset file, whose words all that is given overrides.

    The file's options are for its own environment, and are left out of another. Raises ConfigError.
    """
    if not is_file(algorithm):
        return experiment(algorithm, preset, env_options, settings)
    file, given = load(algorithm), dict(settings or {})
    options = file.env_options if given.get("env", file.env) == file.env else {}
    settings = {"env": file.env} if file.env else {}
    settings |= {**file.settings, **given}
    options = {**options, **(env_options or {})}
    return experiment(file.algorithm, preset or file.preset, options, settings)


def recipe_of(word: str) -> Recipe:
    """Of an algorithm by name, or of the one that a preset file is for."""
    return ALL[load(word).algorithm] if is_file(word) else find(word, ALL, "algorithm")


def is_file(word: str) -> bool:
    """Whether it means a preset file; algorithms look otherwise."""
    return word.startswith("@") or word.endswith(ENDINGS)


# --- finding --------------------------------------------------------------------------------------


def shipped() -> dict[str, Path]:
    """The files that come with jmarl, by name."""
    folder = files.brought("presets", "presets")
    paths = sorted(folder.glob("*/*.yaml"))
    return {f"@{path.relative_to(folder).with_suffix('').as_posix()}": path for path in paths}


def path_of(word: str) -> Path:
    if not word.startswith("@"):
        return place("preset file", word)
    known = shipped()
    if word not in known:
        near = difflib.get_close_matches(word, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no preset file is named {word!r}{hint}; `jmarl config` lists them")
    return known[word]


def result_of(path: Path) -> str:
    """What a shipped file's head says that its settings came to."""
    lines = path.read_text().splitlines()
    return next((line[10:] for line in lines if line.startswith("# Result: ")), "")


# --- reading and writing --------------------------------------------------------------------------


def load(word: str) -> PresetFile:
    """The file of this name or path; ConfigError, naming it, if it cannot be one."""
    path = path_of(word)
    with naming(word):
        file = made(parsed(path))
        experiment(file.algorithm, file.preset, file.env_options, file.settings)
    return file


@contextlib.contextmanager
def naming(word: str, *kinds: type[ValueError]) -> Iterator[None]:
    """Whatever is wrong within, ConfigError or one of these `kinds`, is told with the file or trial
    that it is wrong in."""
    try:
        yield
    except (ConfigError, *kinds) as error:
        raise ConfigError(f"{word}: {error}") from error


def parsed(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"preset file must be readable ({error.strerror})") from error
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ConfigError(f"preset file must be YAML ({what}{where})") from error


def made(data: Any) -> PresetFile:
    """Of what YAML says."""
    known = PresetFile.__dataclass_fields__
    named = mapping("preset file", data)
    for key in named:
        find(key, known, "key of a preset file")
    if "algorithm" not in named:
        raise ConfigError(f"algorithm must be given, one of {', '.join(ALL)}")
    for key in ("env_options", "settings"):
        named[key] = mapping(key, named.get(key) or {})
    if "env" in named["settings"]:
        raise ConfigError("env must stand beside settings, not in them")
    for key in ("algorithm", "preset", "env"):
        if not isinstance(named.get(key, ""), str):
            raise ConfigError(f"{key} must be a text, got {named[key]!r}")
    return PresetFile(**named)


def mapping(name: str, data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ConfigError(f"{name} must be lines of `key: value`, got {data!r}")
    return {str(key): value for key, value in data.items()}


class Dumper(yaml.SafeDumper):
    """Tuples in one line."""


Dumper.add_representer(
    tuple, lambda dumper, x: dumper.represent_sequence("tag:yaml.org,2002:seq", x, flow_style=True)
)


def as_yaml(plan: Experiment) -> str:
    """A preset file that holds every setting."""
    data = plan.as_json()
    settings = {**data["run"], **data["config"]}
    told = PresetFile(
        plan.algorithm, plan.preset, settings.pop("env"), data["env_options"], settings
    )
    filled = {key: value for key, value in vars(told).items() if value}
    return yaml.dump(filled, Dumper=Dumper, sort_keys=False)
