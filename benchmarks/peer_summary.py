"""What training beside others came to: ratios with their spread, and whether the work was equal."""

import json
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table
from rung import spread
from summary import where

SLACK = 0.01  # share of the parameters that two ways to write a network may differ by
NAMES = {
    "jaxmarl": "JaxMARL",
    "maddpg": "the official MADDPG",
    "maac": "the official MAAC",
    "particles": "multiagent-particle-envs",
}
TIMES = ("ours, ms", "theirs, ms", "ratio", "by CPU time", "at most", "compile")
EQUAL = (*("gradient steps", "positions", "env steps", "parameters", "GFLOP", "batch", "widths"),)
LEGEND = (
    "ms: of one gradient step with its share of rollouts and warm-up, in medians. ratio: their "
    "time over ours for a whole training run, the median of neighbouring repeats (least to most); "
    "by CPU time: the same of processor seconds, which other work on the machine disturbs less. "
    "at most: theirs over the floor under ours: the environment alone, and the products at the "
    "rate of one large product or the bytes they touch. compile: as by CPU time, tracing included, "
    "from a cold cache."
)
COUNTED = (
    "Gradient steps (as optimisers counted them) and parameters (that they moved; a GRU of ours "
    "has two more biases a unit) are of one seed, steps of all; ours/theirs where they differ. "
    "Positions are steps of all environments, env steps those of them that are no reset: we play "
    "the 25 steps of an episode and keep a position for its last view, JaxMARL's MPE plays 26. "
    "GFLOP: of all products, counted in the traced programs, of torch as it runs them."
)


def joined(found: Mapping[str, Any], sides: Mapping[str, Any]) -> dict[str, Any]:
    """A case with its ratios and the check of equality."""
    own, other = (side["repeats"] for side in sides.values())
    ratios = {
        name: spread([b[name] / a[name] for a, b in zip(own, other, strict=True)])
        for name in ("seconds", "cpu_seconds")
        if min(a[name] for a in own) > 0
    }
    compiling = [side["compiling"]["cpu_seconds"] for side in sides.values() if "compiling" in side]
    return {
        **found,
        "sides": dict(sides),
        "ratio": ratios,
        "compile_ratio": compiling[1] / compiling[0] if compiling[1:] else None,
        "at_most": at_most(sides),
        "unequal": unequal(found["case"], sides),
        "equal": not unequal(found["case"], sides),
    }


def at_most(sides: Mapping[str, Any]) -> float | None:
    """What the ratio of processor times would be if ours took its floor and no more."""
    own, other = sides.values()
    if "floor" not in own:
        return None
    took = statistics.median(repeat["cpu_seconds"] for repeat in other["repeats"])
    return took / own["floor"]["seconds"]["floor"]


def unequal(case: Mapping[str, Any], sides: Mapping[str, Any]) -> list[str]:
    """What the two sides did not do alike, in words."""
    said = []
    # JaxMARL's episodes differ by a step from ours, the official programs' do not
    steps = "positions" if "jaxmarl" in sides else "env_steps"
    for name, slack in (("gradient_steps", 0.0), (steps, 0.0), ("parameters", SLACK)):
        own, other = (side[name] for side in sides.values())
        if abs(own - other) > slack * other:
            said.append(f"{name.replace('_', ' ')}: ours {own:,}, theirs {other:,}")
    return said


def tables(result: Mapping[str, Any]) -> list[Table]:
    """Times, then what was equal; a row for each case."""
    beside = [f"{NAMES[name]} {commit[:9]}" for name, commit in result["commits"].items()]
    title = f"beside {', '.join(beside)}, {where(result['about'])}"
    done = [case for case in result["cases"] if "ratio" in case]
    rows = [times(case) for case in done], [work(case) for case in done]
    return [
        table(title, legend(result), TIMES, done, rows[0]),
        table("what both sides did", COUNTED, EQUAL, done, rows[1]),
    ]


def table(
    title: str,
    caption: str,
    columns: Sequence[str],
    cases: Sequence[Mapping[str, Any]],
    rows: Sequence[Sequence[str]],
) -> Table:
    made = Table(
        title=title,
        caption=caption,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_style="bold",
        caption_style="",
        caption_justify="left",
    )
    made.add_column("")
    for name in columns:
        made.add_column(name, justify="right")
    for case, cells in zip(cases, rows, strict=True):
        made.add_row(brief(case["case"]), *cells)
    return made


def brief(case: Mapping[str, Any]) -> str:
    """As in "qmix 3m 8 x 4 seeds"."""
    seeds = f" x {case['seeds']} seeds" if case["seeds"] > 1 else ""
    return f"{case['algorithm']} {case['env'].split('/')[1]} {case['num_envs']}{seeds}"


def times(case: Mapping[str, Any]) -> list[str]:
    steps = case["sides"]["jmarl"]["gradient_steps"]
    each = [
        f"{1000 * statistics.median(r['seconds'] for r in side['repeats']) / steps:.3g}"
        for side in case["sides"].values()
    ]
    ratios = [ranged(case["ratio"].get(kind)) for kind in ("seconds", "cpu_seconds")]
    others = [plain(case[name]) for name in ("at_most", "compile_ratio")]
    return [*each, *ratios, *others]


def plain(ratio: float | None) -> str:
    return "unknown" if ratio is None else f"{ratio:.2f}"


def ranged(ratio: Mapping[str, float] | None) -> str:
    return "{median:.2f} ({min:.2f}-{max:.2f})".format(**ratio) if ratio else "unknown"


def work(case: Mapping[str, Any]) -> list[str]:
    """Numbers, or ours/theirs."""
    names = ("gradient_steps", "positions", "env_steps", "parameters")
    counted = [
        "/".join(dict.fromkeys(f"{side[name]:,}" for side in case["sides"].values()))
        for name in names
    ]
    flops = "/".join(f"{side['flops'] / 1e9:.3g}" for side in case["sides"].values())
    settings = case["case"]
    return [*counted, flops, batch(settings), str(settings["width"])]


def batch(case: Mapping[str, Any]) -> str:
    """What a gradient step learns from."""
    if case["lots"] > 1:
        return f"{case['num_envs']} x {case['length']} / {case['lots']}"
    return f"{case['batch']} x {case['length']}"


def legend(result: Mapping[str, Any]) -> str:
    lines = [
        f"{escape(case['label'])} failed: {escape(case['failed'])}"
        for case in result["cases"]
        if "failed" in case
    ]
    lines += [
        f"{escape(case['label'])} was not equal: {escape('; '.join(case['unequal']))}"
        for case in result["cases"]
        if case.get("unequal")
    ]
    return "\n".join([*lines, LEGEND])


def verdict(case: Mapping[str, Any]) -> str:
    """One line."""
    if "failed" in case:
        return f"{case['label']} failed: {case['failed']}"
    wall, cpu = (case["ratio"].get(kind) for kind in ("seconds", "cpu_seconds"))
    said = f"{case['label']}: x{wall['median']:.2f}" if wall else case["label"]
    said += f", by CPU time x{cpu['median']:.2f}" if cpu else ""
    said += aimed(case) if "aim" in case and cpu else ""
    return said + ("" if case["equal"] else f", NOT EQUAL ({'; '.join(case['unequal'])})")


def aimed(case: Mapping[str, Any]) -> str:
    """Whether the aim is met, by processor time, and what bounds it if not."""
    if case["ratio"]["cpu_seconds"]["median"] >= case["aim"]:
        return f"; the aim of x{case['aim']:g} is met"
    said = f"; the aim of x{case['aim']:g} is not met"
    if case["at_most"] is None:
        return said
    over = case["sides"]["jmarl"]["floor"]["times_the_floor"]
    return (
        f"{said}: ours takes {over:.1f} times its floor, with which it were x{case['at_most']:.1f}"
    )


def write(result: Mapping[str, Any], out: Path) -> Path:
    """peers-<device>-<time>.json, whole or not at all."""
    device = re.sub(r"[^a-z0-9_]+", "-", result["about"]["device"].removeprefix("1 x ").lower())
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"peers-{device}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    part = out / f".unfinished-{path.name}"
    part.write_text(json.dumps(result, indent=2) + "\n")
    return part.replace(path)
