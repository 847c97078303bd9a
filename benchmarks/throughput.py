"""How fast training is, from one environment to 4096: a table, a JSON file and a plot each.

Every rung of the ladder runs in a process of its own (rung.py).
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import jax
import summary
from rich.console import Console
from rich.table import Table
from rung import Order, program_of
from watch import Forecast, Step, Watch

from jmarl.algorithms import ALL
from jmarl.cli import exit_code
from jmarl.config import experiment, find, of_type
from jmarl.fields import ConfigError
from jmarl.signals import Stopped
from jmarl.terminal import Parser

HERE = Path(__file__).parent
STOPPING = (signal.SIGINT, signal.SIGTERM)
RUNGS = "1,8,64,512,4096"
ELSEWHERE = {"env": "--env", "num_envs": "--rungs", "seeds": "nothing: one seed is timed"}


@dataclass(frozen=True)
class Request:
    """What the command line asks for, checked."""

    ladders: dict[str, list[Order]]  # by algorithm
    steps: list[Step]  # of all ladders in turn
    seconds: float
    out: Path
    command: str


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, 1 if no rung of some algorithm could be measured, 2 for wrong use."""
    words = list(sys.argv[1:] if argv is None else argv)
    return exit_code(
        lambda: measure_all(read(words)), say, "; of the unfinished ladder nothing is written"
    )


# --- what is asked for --------------------------------------------------------------------------


def read(words: list[str]) -> Request:
    """Raises ConfigError for all that could be known to be wrong before measuring."""
    args = parser().parse_args(words)
    names = list(dict.fromkeys(args.algorithms)) or list(ALL)
    for name in names:
        find(name, ALL, "algorithm")
    rungs = sorted(set(of_type("rungs", args.rungs, tuple[int, ...])))
    if not rungs or rungs[0] < 1:
        raise ConfigError(f"rungs must be at least 1, got {args.rungs!r}")
    seconds = of_type("seconds", args.seconds, float)
    if seconds <= 0:
        raise ConfigError(f"seconds must be above 0, got {seconds:g}")
    settings = settings_of(args.set)
    ladders = {
        name: [Order(name, env, n, seconds, settings, args.compile_cache) for n in rungs]
        for name, env in ((name, args.env or experiment(name).run.env) for name in names)
    }
    steps = [step_of(order) for ladder in ladders.values() for order in ladder]
    command = shlex.join(["python", "benchmarks/throughput.py", *words])
    return Request(ladders, steps, seconds, writable(args.out), command)


def step_of(order: Order) -> Step:
    """Raises ConfigError where jmarl would refuse to train."""
    shape = program_of(order).shape
    label = f"{order.algorithm}, {order.num_envs:,} environment{'s' * (order.num_envs > 1)}"
    return Step(label, shape.rollouts_per_chunk * shape.updates_per_rollout)


def settings_of(words: Sequence[str]) -> dict[str, Any]:
    """name=value, as in --set batch_size=32."""
    settings = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.replace("-", "_")
        if not equals:
            raise ConfigError(f"set must be NAME=VALUE, got {word!r}")
        if name in ELSEWHERE:
            raise ConfigError(f"set must not hold {name}, which is set by {ELSEWHERE[name]}")
        settings[name] = value
    return settings


def writable(out: str | Path) -> Path:
    """A folder that is there or can be made; it is made at the end."""
    path = Path(out).expanduser().absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ConfigError(f"out must be a writable folder, got {str(out)!r}")
    return path


def parser() -> Parser:
    parser = Parser(
        prog="throughput.py",
        description="Measure how fast algorithms train, how fast their environment is alone, how "
        "long compiling takes from a cold cache, and how much memory it all needs.",
        epilog='make bench ALGO="maddpg --rungs 1,64" passes all of this on.',
    )
    parser.add_argument(
        "algorithms", nargs="*", metavar="ALGORITHM", help=f"of {', '.join(ALL)}; none means all"
    )
    parser.add_argument("--env", default="", help="[as jmarl train ALGORITHM has it]")
    parser.add_argument("--rungs", default=RUNGS, help="parallel environments [%(default)s]")
    parser.add_argument("--seconds", default="1", help="of each repeat of a measurement [1]")
    parser.add_argument(
        "--compile-cache",
        default="off",
        help="kept programs, as of jmarl train; off makes every compile cold [off]",
    )
    parser.add_argument(
        "--out", default=HERE / "results", help="folder of the results [benchmarks/results]"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="settings of `jmarl train`, as in --set batch_size=32 rollout_length=100",
    )
    return parser


# --- measuring ----------------------------------------------------------------------------------


def measure_all(request: Request) -> int:
    """A ladder, its table and its files, one algorithm after the other."""
    load, cpus = os.getloadavg()[0], os.cpu_count() or 1
    if load > cpus / 2:
        say(f"others are at work here (load {load:.1f} on {cpus} CPUs), speeds may come out low")
    code = 0
    with Watch(Forecast(request.steps, request.seconds)) as watch:
        for algorithm, ladder in request.ladders.items():
            about, rungs = measure(ladder, watch)
            result = {
                "algorithm": algorithm,
                "env": ladder[0].env,
                "seconds": request.seconds,
                "compile_cache": ladder[0].compile_cache,
                "load_average_before": load,
                "about": {**about, "command": request.command},
                "settings": settings_used(rungs),
                "rungs": rungs,
            }
            show(summary.table(result))
            if all("failed" in rung for rung in rungs):
                say("no rung could be measured; nothing is written")
                code = 1
                continue
            for path in summary.write(result, request.out):
                print(path)
    return code


def measure(ladder: Sequence[Order], watch: Watch) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is known of the machine, and every rung's measurements or failure."""
    about, rungs = {}, []
    for order in ladder:
        watch.opens()
        command = [sys.executable, str(HERE / "rung.py"), json.dumps(asdict(order))]
        result: dict[str, Any] = {}
        for event in events(command):
            about = event.get("about", about)
            result = event.get("done", result)
            if "phase" in event:
                watch.hear(event["phase"])
            if "failed" in event:
                result = {"num_envs": order.num_envs, "failed": event["failed"]}
        watch.closes(result)
        rungs.append(result)
    return about, rungs


def settings_used(rungs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Moved out of the rungs, which have all but the ladder's own in common."""
    common: dict[str, Any] = {}
    for rung in rungs:
        common = rung.pop("settings", common)
    for name in ("num_envs", "total_steps"):
        common.get("run", {}).pop(name, None)
    return common


def events(command: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What a rung's process tells; the last is {"done": ...} or {"failed": reason} in any case.

    The process does not outlive this iterator.
    """
    with tempfile.TemporaryFile("w+") as errors:
        # a signal that came while the process is made would leave an orphan: it waits
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            assert process.stdout is not None
            event: dict[str, Any] = {}
            for line in process.stdout:
                if line.startswith("{"):  # a library may print as it is imported
                    event = json.loads(line)
                    yield event
            process.wait()
            if not event.keys() & {"done", "failed"}:
                errors.seek(0)
                yield {"failed": obituary(process.returncode, errors.read())}
        finally:
            process.kill()
            process.communicate()


def obituary(code: int, errors: str) -> str:
    """Why a process ended that could not tell."""
    if code < 0:
        memory = ", as when memory runs out" if code == -signal.SIGKILL else ""
        return f"killed by {signal.Signals(-code).name}{memory}"
    last = errors.strip().rpartition("\n")[2]
    return f"exit code {code}: {last}"[:300]


def show(table: Table) -> None:
    """As wide as the terminal; in a file, as wide as most."""
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def say(text: str) -> None:
    print(f"throughput: {text}", file=sys.stderr)


def stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number)


if __name__ == "__main__":
    for number in STOPPING:
        signal.signal(number, stop)
    # what is checked here needs no device, and the accelerator's memory belongs to the rungs
    jax.config.update("jax_platforms", "cpu")
    sys.exit(main())
