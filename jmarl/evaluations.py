"""What a run's files tell of its evaluations, and what the measures mean."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jmarl.algorithms import ALL
from jmarl.config import experiment
from jmarl.fields import ConfigError
from jmarl.folder import Folder, open_folder
from jmarl.sinks import told

RETURN, EVAL = "episode_return", "eval/"
ABSOLUTE = "absolute.json"
SHAPING = ("actions", "num_envs", "rollout_length")  # settings of a run that learning depends on


@dataclass(frozen=True)
class Evaluations:
    """Of S seeds that one run trains: E of each, as many as all have."""

    path: Path
    algorithm: str
    task: str  # the environment, with its options
    settings: Mapping[str, Any]  # all that learning depends on
    total_steps: int
    episodes: int  # of one evaluation
    seeds: tuple[int, ...]
    env_steps: np.ndarray  # [E, S]
    scores: Mapping[str, np.ndarray]  # [E, S] by name, means over episodes
    absolute: Mapping[str, np.ndarray]  # [S] by name; empty if not recorded since the best team
    random: Mapping[str, float]  # of the random policy, by name; empty before the run's end
    stale: bool  # an absolute metric was recorded, but of teams that are not the best any more

    @property
    def unfinished(self) -> bool:
        return bool(self.env_steps[-1].min() < self.total_steps)


def read(run: str | Path) -> Evaluations:
    """Raises ConfigError where there is no run, or none that has evaluated."""
    folder = open_folder(run)
    with folder.reading("config.json"):
        plan = folder.read("config.json")
        loop = plan["run"]
        seeds = tuple(range(loop["seed"], loop["seed"] + loop["seeds"]))
        about = {
            "algorithm": plan["algorithm"],
            "task": task(loop["env"], plan["env_options"]),
            "settings": settings(plan),
            "total_steps": loop["total_steps"],
            "episodes": loop["eval_episodes"],
        }
    with folder.reading("metrics"):
        env_steps, scores = curves([records(folder.metrics(seed)) for seed in seeds], folder)
    absolute, stale = absolute_scores(folder, scores[RETURN])
    random = random_scores(folder)
    return Evaluations(
        path=folder.path,
        seeds=seeds,
        env_steps=env_steps,
        scores=scores,
        absolute=absolute,
        random=random,
        stale=stale,
        **about,
    )


def task(env: str, options: Mapping[str, Any]) -> str:
    return " ".join([env, *(f"{name}={value}" for name, value in options.items())])


def settings(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Of what config.json holds, not what only says how long and how often."""
    shaping = {name: plan["run"][name] for name in SHAPING if name in plan["run"]}
    return {"preset": plan["preset"] or "none", **shaping, **plan["config"], **newer(plan)}


def newer(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that came after the run, as `--resume` would take them: the defaults."""
    name, preset = plan["algorithm"], plan["preset"]
    if name not in ALL or (preset and preset not in ALL[name].presets):
        return {}
    config = json.loads(json.dumps(experiment(name, preset).as_json()["config"]))
    return {setting: config[setting] for setting in config if setting not in plan["config"]}


def records(path: Path) -> list[dict[str, Any]]:
    """The evaluations among the lines of a seed's metrics."""
    lines = (json.loads(line) for line, _ in told(path))
    return [record for record in lines if EVAL + RETURN in record]


def curves(
    seeds: Sequence[Sequence[Mapping[str, Any]]], folder: Folder
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Environment steps [E, S] and scores by name, [E, S] each; null is NaN."""
    count = min(map(len, seeds))
    if not count:
        raise ConfigError(f"run must have evaluations, got {str(folder.path)!r}, without any")
    pick = lambda name: np.array([[r[name] for r in seed[:count]] for seed in seeds], float).T
    names = [name for name in seeds[0][0] if name.startswith(EVAL)]
    return pick("env_steps"), {name.removeprefix(EVAL): pick(name) for name in names}


def absolute_scores(folder: Folder, returns: np.ndarray) -> tuple[dict[str, np.ndarray], bool]:
    """What `jmarl eval --record` found, by name; whether a seed [E, S] has done better since."""
    if not (folder.path / ABSOLUTE).exists():
        return {}, False
    with folder.reading(ABSOLUTE):
        data = folder.read(ABSOLUTE)
        scores = {name: np.array(values, float) for name, values in data["scores"].items()}
        stale = bool((np.array(data["best"], float) < np.fmax.reduce(returns)).any())
    return ({}, True) if stale else (scores, False)


def random_scores(folder: Folder) -> Mapping[str, float]:
    if not (folder.path / "summary.json").exists():
        return {}
    with folder.reading("summary.json"):
        return folder.read("summary.json")["random_scores"]


# --- what the measures mean ---------------------------------------------------------------------


def telling(names: Iterable[str]) -> list[str]:
    """Each team's return if there are several, else the one; then what the environment tells."""
    names = [n for n in names if not n.startswith(("agent_return/", "episode_length"))]
    teams = [name for name in names if name.startswith(f"{RETURN}_")]
    others = [name for name in names if not name.startswith(RETURN)]
    return (teams or [RETURN]) + others


def is_rate(measure: str) -> bool:
    """From 0 to 1 by itself, and so alike on every task."""
    return measure.endswith("_rate")


def meaning(measure: str, names: Iterable[str]) -> str:
    """A measure in words, for axes; `names` are all that the task has."""
    agents = sum(name.startswith("agent_return/") for name in names)
    if measure == RETURN and agents:
        return f"return: episode's sum, mean over {agents} agents\n(x {agents}: their sum)"
    if measure == RETURN:
        return "return: episode's sum of the reward\nthat all agents share"
    if measure.startswith(f"{RETURN}_"):
        return f"return of {measure.removeprefix(f'{RETURN}_')}:\nepisode's sum, mean over agents"
    if measure.startswith("agent_return/"):
        return f"return of {measure.removeprefix('agent_return/')}:\nepisode's sum"
    if measure == "episode_length":
        return "length of an episode, steps"
    words = measure.replace("_", " ").replace("/", ", ")
    return f"{words} (0 to 1)" if is_rate(measure) else f"{words}, mean over episodes"
