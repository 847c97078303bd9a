"""The command line: `jmarl train|eval|envs|algos`. One clear line and exit code 2 for wrong use."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, get_args, get_origin

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jmarl import __version__
from jmarl.fields import ConfigError
from jmarl.signals import Stopped

SUMMARY = """\
Multi-agent reinforcement learning in JAX.

  jmarl envs                              what there is to play
  jmarl algos                             what there is to learn with
  jmarl train maddpg --env mpe/simple_spread --total-steps 2e6 --seeds 4
  jmarl train maddpg --help               every setting, its default and meaning
  jmarl train --resume RUN                go on with a run
  jmarl eval RUN                          play fresh episodes with its teams
"""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for wrong use, 128 + n after signal n."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return command(words)
    except ValueError as error:
        if not is_wrong_use(error):
            raise
        print(f"jmarl: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(f"jmarl: {stopped}", file=sys.stderr)
        return 128 + stopped.number
    except KeyboardInterrupt:
        print("jmarl: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `jmarl envs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def is_wrong_use(error: ValueError) -> bool:
    """Whether the message is meant for the user, as ours and jmarl_envs' are."""
    return isinstance(error, ConfigError) or type(error).__module__.startswith("jmarl_envs.")


def command(words: list[str]) -> int:
    commands = {"train": train, "eval": evaluate, "envs": envs, "algos": algos}
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


@dataclass(frozen=True)
class Order:
    """What the words after `jmarl train` ask for."""

    algorithm: str
    settings: dict[str, str]
    env_options: dict[str, Any]
    flags: dict[str, str]  # out, preset, resume, compile-cache, quiet


FLAGS = {
    "preset": "a set of settings by name, see `jmarl algos`; other flags override it",
    "out": "the run's folder, new or empty [runs/ALGORITHM-ENV-TIME]",
    "resume": "go on with the run in this folder; takes no settings",
    "compile-cache": "where compiled programs are kept between runs, or off [auto]",
    "env.NAME": "an option of the environment, as in --env.episode_limit 50; see `jmarl envs ENV`",
    "quiet": "no progress",
}
SWITCHES = ("quiet",)


def train(words: list[str]) -> int:
    order = read_order(words)
    if order is None:
        return 0
    from jmarl import api

    progress, cache = "quiet" not in order.flags, order.flags.get("compile-cache", "auto")
    if "resume" in order.flags:
        if order.settings or order.env_options or "out" in order.flags:
            given = next(iter([*order.settings, *order.env_options, "out"]))
            raise ConfigError(f"resume takes no settings, got {given}; the run's own are used")
        result = api.resume(order.flags["resume"], progress=progress, compile_cache=cache)
    else:
        settings: dict[str, Any] = dict(order.settings)
        env = settings.pop("env", "mpe/simple_spread")
        result = api.train(
            order.algorithm,
            env,
            preset=order.flags.get("preset", ""),
            env_options=order.env_options,
            out=order.flags.get("out", ""),
            progress=progress,
            compile_cache=cache,
            **settings,
        )
    report(result)
    return 0


def read_order(words: list[str]) -> Order | None:
    """The words of `jmarl train`, or None if they asked for help, which is printed."""
    from jmarl.algorithms import ALL
    from jmarl.config import find

    given, names = pairs(words)
    helped = "help" in given or "h" in given
    if not names and "resume" not in given:
        if helped or not words:
            print(train_help(None), end="")
            return None
        raise ConfigError(f"algorithm must be one of {', '.join(ALL)}: jmarl train ALGORITHM ...")
    if len(names) > 1:
        raise ConfigError(f"algorithm must be one name, got {' '.join(names)!r}")
    algorithm = names[0] if names else ""
    if algorithm:
        find(algorithm, ALL, "algorithm")
    if helped:
        print(train_help(algorithm), end="")
        return None
    return sort_order(algorithm, given)


def sort_order(algorithm: str, given: dict[str, str]) -> Order:
    """Flags of the command, of the environment, and settings of the algorithm, told apart."""
    from jmarl.algorithms import ALL
    from jmarl.config import RunConfig, find, hints, parse

    flags, env_options, settings = {}, {}, {}
    configs = [ALL[algorithm].config] if algorithm else [r.config for r in ALL.values()]
    known = {name for config in (RunConfig(), *configs) for name in hints(type(config))}
    for flag, value in given.items():
        name = flag.replace("-", "_")
        if flag in FLAGS:
            flags[flag] = value
        elif flag.startswith("env."):
            env_options[flag.removeprefix("env.").replace("-", "_")] = parse(value)
        else:
            dashed = {n.replace("_", "-"): n for n in sorted(known)}
            find(name.replace("_", "-"), {**dashed, **FLAGS}, f"flag of train {algorithm}".strip())
            settings[name] = value
    return Order(algorithm, settings, env_options, flags)


def pairs(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """`--flag value`, `--flag=value`, `flag=value`, `--flag` (true), `--no-flag` (false); names."""
    given, names, i = {}, [], 0
    while i < len(words):
        word, i = words[i], i + 1
        dashed, (flag, equals, value) = word.startswith("-"), word.lstrip("-").partition("=")
        if not dashed and not equals:
            names.append(word)
            continue
        alone = flag in (*SWITCHES, "help", "h")
        following = words[i] if i < len(words) else "--"
        if not equals and not alone and not is_flag(following) and "=" not in following:
            value, i = following, i + 1
        elif not equals:
            value = "true"
            if flag.startswith("no-"):
                flag, value = flag.removeprefix("no-"), "false"
        if flag in given:
            raise ConfigError(f"{flag} must be given once, got {given[flag]!r} and {value!r}")
        given[flag.replace("_", "-") if not flag.startswith("env.") else flag] = value
    return given, names


def is_flag(word: str) -> bool:
    """-1 and -0.5 are values."""
    return word.startswith("-") and not word[1:2].isdigit() and word[1:2] != "."


def train_help(algorithm: str | None) -> str:
    """Usage, and the settings with their defaults and comments."""
    from jmarl.algorithms import ALL
    from jmarl.config import RunConfig, experiment, help_texts, hints

    lines = [f"jmarl train {algorithm or 'ALGORITHM'} [--FLAG VALUE ...]", ""]
    if not algorithm:
        lines += ["algorithms (jmarl train ALGORITHM --help for its settings):"]
        lines += [f"  {r.name:<24}{r.summary}" for r in ALL.values()] + [""]
    lines += ["flags:"] + [f"  --{name:<22}{text}" for name, text in FLAGS.items()]
    plan = experiment(algorithm) if algorithm else None
    groups: list[tuple[str, Any]] = [
        ("settings of every algorithm:", plan.run if plan else RunConfig())
    ]
    if plan:
        groups.append((f"settings of {algorithm}:", plan.config))
    for title, config in groups:
        lines += ["", title]
        types = hints(type(config))
        for name, text in help_texts(type(config)).items():
            flag = f"--{name.replace('_', '-')}"
            choices = get_args(types[name]) if get_origin(types[name]) is Literal else ()
            text += f": {', '.join(choices)}" if choices else ""
            lines.append(f"  {flag:<24}{text} [{shown(getattr(config, name))}]")
    return "\n".join(lines) + "\n"


def shown(value: Any) -> str:
    """A default as one would type it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def report(result: Any) -> None:
    """The summary that ends a run: what was learned, beside what chance gives."""
    data = result.as_json()
    low, high = data["episode_return_95"]
    mean = data["episode_return"]
    spread = f" (95% interval of {data['seeds']} seeds: {low:.2f} to {high:.2f})"
    plan = result.experiment
    print(f"{plan.algorithm} on {plan.run.env}, {data['env_steps']:,.0f} environment steps")
    print(f"  return        {mean:.2f}{spread if data['seeds'] > 1 else ''}, mean over agents")
    for name, values in sorted(data["scores"].items()):
        if name.startswith("episode_return_"):
            team = name.removeprefix("episode_return_")
            print(f"    of {team:<10} {sum(values) / len(values):.2f}")
    print(f"  random policy {data['random_return']:.2f}")
    compiling = sum(data["compile_seconds"].values())
    print(f"  time          {data['seconds']:,.0f} s and {compiling:,.0f} s of compiling")
    print(f"  updates       {data['updates_per_env_step']:.4g} per environment step")
    if result.path:
        print(f"  folder        {result.path}")


# --- eval, envs, algos --------------------------------------------------------------------------


def evaluate(words: list[str]) -> int:
    parser = Parser(prog="jmarl eval", description="Play fresh episodes with a run's teams.")
    parser.add_argument("run", help="the run's folder")
    parser.add_argument("--episodes", default="320", help="of each team [320]")
    parser.add_argument("--seed", default="0", help="of the episodes [0]")
    args = parser.parse_args(words)
    from jmarl import api
    from jmarl.config import of_type

    episodes, seed = (of_type(name, getattr(args, name), int) for name in ("episodes", "seed"))
    if episodes < 1:
        raise ConfigError(f"episodes must be at least 1, got {episodes}")
    scores, floor = api.evaluate(args.run, episodes, seed)
    table = Table("score", "random", *(f"team {i}" for i in range(len(scores["episode_return"]))))
    for name, values in scores.items():
        table.add_row(name, f"{floor[name]:.3f}", *(f"{value:.3f}" for value in values))
    show(table)
    return 0


def envs(words: list[str]) -> int:
    parser = Parser(prog="jmarl envs", description="The environments there are.")
    parser.add_argument("env", nargs="?", help="tell all of this one")
    args = parser.parse_args(words)
    import jmarl_envs
    from jmarl.api import own_name
    from jmarl.config import find

    listings = jmarl_envs.listings()
    if args.env:
        name = own_name(str(args.env))
        describe(find(name, listings, "environment"))
        return 0
    table = Table("environment", "agents", "obs", "actions", "kinds", "limit", "random return")
    for name, entry in listings.items():
        table.add_row(name, *env_row(entry))
    show(table)
    print(
        "Random return: sum over an episode, mean over a team's agents, each team's. ! has defects."
    )
    print("jmarl envs ENV tells an environment's options, reward convention and defects.")
    return 0


def env_row(entry: Any) -> tuple[str, ...]:
    parts = ["x".join(map(str, parts)) for parts in entry.action_parts]
    returns = [f"{mean:.4g}" for _, mean, _ in entry.random_return]
    mark = " !" if entry.defects else ""
    return (
        f"{len(entry.agents)}{mark}",
        ranged(entry.obs_sizes),
        ",".join(dict.fromkeys(parts)),
        " ".join(entry.action_kinds),
        str(entry.episode_limit),
        " / ".join(returns) or "not measured",
    )


def ranged(sizes: Sequence[int]) -> str:
    return ",".join(map(str, dict.fromkeys(sizes)))


def describe(entry: Any) -> None:
    """All that a listing tells."""
    print(entry.name, f"({', '.join(entry.aliases)})" if entry.aliases else "")
    facts: Mapping[str, Any] = {
        "what": entry.summary,
        "agents": ", ".join(entry.agents),
        "teams": ", ".join(entry.team_names),
        "observations": ranged(entry.obs_sizes),
        "actions": f"{' '.join(entry.action_kinds)}; parts {entry.action_parts}",
        "state": entry.state_size,
        "limit": entry.episode_limit,
        "reward": entry.reward,
        "random": "; ".join(f"{t} {m:.4g} +- {e:.2g}" for t, m, e in entry.random_return),
        "measured": entry.measured,
        "lacks": "; ".join(entry.lacks),
        "defects": "; ".join(entry.defects),
    }
    for name, fact in facts.items():
        if fact not in ("", None):
            print(f"  {name:<14}{fact}")
    for name, default, allowed in entry.options:
        print(f"  --env.{name} {default}  ({allowed})")


def algos(words: list[str]) -> int:
    Parser(prog="jmarl algos", description="The algorithms there are.").parse_args(words)
    from jmarl.algorithms import ALL

    table = Table("algorithm", "what", "presets")
    for recipe in ALL.values():
        presets = [f"{name}: {preset.summary}" for name, preset in recipe.presets.items()]
        table.add_row(recipe.name, recipe.summary, escape("\n".join(presets)))
    show(table)
    return 0


def show(table: Table) -> None:
    """As wide as the terminal; uncut where nobody watches."""
    Console(width=None if sys.stdout.isatty() else 160).print(table)
