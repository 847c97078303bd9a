"""Files that are whole or not there: written beside their place, then moved into it.

What lies beside is named `*.part`; a process that was killed leaves it, and `sweep` clears it away.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

SUMS = "SHA256SUMS"  # of every other file in a folder, as `sha256sum -c` reads them


class Unwritten(OSError):
    """A run's folder or a picture could not be written, in a line that says how to go on."""


def brought(name: str, source: str) -> Path:
    """A folder of data that comes with jmarl: in a wheel beside this file, in a checkout `source`
    under experiments/."""
    here = Path(__file__)
    packed = here.with_name(name)
    return packed if packed.is_dir() else here.parents[1] / "experiments" / source


def write_whole(path: Path, data: bytes) -> None:
    """In place all at once, and on the disk when this returns."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        settle(part)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)


def write_folder(path: Path, contents: Mapping[str, bytes]) -> None:
    """A new or empty folder of files, in place all at once."""
    part = path.with_name(f".{path.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, data in contents.items():
            write_whole(part / name, data)
        part.replace(path)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """What cannot be written within is told in a line."""
    try:
        yield
    except OSError as error:
        raise Unwritten(f"{path} could not be written ({error})") from error


def settle(path: Path) -> None:
    """Wait until the disk holds all of a file, or the names in a folder."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def sweep(folder: Path) -> None:
    """Remove what a killed process was writing here. Nobody else may be writing."""
    for path in (*folder.glob("*.part"), *folder.glob(".*.part")):
        remove(path)


def remove(path: Path) -> None:
    """A file or a folder; a folder never stands half empty under its own name.

    What of it a network drive keeps while others read it stays in a `*.part` for `sweep`.
    """
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    doomed = path if path.suffix == ".part" else path.with_name(f"{path.name}.part")
    path.replace(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def seal(folder: Path) -> None:
    """Put everything in `folder` on the disk, and its check sums beside it."""
    names = sorted(inside(folder))
    for path in (folder, *folder.rglob("*")):
        settle(path)
    lines = [f"{digest(folder / name)}  {name}\n" for name in names]
    write_whole(folder / SUMS, "".join(lines).encode())


def fault(folder: Path, tops: Collection[str]) -> str:
    """What is wrong with the files at or under `tops` in a sealed folder; "" if nothing is."""
    try:
        lines = (folder / SUMS).read_text(errors="replace").splitlines()
        sums = {name: proof for proof, _, name in (line.partition("  ") for line in lines)}
        known, there = (under(names, tops) for names in (sums, inside(folder)))
        if strange := sorted(name for name in there - known if not litter(name)):
            return f"{SUMS} does not list {strange[0]}"
        absent = [top for top in tops if not under(known, [top])]
        if missing := absent + sorted(known - there):
            return f"{missing[0]} is missing"
        changed = [name for name in sorted(known) if digest(folder / name) != sums[name]]
        return f"{changed[0]} is not what was written" if changed else ""
    except FileNotFoundError:
        return f"{SUMS} is missing"
    except OSError as error:
        return str(error)


def litter(name: str) -> bool:
    """Whether it is what desktops and network drives leave in folders that they show."""
    parts = name.split("/")
    return any(part[0] in ".@" or part in ("Thumbs.db", "desktop.ini") for part in parts)


def under(names: Iterable[str], tops: Collection[str]) -> set[str]:
    return {name for name in names if name.split("/")[0] in tops}


def inside(folder: Path) -> set[str]:
    """Names of all files below but the check sums, with / between."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in files} - {SUMS}


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
