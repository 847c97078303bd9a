"""Which operations a chunk of training spends its time in, by jax's profiler; one JSON file.

  python benchmarks/traced.py qmix --env smax/3m --num-envs 64 --out results

The JSON holds seconds by operation, the longest first; on an accelerator those of its own threads.
"""

import argparse
import gzip
import json
import os
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

# The profiler keeps so many events and drops the rest.
os.environ.setdefault("TF_PROFILER_TRACE_VIEWER_MAX_EVENTS", "100000000")

import jax
from rung import Order, about, program_of

from jmarl.cli import exit_code

TOP = 40
HOST = "/host:CPU"  # the profiler's name of this machine's threads


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("algorithm")
    parser.add_argument("--env", default="smax/3m")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    settings = dict(word.split("=", 1) for word in args.set)
    order = Order(args.algorithm, args.env, args.num_envs, 1.0, settings)
    told = {"about": about(), "command": shlex.join(["benchmarks/traced.py", *sys.argv[1:]])}
    told |= {"device": jax.default_backend(), "operations": profile(order)}
    args.out.mkdir(parents=True, exist_ok=True)
    name = f"traced-{args.algorithm}-{args.env.replace('/', '-')}-{args.num_envs}.json"
    (args.out / name).write_text(json.dumps(told, indent=1) + "\n")
    print(args.out / name)
    return 0


def profile(order: Order) -> list[dict[str, Any]]:
    """Of the second chunk, as the first one's memory is cold."""
    program = program_of(order)
    run, _ = program.start()
    first = program.shape.warmup_rollouts
    run, _ = jax.block_until_ready(program.chunk(run, first))
    nth = first + program.shape.rollouts_per_chunk
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            jax.block_until_ready(program.chunk(run, nth))
        (path,) = Path(folder).rglob("perfetto_trace.json.gz")
        with gzip.open(path) as file:
            return longest(json.load(file)["traceEvents"])


def longest(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The operations that took longest in all, of accelerators where there are any."""
    events = list(events)
    homes = {e["pid"]: e["args"]["name"] for e in events if e.get("name") == "process_name"}
    devices = {pid for pid, name in homes.items() if name.startswith("/device:")}
    wanted = devices or {pid for pid, name in homes.items() if name.startswith(HOST)}
    # a device's time is told more than once, by modules, operations and streams
    lanes = {
        (e["pid"], e["tid"])
        for e in events
        if e.get("name") == "thread_name" and e["pid"] in devices and e["args"]["name"] == "XLA Ops"
    }
    seconds, times = Counter[str](), Counter[str]()
    for event in events:
        # what Python itself did is marked by a dollar
        if event.get("ph") != "X" or event["pid"] not in wanted or event["name"][0] == "$":
            continue
        if not lanes or (event["pid"], event["tid"]) in lanes:
            seconds[event["name"]] += event["dur"] / 1e6
            times[event["name"]] += 1
    return [
        {"name": name, "seconds": total, "times": times[name]}
        for name, total in seconds.most_common(TOP)
    ]


if __name__ == "__main__":
    sys.exit(exit_code(main))
