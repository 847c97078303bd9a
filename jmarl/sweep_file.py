"""What a sweep's file asks for: the YAML that `wandb sweep` takes, as trials of `jmarl train`."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from jmarl.config import Experiment, experiment, find
from jmarl.evaluations import Evaluations
from jmarl.fields import ConfigError
from jmarl.words import Order, read_order

METHODS = ("grid", "random", "bayes")
GOALS = ("maximize", "minimize")
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

    def plan(self, trial: Trial) -> Experiment:
        order, settings = self.order, {**self.order.settings, **trial}
        return experiment(
            order.algorithm, order.flags.get("preset", ""), order.env_options, settings
        )

    def traced(self, trial: Trial) -> dict[str, float]:
        """Those of its values that leave the program as it is."""
        known = fields(self.plan(trial).config)
        knobs = {field.name for field in known if field.metadata.get("pytree_node", True)}
        return {name: value for name, value in trial.items() if name in knobs}

    def as_json(self) -> dict[str, Any]:
        return {
            "algorithm": self.order.algorithm,
            "flags": self.order.flags,
            "settings": self.order.settings,
            "env_options": self.order.env_options,
            "measure": self.measure,
            "goal": self.goal,
            "trials": [dict(trial) for trial in self.trials],
        }


@dataclass(frozen=True)
class Swept:
    """A trial, and what its seeds came to."""

    nth: int
    trial: Trial
    found: Evaluations

    def score(self, measure: str) -> np.ndarray:
        """[S] of the last evaluation."""
        return self.found.scores[measure][-1]


def read_sweep(path: str | Path, count: int = 16, seed: int = 0) -> Sweep:
    """Trials: all of a grid, or `count` drawn at random. Raises ConfigError, naming file and key.

    What bayes would choose from trials that have ended is drawn at random, too: here all run side
    by side.
    """
    path = Path(path)
    data = parsed(path)
    method = one_of(data, "method", METHODS, "grid")
    metric = {"name": "eval/episode_return", "goal": "maximize", **data.get("metric", {})}
    rules = data.get("parameters")
    if not isinstance(rules, dict) or not rules:
        raise ConfigError(f"parameters of {path} must be a mapping of names, got {rules!r}")
    rules = {str(name).replace("-", "_"): rule_of(name, rule) for name, rule in rules.items()}
    trials = grid(rules) if method == "grid" else drawn(rules, count, np.random.default_rng(seed))
    measure = str(metric["name"]).removeprefix("eval/")
    goal = one_of(metric, "goal", GOALS, "maximize")
    sweep = Sweep(path.stem, ordered(data, path), measure, goal, ())
    return replace(sweep, trials=tuple(sound(sweep, trial) for trial in trials))


def sound(sweep: Sweep, trial: Trial) -> Trial:
    """Its values as a run has them. ConfigError for what no run could be."""
    plan = sweep.plan(trial)
    return {name: vars(plan.run).get(name, vars(plan.config).get(name)) for name in trial}


def parsed(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"sweep must be a YAML file, got {str(path)!r} ({reason})") from error
    if not isinstance(data, dict):
        raise ConfigError(f"sweep must be a mapping, got {path}, a {type(data).__name__}")
    return data


def one_of(data: Mapping[str, Any], key: str, allowed: Sequence[str], default: str) -> str:
    return find(str(data.get(key, default)), allowed, f"{key} of a sweep")


def ordered(data: Mapping[str, Any], path: Path) -> Order:
    """The command without what an agent would fill in, and without wandb."""
    words = [str(word) for word in data.get("command", ()) if not str(word).startswith("${")]
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
            low, high = float(rule["min"]), float(rule["max"])
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
