"""What a ladder came to: the table, and the two files that keep it."""

import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from jmarl.plots import Rungs, throughput

COLUMNS = (
    "envs",
    "training\nsteps/s",
    "env alone\nsteps/s",
    "gradient\nsteps/s",
    "replay\nratio",
    "times\nfloor",
    "compile\nstart s",
    "compile\nchunk s",
    "peak\nGiB",
)
RATES = ("flops_per_second", "bytes_per_second")


def table(result: Mapping[str, Any]) -> Table:
    """One row a rung; reasons of failed ones, and what the columns mean, below."""
    about, rungs = result["about"], result["rungs"]
    title = f"{result['algorithm']} on {result['env']}, {where(about)}"
    made = Table(
        title=title,
        caption=legend(result),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),  # so that 80 columns hold millions of steps
        pad_edge=False,
        title_style="bold",
        caption_style="",
        caption_justify="left",
    )
    for name in COLUMNS:
        made.add_column(name, justify="right", no_wrap=True)
    for rung in rungs:
        made.add_row(*row(rung))
    return made


def row(rung: Mapping[str, Any]) -> list[str]:
    if "failed" in rung:
        return [f"{rung['num_envs']:,}", "failed"]
    learned, alone = rung["training"], rung["environment_alone"]
    return [
        f"{rung['num_envs']:,}",
        speed(learned["env_steps_per_second"]["median"]) + once(learned),
        speed(alone["env_steps_per_second"]["median"]) + once(alone),
        speed(learned["gradient_steps_per_second"]["median"]) + once(learned),
        f"{learned['gradient_steps_per_env_step']:.3g}",
        f"{rung['floor']['times_the_floor']:.2f}",
        f"{rung['compile_seconds']['start']:.1f}",
        f"{rung['compile_seconds']['chunk']:.1f}",
        f"{rung['peak_memory_bytes'] / 2**30:.2f}",
    ]


def speed(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def once(measured: Mapping[str, Any]) -> str:
    """Marks what was timed but once; a space keeps the digits under each other."""
    return "*" if len(measured["repeats"]) == 1 else " "


def where(about: Mapping[str, Any]) -> str:
    device = about["device"].removeprefix("1 x ")
    host = f" ({about['cpu']}, {about['cpus']} CPUs)" if about["backend"] == "cpu" else ""
    return f"{device}{host}, jax {about['packages']['jax']}"


def legend(result: Mapping[str, Any]) -> str:
    """Below the table."""
    done = [rung for rung in result["rungs"] if "failed" not in rung]
    lines = [
        f"{rung['num_envs']:,} environments failed: {escape(rung['failed'])}"
        for rung in result["rungs"]
        if "failed" in rung
    ]
    if done:
        memory = {
            "process": "of the whole process, compiling included",
            "device": "of the device's memory",
        }[done[0]["peak_memory_of"]]
        lines.append(
            f"Speeds: medians of repeats of about {result['seconds']:g} s. env alone: as many "
            "environments under the uniform policy. replay ratio: gradient steps per environment "
            "step. times floor: training's time over that of its environments alone and of its "
            "products' operations at the rate of one large product (or of the bytes they touch at "
            f"the memory's bandwidth), {rates(done)} here. compile: {temper(result)}; start is the "
            f"program that opens a run and warms it up. peak: {memory}, while training."
        )
    if any(once(rung["training"]) == "*" for rung in done):
        lines.append("* timed once, as a single call takes long.")
    return "\n".join(lines)


def rates(rungs: Sequence[Mapping[str, Any]]) -> str:
    """The best that the machine did in any rung, as others can only slow it down."""
    best = [max(rung["floor"][name] for rung in rungs) / 1e9 for name in RATES]
    return f"{best[0]:,.0f} GFLOP/s and {best[1]:,.0f} GB/s"


def temper(result: Mapping[str, Any]) -> str:
    return "cold" if result["compile_cache"] == "off" else "perhaps from a cache"


def rungs_of(result: Mapping[str, Any]) -> Rungs:
    """The rungs that did not fail, as the plot wants them."""
    done = [rung for rung in result["rungs"] if "failed" not in rung]
    kinds = {"environment alone": "environment_alone", "training": "training"}
    spreads = {
        label: [tuple(rung[kind]["env_steps_per_second"].values()) for rung in done]
        for label, kind in kinds.items()
    }
    return Rungs(
        num_envs=[rung["num_envs"] for rung in done],
        speeds={label: np.array(values) for label, values in spreads.items()},
        compile_seconds={
            name: [rung["compile_seconds"][name] for rung in done] for name in ("start", "chunk")
        },
        peak_bytes=[rung["peak_memory_bytes"] for rung in done],
    )


def write(result: Mapping[str, Any], out: Path) -> Sequence[Path]:
    """<algorithm>-<env>-<device>-<time>.json and .png, both whole or neither."""
    words = (result["algorithm"], result["env"], result["about"]["device"].removeprefix("1 x "))
    stamp = time.strftime("%Y%m%d-%H%M%S")
    stem = "-".join(re.sub(r"[^a-z0-9_]+", "-", word.lower()) for word in words) + f"-{stamp}"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out) as folder:
        parts = [Path(folder) / f"{stem}.{kind}" for kind in ("json", "png")]
        parts[0].write_text(json.dumps(result, indent=2) + "\n")
        title = f"{result['algorithm']} on {result['env']}, {where(result['about'])}"
        throughput(parts[1], rungs_of(result), title, f"compile seconds, {temper(result)}")
        return [part.replace(out / part.name) for part in parts]
