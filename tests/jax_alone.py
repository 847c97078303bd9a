"""Play exported policies in a process that has jax, and where jmarl cannot be imported.

`python jax_alone.py FOLDER ...`: each holds reset.stablehlo and act.stablehlo, and in episode.npz
what a team saw, its keys and what it did. Prints what differs; ends with 0 if nothing does.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

FOREIGN = ("jmarl", "jmarl_envs", "flax", "optax", "safetensors")
sys.modules |= dict.fromkeys(FOREIGN)  # None: importing one raises


def refuses(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        return True
    return False


import jax  # noqa: E402
import numpy as np  # noqa: E402
from jax import export  # noqa: E402


def main(folder: Path, alone: bool) -> str:
    """What differs from the episode's actions [T, A, ...]; also of one agent `alone`."""
    read = lambda name: (
        export.deserialize(bytearray((folder / f"{name}.stablehlo").read_bytes())).call
    )
    reset, act = read("reset"), read("act")
    with np.load(folder / "episode.npz") as file:
        episode = dict(file)
    keys, actions, open_key = (episode.pop(name) for name in ("keys", "actions", "open_key"))
    agents = np.arange(actions.shape[1], dtype=np.int32)
    for_all = lambda key: np.broadcast_to(key, (len(agents), *key.shape))
    carry, before = reset(agents, for_all(open_key)), np.full(len(agents), -1, np.int32)
    for t, key in enumerate(keys):
        view = {name: x[t] for name, x in episode.items()}
        if "last" in view:
            view["last"] = for_all(before)
        given = agents, carry, view, for_all(key)
        carry, action = act(*given)
        if told := differs(action, actions[t]):
            return f"step {t}: {told}"
        if alone and t == 1:  # as many or as few agents as one likes
            _, action_of_one = act(*jax.tree.map(lambda x: x[-1:], given))
            if told := differs(action_of_one, actions[t, -1:]):
                return f"the last agent by itself: {told}"
        before = np.asarray(action)
    return ""


def differs(action: Any, expected: np.ndarray) -> str:
    same = np.allclose(action, expected, atol=1e-6) and action.dtype == expected.dtype
    return "" if same else f"{action} is not {expected}"


if __name__ == "__main__":
    assert all(map(refuses, FOREIGN))
    first = sys.argv[1]
    found = {name: told for name in sys.argv[1:] if (told := main(Path(name), name == first))}
    assert not [name for name, module in sys.modules.items() if name in FOREIGN and module]
    sys.exit("\n".join(f"{name}: {told}" for name, told in found.items()) or 0)
