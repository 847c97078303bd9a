"""The command line, `jmarl COMMAND`. One clear line and exit code 2 for wrong use."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jmarl import __version__
from jmarl.compiled import mended
from jmarl.fields import ConfigError
from jmarl.files import Unwritten
from jmarl.nonfinite import NotFinite
from jmarl.signals import Stopped, second_ends
from jmarl.stderr import say

SUMMARY = """\
Multi-agent reinforcement learning in JAX.

  jmarl envs                              what there is to play
  jmarl algos                             what there is to learn with
  jmarl train maddpg --env mpe/simple_spread --total-steps 2e6 --seeds 4
  jmarl train qmix --env smax/3m          cooperative teams; vdn, qatten, ... likewise
  jmarl train @qmix/smax-3m               settings of a study, from a preset file; or ./mine.yaml
  jmarl train maddpg --help               every setting, its default and meaning
  jmarl config [qmix --env smax/3m ...]   all settings as a preset file; alone, the files there are
  jmarl train --resume RUN                go on with a run
  jmarl eval RUN                          play fresh episodes with its teams
  jmarl export RUN                        its best team for use elsewhere, jax alone too
  jmarl render ENV|RUN                    write a GIF of an episode
  jmarl crossplay RUN RUN ...             let every team of a run meet every team of another
  jmarl compare RUN RUN ...               what several runs come to, with intervals; pictures
  jmarl plot RUN ...                      draw learning curves
  jmarl sweep FILE                        train every trial of a wandb sweep's file, side by side
  jmarl plot attention|intrinsic RUN      draw whom a team attends to, what it rewards itself for

Exit codes: 0; 1 a run's folder, a picture or stdout could not be written; 2 wrong use;
3 NaN or infinity in training; 130 after Ctrl-C, 143 after SIGTERM.
"""
CHECKPOINT = "newest, best (of each seed) or an iteration that is there [newest]"
RECORD = (
    "play each seed's best team on ten times the episodes of the run's evaluations, and keep the "
    "scores in its folder: the absolute metric, for `jmarl compare`"
)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0, 1 where a run's folder, a picture or stdout could not be written, 2 for wrong use, 3 where a
    metric of training was NaN or infinite, 128 + n after signal n.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = exit_code(words)
        if sys.stdout is not None:  # `>&-`
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # `jmarl envs | head`
        drop_stdout()
        return 0
    except OSError as error:
        if not stdout_fails():
            raise
        drop_stdout()
        say(f"stdout could not be written ({error})")
        return 1


def exit_code(words: list[str]) -> int:
    """Of a command, whose ends that are no defects are told in a line."""
    try:
        with mended():
            return command(words)
    except ValueError as error:
        if not is_wrong_use(error):
            raise
        say(str(error))
        return 2
    except Stopped as stopped:
        say(str(stopped))
        return 128 + stopped.number
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except Unwritten as error:
        say(str(error))
        return 1
    except NotFinite as error:
        say(str(error))
        return 3


def stdout_fails() -> bool:
    """Whether it takes no more: libraries do not say which file an error is of."""
    try:
        print(flush=True)
    except OSError:
        return True
    return False


def drop_stdout() -> None:
    """What is still buffered would fail again when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_wrong_use(error: ValueError) -> bool:
    """Whether the message is meant for the user, as ours and jmarl_envs' are."""
    return isinstance(error, ConfigError) or type(error).__module__.startswith("jmarl_envs.")


def command(words: list[str]) -> int:
    commands = {
        "train": train,
        "config": config,
        "eval": evaluate,
        "export": export,
        "crossplay": crossplay,
        "compare": compare,
        "sweep": sweep,
        "render": render,
        "plot": plot,
        "envs": envs,
        "algos": algos,
    }
    if not words or words[0] in ("-h", "--help", "help"):
        print(SUMMARY, end="")
        return 0
    if words[0] in ("-V", "--version"):
        print(f"jmarl {__version__}")
        return 0
    from jmarl.config import find

    find(words[0], commands, "command")
    return commands[words[0]](words[1:])


# --- train --------------------------------------------------------------------------------------


def train(words: list[str]) -> int:
    from jmarl.words import read_order

    order = read_order(words)
    if order is None:
        return 0
    from jmarl import api
    from jmarl.report import report

    settings: dict[str, Any] = dict(order.settings)
    shared: dict[str, Any] = {
        "preset": order.flags.get("preset", ""),
        "env_options": order.env_options,
        "progress": order.flags.get("quiet") != "true",
        "compile_cache": order.flags.get("compile-cache", "auto"),
        "wandb": order.flags.get("wandb", "off"),
    }
    if "resume" in order.flags:
        if "out" in order.flags:
            raise ConfigError(f"out must not be given to resume, got {order.flags['out']!r}")
        shared |= {"run": order.flags["resume"], "algorithm": order.algorithm}
        go = api.resume
    else:
        shared |= {"out": order.flags.get("out", ""), "algorithm": order.algorithm}
        go = api.train
    with second_ends():
        result = go(**shared, **settings)
    report(result)
    return 0


def config(words: list[str]) -> int:
    from jmarl import cli_files

    return cli_files.config(words)


# --- eval, render, plot, envs, algos ------------------------------------------------------------


def evaluate(words: list[str]) -> int:
    parser = Parser(prog="jmarl eval", description="Play fresh episodes with a run's teams.")
    parser.add_argument("run", help="the run's folder")
    parser.add_argument("--episodes", help="of each team [320; with --record see there]")
    parser.add_argument("--seed", default="0", help="of the episodes [0]")
    parser.add_argument("--checkpoint", help=CHECKPOINT)
    parser.add_argument("--record", action="store_true", help=RECORD)
    args = parser.parse_args(words)
    from jmarl import api
    from jmarl.config import of_type

    seed = of_type("seed", args.seed, int)
    given = {} if args.episodes is None else {"episodes": of_type("episodes", args.episodes, int)}
    if not args.record:
        checkpoint = args.checkpoint or "newest"
        scores, floor = api.evaluate(args.run, seed=seed, checkpoint=checkpoint, **given)
    elif args.checkpoint in (None, "best"):
        from jmarl.absolute import record_absolute

        scores, floor = record_absolute(args.run, seed=seed, **given)
    else:
        raise ConfigError(f"checkpoint must be best with --record, got {args.checkpoint!r}")
    table = Table(
        "score", "random", *(f"{i + 1}. seed" for i in range(len(scores["episode_return"])))
    )
    for name, values in scores.items():
        table.add_row(name, f"{floor[name]:.3f}", *(f"{value:.3f}" for value in values))
    show(table)
    return 0


def export(words: list[str]) -> int:
    from jmarl import cli_files

    return cli_files.export(words)


def crossplay(words: list[str]) -> int:
    about = "Let every team of a run meet every team of another, in an environment of two teams."
    parser = Parser(prog="jmarl crossplay", description=about)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folders of at least two runs")
    parser.add_argument("--episodes", default="100", help="of each pairing of seeds [100]")
    parser.add_argument("--seed", default="0", help="of the episodes [0]")
    parser.add_argument("--checkpoint", default="newest", help=CHECKPOINT)
    told = "the PNG; numbers go beside it as JSON [crossplay-ENV.png in this folder]"
    parser.add_argument("--out", default="", help=told)
    args = vars(parser.parse_args(words))
    with Console(stderr=True).status("playing"):
        from jmarl.contest import tabulate

        path, found = tabulate(args.pop("runs"), **args)
    first, second = found.spec.team_names
    for measure in found.measures:
        table = Table(f"{measure}: {first} of", *(f"{second} of {run}" for run in found.runs))
        for run, row in zip(found.runs, found.table(measure), strict=True):
            table.add_row(
                run, *(f"{mean:.3f}" + f" ± {half:.2g}" * bool(half) for mean, half in row)
            )
        show(table)
    print(f"PNG        {path}, numbers in {path.with_suffix('.json').name}")
    return 0


def compare(words: list[str]) -> int:
    about = "What runs come to, finished or not: interquartile means, who beats whom, pictures."
    parser = Parser(prog="jmarl compare", description=about)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folders of runs, of any tasks")
    told = "episode_return, win_rate, ... with commas between [returns and what the tasks measure]"
    parser.add_argument("--measure", default="", help=told)
    told = "settings: runs alike but for their seeds count as one; folder: none do [settings]"
    parser.add_argument("--by", default="settings", help=told)
    told = "a folder for learning curves, performance profiles, ... and all numbers (compare.json)"
    parser.add_argument("--out", default="", help=told)
    parser.add_argument(
        "--export", default="", help="a file for the evaluations as marl-eval's JSON"
    )
    args = parser.parse_args(words)
    from jmarl import comparison, pictures, standings

    found = comparison.compare(args.runs, measures=listed(args.measure), by=args.by)
    with Console(stderr=True).status("drawing"):
        paths = pictures.write_all(found, args.out, args.export)
    for heading, table in standings.tables(found):
        print(heading)
        show(table)
    for line in standings.notes(found):
        print(line)
    for path in paths:
        print(f"  wrote      {path}")
    for line in standings.cautions(found, bool(args.export)):
        say(f"caution: {line}")
    return 0


def listed(names: str) -> list[str]:
    """Of texts with commas between."""
    return [name for name in names.split(",") if name]


def sweep(words: list[str]) -> int:
    from jmarl.cli_sweep import sweep as run

    return run(words)


def render(words: list[str]) -> int:
    from jmarl.recording import HELP, read_order

    order = read_order(words)
    if order is None:
        print(HELP, end="")
        return 0
    with Console(stderr=True).status("playing and drawing"):  # to be seen on a terminal alone
        from jmarl import api

        made = api.render(order.what, env_options=order.env_options, **order.settings)
    from jmarl_envs.film import in_words

    print(f"{made.spec.name}, {made.policy} policy")
    for nth, (steps, returns) in enumerate(zip(made.steps, made.returns, strict=True), 1):
        print(f"  episode {nth}  {steps} steps, {in_words(made.spec, returns)}")
    print(f"  GIF        {made.path} ({made.path.stat().st_size / 1000:,.0f} kB)")
    return 0


def plot(words: list[str]) -> int:
    from jmarl.insight import CURVES, help_text, read_order

    order = read_order(words)
    if order is None:
        print(help_text(), end="")
        return 0
    if order.what == CURVES:
        return plot_curves(order.runs, **order.settings)
    with Console(stderr=True).status("playing and drawing"):
        from jmarl import insight

        path, seen = insight.plot(order.what, *order.runs, **order.settings)
    from jmarl_envs.film import in_words

    print(f"{seen.algorithm} on {seen.spec.name}, team of seed {seen.team_seed}")
    print(f"  episode    {len(seen.reward)} steps, {in_words(seen.spec, seen.reward.sum(0))}")
    print(f"  PNG        {path} ({path.stat().st_size / 1000:,.0f} kB)")
    return 0


def plot_curves(runs: Sequence[str], measure: str = "", **settings: Any) -> int:
    from jmarl import pictures

    with Console(stderr=True).status("drawing"):
        paths = pictures.curves(runs, measures=listed(measure), **settings)
    for path in paths:
        print(f"PNG        {path} ({path.stat().st_size / 1000:,.0f} kB)")
    return 0


def envs(words: list[str]) -> int:
    parser = Parser(prog="jmarl envs", description="The environments there are.")
    parser.add_argument("env", nargs="?", help="tell all of this one, or list this suite alone")
    args = parser.parse_args(words)
    import jmarl_envs
    from jmarl.api import own_name
    from jmarl.config import find

    listings = jmarl_envs.listings()
    suites = dict.fromkeys(name.split("/")[0] for name in listings)
    wanted = str(args.env or "").rstrip("/")
    if wanted and wanted not in suites:
        describe(find(own_name(wanted), listings, "environment"))
        return 0
    chosen = {n: entry for n, entry in listings.items() if not wanted or n.split("/")[0] == wanted}
    columns = ("agents", "obs", "actions", "kinds", "limit", "random return", "notes")
    table = Table("environment", *columns)
    for name, entry in chosen.items():
        table.add_row(name, *env_row(entry))
    show(table)
    print("Random return: sum over an episode, mean over a team's agents, for each team.")
    print("jmarl envs ENV tells an environment's options, reward convention, defects and lacks.")
    for missing in dict.fromkeys(entry.missing for entry in chosen.values() if entry.missing):
        names = [name for name, entry in chosen.items() if entry.missing == missing]
        print(f"{', '.join(names)}: {missing}")
    return 0


def env_row(entry: Any) -> tuple[str, ...]:
    returns = [f"{mean:.4g}" for _, mean, _ in entry.random_return]
    notes = (
        "not installed" * bool(entry.missing),
        f"entities {entry.num_entities}x{entry.entity_size}" * bool(entry.num_entities),
        "defects" * bool(entry.defects),
    )
    return (
        str(len(entry.agents)),
        ranged(entry.obs_sizes),
        ranged(sizes(entry.action_parts)),
        " ".join(entry.action_kinds),
        str(entry.episode_limit),
        " / ".join(returns) or "not measured",
        ", ".join(filter(None, notes)),
    )


def sizes(action_parts: Sequence[Sequence[int]]) -> list[str]:
    """Of each agent's actions: 5, or 5x10 where it moves and talks."""
    return ["x".join(map(str, parts)) for parts in action_parts]


def ranged(sizes: Sequence[Any]) -> str:
    """Each once, in order."""
    return ",".join(map(str, dict.fromkeys(sizes)))


def describe(entry: Any) -> None:
    """All that a listing tells."""
    print(entry.name, f"({', '.join(entry.aliases)})" if entry.aliases else "")
    facts: Mapping[str, Any] = {
        "what": entry.summary,
        "agents": f"{len(entry.agents)}: {', '.join(entry.agents)}" * bool(entry.agents),
        "teams": ", ".join(entry.team_names),
        "observations": ranged(entry.obs_sizes),
        "actions": f"{ranged(sizes(entry.action_parts))} ({' or '.join(entry.action_kinds)})",
        "state": entry.state_size,
        "entities": f"{entry.num_entities} of {entry.entity_size}" * bool(entry.num_entities),
        "limit": entry.episode_limit,
        "reward": entry.reward,
        "random": "; ".join(f"{t} {m:.4g} +- {e:.2g}" for t, m, e in entry.random_return),
        "measured": entry.measured,
        "missing": entry.missing,
        "lacks": "; ".join(entry.lacks),
        "defects": "; ".join(entry.defects),
    }
    for name, fact in facts.items():
        if fact not in ("", None, 0, " ()"):
            print(f"  {name:<14}{fact}")
    for name, default, allowed in entry.options:
        print(f"  --env.{name} {default}  ({allowed})")


def algos(words: list[str]) -> int:
    Parser(prog="jmarl algos", description="The algorithms there are.").parse_args(words)
    from jmarl.algorithms import ALL

    table = Table("algorithm", "what", "presets")
    for recipe in ALL.values():
        presets = [preset_line(name, preset) for name, preset in recipe.presets.items()]
        table.add_row(recipe.name, recipe.summary, escape("\n".join(presets)))
    show(table)
    return 0


def preset_line(name: str, preset: Any) -> str:
    """With what it sets of the run: num_envs 1."""
    loop = ", ".join(f"{setting} {value}" for setting, value in preset.loop.items())
    return f"{name}: {preset.summary}" + f" ({loop})" * bool(loop)


def show(table: Table) -> None:
    """As wide as the terminal; uncut where nobody watches."""
    Console(width=None if sys.stdout.isatty() else 160).print(table)
