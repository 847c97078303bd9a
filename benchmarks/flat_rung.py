"""One program in a process of its own: how large it is and how long it takes to compile.

    python benchmarks/flat_rung.py ORDER

ORDER is rung.py's, as JSON. Events come as lines of JSON on stdout: {"about": versions}, and at
the end {"done": facts} or {"failed": reason}.
"""

import json
import os
import sys
import traceback
from typing import Any

import jax
import jax.numpy as jnp
from counting import within
from peer_rung import timed
from rung import Order, about, program_of

from jmarl.forecast import needs
from jmarl.program import Program
from jmarl.versions import keep_compiled


def facts(program: Program) -> dict[str, Any]:
    """Compiling from a cold cache, tracing included; the program's size and memory."""
    _, compiling = timed(lambda: (program.start, program.chunk))
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


def main() -> int:
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no event
    tell = lambda **event: print(json.dumps(event), file=events)
    try:
        keep_compiled("off")
        tell(about=about())
        tell(done=facts(program_of(Order(**json.loads(sys.argv[1])))))
    except Exception as error:  # whatever it is, the other points go on
        traceback.print_exc()
        reason = str(error).strip().partition("\n")[0]
        tell(failed=f"{type(error).__name__}: {reason}"[:300])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
