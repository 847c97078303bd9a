"""What must stay flat as things grow: time and memory for each environment, and compile time.

Speeds and memory are rung.py's, from 64 to 16,384 environments with one gradient step a rollout;
compile time is flat_rung.py's, as agents, steps, environments and seeds grow one at a time.
Writes a JSON file and a plot.
"""

import json
import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from rung import Order
from summary import where
from throughput import STOPPING, events, stop, writable

from jmarl.cli import exit_code
from jmarl.config import of_type
from jmarl.fields import ConfigError
from jmarl.terminal import Parser

HERE = Path(__file__).parent
ENV = "mpe/simple_spread"
BASE = {"agents": 3, "steps": 25, "environments": 8, "seeds": 1}
PLAIN = FuncFormatter(lambda x, _: f"{x:,g}")
USUAL = {
    "sizes": "64,256,1024,4096,16384",
    "agents": "3,6,12",
    "steps": "25,100,400",
    "environments": "8,64,512",
    "seeds": "1,4,16",
}


@dataclass(frozen=True)
class Request:
    """What the command line asks for, checked."""

    algorithm: str
    values: dict[str, tuple[int, ...]]  # by the names of USUAL
    seconds: float
    out: Path
    command: str


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, 1 if nothing could be measured, 2 for wrong use."""
    words = list(sys.argv[1:] if argv is None else argv)
    return exit_code(lambda: measure_all(read(words)), say, "; nothing is written")


def read(words: list[str]) -> Request:
    """Raises ConfigError for all that could be known to be wrong before measuring."""
    parser = Parser(prog="flat.py", description=f"Measure what must not grow, on {ENV}.")
    parser.add_argument("algorithm", nargs="?", default="qmix", choices=("qmix", "vdn", "iql"))
    for name, usual in USUAL.items():
        parser.add_argument(f"--{name}", default=usual, help=f"[{usual}]")
    parser.add_argument("--seconds", default="1", help="of each repeat of a speed [1]")
    parser.add_argument("--out", default=HERE / "results", help="[benchmarks/results]")
    args = parser.parse_args(words)
    values = {name: numbers(name, getattr(args, name)) for name in USUAL}
    seconds = of_type("seconds", args.seconds, float)
    if seconds <= 0:
        raise ConfigError(f"seconds must be above 0, got {seconds:g}")
    command = shlex.join(["python", "benchmarks/flat.py", *words])
    return Request(args.algorithm, values, seconds, writable(args.out), command)


def numbers(name: str, text: str) -> tuple[int, ...]:
    found = tuple(sorted(set(of_type(name, text, tuple[int, ...]))))
    if not found or found[0] < 1:
        raise ConfigError(f"{name} must be at least 1, got {text!r}")
    return found


def order(request: Request, agents: int, steps: int, environments: int, seeds: int) -> Order:
    """One gradient step a rollout on 32 episodes, whatever the number of environments."""
    settings = {
        "team_reward": "sum",
        "seeds": seeds,
        "episodes_per_update": environments,
        "warmup_episodes": max(32, environments),
        "buffer_size": max(64, environments),
    }
    options = {"num_agents": agents, "num_landmarks": agents, "episode_limit": steps}
    return Order(request.algorithm, ENV, environments, request.seconds, settings, options=options)


# --- measuring ----------------------------------------------------------------------------------


def measure_all(request: Request) -> int:
    load, about = os.getloadavg()[0], {}
    known: dict[str, dict[str, Any]] = {}  # what all begin with is measured but once

    def point(script: str, **changed: int) -> dict[str, Any]:
        made = order(request, **{**BASE, **changed})
        key = f"{script} {made}"
        if key not in known:
            known[key] = run(script, made, about)
        return known[key]

    sizes = request.values["sizes"]
    ladder = [{"size": n, **point("rung.py", environments=n)} for n in sizes]
    growth = {
        name: [{"value": n, **point("flat_rung.py", **{name: n})} for n in request.values[name]]
        for name in BASE
    }
    if not about:
        say(f"nothing could be measured: {ladder[0]['failed']}")
        return 1
    result = {
        "about": {**about, "command": request.command},
        "load_average_before": load,
        "algorithm": request.algorithm,
        "env": ENV,
        "base": BASE,
        "ladder": ladder,
        "growth": growth,
    }
    for line in said(result):
        print(line)
    for path in write(result, request.out):
        print(path)
    return 0


def run(script: str, what: Order, about: dict[str, Any]) -> dict[str, Any]:
    """A process's measurements, or why there are none; `about` learns of the machine."""
    say(f"{script}: {what.num_envs:,} environments, {what.options}, {what.settings['seeds']} seeds")
    found: dict[str, Any] = {}
    for event in events([sys.executable, str(HERE / script), json.dumps(asdict(what))]):
        about.update(event.get("about", {}))
        found = event.get("done", found)
        if "failed" in event:
            found = {"failed": event["failed"]}
    return found


def said(result: dict[str, Any]) -> list[str]:
    """A line for each size, and one for each thing that grows."""
    lines = []
    for rung in result["ladder"]:
        if "failed" in rung:
            lines.append(f"{rung['size']:,} environments failed: {rung['failed']}")
            continue
        whole, alone = (1e6 / speed for speed in speeds(rung))
        lines.append(
            f"{rung['size']:,} environments: {whole:.3g} us a step in training, {alone:.3g} us "
            f"alone, {rung['peak_memory_bytes'] / 2**20:,.0f} MiB"
        )
    for name, points in result["growth"].items():
        done = [point for point in points if "failed" not in point]
        told = ", ".join(
            f"{p['value']}: {p['compiling']['cpu_seconds']:.1f} s of {p['operations']:,} operations"
            for p in done
        )
        lines.append(f"compiling by {name}: {told or 'failed'}")
    return lines


def speeds(rung: dict[str, Any]) -> tuple[float, float]:
    """Environment steps per second: training, and the environment alone."""
    kinds = rung["training"], rung["environment_alone"]
    return kinds[0]["env_steps_per_second"]["median"], kinds[1]["env_steps_per_second"]["median"]


# --- what is left behind ------------------------------------------------------------------------


def plot(path: Path, result: dict[str, Any]) -> None:
    """Time a step, memory an environment, compile seconds and program size."""
    figure = Figure(figsize=(13, 3.8), layout="constrained")
    panels = figure.subplots(1, 4)
    done = [rung for rung in result["ladder"] if "failed" not in rung]
    sizes = [rung["size"] for rung in done]
    for nth, label in enumerate(("training", "environment alone")):
        panels[0].plot(sizes, [1e6 / speeds(r)[nth] for r in done], "o-", label=label)
    panels[1].plot(sizes, [r["peak_memory_bytes"] / 2**20 / r["size"] for r in done], "o-")
    for name, points in result["growth"].items():
        found = [point for point in points if "failed" not in point]
        times = [point["value"] / result["base"][name] for point in found]
        for axes, key in ((panels[2], "compile"), (panels[3], "size")):
            axes.plot(times, [grown(point, key) for point in found], "o-", label=name)
    titles = ("microseconds a step", "peak MiB an environment", "compile CPU seconds", "operations")
    for axes, title in zip(panels, titles, strict=True):
        axes.set(title=title, xscale="log")
        axes.grid(alpha=0.25)
        axes.xaxis.set_major_formatter(PLAIN)
        axes.xaxis.set_minor_formatter(NullFormatter())
    for axes in panels[:2]:
        axes.set(yscale="log", xlabel="parallel environments")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(PLAIN)
        axes.yaxis.set_minor_formatter(NullFormatter())
    for axes in panels[2:]:
        axes.set(xlabel="times as many")
        from_zero(axes)
    for axes in (panels[0], *panels[2:]):
        axes.legend(frameon=False)
    figure.suptitle(f"{result['algorithm']} on {result['env']}, {where(result['about'])}")
    figure.savefig(path, dpi=120)


def from_zero(axes: Axes) -> None:
    axes.set_ylim(0, 1.4 * axes.get_ylim()[1])  # with room for the legend


def grown(point: dict[str, Any], key: str) -> float:
    return point["compiling"]["cpu_seconds"] if key == "compile" else point["operations"]


def write(result: dict[str, Any], out: Path) -> list[Path]:
    """flat-<algorithm>-<device>-<time>.json and .png."""
    device = re.sub(r"[^a-z0-9_]+", "-", result["about"]["device"].removeprefix("1 x ").lower())
    stem = f"flat-{result['algorithm']}-{device}-{time.strftime('%Y%m%d-%H%M%S')}"
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / f"{stem}.{kind}" for kind in ("json", "png")]
    paths[0].write_text(json.dumps(result, indent=1) + "\n")
    plot(paths[1], result)
    return paths


def say(text: str) -> None:
    print(f"flat: {text}", file=sys.stderr)


if __name__ == "__main__":
    for number in STOPPING:
        signal.signal(number, stop)
    # what is checked here needs no device, and the accelerator's memory belongs to the rungs
    jax.config.update("jax_platforms", "cpu")
    sys.exit(main())
