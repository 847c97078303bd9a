"""Commands that write settings and policies for use elsewhere: `jmarl config`, `jmarl export`."""

from typing import Any

from jmarl.fields import ConfigError
from jmarl.terminal import CHECKPOINT, Parser

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
    from jmarl import making

    settings: dict[str, Any] = dict(order.settings)
    env, preset = settings.pop("env", ""), order.flags.get("preset", "")
    plan = making.plan_of(order.algorithm, env, preset, order.env_options, settings)
    plan.recipe.suits(making.env_of(plan).spec, plan.config)
    print(preset_files.as_yaml(plan), end="")
    return 0


def export(words: list[str]) -> int:
    about = (
        "Write a run's team for use elsewhere: weights for jmarl.load_policy (policy.safetensors), "
        "and functions of a single agent that jax alone runs (reset.stablehlo, act.stablehlo; "
        "policy.json tells what they take)."
    )
    parser = Parser(prog="jmarl export", description=about)
    parser.add_argument("run", help="the run's folder, or a policy (jmarl zoo)")
    parser.add_argument(
        "--seed", help="the training seed of the team [the one that evaluated best]"
    )
    parser.add_argument("--checkpoint", default="newest", help=CHECKPOINT)
    told = "a new or empty folder [ALGORITHM-ENV-seed-SEED in this one, numbered if it is there]"
    parser.add_argument("--out", default="", help=told)
    args = parser.parse_args(words)
    from jmarl.config import of_type
    from jmarl.exporting import export_policy

    seed = None if args.seed is None else of_type("seed", args.seed, int)
    made = export_policy(args.run, seed, args.checkpoint, args.out)
    print(f"{made.about['algorithm']} on {made.about['env']}, team of seed {made.about['seed']}")
    for path in sorted(made.path.iterdir()):
        print(f"  wrote      {path} ({path.stat().st_size / 1000:,.0f} kB)")
    print(f'\nteam = jmarl.load_policy("{made.path}")\n\nor with jax alone:\n\n{made.use}', end="")
    return 0
