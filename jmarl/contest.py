"""Every team of one run against every team of another."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmarl import folder as folders
from jmarl.config import several, within
from jmarl.fields import ConfigError
from jmarl.files import told, write_whole
from jmarl.pairings import Crossplay, mixed, pairing_keys
from jmarl.program import Program, key_of_play
from jmarl.recording import place_of
from jmarl.teams import iteration_of, trained
from jmarl.types import Environment, Key, Metrics
from jmarl.versions import keep_compiled


@dataclass(frozen=True)
class Side:
    """A run whose teams take part."""

    name: str
    program: Program
    learners: Any  # [seeds, ...]


def crossplay(
    runs: Sequence[str | Path],
    *,
    episodes: int = 100,
    seed: int = 0,
    checkpoint: str | int = "newest",
    env: Environment[Any] | None = None,
    compile_cache: str | Path = "auto",
) -> Crossplay:
    """Let every run's first team meet every run's second team, each seed's each seed's.

    Teams act as in evaluations. `episodes` of each pairing of seeds; the same for every pairing of
    runs, so that runs are compared on equal terms. `checkpoint` as `load_policy` takes it; `env` is
    needed where it has no registered name. Raises ConfigError if the runs are not at least two of
    one environment that has two teams.
    """
    episodes = within("episodes", episodes, 1, 10**5)
    seed = within("seed", seed, 0, 2**31 - 1)
    if len(several("runs", runs)) < 2:
        raise ConfigError(f"runs must be at least two, got {len(runs)}")
    if checkpoint not in ("newest", "best"):
        checkpoint = iteration_of(checkpoint)
    keep_compiled(compile_cache)
    opened = [folders.open_folder(run) for run in runs]
    names = folders.short_names([folder.path.resolve() for folder in opened])
    refuse_strangers(dict(zip(names, opened, strict=True)))
    sides = [
        Side(name, *trained(folder, env, checkpoint)[:2])
        for name, folder in zip(names, opened, strict=True)
    ]
    refuse_other_teams(sides)
    key = key_of_play(seed)
    scores = {
        (i, j): meet(first, second, episodes, key)
        for i, first in enumerate(sides)
        for j, second in enumerate(sides)
    }
    return Crossplay(sides[0].program.env.spec, tuple(names), episodes, scores)


def refuse_strangers(opened: Mapping[str, folders.Folder]) -> None:
    """ConfigError if the runs' environments are not the same, with the same options."""
    worlds = {}
    for name, folder in opened.items():
        plan = folder.experiment()
        worlds[name] = plan.run.env, dict(plan.env_options)
    (first, world), *others = worlds.items()
    for name, other in others:
        if other != world:
            told = ", got ".join(
                f"{env} {options or ''}".strip() for env, options in (world, other)
            )
            raise ConfigError(f"runs must share an environment, {first}'s is {told} ({name})")


def refuse_other_teams(sides: Sequence[Side]) -> None:
    """ConfigError if teams cannot meet: there are not two, or they act in different ways."""
    spec = sides[0].program.env.spec
    if len(spec.team_names) != 2:
        teams = ", ".join(spec.team_names)
        raise ConfigError(f"crossplay needs an environment of two teams, {spec.name} has {teams}")
    for side in sides[1:]:
        if side.program.env.spec != spec:
            kinds = spec.action_kind, side.program.env.spec.action_kind
            raise ConfigError(
                f"runs must act in the same way, {sides[0].name} takes {kinds[0]} actions, "
                f"got {side.name} with {kinds[1]} ones"
            )


def meet(first: Side, second: Side, episodes: int, key: Key) -> dict[str, np.ndarray]:
    """Scores by name of the one's first team with the other's second team, [seeds, seeds]."""
    env = first.program.env
    theirs = jnp.array([team == 1 for team in env.spec.teams])
    loops = [side.program.loop(side.program.experiment.config) for side in (first, second)]
    host = replace(loops[0], env=env, cfg=replace(loops[0].cfg, eval_episodes=episodes))

    def play(own: Any, other: Any, key: Key) -> Metrics:
        policies = loops[0].algorithm.exploit(own), loops[1].algorithm.exploit(other)
        return host.play(mixed(*policies, theirs), key)

    sizes = len(first.program.seeds), len(second.program.seeds)
    every = jax.vmap(jax.vmap(play, (None, 0, 0)), (0, None, 0))
    keys = pairing_keys(key, sizes)
    return jax.device_get(jax.jit(every)(first.learners, second.learners, keys))


def tabulate(
    runs: Sequence[str | Path], *, out: str | Path = "", **settings: Any
) -> tuple[Path, Crossplay]:
    """`crossplay`, drawn to the PNG `out`, by default crossplay-ENV.png, its numbers beside it.

    Raises ConfigError before anything is played or written.
    """
    env = folders.open_folder(runs[0]).experiment().run.env if runs else "none"
    path = place_of(out, f"crossplay-{env}.png", beside=".json")
    numbers = path.with_suffix(".json")
    if numbers.exists() and not is_crossplay(numbers):
        raise ConfigError(f"out must leave a name for its numbers, {str(numbers)!r} are others")
    found = crossplay(runs, **settings)
    from jmarl.plots import crossplay_tables, png  # matplotlib takes a second to import

    with told(path):
        write_whole(path, png(crossplay_tables(found)))
        write_whole(numbers, json.dumps(found.as_json(), indent=1).encode())
    return path, found


def is_crossplay(path: Path) -> bool:
    """Whether a file holds the numbers of one."""
    try:
        return {"env", "episodes", "pairings"} <= json.loads(path.read_bytes()).keys()
    except (ValueError, AttributeError):
        return False
