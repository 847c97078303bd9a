"""How fast training is beside JaxMARL's own scripts, and beside the official MADDPG and MAAC, at
equal settings: a table and a JSON file.

Each side of a case has a process of its own (peer_rung.py, torch_rung.py), compiles once, and then
they take turns: ours, theirs, ours, theirs, ... The first run of each is not counted.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import peer_summary
import peer_work
import torch_work
from peer_request import HERE, Request, home, read
from peer_rung import Order
from talk import Ended, Talk
from throughput import STOPPING, show, stop

from jmarl.cli import exit_code
from jmarl.signals import Stopped

AnyCase = peer_work.Case | torch_work.Case
# Of several seeds JaxMARL's orthogonal weights are batched QR decompositions, some of which run at
# once and wait for each other for good where XLA has only two threads (NOTES.md).
MANY_THREADS = {"PJRT_NPROC": "16"}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, 1 if some case could not be measured or was not equal, 2 for wrong use."""
    words = list(sys.argv[1:] if argv is None else argv)
    return exit_code(lambda: measure_all(read(words)), say)


# --- measuring ----------------------------------------------------------------------------------


def measure_all(request: Request) -> int:
    """Every case, then the table and the file; what is done when a signal comes is kept."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", ".45")  # both hold the one GPU
    load, found, about = os.getloadavg()[0], [], {}
    if load > (os.cpu_count() or 1) / 2:
        say(f"others are at work here (load {load:.1f}): trust ratios of processor time")
    code = 0
    try:
        for nth, made in enumerate(request.cases, 1):
            say(f"{nth} of {len(request.cases)}, {made.label}")
            found.append(measure(made, request, about))
            say(peer_summary.verdict(found[-1]))
    except Stopped as stopped:
        say(f"{stopped}; finished cases are kept")
        code = 128 + stopped.number
    result = {
        "about": {**about, "command": request.command},
        "commits": {name: commit(path) for name, path in request.checkouts.items()},
        "load_average_before": load,
        "cases": found,
    }
    if not any("ratio" in case for case in found):
        for case in found:
            say(f"{case['label']} failed: {case['failed']}")
        say("nothing could be measured; nothing is written")
        return code or 1
    for table in peer_summary.tables(result):
        show(table)
    print(peer_summary.write(result, request.out))
    bad = any("failed" in case or not case["equal"] for case in found)
    return code or int(bad)


def measure(made: AnyCase, request: Request, about: dict[str, Any]) -> dict[str, Any]:
    """One case's measurements, or why there are none; `about` learns of the machine."""
    found, commands = asked(made, request)
    found["variables"] = variables = MANY_THREADS if made.seeds > 1 else {}
    try:
        with ExitStack() as stack:
            talks = [Talk(x, request.limit, variables) for x in commands.values()]
            for talk in talks:
                stack.enter_context(talk)
            for talk in talks:
                about.update(talk.hear("about"))
            sides = [talk.hear("ready") for talk in talks]
            rounds = [[turn(talk) for talk in talks] for _ in range(1 + request.repeats)]
            for side, talk, nth in zip(sides, talks, range(len(talks)), strict=True):
                talk.end()
                side |= talk.hear("done") | {"repeats": [turns[nth] for turns in rounds[1:]]}
    except Ended as ended:
        return found | {"failed": str(ended)}
    return peer_summary.joined(found, dict(zip(commands, sides, strict=True)))


def asked(made: AnyCase, request: Request) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """What a case asks of each side, for the record, and each side's command."""
    checkout = str(request.checkouts[home(made.algorithm)])
    ours = command(sys.executable, "peer_rung.py", asdict(Order("jmarl", asdict(made))))
    if isinstance(made, peer_work.Case):
        order = asdict(Order("jaxmarl", asdict(made), checkout))
        theirs = command(sys.executable, "peer_rung.py", order)
        return {"label": made.label, **peer_work.both(made)}, {"jmarl": ours, "jaxmarl": theirs}
    order = {
        "checkout": checkout,
        "particles": str(request.checkouts.get("particles", "")),
        "threads": request.threads,
        "settings": torch_work.theirs(made, request.threads),
    }
    theirs = command(request.python, "torch_rung.py", order)
    found = {"label": made.label, **torch_work.both(made, request.threads)}
    return found, {"jmarl": ours, "official": theirs}


def command(python: str, script: str, order: dict[str, Any]) -> list[str]:
    return [python, str(HERE / script), json.dumps(order)]


def turn(talk: Talk) -> dict[str, float]:
    talk.say("go")
    return talk.hear("repeat")


def commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    ran = subprocess.run(command, capture_output=True, text=True)
    return ran.stdout.strip() or "unknown"


def say(text: str) -> None:
    print(f"peers: {text}", file=sys.stderr)


if __name__ == "__main__":
    for number in STOPPING:
        signal.signal(number, stop)
    # what is checked here needs no device, and the accelerator's memory belongs to the rungs
    jax.config.update("jax_platforms", "cpu")
    sys.exit(main())
