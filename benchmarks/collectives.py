"""What devices tell each other in an update, by the bytes that the compiled HLO names.

Compiles the training step of each algorithm for `--mesh` on simulated CPU devices, counts its
collectives as often as the loops around them turn, and prints a row of a Markdown table for each:
bytes of the learner and of an update, collectives of an update.

  python benchmarks/collectives.py qmix:matrix/two_step maddpg:mpe/simple_spread:infer_policies=true
"""

import argparse
import os
import re
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # where HLO is read already

import jax
from mesh_probe import COLLECTIVE, bytes_of  # pyright: ignore

from jmarl import make_env
from jmarl.cli import exit_code
from jmarl.config import experiment, parse
from jmarl.program import Program

HEADER = re.compile(r"^(ENTRY )?%?([\w.-]+) .*\{$")
LOOP = re.compile(r" while\(.*?body=%?([\w.-]+)")
TURNS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
CALLED = re.compile(r"(?:to_apply|calls|true_computation|false_computation)=%?([\w.-]+)")
BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
RUN = {"total_steps": 10**6, "evaluations": 20, "eval_episodes": 4}


@dataclass
class Part:
    """A computation of the HLO: what it says itself, and what it calls how often."""

    said: Counter[str] = field(default_factory=Counter)  # bytes by kind
    times: Counter[str] = field(default_factory=Counter)  # collectives by kind
    calls: list[tuple[str, int]] = field(default_factory=list)


def parts(text: str) -> tuple[dict[str, Part], str]:
    """All computations by name, and the name of the first to run."""
    found, entry, here = defaultdict(Part), "", ""
    for line in text.splitlines():
        if header := HEADER.match(line):
            here = header[2]
            entry = here if header[1] else entry
        elif one := COLLECTIVE.search(line):
            found[here].said[one[2]] += bytes_of(one[1])
            found[here].times[one[2]] += 1
        elif loop := LOOP.search(line):
            turns = TURNS.search(line)
            found[here].calls.append((loop[1], int(turns[1]) if turns else 1))
        else:
            named = CALLED.findall(line)
            for branches in BRANCHES.findall(line):
                named += [name.strip().lstrip("%") for name in branches.split(",")]
            found[here].calls += [(name, 1) for name in named]
    return found, entry


def total(found: dict[str, Part], name: str) -> tuple[Counter[str], Counter[str]]:
    """Bytes and collectives by kind, as often as they run."""
    part = found[name]
    said, times = part.said.copy(), part.times.copy()
    for called, turns in part.calls:
        for mine, theirs in zip((said, times), total(found, called), strict=True):
            mine.update({kind: turns * number for kind, number in theirs.items()})
    return said, times


def row(words: str, mesh: str, num_envs: int) -> str:
    algorithm, env, *settings = words.split(":")
    given = {name: parse(value) for name, value in (one.split("=") for one in settings)}
    fixed = {**RUN, "env": env, "mesh": mesh, "seeds": 2, "num_envs": num_envs}
    plan = experiment(algorithm, "", {}, {**fixed, **given})
    program = Program(make_env(env), plan)
    text = compiled(program)
    said, times = total(*parts(text))
    updates = program.shape.updates_per_rollout  # the loop over rollouts has no known count: once
    kinds = ", ".join(f"{count / updates:.4g} {kind}" for kind, count in sorted(times.items()))
    positions = program.shape.num_envs * program.shape.rollout_length
    each = sum(said.values()) / updates
    step = each * program.shape.updates_per_rollout / positions
    learner = (
        sum(
            x.nbytes if hasattr(x, "nbytes") else x.size * x.dtype.itemsize
            for x in jax.tree.leaves(program.state.learner)
        )
        // 2
    )
    return (
        f"| `{algorithm}` | `{env}` | {learner:,} | {each:,.0f} | {kinds} | "
        f"{program.shape.updates_per_rollout} | {step:,.0f} |"
    )


def compiled(program: Program) -> str:
    """The HLO of a chunk of training."""
    texts: list[str] = []
    compile_ = jax.stages.Lowered.compile

    def spied(self: jax.stages.Lowered) -> jax.stages.Compiled:
        made = compile_(self)
        texts.append(made.as_text() or "")
        return made

    jax.stages.Lowered.compile = spied  # pyright: ignore
    try:
        _ = program.advance
    finally:
        jax.stages.Lowered.compile = compile_
    return texts[-1]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", nargs="+", metavar="ALGORITHM:ENV[:SETTING=VALUE ...]")
    parser.add_argument("--mesh", default="seed=2,env=4")
    parser.add_argument("--num-envs", type=int, default=64)
    asked = parser.parse_args()
    print(
        "| algorithm | environment | learner, bytes | an update, bytes | collectives of it | "
        "updates of a rollout | bytes per environment step |"
    )
    print("|---|---|---|---|---|---|---|")
    for words in asked.what:
        print(row(words, asked.mesh, asked.num_envs), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
