"""Commands that write settings and policies for use elsewhere: `jmarl config`, `jmarl export`."""

from typing import Any

from jmarl.fields import ConfigError

CONFIG_HELP = """\
jmarl config ALGORITHM|FILE [--FLAG VALUE ...]

Prints every setting that `jmarl train` would have with the same words, as a preset file: save it,
change it, and train with `jmarl train ./mine.yaml`. Flags override a file's settings.

files that come with jmarl, and what their settings came to in the studies that used them:
"""


def config(words: list[str]) -> int:
    """Without words, the preset files there are."""
    from jmarl import preset_files

    if not words or words[0] in ("-h", "--help"):
        print(CONFIG_HELP, end="")
        for name, path in preset_files.shipped().items():
            print(f"  {name:<40} {preset_files.result_of(path)}")
        return 0
    from jmarl.words import read_order

    order = read_order(words)
    if order is None:
        return 0
    for flag in order.flags.keys() - {"preset"}:
        raise ConfigError(f"{flag} must not be given to config, got {order.flags[flag]!r}")
    from jmarl import api

    settings: dict[str, Any] = dict(order.settings)
    env, preset = settings.pop("env", ""), order.flags.get("preset", "")
    plan = api.plan_of(order.algorithm, env, preset, order.env_options, settings)
    plan.recipe.suits(api.env_of(plan).spec, plan.config)
    print(preset_files.as_yaml(plan), end="")
    return 0
