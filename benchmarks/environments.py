"""How fast environments are by themselves, beside their libraries: a table, a JSON file, a plot.

Every environment runs in a process of its own (env_rung.py), jmarl and library in turn.
"""

import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import env_summary
import jax
from env_rung import Order
from throughput import STOPPING, events, show, stop, writable
from watch import clock

import jmarl_envs
from jmarl.cli import exit_code
from jmarl.config import of_type, parse
from jmarl.fields import ConfigError
from jmarl.signals import Stopped
from jmarl.terminal import Parser

HERE = Path(__file__).parent
SIZES = "1,64,1024,4096"
# jmarl's own particle world has jaxmarl's as a variant, so that is what it stands beside
TWINS = {"particle": ("mpe", {"variant": "pettingzoo"})}


@dataclass(frozen=True)
class Request:
    """What the command line asks for, checked."""

    orders: list[Order]
    out: Path
    command: str


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, 1 if nothing could be measured, 2 for wrong use."""
    words = list(sys.argv[1:] if argv is None else argv)
    return exit_code(lambda: measure_all(read(words)), say)


# --- what is asked for --------------------------------------------------------------------------


def read(words: list[str]) -> Request:
    """Raises ConfigError, or jmarl_envs' errors, for all that could be known before measuring."""
    args = parser().parse_args(words)
    sizes = sorted(set(of_type("sizes", args.sizes.replace(" ", ","), tuple[int, ...])))
    if not sizes or sizes[0] < 1:
        raise ConfigError(f"sizes must be at least 1, got {args.sizes!r}")
    numbers = {name: of_type(name, getattr(args, name), float) for name in ("seconds", "budget")}
    for name, value in numbers.items():
        if value <= 0:
            raise ConfigError(f"{name} must be above 0, got {value:g}")
    repeats = of_type("repeats", args.repeats, int)
    if repeats < 1:
        raise ConfigError(f"repeats must be at least 1, got {repeats}")
    blank = Order("", sizes, repeats=repeats, compile_cache=args.compile_cache, **numbers)
    words_ = [word for text in args.environments for word in text.split()]
    orders = [order for word in words_ or ["all"] for order in orders_of(word, blank)]
    command = shlex.join(["python", "benchmarks/environments.py", *words])
    return Request(orders, writable(args.out), command)


def orders_of(word: str, blank: Order) -> list[Order]:
    """`suite/task`, a suite, `all`; or `suite/task,option=value~suite/task`, as --help says."""
    suites = {name.split("/")[0] for name in jmarl_envs.names()}
    suite = word.rstrip("/")
    if suite == "all" or suite in suites:
        chosen = [n for n in jmarl_envs.names() if suite in ("all", n.split("/")[0])]
        orders = [twinned(replace(blank, env=name)) for name in chosen]
        return [order for order in orders if suite != "all" or has_peer(order)]
    name, _, peer = word.partition("~")
    name, *options = name.split(",")
    for option in options:
        if "=" not in option:
            raise ConfigError(f"options must be NAME=VALUE, got {option!r} in {word!r}")
    given = {key: parse(value) for key, _, value in (option.partition("=") for option in options)}
    order = replace(blank, env=jmarl_envs.entry(name).name, options=given, peer=peer)
    if peer and jmarl_envs.entry(peer).peer is None:
        raise ConfigError(f"{peer} has no library's environment to stand beside")
    if not peer and not given:
        order = twinned(order)
    return [order]


def twinned(order: Order) -> Order:
    """With the variant and the peer that it has in another suite, if it has none of its own."""
    suite, _, task = order.env.partition("/")
    other, options = TWINS.get(suite, ("", {}))
    peer = f"{other}/{task}"
    if peer not in jmarl_envs.names() or jmarl_envs.entry(order.env).peer is not None:
        return order
    return replace(order, options=options, peer=peer)


def has_peer(order: Order) -> bool:
    """Whether there is a library's environment to stand beside, and both are installed."""
    entry = jmarl_envs.entry(order.peer or order.env)
    return entry.peer is not None and not entry.missing


def parser() -> Parser:
    parser = Parser(
        prog="environments.py",
        description="Measure how many steps a second environments do by themselves under jmarl's "
        "rollout, beside the same environments under their libraries' own auto-reset.",
        epilog='make bench-envs ENVS="mpe/simple_spread smax" SIZES="1 64" passes all of this on. '
        "suite/task,option=value sets options; ~suite/task behind it names the environment whose "
        "library's version it stands beside: particle/simple_spread,variant=pettingzoo"
        "~mpe/simple_spread, which is what particle/simple_spread alone means.",
    )
    parser.add_argument(
        "environments",
        nargs="*",
        metavar="ENV",
        help="suite/task, a suite, or all, which is all that have a library's twin [all]",
    )
    parser.add_argument("--sizes", default=SIZES, help="parallel environments [%(default)s]")
    parser.add_argument("--seconds", default="0.5", help="of each repeat [%(default)s]")
    parser.add_argument("--repeats", default="5", help="of each side, taking turns [%(default)s]")
    parser.add_argument(
        "--budget",
        default="90",
        help="seconds of one environment at one size, compiling included; longer is skipped [90]",
    )
    parser.add_argument("--compile-cache", default="off", help="as of jmarl train [off]")
    parser.add_argument(
        "--out", default=HERE / "results", help="folder of the results [benchmarks/results]"
    )
    return parser


# --- measuring ----------------------------------------------------------------------------------


def measure_all(request: Request) -> int:
    """Every environment, then the table and the files."""
    load, began = os.getloadavg()[0], time.monotonic()
    if load > (os.cpu_count() or 1) / 2:
        say(f"others are at work here (load {load:.1f}): trust ratios, rather those by CPU time")
    about: dict[str, Any] = {}
    found = []
    code, count = 0, len(request.orders)
    try:
        for nth, order in enumerate(request.orders, 1):
            found.append(measure(order, about))
            left = (time.monotonic() - began) / nth * (count - nth)
            then = f" (about {clock(left)} left)" if left else ""
            say(f"{nth} of {count}, {order.label}: {verdict(found[-1])}{then}")
    except Stopped as stopped:
        say(f"{stopped}; finished environments are kept")
        code = 128 + stopped.number
    order = request.orders[0]
    result = {
        "seconds": order.seconds,
        "repeats": order.repeats,
        "budget": order.budget,
        "compile_cache": order.compile_cache,
        "consumed": "agents' observations and rewards, summed, on both sides",
        "load_average_before": load,
        "about": {**about, "command": request.command},
        "environments": found,
    }
    if not any("sides" in size for environment in found for size in environment["sizes"]):
        say("nothing could be measured; nothing is written")
        return code or 1
    show(env_summary.table(result))
    for path in env_summary.write(result, request.out):
        print(path)
    return code


def measure(order: Order, about: dict[str, Any]) -> dict[str, Any]:
    """One environment's sizes, or why there are none; `about` learns of the machine."""
    command = [sys.executable, str(HERE / "env_rung.py"), json.dumps(asdict(order))]
    found: dict[str, Any] = {
        "label": order.label,
        "env": order.env,
        "options": order.options,
        "peer": order.peer or order.env,
        "sizes": [],
    }
    for event in events(command):
        about.update(event.get("about", {}))
        if "phase" in event and sys.stderr.isatty():
            print(f"\r\033[K{order.label}: {event['phase']}", end="\r", file=sys.stderr)
        if "size" in event:
            found["sizes"].append(event["size"])
        found |= event.get("done", {})
        if "failed" in event:
            found["failed"] = event["failed"]
    return found


def verdict(environment: dict[str, Any]) -> str:
    """One line: ratios, or speeds where there is nothing to compare with."""
    said = []
    for size in environment["sizes"]:
        if "skipped" in size:
            said.append(f"{size['num_envs']:,} skipped")
        elif "ratio" in size:
            said.append(f"{size['num_envs']:,} x{size['ratio']['median']:.2f}")
        else:
            speed = size["sides"]["jmarl"]["env_steps_per_second"]["median"]
            said.append(f"{size['num_envs']:,} {speed:,.0f} steps/s")
    if "failed" in environment:
        said.append(f"failed: {environment['failed']}")
    return ", ".join(said)


def say(text: str) -> None:
    clear = "\r\033[K" if sys.stderr.isatty() else ""
    print(f"{clear}environments: {text}", file=sys.stderr)


if __name__ == "__main__":
    for number in STOPPING:
        signal.signal(number, stop)
    # what is checked here needs no device, and the accelerator's memory belongs to the rungs
    jax.config.update("jax_platforms", "cpu")
    sys.exit(main())
