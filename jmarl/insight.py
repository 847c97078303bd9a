"""What a team's algorithm made of an episode, and the words of `jmarl plot`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmarl import folder as folders
from jmarl.algorithms import ALL
from jmarl.config import find, of_type
from jmarl.fields import ConfigError
from jmarl.files import told, write_whole
from jmarl.program import key_of_play
from jmarl.recording import (
    HASTE,
    Attended,
    Intrinsic,
    Recording,
    Settings,
    Watched,
    place_of,
    record,
)
from jmarl.teams import Team, load_policy
from jmarl.types import Environment
from jmarl.versions import keep_compiled
from jmarl.words import ALONE, pairs

PLOTS = ("attention", "intrinsic")
CURVES = "curves"
HELP = """\
jmarl plot [curves] RUN ... [--FLAG VALUE ...]

Draws the evaluations of runs, finished or not, against environment steps: the interquartile mean of
their seeds and its 95% bootstrap interval, a picture a task. `jmarl compare` gives the numbers.

flags:
  --out                   the PNG, or a folder for several [curves-TASK.png in this folder]
  --measure               episode_return, win_rate, ... with commas between
                          [returns and what the tasks measure]
  --by                    settings: runs alike but for their seeds are one line; folder: none are
                          [settings]

jmarl plot attention|intrinsic RUN [--FLAG VALUE ...]

Plays one greedy episode of a run's team and draws, step by step, what the team earned and
  attention    to whom each head of its attention attends (of each agent's, where agents attend
               for themselves) and what each head counts; for runs of {attention}
  intrinsic    what each agent's action earned of its learned intrinsic reward; for runs of
               {intrinsic}

flags:
  --out                   the PNG [WHAT-ENV.png in this folder, numbered if there is one already];
                          a PNG that is there is replaced, any other file is not
  --seed                  of the episode; `jmarl render RUN` shows the one of the same seed [0]
  --team-seed             the training seed whose team plays [the one that evaluated best]
  --compile-cache         where compiled programs are kept between runs, or off [auto]
"""
FLAGS = ("out", "seed", "team-seed", "compile-cache")
CURVE_FLAGS = ("out", "measure", "by")


@dataclass(frozen=True)
class Order:
    """What the words after `jmarl plot` ask for."""

    what: str
    runs: tuple[str, ...]  # one, or several for curves
    settings: dict[str, Any] = field(default_factory=dict)  # arguments, as texts


def read_order(words: list[str]) -> Order | None:
    """None if they ask for help."""
    given, names = pairs(words)
    if "help" in given or "h" in given or not words:
        return None
    what, runs = parted(names)
    if not runs or (len(runs) > 1 and what != CURVES):
        got = f"got {' '.join(names)!r}" if names else "got none"
        raise ConfigError(
            f"plot takes what to draw and a run, {got}: jmarl plot {'|'.join(PLOTS)} RUN, or "
            f"jmarl plot {CURVES} RUN ..."
        )
    order = Order(what, tuple(runs))
    flags = CURVE_FLAGS if what == CURVES else FLAGS
    for flag, value in given.items():
        if value == ALONE:
            raise ConfigError(f"{flag} must have a value, got none")
        order.settings[find(flag, flags, f"flag of plot {what}").replace("-", "_")] = value
    return order


def parted(names: Sequence[str]) -> tuple[str, Sequence[str]]:
    """What to draw, and of which runs; where paths alone are named, their curves."""
    known = (CURVES, *PLOTS)
    if not names:
        return "", ()
    is_path = "/" in names[0] or folders.place("run", names[0]).is_dir()
    if names[0] not in known and is_path:
        return CURVES, names
    return find(names[0], known, "plot or run"), names[1:]


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
    compile_cache: str | Path = "auto",
) -> Attended:
    """Whom the algorithm of a run's team attends to in one greedy episode.

    The team is that of training seed `team_seed` (the best, if None), the episode the one that
    `jmarl.render` plays with the same `seed`. `env` is needed where it has no registered name.
    Raises ConfigError if the algorithm has no attention, or there is no such run or team.
    """
    return watch("attention", run, seed, team_seed, env, compile_cache)


def intrinsic(
    run: str | Path,
    *,
    seed: int = 0,
    team_seed: int | None = None,
    env: Environment[Any] | None = None,
    compile_cache: str | Path = "auto",
) -> Intrinsic:
    """What the learned intrinsic reward of a run's team makes of one greedy episode.

    Arguments and errors as `attention`'s.
    """
    return watch("intrinsic", run, seed, team_seed, env, compile_cache)


def watch(
    what: str,
    run: str | Path,
    seed: int,
    team_seed: int | None,
    env: Environment[Any] | None,
    compile_cache: str | Path,
) -> Any:
    """What a run's team shows of an episode, as `seen_by` tells it."""
    seed = Settings(seed=seed).seed
    keep_compiled(compile_cache)
    refuse_without(what, folders.open_folder(run))
    wanted = None if team_seed is None else of_type("team_seed", team_seed, int)
    team = load_policy(run, wanted, env)
    played = record(team.env, team.policy, key_of_play(seed), 1)
    return seen_by(team, what, played)[0]


def seen_by(team: Team, what: str, played: Recording) -> list[Attended | Intrinsic]:
    """`what` ("attention", "intrinsic") of `team.shows` tells of each episode that it played."""
    look = jax.jit(team.shows[what], compiler_options=HASTE)
    seen = jax.device_get(look(played.batch()))
    return [of_episode(team, what, seen, played, nth) for nth in range(len(played.length))]


def of_episode(
    team: Team, what: str, seen: Any, played: Recording, nth: int
) -> Attended | Intrinsic:
    """One of the episodes, whose steps alone count; `seen` as the algorithm tells it of all."""
    _, view, action, reward, terminated = jax.device_get(played.episode(nth))
    steps = len(reward)
    watched = Watched(
        spec=team.env.spec,
        algorithm=team.algorithm,
        team_seed=team.seed,
        alive=view.alive[:steps],
        reward=np.asarray(reward),
        terminated=terminated,
    )
    if what == "intrinsic":
        return Intrinsic(**vars(watched), rewards=seen[:steps, nth], action=np.asarray(action))
    heads = None if seen.head_weights is None else seen.head_weights[:steps, nth]
    return Attended(**vars(watched), weights=seen.weights[:steps, nth], head_weights=heads)


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
    compile_cache: str | Path = "auto",
) -> tuple[Path, Attended | Intrinsic]:
    """Draw `what` ("attention", "intrinsic") over an episode to the PNG `out`, by default
    WHAT-ENV.png.

    Returns where that is, and the numbers (`jmarl.attention`, `jmarl.intrinsic`). Raises
    ConfigError before anything is played or written.
    """
    find(what, PLOTS, "plot")
    folder = folders.open_folder(run)
    refuse_without(what, folder)
    path = place_of(out, f"{what}-{folder.experiment().run.env}.png")
    look = {"attention": attention, "intrinsic": intrinsic}[what]
    seen = look(run, seed=seed, team_seed=team_seed, env=env, compile_cache=compile_cache)
    from jmarl.plots import attention_map, intrinsic_map, png  # matplotlib imports for a second

    figure = attention_map(seen) if isinstance(seen, Attended) else intrinsic_map(seen)
    with told(path):
        write_whole(path, png(figure))
    return path, seen
