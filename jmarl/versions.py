"""Where a result comes from: versions, commit, device; and where compiled programs are kept."""

import os
import platform
import shlex
import subprocess
import sys
import tempfile
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
        "matmul_precision": jax.config.values["jax_default_matmul_precision"] or "default",
        "command": command_line(),
    }


def command_line() -> str:
    """The words that this process was started with: `jmarl ...`, or another program's."""
    path = Path(sys.argv[0] or "python")
    program = path.parent.name if path.name == "__main__.py" else path.name
    return shlex.join([program, *sys.argv[1:]])


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


def keep_compiled(folder: str | Path = "auto") -> str:
    """Keep compiled programs in `folder` between processes; "off" keeps none.

    auto is $JAX_COMPILATION_CACHE_DIR if set, else $XDG_CACHE_HOME/jmarl/xla (~/.cache/jmarl/xla).
    Returns the place in words. One that cannot be written is not used: on a GPU XLA would end the
    run there.
    """
    folder = usual_cache() if folder == "auto" else str(folder)
    reason = "" if folder == "off" or "://" in folder else unwritable(Path(folder))
    keep = folder != "off" and not reason
    jax.config.update("jax_enable_compilation_cache", keep)
    if not keep:
        return f"off ({reason})" if reason else "off"
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    if "://" in folder:  # XLA's own caches are for folders alone
        jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    return folder


def usual_cache() -> str:
    """What jax's own variables say, or "off" if they do; "off" without a home."""
    if os.environ.get("JAX_ENABLE_COMPILATION_CACHE", "true").lower() in ("false", "0", "no"):
        return "off"
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    mine = "off" if home.startswith("~") else f"{home}/jmarl/xla"
    return os.environ.get("JAX_COMPILATION_CACHE_DIR") or mine


def unwritable(folder: Path) -> str:
    """Why no file can be made there, or ""."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror}"


def banner(cache: str) -> str:
    """One line for the start of a run."""
    info = versions()
    packages = info["packages"]
    return (
        f"jmarl {packages['jmarl']}, jax {packages['jax']}, {info['device']} ({info['backend']}), "
        f"compilation cache {cache}"
    )
