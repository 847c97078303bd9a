"""Kill a training run at random moments, again and again, and see that nothing is lost.

    python tests/soak/soak.py --minutes 60

Each life of a run ends by kill -9: at any time, as a record is written, or in the middle of a
checkpoint. Once a run has come to its end all the same, its metrics must equal, clock times
apart, those of a run that nobody disturbed, and nothing may lie about; then the next one begins.
"""

import argparse
import json
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRAIN = [sys.executable, "-m", "jmarl", "train"]
SMALL = shlex.split("""maddpg --env toy/cue --num-envs 4 --rollout-length 5 --eval-episodes 4
--buffer-size 4000 --batch-size 16 --hidden-dim 8,8 --warmup-steps 40 --seeds 2""")
CLOCK = ("seconds", "steps_per_second")
WHOLE = {
    *(".lock", "checkpoints", "config.json", "curve.png", "metrics", "summary.json"),
    "versions.json",
}
Moment = Callable[[], bool]


def any_time(run: Path, dice: random.Random) -> Moment:
    end = time.monotonic() + dice.uniform(0, 15)
    return lambda: time.monotonic() > end


def as_a_record_is_written(run: Path, dice: random.Random) -> Moment:
    path, left = run / "metrics" / "seed-1.jsonl", dice.randint(1, 30)
    sizes = {path.stat().st_size if path.exists() else 0}

    def now() -> bool:
        sizes.add(path.stat().st_size if path.exists() else 0)
        return len(sizes) > left

    return now


def in_a_checkpoint(run: Path, dice: random.Random) -> Moment:
    left, delay, seen = dice.randint(1, 15), dice.uniform(0, 0.4), set()

    def now() -> bool:
        seen.update(path.name for path in (run / "checkpoints").glob("*.part"))
        if len(seen) < left:
            return False
        time.sleep(delay)
        return True

    return now


MOMENTS = (any_time, as_a_record_is_written, in_a_checkpoint)


def start(run: Path, options: list[str]) -> subprocess.Popen[str]:
    """A new run, or the next life of one."""
    if (run / "config.json").exists():
        words = ["--resume", str(run), "--quiet"]
    else:
        shutil.rmtree(run, ignore_errors=True)  # killed before anything was in it
        words = [*SMALL, *options, "--out", str(run), "--quiet"]
    words.append(f"--compile-cache={run.parent / 'compiled'}")  # kills may cut its entries short
    return subprocess.Popen(
        [*TRAIN, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def live(run: Path, options: list[str], moment: Moment) -> bool:
    """Whether the run came to its end before its moment did."""
    process = start(run, options)
    while process.poll() is None and not moment():
        time.sleep(0.001)
    process.kill()
    _, told = process.communicate()
    if process.returncode > 0:
        raise SystemExit(f"soak: exit code {process.returncode} of {run}: {told}")
    return process.returncode == 0


def torment(
    run: Path, options: list[str], dice: random.Random, kills: Counter[str], most: int
) -> None:
    """Kill a run at most so many times until it ends."""
    dead = 0
    while True:
        kind = dice.choice(MOMENTS)
        moment = kind(run, dice) if dead < most else lambda: False
        if live(run, [*options, "--checkpoint-minutes=0"], moment):
            return
        dead += 1
        kills[kind.__name__] += 1


def records(run: Path) -> list[list[dict[str, Any]]]:
    """Of every seed, but clock times."""
    return [
        [
            {name: x for name, x in json.loads(line).items() if name not in CLOCK}
            for line in path.read_text().splitlines()
        ]
        for path in sorted((run / "metrics").iterdir())
    ]


def faults(run: Path, whole: Path) -> list[str]:
    """In what a tormented run differs from an undisturbed one, in words."""
    found = []
    if records(run) != records(whole):
        found.append("metrics differ")
    strange = {path.name for path in run.iterdir()} ^ WHOLE
    parts = [str(path.relative_to(run)) for path in run.rglob("*.part")]
    checkpoints = [path.name for path in (run / "checkpoints").iterdir()]
    if strange or parts:
        found.append(f"left over or missing: {sorted(strange)} {parts}")
    if len(checkpoints) != 2 or not all(name.isdecimal() for name in checkpoints):
        found.append(f"checkpoints {checkpoints}")
    return found


def soak(folder: Path, minutes: float, steps: int, seed: int, most: int) -> Counter[str]:
    """Torment runs for so long; exits with the faults if there are any."""
    dice, kills, runs = random.Random(seed), Counter[str](), 0
    options = [f"--total-steps={steps}", "--evaluations=6"]
    whole = folder / "whole"
    live(whole, options, lambda: False)
    end = time.monotonic() + minutes * 60
    while not runs or time.monotonic() < end:
        run = folder / f"run-{runs}"
        torment(run, options, dice, kills, most)
        if found := faults(run, whole):
            raise SystemExit(f"soak: {run} after {kills.total()} kills: {'; '.join(found)}")
        runs += 1
        print(f"soak: {runs} runs whole after {kills.total()} kills: {dict(kills)}", flush=True)
    return kills


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill training runs at random moments.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=8000, help="of each run")
    parser.add_argument("--kills", type=int, default=12, help="of each run, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    soak(folder, args.minutes, args.steps, args.seed, args.kills)
    shutil.rmtree(folder)  # what went wrong stays to be looked at


if __name__ == "__main__":
    main()
