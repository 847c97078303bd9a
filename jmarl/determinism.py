"""The same bits again on a GPU."""

import os

import jax
from jax._src.xla_bridge import backends_are_initialized  # jax has no public name for it

from jmarl.fields import ConfigError

FLAG = "--xla_gpu_deterministic_ops=true"  # CPUs repeat themselves without


def require_determinism() -> None:
    """Have XLA leave out GPU kernels that give other bits each time.

    Its flags are read once, when jax first looks for devices: ConfigError if that was before.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if FLAG in flags.split():
        return
    if not backends_are_initialized():
        os.environ["XLA_FLAGS"] = f"{flags} {FLAG}".strip()
    elif jax.default_backend() == "gpu":
        raise ConfigError(
            "deterministic must be false once jax has started without determinism, got True; "
            f"set XLA_FLAGS={FLAG} before"
        )
