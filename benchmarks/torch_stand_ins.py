# pyright: reportMissingImports=false
"""What the official MADDPG and MAAC of 2018 import and is no longer to be had, or had changed.

Nothing here takes part in the maths. torch: the removed name clip_grad_norm. gym: classes of
spaces. baselines: the vector environment's base class, which counts steps here. tensorboardX and
torch.save: nothing is logged or saved. seaborn: colours nobody sees. imp: one function.
"""

import importlib.util
import itertools
import sys
from types import ModuleType
from typing import Any

import numpy as np
import torch


class Box:
    def __init__(self, low: float, high: float, shape: tuple[int, ...], **_: Any) -> None:
        self.low, self.high, self.shape = low, high, shape


class Discrete:
    def __init__(self, n: int) -> None:
        self.n = n


class MultiDiscrete:
    """Nobody makes one; environments ask whether they have it."""


class Env:
    """gym's as it was: an environment writes what a name with an underscore does."""

    def seed(self, seed: int | None = None) -> None: ...

    def reset(self) -> Any:
        return self._reset()  # type: ignore[attr-defined]

    def step(self, actions: Any) -> Any:
        return self._step(actions)  # type: ignore[attr-defined]


class VecEnv:
    """baselines'; counts the steps of all environments."""

    def __init__(self, num_envs: int, observation_space: Any, action_space: Any) -> None:
        self.num_envs, self.steps = num_envs, 0
        self.observation_space, self.action_space = observation_space, action_space

    def step(self, actions: Any) -> Any:
        self.steps += self.num_envs
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: Any) -> None:
        raise NotImplementedError

    def step_wait(self) -> Any:
        raise NotImplementedError


class CloudpickleWrapper:
    """Processes are forked, so that nothing is pickled."""

    def __init__(self, x: Any) -> None:
        self.x = x


class SummaryWriter:
    """Hears, and writes nothing."""

    def __init__(self, log_dir: str) -> None: ...

    def add_scalar(self, *args: Any) -> None: ...

    def add_scalars(self, *args: Any) -> None: ...

    def export_scalars_to_json(self, path: str) -> None: ...

    def close(self) -> None: ...


def load_source(name: str, path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name or "source", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


PACKAGES = {
    "gym": {"Env": Env, "Space": object},
    "gym.spaces": {
        "Box": Box,
        "Discrete": Discrete,
        "MultiDiscrete": MultiDiscrete,
        "Tuple": tuple,
    },
    "gym.envs": {},
    "gym.envs.registration": {
        "register": lambda **about: None,
        "EnvSpec": object,
        "registry": None,
    },
    "baselines": {},
    "baselines.common": {},
    "baselines.common.vec_env": {"VecEnv": VecEnv, "CloudpickleWrapper": CloudpickleWrapper},
    "tensorboardX": {"SummaryWriter": SummaryWriter},
    "seaborn": {"color_palette": lambda n_colors: [(0.5, 0.5, 0.5)] * n_colors},
    "imp": {"load_source": load_source},
}


def install() -> None:
    """Before anything official is imported."""
    for name, content in PACKAGES.items():
        sys.modules[name] = module = ModuleType(name)
        vars(module).update(content)
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], last, module)
    torch.nn.utils.clip_grad_norm = torch.nn.utils.clip_grad_norm_  # the old name warns each time
    torch.save = lambda *args, **options: None


class Rows:
    """An environment whose observations are an array as numpy once made it of any list: agents of
    unequal sizes get one of objects, where today's numpy refuses."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    def reset(self) -> np.ndarray:
        return rows(self.env.reset())

    def step(self, actions: Any) -> tuple[np.ndarray, Any, Any, Any]:
        seen, *told = self.env.step(actions)
        return rows(seen), *told


def rows(observed: list[np.ndarray]) -> np.ndarray:
    """[A, O], or [A] of objects."""
    if all(len(a) == len(b) for a, b in itertools.pairwise(observed)):
        return np.array(observed)
    made = np.empty(len(observed), object)
    made[:] = observed
    return made
