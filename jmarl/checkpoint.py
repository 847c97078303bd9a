"""Saving and restoring the whole state of a run, with orbax; nothing is unpickled.

A checkpoint is a folder named by its iteration. Each of its parts holds arrays named by their
place in a tree, so that a learner loads without the replay; keys are saved as their raw data.
`meta.json` says where training stood, SHA256SUMS what the files were. It is written as
`<iteration>.part` and moved into place whole. One that no longer is what was written is damaged:
the one before is taken, and the damaged one waits as `<iteration>.damaged` until training has
come as far again.
"""

import contextlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax import Array
from jax.sharding import SingleDeviceSharding

from jmarl import files, hosts
from jmarl.fields import ConfigError

LAYOUT = 2  # raised when what a checkpoint holds changes; others are refused
PARTS = ("learner", "rest", "best")
META = "meta.json"
META_OF_LAYOUT_1 = "meta/metadata"


@dataclass(frozen=True)
class Found:
    """A checkpoint that is whole, and why newer ones were passed over, by iteration."""

    folder: Path
    iteration: int
    meta: Mapping[str, Any]
    damaged: Mapping[int, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / str(self.iteration)

    @property
    def notice(self) -> str:
        """What to tell of damage, if there was any."""
        reasons = "; ".join(f"{self.folder / str(at)} ({why})" for at, why in self.damaged.items())
        return f"damaged: {reasons}; using {self.path}, the one before" if reasons else ""


# --- saving -------------------------------------------------------------------------------------


def save(
    folder: Path, iteration: int, parts: Mapping[str, Any], meta: Mapping[str, Any], keep: int = 2
) -> None:
    """Write one checkpoint, whole or not at all, then remove all but the newest `keep`. Each of
    several processes writes its share, the first all else.

    Raises OSError if it cannot be written; what was there before is untouched then.
    """
    path, part = folder / str(iteration), folder / f"{iteration}.part"
    try:
        if hosts.leads():
            files.sweep(folder)
        hosts.together("swept")
        for name, tree in parts.items():
            with hushed(), checkpointer() as orbax:
                orbax.save((part / name).absolute(), args=ocp.args.StandardSave(named(tree)))
        if hosts.leads():
            complete(folder, iteration, {"layout": LAYOUT, **meta})
            prune(folder, keep)
        hosts.together("saved")
    except Exception as error:  # orbax has many words for a full disk
        with contextlib.suppress(OSError):
            files.remove(part)
        raise as_os_error(error, path) from error


def complete(folder: Path, iteration: int, meta: Mapping[str, Any]) -> None:
    """Move a checkpoint whose arrays are written into its place."""
    path, part = folder / str(iteration), folder / f"{iteration}.part"
    (part / META).write_text(json.dumps(meta, indent=1) + "\n")
    files.seal(part)
    if path.exists():
        set_aside(folder, iteration)
    part.replace(path)
    files.settle(folder)


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep`, and damaged ones that training has come past."""
    newest = iterations(folder)
    for at in newest[keep:]:
        files.remove(folder / str(at))
    for at in iterations(folder, ".damaged"):
        if at <= newest[0]:
            files.remove(damaged_name(folder, at))


def set_aside(folder: Path, iteration: int) -> None:
    """Keep a checkpoint that is not to be used under another name."""
    aside = damaged_name(folder, iteration)
    if aside.exists():
        files.remove(aside)
    (folder / str(iteration)).replace(aside)


def damaged_name(folder: Path, iteration: int) -> Path:
    return folder / f"{iteration}.damaged"


# --- finding ------------------------------------------------------------------------------------


def iterations(folder: Path, ending: str = "") -> list[int]:
    """Of the checkpoints that a folder holds, newest first."""
    names = [path.name.removesuffix(ending) for path in folder.glob(f"*{ending}")]
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def find(folder: Path, iteration: int | None = None, parts: Sequence[str] = PARTS) -> Found | None:
    """The newest checkpoint whose `parts` are whole, or the one asked for; None without any.

    Raises ConfigError if the one asked for, or every one, is missing or damaged, or if another
    layout wrote it.
    """
    there, damaged = iterations(folder), {}
    if iteration is not None and iteration not in there:
        known = ", ".join(map(str, sorted(there))) or "none"
        raise ConfigError(f"checkpoint must be one that is there ({known}), got {iteration}")
    for at in there if iteration is None else [iteration]:
        path = folder / str(at)
        if (path / META_OF_LAYOUT_1).exists():
            raise ConfigError(f"checkpoint layout must be {LAYOUT}, got 1 in {path}")
        reason = files.fault(path, (*parts, META))
        if not reason:
            return Found(folder, at, read_meta(path), damaged)
        damaged[at] = reason
    if not there:
        damaged = dict.fromkeys(iterations(folder, ".damaged"), "set aside")
    if damaged:
        reasons = "; ".join(f"{at} ({reason})" for at, reason in damaged.items())
        raise ConfigError(f"checkpoint must be whole, got none in {folder} that is: {reasons}")
    return None


def known(folder: Path, iteration: int) -> Found:
    """One that another process has found to be whole."""
    return Found(folder, iteration, read_meta(folder / str(iteration)))


def read_meta(path: Path) -> dict[str, Any]:
    meta = json.loads((path / META).read_text())
    if meta["layout"] != LAYOUT:
        raise ConfigError(f"checkpoint layout must be {LAYOUT}, got {meta['layout']} in {path}")
    return meta


# --- restoring ----------------------------------------------------------------------------------


def restore(found: Found, like: Mapping[str, Any]) -> dict[str, Any]:
    """Parts with the structures, shapes, dtypes and places of `like` (arrays or their shapes).

    Raises ConfigError if the checkpoint holds other arrays, as one of another program does.
    """
    return {name: restore_part(found.path / name, tree) for name, tree in like.items()}


def restore_part(path: Path, like: Any) -> Any:
    wanted = {name: raw_shape(x) for name, x in paths(like) if x.size}
    with whole(path), checkpointer() as orbax:
        refuse_other(path.name, orbax.metadata(path.absolute()).item_metadata, wanted)
        arrays = orbax.restore(path.absolute(), args=ocp.args.StandardRestore(wanted))
    leaves = [
        as_key(arrays[name], x) if x.size else jnp.zeros(x.shape, x.dtype)
        for name, x in paths(like)
    ]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[None]:
    """Whatever orbax says of files that it cannot read becomes a ConfigError."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"checkpoint must be whole, got {path} ({in_a_line(error)})") from error


def refuse_other(part: str, there: Any, wanted: Mapping[str, Any]) -> None:
    """ConfigError naming the first array that differs between a checkpoint and the program."""
    kinds = [
        {name: (tuple(x.shape), np.dtype(x.dtype)) for name, x in arrays.items()}
        for arrays in (there, wanted)
    ]
    for name in sorted(kinds[0].keys() | kinds[1].keys()):
        theirs, ours = (kind.get(name) for kind in kinds)
        if theirs != ours:
            raise ConfigError(
                f"checkpoint must be of this program: {part}/{name} is {theirs} there, {ours} here"
            )


# --- parts --------------------------------------------------------------------------------------


def checkpointer() -> ocp.Checkpointer:
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax logs what it also raises
    return ocp.Checkpointer(ocp.StandardCheckpointHandler())


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Let the threads that write the other arrays fail in silence where one cannot be written.

    Each would print a traceback beside the error that is raised here.
    """
    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
    except BaseException:
        time.sleep(1)  # until they have given up
        raise
    finally:
        sys.unraisablehook = before


def as_os_error(error: Exception, path: Path) -> OSError:
    """What the system said, which orbax wraps in many words."""
    code = re.search(r"os_error_code='(\d+)'", str(error))
    number = error.errno if isinstance(error, OSError) else code and int(code[1])
    return OSError(number, os.strerror(number), str(path)) if number else OSError(in_a_line(error))


def in_a_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__


def named(state: Any) -> dict[str, Array]:
    """Arrays by their place in the tree, keys as raw data; empty ones, which orbax refuses, not."""
    return {name: raw(x) for name, x in paths(state) if x.size}


def paths(state: Any) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), x) for path, x in leaves]


def is_key(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def raw(x: Any) -> Any:
    return jax.random.key_data(x) if is_key(x) else x


def raw_shape(x: Any) -> jax.ShapeDtypeStruct:
    """Of an array or of its shape, with its place: without one, the device where jax computes.

    Without any, orbax would look for the devices of the machine that saved.
    """
    shape = jax.eval_shape(raw, x)
    place = getattr(x, "sharding", None) or SingleDeviceSharding(hosts.device())
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=place)


def as_key(x: Array, like: Any) -> Array:
    return jax.random.wrap_key_data(x) if is_key(like) else x
