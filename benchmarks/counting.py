"""What a traced program does at least: the operations of its products, and the bytes they touch."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

Taken = Callable[..., Any]  # min or max: which branch counts
MOVES = ("gather", "dynamic_slice")  # what is read out of a replay, say


@dataclass(frozen=True)
class Work:
    """Of one run of a program."""

    flops: float = 0.0  # of products: two for every multiplication that is added to a sum
    bytes: float = 0.0  # products' operands and results once, what is gathered twice

    def __add__(self, other: "Work") -> "Work":
        return Work(self.flops + other.flops, self.bytes + other.bytes)

    def __mul__(self, times: float) -> "Work":
        return Work(self.flops * times, self.bytes * times)


def work_of(function: Callable[..., Any], *args: Any, taken: Taken = min) -> Work:
    """Counted on shapes; nothing runs. Loops count as often as they run where that is known when
    traced (else once), and of branches the one with the fewest operations, or as `taken` says."""
    return counted(jax.make_jaxpr(function)(*args).jaxpr, taken)


def counted(jaxpr: Jaxpr, taken: Taken) -> Work:
    return sum((work(eqn, taken) for eqn in jaxpr.eqns), Work())


def work(eqn: Any, taken: Taken) -> Work:
    name = eqn.primitive.name
    if name == "dot_general":
        return Work(product(eqn), sum(nbytes(x.aval) for x in (*eqn.invars, *eqn.outvars)))
    if name == "conv_general_dilated":
        return Work(convolution(eqn), sum(nbytes(x.aval) for x in (*eqn.invars, *eqn.outvars)))
    if name in MOVES:
        return Work(0.0, 2.0 * sum(nbytes(x.aval) for x in eqn.outvars))
    inner = [counted(jaxpr, taken) for jaxpr in within(eqn.params)]
    if name == "cond":
        return taken(inner, key=lambda branch: branch.flops)
    return sum(inner, Work()) * (eqn.params["length"] if name == "scan" else 1)


def product(eqn: Any) -> float:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    shape = eqn.invars[0].aval.shape
    return 2.0 * eqn.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)


def convolution(eqn: Any) -> float:
    kernel, shape = eqn.params["dimension_numbers"].rhs_spec, eqn.invars[1].aval.shape
    return 2.0 * eqn.outvars[0].aval.size * math.prod(shape) / shape[kernel[0]]


def nbytes(aval: Any) -> int:
    return aval.size * aval.dtype.itemsize if hasattr(aval.dtype, "itemsize") else 0


def within(params: dict[str, Any]) -> Iterator[Jaxpr]:
    """The programs that an operation holds."""
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, Jaxpr):
                yield part
