"""The words of `jmarl train`: flags in every spelling, told apart and explained."""

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from jmarl.algorithms import ALL
from jmarl.config import WHOLE, RunConfig, help_texts, hints, of_type, parse, require_setting
from jmarl.fields import ConfigError
from jmarl.preset_files import planned, recipe_of
from jmarl.terminal import COMPILE_CACHE


@dataclass(frozen=True)
class Order:
    """What the words after `jmarl train` ask for."""

    algorithm: str  # or a preset file
    settings: dict[str, str]
    env_options: dict[str, Any]
    flags: dict[str, str]  # out, preset, resume, compile-cache, wandb, quiet


FLAGS = {
    "preset": "a set of settings by name, see `jmarl algos`; other flags override it",
    "out": "the run's folder, new or empty [runs/ALGORITHM-ENV-TIME]",
    "resume": "go on with the run in this folder; --total-steps and what is saved may change",
    "compile-cache": COMPILE_CACHE,
    "env.NAME": "an option of the environment, as in --env.episode_limit 50; see `jmarl envs ENV`",
    "wandb": "off, offline or online: tell wandb too, a run for each seed [off]",
    "distributed": "one of several processes: auto, or HOST:PORT,N,I for process I of N [auto]",
    "quiet": "no progress",
}
SWITCHES = ("quiet", "no-quiet")
USUAL = {"distributed": "auto"}  # what a flag means that no value follows
ALONE = ""  # the value of a flag that none follows


def read_order(words: list[str]) -> Order | None:
    """The words of `jmarl train`, or None if they asked for help, which is printed."""
    given, names = pairs(words)
    helped = "help" in given or "h" in given
    if not names and "resume" not in given:
        if helped or not words:
            print(train_help(None), end="")
            return None
        raise ConfigError(f"algorithm must be one of {', '.join(ALL)}: jmarl train ALGORITHM ...")
    if len(names) > 1:
        raise ConfigError(
            f"algorithm must be one name, got {' '.join(names)!r}; settings are flags: --seeds 4"
        )
    algorithm = names[0] if names else ""
    if algorithm:
        recipe_of(algorithm)
    if helped:
        print(train_help(algorithm), end="")
        return None
    return sort_order(algorithm, given)


def sort_order(algorithm: str, given: dict[str, str]) -> Order:
    """Flags of the command, of the environment, and settings of the algorithm, told apart."""
    flags, env_options, settings = {}, {}, {}
    configs = [recipe_of(algorithm).config] if algorithm else [r.config for r in ALL.values()]
    types = {n: t for config in (RunConfig(), *configs) for n, t in hints(type(config)).items()}
    dashed = {name.replace("_", "-"): name for name in sorted(types)}
    for flag, value in given.items():
        if flag.startswith("env."):
            env_options[flag.removeprefix("env.").replace("-", "_")] = parse(value)
            continue
        known = {**dashed, **dict.fromkeys(FLAGS)}
        require_setting(flag, known, f"flag of train {algorithm}".strip(), algorithm)
        name = known[flag]
        if value == ALONE:
            if flag not in (*SWITCHES, *USUAL) and types.get(name) is not bool:
                raise ConfigError(f"{flag} must have a value, got none")
            value = USUAL.get(flag, "true")
        if flag in SWITCHES:
            of_type(flag, value, bool)
        if name is None:
            flags[flag] = value
        else:
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
        if not equals and not alone and not is_flag(following):
            value, i = following, i + 1
        elif not equals:
            value = ALONE
        flag = flag if flag.startswith("env.") else flag.replace("_", "-")
        if value == ALONE and flag.startswith("no-"):
            flag, value = flag.removeprefix("no-"), "false"
        if flag in given:
            raise ConfigError(f"{flag} must be given once, got {given[flag]!r} and {value!r}")
        given[flag] = value
    return given, names


def is_flag(word: str) -> bool:
    """-1 and -0.5 are values."""
    return word.startswith("-") and not word[1:2].isdigit() and word[1:2] != "."


def train_help(algorithm: str | None) -> str:
    """Usage, and the settings with their defaults and comments."""

    lines = [f"jmarl train {algorithm or 'ALGORITHM'} [--FLAG VALUE ...]", ""]
    if not algorithm:
        lines += [
            "ALGORITHM may also be a preset file: ./mine.yaml, or one that `jmarl config` lists"
        ]
        lines += ["", "algorithms (jmarl train ALGORITHM --help for its settings):"]
        lines += [f"  {r.name:<26}{r.summary}" for r in ALL.values()] + [""]
    lines += ["flags:"] + [f"  --{name:<24}{text}" for name, text in FLAGS.items()]
    plan = planned(algorithm) if algorithm else None
    groups: list[tuple[str, Any]] = [
        ("settings of every algorithm:", plan.run if plan else RunConfig())
    ]
    if plan:
        groups.append((f"settings of {plan.algorithm}:", plan.config))
    for title, config in groups:
        lines += ["", title]
        types = hints(type(config))
        for name, text in help_texts(type(config)).items():
            flag = f"--{name.replace('_', '-')}"
            choices = get_args(types[name]) if get_origin(types[name]) is Literal else ()
            text += f": {', '.join(choices)}" if choices else ""
            default = f"[{shown(getattr(config, name))}]"
            if plan and name in plan.unused:
                text, default = f"not for {plan.algorithm}{WHOLE}", ""
            lines.append(f"  {flag:<25} {text} {default}".rstrip())
    return "\n".join(lines) + "\n"


def shown(value: Any) -> str:
    """A default as one would type it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
