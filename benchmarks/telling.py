"""How a process that measures tells what it finds: events, one line of JSON each on stdout."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

Tell = Callable[..., None]


def answer(ordered: Callable[[dict[str, Any], Tell], Any]) -> int:
    """`ordered(order, tell)` of the order in the first argument, JSON too; what it returns is
    "done", or why it ended "failed". Returns the exit code."""
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no event
    tell = lambda **event: print(json.dumps(event), file=events)
    try:
        tell(done=ordered(json.loads(sys.argv[1]), tell))
    except Exception as error:  # whatever it is, the other orders go on
        traceback.print_exc()
        reason = str(error).strip().partition("\n")[0]
        tell(failed=f"{type(error).__name__}: {reason}"[:300])
        return 1
    return 0
