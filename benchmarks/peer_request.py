"""What `make bench-peers` is asked for, checked."""

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import peer_work
import torch_work
from peer_work import PACKAGES, SCRIPTS
from throughput import writable

from jmarl.config import find, of_type
from jmarl.fields import ConfigError
from jmarl.terminal import Parser

HERE = Path(__file__).parent
ALGORITHMS = (*peer_work.ALGORITHMS, *torch_work.ALGORITHMS)
ENVS = tuple(dict.fromkeys((*peer_work.ENVS, *(env for _, env in torch_work.TASKS))))
CHECKOUTS = {  # by option: whose repository, and a file of it
    "jaxmarl": ("JaxMARL", "jaxmarl/__init__.py"),
    "maddpg": ("shariqiqbal2810/maddpg-pytorch", "algorithms/maddpg.py"),
    "maac": ("shariqiqbal2810/MAAC", "algorithms/attention_sac.py"),
    "particles": ("multiagent-particle-envs", "multiagent/core.py"),
}
# algorithm, environment, parallel environments, seeds: what is measured where nothing is chosen
USUAL = (
    *(("qmix", "mpe/simple_spread", n, 1) for n in (8, 64, 512)),
    ("qmix", "mpe/simple_spread", 8, 8),
    *((name, "mpe/simple_spread", 8, 1) for name in ("vdn", "iql")),
    *((name, env, 8, 1) for env in ("smax/3m", "smax/2s3z") for name in ("qmix", "vdn", "iql")),
    *((name, "mpe/simple_spread", 64, 1) for name in ("ippo", "mappo")),
    # as many environments as the official programs have by themselves
    ("maddpg", "particle/simple_spread", 1, 1),
    ("maac", "particle/treasure_collection", 12, 1),
    ("maac", "particle/rover_tower", 12, 1),
)


@dataclass(frozen=True)
class Request:
    """What the command line asks for, checked."""

    cases: list[peer_work.Case | torch_work.Case]
    checkouts: Mapping[str, Path]  # by the options' names
    python: str  # an interpreter that has torch
    threads: int  # of torch
    repeats: int
    limit: float  # seconds of one case
    out: Path
    command: str


def read(words: list[str]) -> Request:
    """Raises ConfigError for all that could be known to be wrong before measuring."""
    args = parser().parse_args(words)
    checkouts = {name: checkout(name, given) for name in CHECKOUTS if (given := vars(args)[name])}
    given = {
        name: at_least(name, value, 1)
        for name in ("updates", "epochs", "batch", "width")
        if (value := getattr(args, name)) is not None
    }
    repeats = at_least("repeats", args.repeats, 1)
    threads = at_least("torch_threads", args.torch_threads, 1)
    cases = [case(*which, given=given) for which in chosen(args, checkouts)]
    for name in dict.fromkeys(made.algorithm for made in cases):
        if name in torch_work.ALGORITHMS:
            require_torch(name, args.torch_python, stand_in="particles" not in checkouts)
        else:
            require(name, checkouts["jaxmarl"])
    places = [vars(args)[name] for name in checkouts] + [args.torch_python, str(args.out)]
    command = shlex.join(["python", "benchmarks/peers.py", *hide(words, places)])
    limit = 60.0 * at_least("minutes", args.minutes, 1)
    asked = checkouts, args.torch_python, threads
    return Request(cases, *asked, repeats, limit, writable(args.out), command)


def checkout(name: str, given: str) -> Path:
    """The folder that an option names."""
    path = Path(given).expanduser().absolute()
    whose, holds = CHECKOUTS[name]
    if not (path / holds).is_file():
        raise ConfigError(f"{name} must be a checkout of {whose}, got {given!r}")
    return path


def case(
    name: str, env: str, num_envs: int, seeds: int, given: Mapping[str, int]
) -> peer_work.Case | torch_work.Case:
    if name not in torch_work.ALGORITHMS:
        return peer_work.case(name, env, num_envs, seeds=seeds, **given)
    if seeds != 1:
        raise ConfigError(f"seeds must be 1 for {name}, got {seeds}")
    if "epochs" in given:
        raise ConfigError(f"epochs must not be given for {name}: its loop says how often it learns")
    return torch_work.case(name, env, num_envs, **given)


def require(algorithm: str, checkout: Path) -> None:
    """ConfigError without the algorithm's script, or without a package that it needs."""
    script, package = SCRIPTS[algorithm], PACKAGES[algorithm]
    if not (checkout / script).is_file():
        raise ConfigError(f"jaxmarl must be a checkout with {script}, got {str(checkout)!r}")
    if find_spec(package) is None:
        raise ConfigError(
            f"jaxmarl's {script} needs the package {package}, which is not installed here: "
            f"pip install {package}"
        )


def require_torch(algorithm: str, python: str, stand_in: bool) -> None:
    """ConfigError if the interpreter is none, or lacks a package; the stand-in for
    multiagent-particle-envs takes one more."""
    packages = ["torch", "numpy", *(["mpe2"] if stand_in else [])]
    ask = "import sys; from importlib.util import find_spec as f; print(*[n for n in sys.argv[1:] "
    ask += "if not f(n)])"
    try:
        ran = subprocess.run([python, "-c", ask, *packages], capture_output=True, text=True)
    except OSError as error:
        raise ConfigError(f"torch_python must be an interpreter, got {python!r}") from error
    lacks = packages if ran.returncode else ran.stdout.split()
    if lacks:
        wanted = " ".join(lacks)
        raise ConfigError(
            f"{algorithm} needs {wanted}, which {python} lacks: pip install {wanted} there, or "
            "name another interpreter with --torch-python"
        )


def at_least(name: str, value: Any, low: int) -> int:
    number = of_type(name, value, int)
    if number < low:
        raise ConfigError(f"{name} must be at least {low}, got {number}")
    return number


def chosen(args: Any, checkouts: Mapping[str, Path]) -> list[tuple[Any, ...]]:
    """All that USUAL has of the algorithms, environments, sizes and seeds; or, where a size or
    number of seeds is given, every combination."""
    for name in args.algorithms:
        find(name, ALGORITHMS, "algorithm with a script to stand beside")
        if home(name) not in checkouts:
            raise ConfigError(f"{name} needs --{home(name)}, a checkout of {whose(name)}")
    names = args.algorithms or [name for name in ALGORITHMS if home(name) in checkouts]
    if not names:
        raise ConfigError("jaxmarl, maddpg or maac must be a checkout to stand beside, got none")
    if args.rungs is None and args.seeds is None:
        found = [u for u in USUAL if u[0] in names and (not args.env or u[1] in args.env)]
        if found:
            return found
    rungs = of_type("rungs", args.rungs or "8", tuple[int, ...])
    seeds = at_least("seeds", args.seeds or 1, 1)
    if min(rungs) < 1:
        raise ConfigError(f"rungs must be at least 1, got {args.rungs!r}")
    names = args.algorithms or names[:1]
    own = lambda name: args.env or [next(env for usual, env, *_ in USUAL if usual == name)]
    return [(name, env, n, seeds) for name in names for env in own(name) for n in rungs]


def home(name: str) -> str:
    """Which option's checkout has the algorithm."""
    return name if name in torch_work.ALGORITHMS else "jaxmarl"


def whose(name: str) -> str:
    return CHECKOUTS[home(name)][0]


def hide(words: Sequence[str], places: Sequence[str]) -> list[str]:
    """Where checkouts and results lie is nobody's business."""
    longest = sorted(places, key=len, reverse=True)  # a place may lie in another
    for place in longest:
        words = [word.replace(place, "PLACE") for word in words]
    return list(words)


def parser() -> Parser:
    parser = Parser(
        prog="peers.py",
        description="Time training beside JaxMARL's own scripts, and beside the official PyTorch "
        "MADDPG and MAAC, at equal settings, by turns; no side evaluates or logs. What is equal is "
        "counted and shown.",
        epilog='make bench-peers JAXMARL=path/to/a/checkout PEERS="qmix --rungs 8,64" passes all '
        "of this on. The checkout's scripts want flashbax (value decomposition) and distrax (PPO).",
    )
    parser.add_argument(
        "algorithms", nargs="*", metavar="ALGORITHM", help=f"of {', '.join(ALGORITHMS)} [all]"
    )
    for name, (whose, _) in CHECKOUTS.items():
        parser.add_argument(f"--{name}", metavar="CHECKOUT", help=f"of {whose}")
    parser.add_argument("--env", nargs="+", default=[], help=f"of {', '.join(ENVS)}")
    parser.add_argument("--rungs", help="parallel environments [as the issue's list has them]")
    parser.add_argument("--seeds", help="vmapped seeds [likewise]")
    parser.add_argument(
        "--torch-python", default=sys.executable, metavar="PATH", help="one with torch [this one]"
    )
    parser.add_argument(
        "--torch-threads", default=os.cpu_count() or 1, help="of each of its products [%(default)s]"
    )
    parser.add_argument("--repeats", default="5", help="of each side, taking turns [%(default)s]")
    parser.add_argument("--minutes", default="30", help="of one case at most [%(default)s]")
    parser.add_argument(
        "--updates", help="rollouts in each repeat, learned from [100; of torch 10]"
    )
    parser.add_argument("--epochs", help="gradient steps (of PPO: epochs) after each [JaxMARL's]")
    parser.add_argument("--batch", help="rollouts in each gradient step [32]")
    parser.add_argument("--width", help="of the agents' networks [64; mappo 128]")
    parser.add_argument(
        "--out", default=HERE / "results", help="folder of the results [benchmarks/results]"
    )
    return parser
