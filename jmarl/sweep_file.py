"""What a sweep's file asks for: the YAML that `wandb sweep` takes, as trials of `jmarl train`."""

import itertools
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from jmarl.config import Experiment, find, of_type, parse
from jmarl.evaluations import Evaluations
from jmarl.fields import ConfigError
from jmarl.preset_files import is_file, load, naming, planned
from jmarl.words import Order, read_order

METHODS = ("grid", "random", "bayes")
GOALS = ("maximize", "minimize")
OPTION = "env."  # before the name of an option of the environment
DRAWN = {  # distributions, from a uniform number within the bounds
    "uniform": lambda u, low, high: low + u * (high - low),
    "log_uniform_values": lambda u, low, high: low * (high / low) ** u,
    "int_uniform": lambda u, low, high: int(low + math.floor(u * (high - low + 1))),
}
Trial = Mapping[str, Any]  # values by parameter


@dataclass(frozen=True)
class Sweep:
    """Trials of one command line, and how they are judged."""

    name: str
    order: Order  # what all trials share
    measure: str  # of the evaluations
    goal: str
    trials: tuple[Trial, ...]

    def order_of(self, trial: Trial) -> Order:
        """What `jmarl train` would be asked for."""
        order, own = self.order, dict(trial)
        flags = {"preset": str(own.pop("preset"))} if "preset" in own else {}
        names = [name for name in own if name.startswith(OPTION)]
        options = {name.removeprefix(OPTION): own.pop(name) for name in names}
        return replace(
            order,
            settings={**order.settings, **own},
            env_options={**order.env_options, **options},
            flags={**order.flags, **flags},
        )

    def plan(self, trial: Trial) -> Experiment:
        """What trains it: NaN must not end the trials beside it."""
        order = self.order_of(trial)
        settings = {**order.settings, "nonfinite": "go_on"}
        return planned(order.algorithm, order.flags.get("preset", ""), order.env_options, settings)

    def traced(self, trial: Trial) -> dict[str, float]:
        """Those of its values that leave the program as it is."""
        known = fields(self.plan(trial).config)
        knobs = {field.name for field in known if field.metadata.get("pytree_node", True)}
        return {name: value for name, value in trial.items() if name in knobs}

    def as_json(self) -> dict[str, Any]:
        algorithm = self.order.algorithm
        return {
            "algorithm": algorithm,
            **({"file": vars(load(algorithm))} if is_file(algorithm) else {}),
            "flags": self.order.flags,
            "settings": self.order.settings,
            "env_options": self.order.env_options,
            "measure": self.measure,
            "goal": self.goal,
            "trials": [dict(trial) for trial in self.trials],
            # what earlier ones lack, which trained all trials in the first one's environment
            **({"env_of": "each trial"} if self.several_envs else {}),
        }

    @property
    def several_envs(self) -> bool:
        return len({(trial.get("env"), trial.get("actions")) for trial in self.trials}) > 1


@dataclass(frozen=True)
class Swept:
    """A trial, and what its seeds came to."""

    nth: int
    trial: Trial
    found: Evaluations
    diverged: Sequence[int] = ()  # seeds with NaN or infinity in training's metrics

    def score(self, measure: str) -> np.ndarray:
        """[S] of the last evaluation; NaN for what has diverged, however it plays."""
        gone = np.isin(self.found.seeds, self.diverged)
        return np.where(gone, np.nan, self.found.scores[measure][-1])


def read_sweep(path: str | Path, count: int = 16, seed: int = 0) -> Sweep:
    """Trials: all of a grid, or `count` drawn at random. Raises ConfigError, naming file and key.

    What bayes would choose from trials that have ended is drawn at random, too: here all run side
    by side.
    """
    path = Path(path)
    data = parsed(path)
    method = one_of(data, "method", METHODS, "grid")
    metric = mapping(data, "metric", path, {"name": "eval/episode_return"})
    rules = mapping(data, "parameters", path)
    rules = {str(name).replace("-", "_"): rule_of(name, rule) for name, rule in rules.items()}
    trials = grid(rules) if method == "grid" else drawn(rules, count, np.random.default_rng(seed))
    measure = str(metric.get("name", "episode_return")).removeprefix("eval/")
    goal = one_of(metric, "goal", GOALS, "maximize")
    sweep = Sweep(path.stem, ordered(data, path), measure, goal, ())
    return replace(
        sweep, trials=tuple(sound(sweep, nth, trial) for nth, trial in enumerate(trials))
    )


def sound(sweep: Sweep, nth: int, trial: Trial) -> Trial:
    """Its values as a run has them. ConfigError for what no run could be."""
    with naming(named(nth, trial)):
        plan = sweep.plan(trial)
    # options are what an agent's --env.NAME=VALUE would make of them
    options = {name: parse(str(value)) for name, value in trial.items() if name.startswith(OPTION)}
    known = {**vars(plan.config), **vars(plan.run), "preset": plan.preset, **options}
    return {name: known[name] for name in trial}


def named(nth: int, trial: Trial) -> str:
    """A trial in words."""
    values = (f"{name} {x:.4g}" if type(x) is float else f"{name} {x}" for name, x in trial.items())
    return f"trial {nth:03} ({', '.join(values)})"


def parsed(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"sweep must be a YAML file, got {str(path)!r} ({reason})") from error
    if not isinstance(data, dict):
        raise ConfigError(f"sweep must be a mapping, got {path}, a {type(data).__name__}")
    return data


def mapping(
    data: Mapping[str, Any], key: str, path: Path, default: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    found = data.get(key, default)
    if not isinstance(found, dict) or not found:
        raise ConfigError(f"{key} of {path} must be a mapping of names, got {found!r}")
    return found


def one_of(data: Mapping[str, Any], key: str, allowed: Sequence[str], default: str) -> str:
    return find(str(data.get(key, default)), allowed, f"{key} of a sweep")


def ordered(data: Mapping[str, Any], path: Path) -> Order:
    """The command without what an agent would fill in, and without wandb."""
    words = [word for word in words_of(data.get("command", []), path) if not word.startswith("${")]
    if words[:2] != ["jmarl", "train"]:
        got = " ".join(words[:2]) or "none"
        raise ConfigError(f"command of {path} must begin with jmarl, train, got {got}")
    order = read_order(words[2:])
    if order is None:
        raise ConfigError(f"command of {path} must train, it asks for help")
    for flag in ("wandb", "quiet"):
        order.flags.pop(flag, None)
    for flag in order.flags.keys() - {"preset"}:
        raise ConfigError(f"command of {path} must not have {flag}, which the sweep sets")
    return order


def words_of(command: Any, path: Path) -> list[str]:
    """A list of them, or a line as a shell takes it."""
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError as error:  # quotes that nothing closes
        raise ConfigError(f"command of {path} must be words, got {command!r} ({error})") from error
    if not isinstance(words, list):
        raise ConfigError(f"command of {path} must be a list of words, got {command!r}")
    return [str(word) for word in words]


def rule_of(name: str, rule: Any) -> Mapping[str, Any]:
    """`values` (or one `value`), or a distribution between `min` and `max`."""
    if isinstance(rule, dict):
        if "value" in rule:
            return {"values": [rule["value"]]}
        if isinstance(rule.get("values"), list) and rule["values"]:
            return {"values": rule["values"]}
        if "min" in rule and "max" in rule:
            whole = all(isinstance(rule[end], int) for end in ("min", "max"))
            usual = "int_uniform" if whole else "uniform"
            kind = find(str(rule.get("distribution", usual)), DRAWN, f"distribution of {name}")
            low, high = (of_type(f"{end} of {name}", rule[end], float) for end in ("min", "max"))
            if low > high or (kind is DRAWN["log_uniform_values"] and low <= 0):
                raise ConfigError(f"{name} must have bounds in order, got {low:g} and {high:g}")
            return {"draw": kind, "min": low, "max": high}
    raise ConfigError(f"{name} must have value, values, or min and max, got {rule!r}")


def grid(rules: Mapping[str, Mapping[str, Any]]) -> list[Trial]:
    for name, rule in rules.items():
        if "values" not in rule:
            raise ConfigError(f"{name} must have values in a grid, got a distribution")
    every = itertools.product(*(rule["values"] for rule in rules.values()))
    return [dict(zip(rules, values, strict=True)) for values in every]


def drawn(
    rules: Mapping[str, Mapping[str, Any]], count: int, rng: np.random.Generator
) -> list[Trial]:
    one = lambda: {name: draw(rule, float(rng.random())) for name, rule in rules.items()}
    return [one() for _ in range(count)]


def draw(rule: Mapping[str, Any], at: float) -> Any:
    """The value at a uniform number below 1."""
    if "values" in rule:
        return rule["values"][int(at * len(rule["values"]))]
    return rule["draw"](at, rule["min"], rule["max"])
