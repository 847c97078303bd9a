"""Several devices for one run: which of them holds what. Arrays are placed, programs stay as they
are; XLA adds what must be said between devices."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jmarl.fields import ConfigError
from jmarl.loop import Run

AXES = ("seed", "env")


@dataclass(frozen=True)
class Mesh:
    """So many devices for each axis, the first there are: seeds are shared out along `seed`,
    environments and what is remembered of them along `env`."""

    seed: int = 1
    env: int = 1

    @property
    def size(self) -> int:
        return self.seed * self.env

    @cached_property
    def grid(self) -> jax.sharding.Mesh:
        self.require_devices()
        devices = np.array(jax.devices()[: self.size])
        return jax.sharding.Mesh(devices.reshape(self.seed, self.env), AXES)

    def require_devices(self) -> None:
        """ConfigError if there are fewer, or if some of several processes' would be left out."""
        if self.size > (there := len(jax.devices())):
            raise ConfigError(f"mesh must take no more devices than there are, {there}, got {self}")
        if self.size < there and (processes := jax.process_count()) > 1:
            raise ConfigError(
                f"mesh must take all {there} devices of the {processes} processes, as in "
                f"seed={there}, got {self}"
            )

    @cached_property
    def everywhere(self) -> NamedSharding:
        """The same on each device."""
        return NamedSharding(self.grid, PartitionSpec())

    @cached_property
    def by_seed(self) -> NamedSharding:
        """Of arrays [S, ...]."""
        return NamedSharding(self.grid, PartitionSpec("seed"))

    @cached_property
    def by_env(self) -> NamedSharding:
        """Of arrays [S, B, ...], or [S, stripes, ...]."""
        return NamedSharding(self.grid, PartitionSpec("seed", "env"))

    @property
    def told(self) -> NamedSharding:
        """Of what the host reads [S, ...]: several processes each need all of it."""
        return self.everywhere if jax.process_count() > 1 else self.by_seed

    @property
    def run(self) -> Any:
        """Of a run's parts [S, ...]."""
        memory = self.by_env if self.env > 1 else self.by_seed
        places = {"learner": self.by_seed, "memory": memory, "actors": self.by_env}
        return Run(**places, key=self.by_seed)  # pyright: ignore

    def jit(self, function: Callable[..., Any], takes: Any, gives: Any, **options: Any) -> Any:
        """`jax.jit`, with arguments and results in their places; one device has no places."""
        if self.size == 1:
            return jax.jit(function, **options)
        return jax.jit(function, in_shardings=takes, out_shardings=gives, **options)

    def put(self, tree: Any, places: Any) -> Any:
        """Arrays in their places; nothing moves that is there."""
        if self.size == 1:
            return tree
        if jax.process_count() == 1:
            return jax.device_put(tree, places)
        return jax.tree.map(share, tree, jax.tree.broadcast(places, tree))

    def like(self, tree: Any, places: Any) -> Any:
        """Shapes that tell their places too."""
        if self.size == 1:
            return tree
        placed = lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place)
        return jax.tree.map(placed, tree, jax.tree.broadcast(places, tree))

    def __str__(self) -> str:
        return ",".join(f"{axis}={getattr(self, axis)}" for axis in AXES)


def parted(mesh: Mesh, tree: Any) -> Any:
    """Arrays [B, ...] of a traced program, shared out along `env` if B allows it."""
    if mesh.env == 1:
        return tree
    place = NamedSharding(mesh.grid, PartitionSpec("env"))
    even = lambda x: x.ndim > 0 and x.shape[0] % mesh.env == 0
    constrain = lambda x: jax.lax.with_sharding_constraint(x, place) if even(x) else x
    return jax.tree.map(constrain, tree)


def share(x: Any, place: NamedSharding) -> jax.Array:
    """This process's part of an array that all processes have alike."""
    if isinstance(x, jax.Array) and not x.is_fully_addressable:
        return x
    x = jnp.asarray(x)
    key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    whole = np.asarray(jax.random.key_data(x) if key else x)
    shared = jax.make_array_from_callback(whole.shape, place, lambda part: whole[part])
    return jax.random.wrap_key_data(shared) if key else shared


def parse(text: str) -> Mesh:
    """`seed=2,env=4`, either or neither. Raises ConfigError."""
    sizes: dict[str, int] = {}
    for part in filter(None, text.split(",")):
        found = re.fullmatch(r"\s*(seed|env)\s*=\s*([1-9]\d{0,5})\s*", part)
        if not found or found[1] in sizes:
            raise ConfigError(f"mesh must be numbers of devices, as in seed=2,env=4, got {text!r}")
        sizes[found[1]] = int(found[2])
    return Mesh(**sizes)


def require_even(mesh: Mesh, axis: str, **counts: int) -> None:
    """ConfigError for a setting that an axis of the mesh cannot share out evenly."""
    devices = getattr(mesh, axis)
    for name, count in counts.items():
        if count % devices:
            raise ConfigError(
                f"{name} must be a multiple of the mesh's {axis}={devices}, got {count:,}"
            )
