"""What adapters of libraries share: quiet imports, limits out of reach, states of firm types."""

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp

NEVER = 2**30  # a library's own limit, out of reach: time is TimeLimit's


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Nothing is printed or warned inside.

    jaxmarl points `sys.stdout` and `sys.stderr` back at the originals while it is imported, so
    the original is swapped too, and all are put back.
    """
    kept = {name: getattr(sys, name) for name in ("stdout", "stderr", "__stdout__")}
    sink = io.StringIO()
    try:
        sys.__dict__.update(stdout=sink, __stdout__=sink)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.__dict__.update(kept)


def import_library(name: str) -> Any:
    """The module `name`, or one line that says what to install."""
    with quietly():
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            raise ImportError(f"these environments need {name}: pip install {name}") from error


def firm(tree: Any) -> Any:
    """The same without weak types: libraries' change between reset and step, and retrace."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.asarray(leaf).dtype), tree)
