"""One program in a process of its own: how large it is and how long it takes to compile.

    python benchmarks/flat_rung.py ORDER

ORDER is rung.py's, as JSON. Events come as lines of JSON on stdout: {"about": versions}, and at
the end {"done": facts} or {"failed": reason}.
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp
from counting import within
from peer_rung import timed
from rung import Order, about, program_of
from telling import Tell, answer

from jmarl.forecast import needs
from jmarl.program import Program
from jmarl.versions import keep_compiled


def facts(program: Program) -> dict[str, Any]:
    """Compiling from a cold cache, tracing included; the program's size and memory."""
    _, compiling = timed(lambda: (program.start, program.advance))
    return {
        "compiling": compiling,
        "operations": operations(program),
        "state_bytes": needs(program).total,
        "temporary_bytes": max(program.temporaries.values(), default=0),
    }


def operations(program: Program) -> int:
    """Of the traced chunk, those within loops once: what XLA has to compile."""
    first = jnp.int32(0)
    chunk = lambda run: program.each(lambda loop, run: loop.chunk(run, first), program.config, run)
    return size(jax.make_jaxpr(chunk)(program.state).jaxpr)


def size(jaxpr: Any) -> int:
    inner = (size(part) for eqn in jaxpr.eqns for part in within(eqn.params))
    return len(jaxpr.eqns) + sum(inner)


def ordered(asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    order = Order(**asked)
    keep_compiled("off")
    tell(about=about())
    return facts(program_of(order))


if __name__ == "__main__":
    sys.exit(answer(ordered))
