"""What `--deterministic` concerns: scatters that add numbers, in each algorithm's training program.

`python benchmarks/scatters.py [ALGORITHM ...]`. On a GPU several threads may add to one place, in
any order; XLA's deterministic kernels sort them first. Read from the program that jax hands to
XLA, with each algorithm's default settings and environment; nothing is compiled or run.
"""

import sys

import jax
import jax.numpy as jnp

import jmarl
from jmarl.algorithms import ALL
from jmarl.config import experiment
from jmarl.program import Program

SCATTER = '"stablehlo.scatter"'


def main(names: list[str]) -> None:
    for name in names or list(ALL):
        print(name, "on", experiment(name).run.env, "|", ", ".join(adding(name)) or "none")


def adding(name: str) -> list[str]:
    """Types of what scatters of floats add to."""
    plan = experiment(name)
    actions = plan.recipe.action_kinds(plan.config)[0]
    options = {"actions": actions} if plan.run.env.startswith("mpe/") else {}
    program = Program(jmarl.make_env(plan.run.env, **options), plan)
    lowered = jax.jit(program._chunk).lower(program.state, jnp.int32(0), plan.config)
    ops = lowered.as_text().split(SCATTER)[1:]
    return [result for op in ops if (result := sum_of(op))]


def sum_of(op: str) -> str:
    """The type of a scatter's result, if it adds floats."""
    body = op[op.index("({") : op.index("})")]
    result = op[op.index("->") + 3 :].splitlines()[0]
    return result if "stablehlo.add" in body and "f32" in result else ""


if __name__ == "__main__":
    main(sys.argv[1:])
