"""Settings of a run: what there is, what it may be, and how text and JSON become it."""

import ast
import difflib
import inspect
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from jmarl.algorithms import ALL
from jmarl.algorithms.recipe import Recipe
from jmarl.fields import ConfigError, check, static

WHOLE = ", whose rollouts are whole episodes"


@dataclass(frozen=True)
class RunConfig:
    """Settings that every algorithm has."""

    env: str = static("mpe/simple_spread")  # the environment, suite/task; `jmarl envs` lists them
    actions: Literal["auto", "discrete", "simplex", "box"] = static("auto")  # auto is the fittest
    total_steps: int = static(1_000_000, low=1, below=10**15)  # environment steps of training
    num_envs: int = static(64, low=1)  # parallel environments
    rollout_length: int = static(25, low=1)  # steps of each environment between updates
    seed: int = static(0, low=0)  # the first seed
    seeds: int = static(1, low=1)  # how many seeds train side by side: seed, seed + 1, ...
    evaluations: int = static(20, low=1)  # evenly spaced over training, after one before it
    eval_episodes: int = static(32, low=1)  # separate episodes of each evaluation
    checkpoint_minutes: float = static(10.0, low=0)  # at least this long between checkpoints
    keep_checkpoints: int = static(2, low=1)  # the newest so many; older ones are removed
    mesh: str = static("")  # devices that share the run, as seed=2,env=4; one holds it if empty
    deterministic: bool = static(False)  # the same bits again on a GPU too, where that is slower
    nonfinite: Literal["stop", "go_on"] = static("stop")  # at NaN or infinity in training's metrics


@dataclass(frozen=True)
class Experiment:
    """One run's complete description; `as_json` and `from_json` are each other's inverse."""

    algorithm: str
    preset: str  # where the settings came from; "" for the algorithm's defaults
    run: RunConfig
    config: Any  # the algorithm's
    env_options: Mapping[str, Any]
    own_env: bool = False  # the environment was handed over, and cannot be made from its name

    @property
    def recipe(self) -> Recipe:
        return find(self.algorithm, ALL, "algorithm")

    @property
    def episodic(self) -> bool:
        """Rollouts are whole episodes."""
        return self.recipe.episodic(self.config)

    @property
    def unused(self) -> tuple[str, ...]:
        """Settings of a run that mean nothing here."""
        return ("rollout_length",) if self.episodic else ()

    def as_json(self) -> dict[str, Any]:
        return {
            "algorithm": self.algorithm,
            "preset": self.preset,
            "env_options": dict(self.env_options),
            "own_env": self.own_env,
            "run": {k: v for k, v in asdict(self.run).items() if k not in self.unused},
            "config": {f.name: getattr(self.config, f.name) for f in fields(self.config)},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Experiment":
        """Raises ConfigError for settings that this version of jmarl does not know."""
        lists = {name: tuple(v) for name, v in data["config"].items() if isinstance(v, list)}
        config = {**data["config"], **lists}
        without = experiment(data["algorithm"], data["preset"], settings=config).unused
        run = {name: value for name, value in data["run"].items() if name not in without}
        settings = {**run, **config}
        plan = experiment(data["algorithm"], data["preset"], data["env_options"], settings)
        return replace(plan, own_env=data.get("own_env", False))


def experiment(
    algorithm: str,
    preset: str = "",
    env_options: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Experiment:
    """Defaults, overridden by the preset, overridden by `settings`; checked.

    Raises ConfigError for unknown names (with the nearest known one) and values out of bounds.
    """
    recipe: Recipe = find(algorithm, ALL, "algorithm")
    run, config = replace(RunConfig(), **recipe.loop), recipe.config
    if preset:
        chosen = find(preset, recipe.presets, f"preset of {algorithm}")
        run, config = replace(run, **chosen.loop), chosen.config
    for name, value in (settings or {}).items():
        known = (*hints(RunConfig), *hints(type(config)))
        require_setting(name, known, f"setting of {algorithm}", algorithm)
        if name in hints(RunConfig):
            run = replace(run, **{name: of_type(name, value, hints(RunConfig)[name])})
        else:
            config = replace(config, **{name: of_type(name, value, hints(type(config))[name])})
    check(run)
    check(config)
    made = Experiment(algorithm, preset, run, config, dict(env_options or {}))
    for name in made.unused:
        if name in (settings or {}):
            value = getattr(run, name)
            raise ConfigError(f"{name} must not be set for {algorithm}{WHOLE}, got {value!r}")
    return made


def find(name: str, known: Any, what: str, told: str = "") -> Any:
    """`known[name]`, or `name` of a plain collection; ConfigError with a hint if there is none.

    `told`: where they are listed, if they are many.
    """
    if name in known:
        return known[name] if isinstance(known, Mapping) else name
    raise ConfigError(f"no {what} is named {name!r}{nearest(name, known, told)}")


def require_setting(name: str, known: Collection[str], what: str, algorithm: str) -> None:
    """ConfigError for one that is not there: who else has it, what is near, where all are told."""
    if name in known:
        return
    field = name.replace("-", "_")
    owners = [other for other, recipe in ALL.items() if field in hints(type(recipe.config))]
    others = f" ({', '.join(owners)} have one)" if owners and algorithm else ""
    told = f"`jmarl train {algorithm} --help` lists them".replace("  ", " ")
    raise ConfigError(f"no {what} is named {name!r}{others}{nearest(name, known, told)}")


def nearest(name: str, known: Iterable[str], told: str = "") -> str:
    """'; did you mean ...?', and what there is, if that is little or nothing is near; where it is
    `told` if it is much."""
    known, parts = list(known), lambda name: re.split(r"[-_/.]", name)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    near = near or [other for other in known if name in parts(other) or other in parts(name)]
    few = len(known) <= 24
    listed = f" (there is {', '.join(known)})" if few else ""
    if near:
        return f"; did you mean {' or '.join(map(repr, near))}?{listed}"
    if told and not few:
        return f"; {told}"
    return f"; there is {', '.join(known)}" if known else "; there is none"


def hints(cls: type) -> dict[str, Any]:
    """Field names and their types."""
    types = get_type_hints(cls)
    return {field.name: types[field.name] for field in fields(cls)}


def help_texts(cls: type) -> dict[str, str]:
    """The comment behind each field, an inherited one's too; "" where none can be read."""
    pattern = re.compile(r"^    (\w+): .*?  # (.*)$", re.MULTILINE)
    told = {n: text for c in reversed(cls.__mro__) for n, text in pattern.findall(source_of(c))}
    return {name: told.get(name, "") for name in hints(cls)}


def source_of(cls: type) -> str:
    """What was written of it; "" of what has no file, as in a Python session."""
    try:
        return inspect.getsource(cls)
    except (OSError, TypeError):
        return ""


def allowed(hint: Any) -> str:
    """A type in words."""
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) is tuple:
        return "whole numbers with commas between, as in 64,64"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return words[hint]


def of_type(name: str, value: Any, hint: Any) -> Any:
    """`value`, or the text of one, as a setting of this type; 2e6 is a whole number too."""
    value = value.tolist() if hasattr(value, "tolist") else value  # numpy's numbers
    read: Any = parse(value) if isinstance(value, str) and hint is not str else value
    if get_origin(hint) is tuple:
        entries = tuple(read) if isinstance(read, tuple | list) else (read,)
        if all(type(entry) is int for entry in entries):
            return entries
    elif get_origin(hint) is Literal:
        if value in get_args(hint):
            return value
    elif hint in (bool, str):
        if isinstance(read, hint):
            return read
    elif type(read) in (int, float) and math.isfinite(read) and hint(read) == read:
        return hint(read)
    raise ConfigError(f"{name} must be {allowed(hint)}, got {value!r}")


def several(name: str, values: Any) -> Any:
    """`values`; ConfigError for a text or path, whose letters would stand for many."""
    if isinstance(values, str | Path):
        raise ConfigError(f"{name} must be a list, got {str(values)!r} alone")
    return values


def within(name: str, value: Any, low: int, high: int) -> int:
    """A whole number, or the text of one; ConfigError if it is out of its bounds."""
    number = of_type(name, value, int)
    if not low <= number <= high:
        raise ConfigError(f"{name} must be between {low:,} and {high:,}, got {number:,}")
    return number


def parse(text: str) -> Any:
    """A Python literal, or the text itself; true and false in any case."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
