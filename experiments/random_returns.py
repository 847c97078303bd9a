"""Measures what random play earns everywhere, and records it with each environment's facts.

    python experiments/random_returns.py [NAME ...]

brings envs/jmarl_envs/facts.json up to date, from which `jmarl envs` tells what there is without
making anything: the environments named (or whose names begin so), or all of this package. Slow ones
play fewer episodes: as many as SECONDS allow, and at least FEWEST.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jmarl_envs
from jmarl.types import Environment, EnvSpec
from jmarl_envs.registry import spec_facts

MOST, FEWEST, BATCH = 16384, 512, 256  # episodes
SECONDS, SEED = 20.0, 0
TARGET = Path(jmarl_envs.__file__).parent / "facts.json"


def play(env: Environment[Any]) -> np.ndarray:
    """Each agent's returns [episodes, A], as many episodes as the time allows."""
    player, played, spent = jmarl_envs.random_player(env), [], 0.0
    for key in jax.random.split(jax.random.key(SEED), MOST // BATCH):
        begin = time.perf_counter()
        played.append(np.asarray(player(jax.random.split(key, BATCH))))
        spent += time.perf_counter() - begin if len(played) > 1 else 0.0  # the first compiles
        if spent > SECONDS and len(played) * BATCH >= FEWEST:
            break
    return np.concatenate(played)


def by_team(spec: EnvSpec, returns: np.ndarray) -> list[tuple[str, float, float]]:
    """Each team's name, the mean return over its agents and episodes, and the standard error."""
    teams = np.array(spec.teams)
    rows = []
    for index, name in enumerate(spec.team_names):
        own = returns[:, teams == index].mean(1, dtype=np.float64)
        error = own.std(ddof=1) / np.sqrt(own.size)
        rows.append((name, float(f"{own.mean():.5g}"), float(f"{error:.2g}")))
    return rows


def facts(name: str) -> dict[str, Any]:
    env = jmarl_envs.make(name)
    returns = play(env)
    libraries = ", ".join(f"{library} {version(library)}" for library in libraries_of(name))
    measured = (
        f"mean over a team's agents and {len(returns)} episodes of uniformly random available "
        f"actions, with its standard error; seed {SEED}, {libraries}"
    )
    rows = by_team(env.spec, returns)
    return spec_facts(env.spec) | {"random_return": rows, "measured": measured}


def libraries_of(name: str) -> tuple[str, ...]:
    peer = jmarl_envs.entry(name).peer
    return ("jax", peer.library) if peer else ("jax",)


def main(wanted: list[str]) -> None:
    known = json.loads(TARGET.read_text("utf-8"))
    names = jmarl_envs.names()
    for name in names:
        chosen = not wanted or any(name.startswith(start) for start in wanted)
        if chosen and not jmarl_envs.entry(name).missing:
            known[name] = facts(name)
            print(name, known[name]["random_return"], flush=True)
    lines = [f"  {json.dumps(name)}: {json.dumps(known[name])}" for name in names if name in known]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
