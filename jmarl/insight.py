"""What a team's algorithm made of an episode, and the words of `jmarl plot`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmarl import folder as folders
from jmarl.algorithms import ALL
from jmarl.api import team_of, trained
from jmarl.config import find, of_type
from jmarl.fields import ConfigError
from jmarl.files import told, write_whole
from jmarl.recording import HASTE, Attended, Settings, place_of, record
from jmarl.types import Environment
from jmarl.versions import keep_compiled
from jmarl.words import ALONE, pairs

PLOTS = ("attention",)
HELP = """\
jmarl plot attention RUN [--FLAG VALUE ...]

Plays one greedy episode of a run's team and draws to whom each head of its attention attends (of
each agent's, where agents attend for themselves), what each head counts, and what the team earned,
step by step. For runs of {attention}.

flags:
  --out                   the PNG [attention-ENV.png in this folder, numbered if there is one
                          already]; a PNG that is there is replaced, any other file is not
  --seed                  of the episode; `jmarl render RUN` shows the one of the same seed [0]
  --team-seed             the training seed whose team plays [the one that evaluated best]
  --compile-cache         where compiled programs are kept between runs, or off [auto]
"""
FLAGS = ("out", "seed", "team-seed", "compile-cache")


@dataclass(frozen=True)
class Order:
    """What the words after `jmarl plot` ask for."""

    what: str
    run: str
    settings: dict[str, Any] = field(default_factory=dict)  # arguments of jmarl.plot, as texts


def read_order(words: list[str]) -> Order | None:
    """None if they ask for help."""
    given, names = pairs(words)
    if "help" in given or "h" in given or not words:
        return None
    if names:
        find(names[0], PLOTS, "plot")
    if len(names) != 2:
        got = f"got {' '.join(names)!r}" if names else "got none"
        raise ConfigError(f"plot takes what to draw and a run, {got}: jmarl plot attention RUN")
    order = Order(names[0], names[1])
    for flag, value in given.items():
        if value == ALONE:
            raise ConfigError(f"{flag} must have a value, got none")
        order.settings[find(flag, FLAGS, "flag of plot").replace("-", "_")] = value
    return order


def help_text() -> str:
    return HELP.format(**{what: " or ".join(those_with(what)) for what in PLOTS})


def those_with(what: str) -> Sequence[str]:
    """The algorithms that can show it."""
    return [recipe.name for recipe in ALL.values() if what in recipe.shows]


def attention(
    run: str | Path,
    *,
    seed: int = 0,
    team_seed: int | None = None,
    env: Environment[Any] | None = None,
    compile_cache: str = "auto",
) -> Attended:
    """Whom the algorithm of a run's team attends to in one greedy episode.

    The team is that of training seed `team_seed` (the best, if None), the episode the one that
    `jmarl.render` plays with the same `seed`. `env` is needed where it has no registered name.
    Raises ConfigError if the algorithm has no attention, or there is no such run or team.
    """
    seed = Settings(seed=seed).seed
    keep_compiled(compile_cache)
    folder = folders.open_folder(run)
    refuse_without("attention", folder)
    program, learners, scores = trained(folder, env)
    wanted = None if team_seed is None else of_type("team_seed", team_seed, int)
    chosen, learner = team_of(program, learners, scores, wanted)
    algorithm: Any = program.loop(program.experiment.config).algorithm
    played = record(program.env, algorithm.exploit(learner), jax.random.key(seed), 1)
    look = jax.jit(algorithm.attention, compiler_options=HASTE)
    seen = jax.device_get(look(learner, played.batch()))
    _, view, _, reward, terminated = jax.device_get(played.episode(0))
    steps = len(reward)
    return Attended(
        spec=program.env.spec,
        algorithm=program.experiment.algorithm,
        team_seed=chosen,
        weights=seen.weights[:steps, 0],
        head_weights=None if seen.head_weights is None else seen.head_weights[:steps, 0],
        alive=view.alive[:steps],
        reward=np.asarray(reward),
        terminated=terminated,
    )


def refuse_without(what: str, folder: folders.Folder) -> None:
    """ConfigError for runs whose algorithm cannot show it."""
    plan = folder.experiment()
    if what not in plan.recipe.shows:
        raise ConfigError(
            f"{what} is shown by runs of {' or '.join(those_with(what))}, "
            f"got {str(folder.path)!r}, a run of {plan.algorithm}"
        )


def plot(
    what: str,
    run: str | Path,
    *,
    out: str | Path = "",
    seed: int = 0,
    team_seed: int | None = None,
    env: Environment[Any] | None = None,
    compile_cache: str = "auto",
) -> tuple[Path, Attended]:
    """Draw `what` ("attention") over an episode to the PNG `out`, by default attention-ENV.png.

    Returns where that is, and the numbers (`jmarl.attention`). Raises ConfigError before anything
    is played or written.
    """
    find(what, PLOTS, "plot")
    folder = folders.open_folder(run)
    refuse_without(what, folder)
    path = place_of(out, f"{what}-{folder.experiment().run.env}.png")
    seen = attention(run, seed=seed, team_seed=team_seed, env=env, compile_cache=compile_cache)
    from jmarl.plots import attention_map, png  # matplotlib takes a second to import

    with told(path):
        write_whole(path, png(attention_map(seen)))
    return path, seen
