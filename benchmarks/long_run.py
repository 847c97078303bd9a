"""Whether a long training keeps its memory: resident size, host objects, files, over time.

Trains for so many minutes in this process, stops it by SIGTERM as a person would, and fits a line
to each of them behind the first quarter, in which buffers fill and libraries load. Flat is a
resident size that would not grow by 1% in an hour. Writes JSON, and a PNG of the curves.

  python benchmarks/long_run.py maddpg --env mpe/simple_spread --minutes 60 --total-steps 1e9
"""

import argparse
import gc
import json
import os
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import jmarl
from jmarl.sinks import Records
from jmarl.versions import versions
from jmarl.words import read_order

SETTLED = 0.25  # of the time, before the line is fitted
FLAT = 0.01  # of the resident size in an hour
PAGE = os.sysconf("SC_PAGE_SIZE")
WORDS = {
    "resident_mb": "resident memory, MB",
    "objects": "host objects, thousands",
    "arrays": "live arrays",
    "metrics_kb": "metrics files, kB",
    "folder_mb": "run's folder, MB",
}
Sample = dict[str, float]


class Meter:
    """A sink that looks every so many seconds, and ends training when its time is over."""

    def __init__(self, folder: Path, seconds: float, every: float) -> None:
        self.folder, self.seconds, self.every = folder, seconds, every
        self.began, self.samples = 0.0, list[Sample]()

    def write(self, records: Records) -> None:
        self.began = self.began or time.monotonic()  # compiling is over
        now = time.monotonic() - self.began
        if not self.samples or now - self.samples[-1]["seconds"] >= self.every:
            self.samples.append({"seconds": now, **look(self.folder), **where(records)})
        if now >= self.seconds:
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self) -> None: ...


def where(records: Records) -> Sample:
    return {"env_steps": records[0]["env_steps"], "updates": records[0]["updates"]}


def look(folder: Path) -> Sample:
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "resident_mb": resident * PAGE / 1e6,
        "objects": len(gc.get_objects()) / 1e3,
        "arrays": len(jax.live_arrays()),
        "metrics_kb": size(folder / "metrics") / 1e3,
        "folder_mb": size(folder) / 1e6,
    }


def size(folder: Path) -> int:
    """Bytes; files that a checkpoint's end removes meanwhile count as none."""
    sizes = 0
    for path in folder.rglob("*"):
        try:
            sizes += path.stat().st_size
        except FileNotFoundError:
            continue
    return sizes


def growth(samples: Sequence[Sample]) -> dict[str, Any]:
    """By name: the mean behind the first quarter, and what the fitted line gains in an hour."""
    settled = [s for s in samples if s["seconds"] >= SETTLED * samples[-1]["seconds"]]
    hours = np.array([s["seconds"] for s in settled]) / 3600
    found = {}
    for name in WORDS:
        values = np.array([s[name] for s in settled])
        slope = np.polyfit(hours, values, 1)[0] if len(settled) > 2 else np.nan
        found[name] = {"mean": float(values.mean()), "per_hour": float(slope)}
    return found


def picture(path: Path, samples: Sequence[Sample], title: str) -> None:
    figure = Figure(figsize=(8, 9), layout="constrained")
    minutes = [s["seconds"] / 60 for s in samples]
    panels = figure.subplots(len(WORDS), sharex=True)
    for axes, (name, words) in zip(panels, WORDS.items(), strict=True):
        axes.plot(minutes, [s[name] for s in samples])
        axes.set_title(words, loc="left", fontsize="medium")
        axes.set_ylim(0, 1.1 * max(s[name] for s in samples) or 1)
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel("minutes of training")
    figure.suptitle(textwrap.fill(title, 80), fontsize="medium")
    figure.savefig(path, dpi=100)


def train(words: Sequence[str], meter: Meter) -> None:
    order = read_order(list(words))
    assert order is not None
    settings: dict[str, Any] = order.settings
    try:
        jmarl.train(
            order.algorithm,
            preset=order.flags.get("preset", ""),
            env_options=order.env_options,
            out=meter.folder,
            progress=False,
            sinks=[meter],
            **settings,
        )
    except KeyboardInterrupt as stopped:
        print(f"after {meter.samples[-1]['updates']:,.0f} updates: {stopped}", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--every", type=float, default=10, help="seconds between two looks [10]")
    parser.add_argument("--results", default="benchmarks/results", help="a folder")
    asked, words = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        meter = Meter(Path(folder), asked.minutes * 60, asked.every)
        train(words, meter)
    found = growth(meter.samples)
    resident = found["resident_mb"]
    flat = resident["per_hour"] <= FLAT * resident["mean"]
    told = {"words": words, "minutes": asked.minutes, "flat": bool(flat), "growth": found}
    path = Path(asked.results) / f"long-run-{time.strftime('%Y%m%d-%H%M%S')}.json"
    whole = {**told, "versions": versions(), "samples": meter.samples}
    path.write_text(json.dumps(whole, indent=1) + "\n")
    picture(path.with_suffix(".png"), meter.samples, " ".join(words))
    for name, numbers in found.items():
        print(f"{WORDS[name]:<26}{numbers['mean']:12.2f} {numbers['per_hour']:+10.3f} an hour")
    print(f"{'flat' if flat else 'grows'}: {path}")


if __name__ == "__main__":
    main()
