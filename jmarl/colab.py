"""What jmarl needs, installed beside a jax that must stay as it is: python -m jmarl.colab

Colab's runtimes bring a jax that is built for their accelerator. After `pip install --no-deps` of
jmarl itself, this installs what is missing or too old of all that it needs, and of what that needs
in turn, each package by itself, so that pip never comes to touch jax.
"""

import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

KEPT = ("jax", "jaxlib")


def needs(package: str) -> Iterator[tuple[str, Requirement]]:
    """Who needs what: an installed package, and what it needs, directly or not, as far as it is
    there."""
    asked, seen = [package], {package}
    while asked:
        needer = asked.pop()
        for need in filter(wanted, map(Requirement, metadata.requires(needer) or ())):
            yield needer, need
            name = canonicalize_name(need.name)
            if name not in seen and (name in KEPT or there(need)):
                seen.add(name)
                asked.append(name)


def lacking(package: str) -> dict[str, str]:
    """What is missing or too old of what an installed package needs, directly or not: by name, as
    pip takes it. What a missing package needs is seen once that is installed."""
    lacks: dict[str, SpecifierSet] = {}
    for _, need in needs(package):
        name = canonicalize_name(need.name)
        if name not in KEPT and not there(need):
            lacks[name] = lacks.get(name, SpecifierSet()) & need.specifier
    return {name: f"{name}{versions}" for name, versions in lacks.items()}


def wanted(need: Requirement) -> bool:
    """On this machine, without extras."""
    return need.marker is None or need.marker.evaluate({"extra": ""})


def there(need: Requirement) -> bool:
    """Installed, and new enough."""
    try:
        return need.specifier.contains(metadata.version(need.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def other_jax() -> str:
    """Who needs another, in words; "" if nobody does."""
    asked = [
        f"{needer} needs {need}"
        for needer, need in needs("jmarl")
        if need.name in KEPT and not there(need)
    ]
    return f"; {', '.join(asked)}" if asked else ""


def main() -> None:
    """Raises CalledProcessError where pip fails."""
    tried: set[str] = set()
    while lacks := {x for x in lacking("jmarl").values() if x not in tried}:
        print("installing", *sorted(lacks), flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, *sorted(lacks)], check=True)
        tried |= lacks
    print(f"jax is the one that was here, {metadata.version('jax')}{other_jax()}")


if __name__ == "__main__":
    main()
