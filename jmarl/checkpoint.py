"""Saving and restoring the whole state of a run, with orbax; nothing is unpickled.

A checkpoint holds two sets of arrays, named by their place in the state: `learner` alone, so that
a policy loads without the replay, and `rest`; and `meta`, plain JSON. Keys are saved as their
raw data.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax import Array

from jmarl.fields import ConfigError

LAYOUT = 1  # raised when what a checkpoint holds changes; older ones are refused


def manager(folder: Path, keep: int = 2) -> ocp.CheckpointManager:
    """Keeps the newest `keep` checkpoints of `folder`; close it when done."""
    logging.getLogger("absl").setLevel(logging.ERROR)  # orbax reports every file at INFO
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, enable_async_checkpointing=False)
    handlers = {
        "learner": ocp.StandardCheckpointHandler(),
        "rest": ocp.StandardCheckpointHandler(),
        "meta": ocp.JsonCheckpointHandler(),
    }
    return ocp.CheckpointManager(folder.absolute(), options=options, item_handlers=handlers)


def save(folder: Path, iteration: int, state: Any, meta: dict[str, Any]) -> None:
    """Write one checkpoint of a train.Run [S, ...]; it appears whole or not at all."""
    names = named(state)
    learner = {name: x for name, x in names.items() if name.startswith("learner/")}
    rest = {name: x for name, x in names.items() if name not in learner}
    with contextlib.closing(manager(folder)) as checkpoints:
        checkpoints.save(
            iteration,
            args=ocp.args.Composite(
                learner=ocp.args.StandardSave(learner),
                rest=ocp.args.StandardSave(rest),
                meta=ocp.args.JsonSave({"layout": LAYOUT, **meta}),
            ),
        )


def newest(folder: Path) -> int | None:
    """The iteration of the newest checkpoint, if there is one."""
    if not folder.is_dir():
        return None
    with contextlib.closing(manager(folder)) as checkpoints:
        return checkpoints.latest_step()


@contextlib.contextmanager
def reading(folder: Path, iteration: int) -> Iterator[ocp.CheckpointManager]:
    """The manager of a folder; whatever orbax says of damaged files becomes a ConfigError."""
    try:
        with contextlib.closing(manager(folder)) as checkpoints:
            yield checkpoints
    except ConfigError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        where = folder / str(iteration)
        raise ConfigError(f"checkpoint must be whole, got {where} ({reason})") from error


def restore_meta(folder: Path, iteration: int) -> dict[str, Any]:
    """A checkpoint's JSON; ConfigError if another layout wrote it."""
    with reading(folder, iteration) as checkpoints:
        args = ocp.args.Composite(meta=ocp.args.JsonRestore())
        meta = checkpoints.restore(iteration, args=args)["meta"]
    if meta["layout"] != LAYOUT:
        raise ConfigError(f"checkpoint layout must be {LAYOUT}, got {meta['layout']}")
    return meta


def restore(folder: Path, iteration: int, like: Any, only_learner: bool = False) -> Any:
    """The state with the structure, shapes and dtypes of `like` (arrays or their shapes).

    With `only_learner`, `like` is the learner alone. ConfigError if the checkpoint holds other
    arrays, as one of another program does.
    """
    like = {"learner": like} if only_learner else like
    wanted = {name: jax.eval_shape(raw, x) for name, x in paths(like) if x.size}
    learner = {name: x for name, x in wanted.items() if name.startswith("learner/")}
    parts = {"learner": ocp.args.StandardRestore(learner)}
    if not only_learner:
        rest = {name: x for name, x in wanted.items() if name not in learner}
        parts["rest"] = ocp.args.StandardRestore(rest)
    with reading(folder, iteration) as checkpoints:
        for part, args in parts.items():
            refuse_other(checkpoints, iteration, part, args.item)
        found = checkpoints.restore(iteration, args=ocp.args.Composite(**parts))
    arrays = {name: x for part in parts for name, x in found[part].items()}
    leaves = [
        as_key(arrays[name], x) if x.size else jnp.zeros(x.shape, x.dtype)
        for name, x in paths(like)
    ]
    state = jax.tree.unflatten(jax.tree.structure(like), leaves)
    return state["learner"] if only_learner else state


def refuse_other(checkpoints: Any, iteration: int, part: str, wanted: Any) -> None:
    """ConfigError naming the first array that differs between a checkpoint and the program."""
    metadata = checkpoints.item_metadata(iteration)[part]
    there = {name: (tuple(x.shape), np.dtype(x.dtype)) for name, x in metadata.items()}
    here = {name: (tuple(x.shape), np.dtype(x.dtype)) for name, x in wanted.items()}
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            raise ConfigError(
                f"checkpoint must be of this program: {name} is {there.get(name)} there, "
                f"{here.get(name)} here"
            )


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


def as_key(x: Array, like: Any) -> Array:
    return jax.random.wrap_key_data(x) if is_key(like) else x
