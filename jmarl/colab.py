"""What jmarl needs, installed beside a jax that must stay as it is: python -m jmarl.colab

Colab's runtimes bring a jax that is built for their accelerator. After `pip install --no-deps` of
jmarl itself, this installs what is missing or too old of all that it needs, and of what that needs
in turn, each package by itself, so that pip never comes to touch jax.
"""

import subprocess
import sys
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

KEPT = ("jax", "jaxlib")


def lacking(package: str) -> dict[str, str]:
    """What is missing or too old of what an installed package needs, directly or not: by name, as
    pip takes it. What a missing package needs is seen once that is installed."""
    lacks, seen, asked = {}, {package}, [package]
    while asked:
        for need in map(Requirement, metadata.requires(asked.pop()) or ()):
            name = canonicalize_name(need.name)
            if name in seen or not wanted(need):
                continue
            seen.add(name)
            if name in KEPT or there(need):
                asked.append(name)
            else:
                lacks[name] = f"{name}{need.specifier}"
    return lacks


def wanted(need: Requirement) -> bool:
    """On this machine, without extras."""
    return need.marker is None or need.marker.evaluate({"extra": ""})


def there(need: Requirement) -> bool:
    """Installed, and new enough."""
    try:
        return need.specifier.contains(metadata.version(need.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def old_jax() -> str:
    """In words, if it is older than jmarl is tested with; "" if not."""
    needs = [Requirement(words) for words in metadata.requires("jmarl") or ()]
    old = [need for need in needs if need.name in KEPT and not there(need)]
    return "".join(f", older than jmarl is tested with ({need})" for need in old)


def main() -> None:
    """Raises CalledProcessError where pip fails."""
    tried: set[str] = set()
    while lacks := {x for x in lacking("jmarl").values() if x not in tried}:
        print("installing", *sorted(lacks), flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, *sorted(lacks)], check=True)
        tried |= lacks
    print(f"jax is the one that was here, {metadata.version('jax')}{old_jax()}")


if __name__ == "__main__":
    main()
