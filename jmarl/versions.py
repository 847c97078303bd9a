"""Where a result comes from: versions, commit, device; and where compiled programs are kept."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from jmarl import __version__

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "jaxmarl", "jumanji")


def versions() -> dict[str, Any]:
    """Of the packages that results depend on, the interpreter, the commit and the device."""
    return {
        "packages": {"jmarl": __version__, **{name: installed(name) for name in PACKAGES}},
        "python": platform.python_version(),
        "git": git_commit(Path(__file__).parent),
        "platform": platform.platform(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "backend": jax.default_backend(),
        "cpus": os.cpu_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "command": " ".join(["jmarl", *sys.argv[1:]]),
    }


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def git_commit(folder: Path) -> str:
    """The commit that the code stands at, with + if files have changed; "" outside a checkout."""

    def git(*args: str) -> str:
        ran = subprocess.run(["git", "-C", str(folder), *args], capture_output=True, text=True)
        return ran.stdout.strip() if ran.returncode == 0 else ""

    try:
        commit = git("rev-parse", "HEAD")
        return commit + ("+" if commit and git("status", "--porcelain", "-uno") else "")
    except FileNotFoundError:  # no git on this machine
        return ""


def keep_compiled(folder: str = "auto") -> str:
    """Keep compiled programs in `folder` between processes; "off" keeps none.

    auto is $JAX_COMPILATION_CACHE_DIR if set, else $XDG_CACHE_HOME/jmarl/xla (~/.cache/jmarl/xla).
    Returns the place in words.
    """
    if folder == "off":
        jax.config.update("jax_enable_compilation_cache", False)
        return "off"
    jax.config.update("jax_enable_compilation_cache", True)
    if folder == "auto":
        home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        folder = os.environ.get("JAX_COMPILATION_CACHE_DIR", str(home / "jmarl" / "xla"))
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    return folder


def banner(cache: str) -> str:
    """One line for the start of a run."""
    info = versions()
    packages = info["packages"]
    return (
        f"jmarl {packages['jmarl']}, jax {packages['jax']}, {info['device']} ({info['backend']}), "
        f"compilation cache {cache}"
    )
