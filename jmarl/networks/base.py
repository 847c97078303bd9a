"""Where flax ends: a module becomes a pair of pure functions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import flax.linen as nn

from jmarl.types import Key, Params

Out = TypeVar("Out")


@dataclass(frozen=True)
class Net(Generic[Out]):
    """`init(key, *inputs) -> params` and `apply(params, *inputs) -> Out`."""

    init: Callable[..., Params]
    apply: Callable[..., Out]


def functional(module: nn.Module) -> Net[Any]:
    """Flax cannot say what `apply` returns, so the field that holds the net says it.

    `method` chooses one of the module's functions; `init` needs one that reaches all layers.
    """

    def init(key: Key, *inputs: Any, method: str | None = None) -> Params:
        return module.init(key, *inputs, method=method).get("params", {})

    def apply(params: Params, *inputs: Any, method: str | None = None) -> Any:
        return module.apply({"params": params}, *inputs, method=method)

    return Net(init, apply)
