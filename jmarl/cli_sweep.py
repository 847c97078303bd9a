"""`jmarl sweep`."""

from rich.table import Table

from jmarl.comparison import iqm
from jmarl.standings import in_words
from jmarl.stderr import say
from jmarl.terminal import COMPILE_CACHE, Parser, show

ABOUT = (
    "Train every trial of a file for `wandb sweep`, without wandb: those that differ in numbers "
    "like learning rates alone, with all their seeds, in one program. The same words go on with a "
    "sweep that was stopped. A trial that becomes NaN or infinite ends no other, whatever "
    "--nonfinite says: it is told and comes last."
)


def sweep(words: list[str]) -> int:
    parser = Parser(prog="jmarl sweep", description=ABOUT)
    parser.add_argument("file", help="YAML, as experiments/sweeps/qmix.yaml")
    parser.add_argument("--out", default="", help="a folder [sweeps/FILE]")
    parser.add_argument("--trials", default="16", help="how many of a random sweep [16]")
    parser.add_argument("--seed", default="0", help="that random trials are drawn from [0]")
    told = "at most so many trials in one program [as the memory holds]"
    parser.add_argument("--together", default="1024", help=told)
    parser.add_argument("--compile-cache", default="auto", help=COMPILE_CACHE)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    args = parser.parse_args(words)
    from jmarl.config import within
    from jmarl.pictures import sweep_picture
    from jmarl.sweep import command, run
    from jmarl.sweep_file import named, read_sweep

    most = 10**6
    count, seed = within("trials", args.trials, 1, most), within("seed", args.seed, 0, 2**31 - 1)
    asked = read_sweep(args.file, count, seed)
    together = within("together", args.together, 1, most)
    path, found = run(
        asked,
        args.out,
        together=together,
        progress=not args.quiet,
        compile_cache=args.compile_cache,
    )
    names = list(asked.trials[0])
    table = Table("trial", *names, "seeds", f"IQM of last {asked.measure}")
    for swept in found:
        score = swept.score(asked.measure)
        values = [f"{x:.4g}" if type(x) is float else str(x) for x in swept.trial.values()]
        table.add_row(f"{swept.nth:03}", *values, str(len(score)), in_words(iqm(score)))
    show(table)
    print(f"PNG        {sweep_picture(path, asked, found)}")
    print(f"compare    jmarl compare {path}/trial-*")
    best = found[0]
    none = "none, all trials became NaN or infinite"
    print(f"the best   {none if best.diverged else command(asked, best.trial)}")
    for swept in found:
        if swept.diverged:
            seeds = ", ".join(map(str, swept.diverged))
            who = f"{named(swept.nth, swept.trial)}, seed {seeds}"
            say(f"caution: {who}, became NaN or infinite in training")
    return 0
