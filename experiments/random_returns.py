"""Measures what random play earns everywhere, and records it with each environment's facts.

    python experiments/random_returns.py

rewrites envs/jmarl_envs/facts.json, from which `jmarl envs` tells what there is without making
anything. Only environments of this package are recorded, with their default options.
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jmarl_envs
from jmarl.types import Environment
from jmarl_envs.registry import spec_facts

EPISODES, SEED = 16384, 0
TARGET = Path(jmarl_envs.__file__).parent / "facts.json"


def team_returns(env: Environment[Any]) -> list[tuple[str, float, float]]:
    """Each team's name, the mean return over its agents and episodes, and the standard error."""
    returns = np.asarray(jmarl_envs.random_returns(env, EPISODES, jax.random.key(SEED)))
    teams = np.array(env.spec.teams)
    rows = []
    for index, name in enumerate(env.spec.team_names):
        own = returns[:, teams == index].mean(1, dtype=np.float64)
        error = own.std(ddof=1) / np.sqrt(own.size)
        rows.append((name, float(f"{own.mean():.5g}"), float(f"{error:.2g}")))
    return rows


def facts(name: str) -> dict[str, Any]:
    env = jmarl_envs.make(name)
    return spec_facts(env.spec) | {"random_return": team_returns(env)}


def main() -> None:
    libraries = ", ".join(f"{library} {version(library)}" for library in ("jax", "jaxmarl"))
    measured = (
        f"mean over a team's agents and {EPISODES} episodes of uniformly random available "
        f"actions, with its standard error; seed {SEED}, {libraries}"
    )
    environments = {}
    for name in jmarl_envs.names():
        environments[name] = facts(name)
        print(name, environments[name]["random_return"])
    lines = [f"    {json.dumps(name)}: {json.dumps(row)}" for name, row in environments.items()]
    body = ",\n".join(lines)
    TARGET.write_text(
        f'{{\n  "measured": {json.dumps(measured)},\n  "environments": {{\n{body}\n  }}\n}}\n'
    )


if __name__ == "__main__":
    main()
