"""JaxMARL's training scripts, imported from a checkout of it as they are."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from jmarl.fields import ConfigError


def load(checkout: Path, script: str) -> ModuleType:
    """The module of a script; ConfigError names a package that it lacks, or what else is amiss.

    The checkout's own jaxmarl comes first, so nothing may have imported another one before.
    """
    path = checkout / script
    if not path.is_file():
        raise ConfigError(f"jaxmarl must be a checkout with {script}, got {str(checkout)!r}")
    sys.path.insert(0, str(checkout))
    for module in stand_ins():
        sys.modules[module.__name__] = module
    spec = importlib.util.spec_from_file_location(f"jaxmarl_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(made)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"jaxmarl's {script} needs the package {error.name}, which is not installed here"
        ) from error
    return made


def stand_ins() -> list[ModuleType]:
    """What only their command lines and their logs need; nothing is logged."""
    hydra, omegaconf, wandb = (ModuleType(name) for name in ("hydra", "omegaconf", "wandb"))
    vars(hydra)["main"] = lambda **options: lambda function: function
    vars(omegaconf)["OmegaConf"] = object
    vars(wandb)["log"] = lambda *args, **options: None
    return [hydra, omegaconf, wandb]


def train_of(module: ModuleType, config: dict[str, Any]) -> Callable[[Any], Any]:
    """`train(key)`; scripts of one kind take the environment apart, of the other make it."""
    if not hasattr(module, "env_from_config"):
        return module.make_train(config)
    env, _ = module.env_from_config({**config, "ENV_KWARGS": dict(config["ENV_KWARGS"])})
    return module.make_train(config, env)


def came_from(checkout: Path) -> str:
    """The version of the jaxmarl in use; ConfigError if it is not the checkout's."""
    package = sys.modules["jaxmarl"]
    if not Path(str(package.__file__)).resolve().is_relative_to(checkout.resolve()):
        raise ConfigError(f"jaxmarl must be imported from {checkout}, got {package.__file__}")
    return str(getattr(package, "__version__", "unknown"))
