"""Commands that play and draw with trained teams, and compare runs."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from jmarl.fields import ConfigError
from jmarl.stderr import say
from jmarl.terminal import CHECKPOINT, COMPILE_CACHE, Parser, env_options, listed, show

RECORD = (
    "play each seed's best team on ten times the episodes of the run's evaluations, and keep the "
    "scores in its folder: the absolute metric, for `jmarl compare`"
)
ELSEWHERE = "an option of the environment that shall be another than in training, sizes the same"


def eval(words: list[str]) -> int:
    parser = Parser(prog="jmarl eval", description="Play fresh episodes with a run's teams.")
    parser.add_argument("run", help="the run's folder, or a policy (jmarl zoo, jmarl export)")
    parser.add_argument("--episodes", help="of each team [320; with --record see there]")
    parser.add_argument("--seed", default="0", help="of the episodes [0]")
    parser.add_argument("--checkpoint", help=CHECKPOINT)
    parser.add_argument("--compile-cache", default="auto", help=COMPILE_CACHE)
    parser.add_argument("--record", action="store_true", help=RECORD)
    parser.add_argument("--env.NAME", metavar="VALUE", help=ELSEWHERE)
    options, words = env_options(words)
    args = parser.parse_args(words)
    from jmarl import teams

    given: dict[str, Any] = {"seed": args.seed, "compile_cache": args.compile_cache}
    if args.episodes is not None:
        given["episodes"] = args.episodes
    if not args.record:
        checkpoint = "newest" if args.checkpoint is None else args.checkpoint
        scores, floor = teams.evaluate(
            args.run, checkpoint=checkpoint, env_options=options, **given
        )
    elif options:
        raise ConfigError(f"record plays the run's own environment, got options {options}")
    elif args.checkpoint in (None, "best"):
        from jmarl.absolute import record_absolute

        scores, floor = record_absolute(args.run, **given)
    else:
        raise ConfigError(f"checkpoint must be best with --record, got {args.checkpoint!r}")
    table = Table(
        "score", "random", *(f"{i + 1}. seed" for i in range(len(scores["episode_return"])))
    )
    for name, values in scores.items():
        table.add_row(name, f"{floor[name]:.3f}", *(f"{value:.3f}" for value in values))
    show(table)
    return 0


def crossplay(words: list[str]) -> int:
    about = "Let every team of a run meet every team of another, in an environment of two teams."
    parser = Parser(prog="jmarl crossplay", description=about)
    parser.add_argument("runs", nargs="*", metavar="RUN", help="folders of at least two runs")
    parser.add_argument("--episodes", default="100", help="of each pairing of seeds [100]")
    parser.add_argument("--seed", default="0", help="of the episodes [0]")
    parser.add_argument("--checkpoint", default="newest", help=CHECKPOINT)
    parser.add_argument("--compile-cache", default="auto", help=COMPILE_CACHE)
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


def render(words: list[str]) -> int:
    from jmarl.recording import HELP, read_order

    order = read_order(words)
    if order is None:
        print(HELP, end="")
        return 0
    with Console(stderr=True).status("playing and drawing"):  # to be seen on a terminal alone
        from jmarl import rendering

        made = rendering.render(order.what, env_options=order.env_options, **order.settings)
    from jmarl_envs.film import in_words

    on_top = f", {made.overlay} on top" * bool(made.overlay)
    print(f"{made.spec.name}, {made.policy} policy{on_top}")
    for nth, (steps, returns) in enumerate(zip(made.steps, made.returns, strict=True), 1):
        print(f"  episode {nth}  {steps} steps, {in_words(made.spec, returns)}")
    for path in made.paths:
        print(f"  {path.suffix[1:].upper()}        {path} ({path.stat().st_size / 1000:,.0f} kB)")
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
