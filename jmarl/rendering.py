"""`jmarl.render`: an episode as a film."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import jmarl_envs
from jmarl import folder as folders
from jmarl import zoo
from jmarl.config import of_type
from jmarl.exploration import uniform_policy
from jmarl.fields import ConfigError
from jmarl.files import told, write_whole
from jmarl.insight import seen_by, those_with
from jmarl.making import env_of, make_env
from jmarl.overlay import overlaid
from jmarl.program import key_of_play
from jmarl.recording import Format, Overlay, Player, Rendered, Settings, places_of, record
from jmarl.teams import Team, experiment_of, load_policy
from jmarl.types import Environment, Policy
from jmarl.versions import keep_compiled
from jmarl_envs.film import Take, scenes
from jmarl_envs.plain import plain
from jmarl_envs.raster import frames, gif


def render(
    what: str | Path | Environment[Any],
    *,
    policy: Player = "auto",
    out: str | Path = "",
    format: Format = "auto",
    overlay: Overlay = "auto",
    seed: int = 0,
    episodes: int = 1,
    fps: int = 10,
    pixels: int = 400,
    team_seed: int | None = None,
    env: Environment[Any] | None = None,
    env_options: Mapping[str, Any] | None = None,
    compile_cache: str | Path = "auto",
) -> Rendered:
    """Play `episodes` and write them as <environment>.gif and .mp4, or to `out`.

    `what` is an environment, its name, a policy (`jmarl zoo`), or the folder of a run, whose team
    of training seed `team_seed` (the best, if None) plays greedily; `policy` "random" or "trained"
    says otherwise. `env` is a run's environment where it has no registered name. An environment
    without `draw` shows what its agents observe. `out` is a folder or ends in .gif or .mp4, which
    decides what is written, unless `format` says "gif", "mp4" or "both". `overlay` draws a trained
    run's "attention" or "intrinsic" reward on top, by default what its algorithm has; "none" does
    not. Raises ConfigError before anything is played or written.
    """
    asked = Settings(policy, format, overlay, seed, episodes, fps, pixels)
    keep_compiled(compile_cache)
    env, player, name, team = players(what, asked.policy, team_seed, env, env_options or {})
    shown = shown_on_top(asked.overlay, team, name)
    paths = places_of(out, asked.format, env.spec.name)
    played = record(env, player, key_of_play(asked.seed), asked.episodes)
    takes = [Take(*plain(played).episode(nth)) for nth in range(asked.episodes)]
    many = asked.episodes > 1
    headings = [f"episode {nth}, " * many for nth, _ in enumerate(takes, 1)]
    films = [scenes(env, take, heading) for take, heading in zip(takes, headings, strict=True)]
    if team and shown:
        films = map(overlaid, films, seen_by(team, shown, played))
    write(paths, frames(chain(*films), asked.pixels), asked.fps)
    returns = np.array([take.reward.sum(0) for take in takes])
    steps = np.array([take.steps for take in takes])
    return Rendered(paths, env.spec, name, shown, returns, steps)


def shown_on_top(overlay: str, team: Team | None, policy: str) -> str:
    """What is drawn of a team; "" for nothing. ConfigError if its algorithm has no such thing."""
    shows = team.shows if team else ()
    if overlay == "auto":
        return next(iter(shows), "")
    if overlay == "none":
        return ""
    if overlay not in shows:
        able = those_with(overlay)
        exported = "an exported" if team and team.algorithm in able else "a"
        got = f"{exported} team of {team.algorithm}" if team else f"a {policy} policy"
        raise ConfigError(f"overlay {overlay} is drawn for runs of {' or '.join(able)}, got {got}")
    return overlay


def write(paths: Sequence[Path], frames: Sequence[Any], fps: int) -> None:
    """The same film as what each path ends in, whole or not at all."""
    for path in paths:
        with told(path):
            if path.suffix.lower() == ".gif":
                data = gif(frames, fps)
            else:
                from jmarl_envs.video import mp4  # loads ffmpeg

                data = mp4(frames, fps)
            write_whole(path, data)


def players(
    what: str | Path | Environment[Any],
    policy: str,
    team_seed: int | None,
    env: Environment[Any] | None,
    env_options: Mapping[str, Any],
) -> tuple[Environment[Any], Policy[Any], str, Team | None]:
    """The environment, who plays there, that in words, and the team if it is a trained one."""
    name = str(what) if isinstance(what, str | Path) else ""
    run = name if name and is_run(name) else None
    if env_options and (run or not name):
        raise ConfigError(f"env options are for environments by name, got {dict(env_options)}")
    if policy == "trained" and not run:
        raise ConfigError(f"policy trained needs the folder of a run, got {name or what!r}")
    if run and policy != "random":
        seed = None if team_seed is None else of_type("team_seed", team_seed, int)
        team = load_policy(run, seed, env)
        return team.env, team.policy, f"trained, seed {team.seed}", team
    if team_seed is not None:
        raise ConfigError(f"team_seed needs a trained team, got {team_seed!r}")
    if run:
        env = env or env_of(experiment_of(run))
    elif not isinstance(what, str | Path):
        env = what
    else:
        env = make_env(name, **env_options)
    return env, uniform_policy(env.spec), "random", None


def is_run(name: str) -> bool:
    """Whether it is a trained team rather than an environment's name; those go first."""
    try:
        jmarl_envs.entry(name)
    except jmarl_envs.UnknownName:
        if not (zoo.found(name) or folders.place("run", name).exists()):
            raise
        return True
    return False
