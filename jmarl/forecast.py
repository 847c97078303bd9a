"""What a run will need of the device's memory, told before the first allocation."""

import math
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax

from jmarl import hosts
from jmarl.config import Experiment, experiment, hints
from jmarl.fields import ConfigError
from jmarl.mesh import Mesh
from jmarl.program import Program
from jmarl.types import Environment

SCALES = ("num_envs", "seeds", "eval_episodes", "buffer_size")  # settings that memory grows with
CGROUPS = {  # version 2 and 1 by controller: folder, limit, usage
    "": ("", "memory.max", "memory.current"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
}


@dataclass(frozen=True)
class Needs:
    """Bytes, of all seeds together, on a device with a memory of its own."""

    replay: int
    learner: int  # with the best so far
    actors: int
    working: int  # a rollout under way, or the environments of an evaluation; XLA takes more

    @property
    def state(self) -> int:
        """What stays for the whole run, once, and what a checkpoint holds."""
        return self.replay + self.learner + self.actors

    @property
    def total(self) -> int:
        return self.state + self.working

    def __str__(self) -> str:
        kept = f"replay {readable(self.replay)}, learner {readable(self.learner)}"
        passing = f"working space {readable(self.working)} or more"
        return f"{kept}, actors {readable(self.actors)}, {passing}"


def needs(program: Program) -> Needs:
    """Found by tracing shapes; nothing is allocated."""
    with warnings.catch_warnings():  # jax speaks of int64 where an axis is too long to count
        warnings.filterwarnings("ignore", "Explicitly requested dtype int64", UserWarning)
        run, rollout = program.opened
    mesh = Mesh() if on_host() else program.mesh
    actors = nbytes((run.actors, run.key)) // mesh.size
    episodes = program.shape.eval_episodes
    alike = mesh.env if episodes % mesh.env else 1  # devices of an env axis that play the same
    evaluation = alike * actors * episodes // program.shape.num_envs
    working = max(nbytes(rollout) // mesh.size, evaluation)
    learner = 2 * nbytes(run.learner) // mesh.seed
    return Needs(nbytes(run.memory) // mesh.size, learner, actors, working)


def nbytes(tree: Any) -> int:
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def readable(size: int) -> str:
    """1536 is 1.5 KiB."""
    power = 0
    while size / 1024**power >= 999.5 and power < 6:
        power += 1
    return f"{size / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[power]}"


def in_words(found: Needs) -> str:
    """A line for the start of a run, and one of caution if a checkpoint may not find room."""
    line = f"memory: {found}; {readable(free_bytes())} free"
    left = host_free() - (found.total if on_host() else 0)
    if found.state <= left:
        return line
    return (
        f"{line}\ncaution: writing a checkpoint may take up to {readable(found.state)} "
        f"for a while, {readable(max(left, 0))} of the host's memory are left for it"
    )


# --- refusing -----------------------------------------------------------------------------------


def foreseen(program: Program) -> str:
    """What a run needs, in words; ConfigError with the largest setting that fits if it does not."""
    found, free = needs(program), free_bytes()
    if found.total > free:
        raise ConfigError(refusal(program.env, program.experiment, found, free))
    return in_words(found)


def require_working_space(program: Program, allocated: bool) -> None:
    """The same for a compiled program, whose temporaries are known; its state may be there."""
    name, working = max(program.temporaries.items(), key=lambda item: item[1], default=("run", 0))
    # XLA tells of one device
    working *= program.mesh.size // jax.process_count() if on_host() else 1
    state, free = 0 if allocated else needs(program).state, free_bytes()
    if state + working > free:
        raise ConfigError(
            f"memory must hold {readable(state + working)} (the run's state {readable(state)}, "
            f"working space to {name} {readable(working)}), got {readable(free)} free on this "
            "device; fewer seeds, num_envs, eval_episodes or smaller batches need less"
        )


def refusal(env: Environment[Any], plan: Experiment, found: Needs, free: int) -> str:
    need, room = f"{readable(found.total)}: {found}", f"on this device ({readable(free)} free)"
    for name, value in suspects(plan):
        size = lambda value, name=name: needs_with(env, plan, name, value)
        if most := largest(size, value, free):
            return f"{name} must be at most {most:,} {room}, got {value:,} (which needs {need})"
    return f"memory must hold {readable(found.total)} ({found}), got {readable(free)} free"


def suspects(plan: Experiment) -> list[tuple[str, int]]:
    """Settings that memory grows with and their values, furthest above their defaults first."""
    usual, given = (
        {**vars(e.run), **{name: getattr(e.config, name) for name in hints(type(e.config))}}
        for e in (experiment(plan.algorithm, plan.preset), plan)
    )
    found = [(name, given[name]) for name in SCALES if name in given]
    return sorted(found, key=lambda item: item[1] / usual[item[0]], reverse=True)


def needs_with(env: Environment[Any], plan: Experiment, name: str, value: int) -> int:
    """Bytes with one setting changed; 0 where it is too small to be."""
    part = "run" if name in hints(type(plan.run)) else "config"
    changed = replace(plan, **{part: replace(getattr(plan, part), **{name: value})})
    try:
        return needs(Program(env, changed)).total
    except ValueError:
        return 0


def largest(size: Callable[[int], int], asked: int, free: int) -> int:
    """A value below `asked` that fits where the next one does not; 0 if not even 1 does.

    Sizes grow almost in proportion, so a straight line finds it at once; halving goes on where
    they grow in steps.
    """
    low, small, high, big, halve = 1, size(1), asked, size(asked), False
    if small > free:
        return 0
    while high - low > 1:
        share = 0.5 if halve else (free - small) / (big - small)
        value = min(max(low + int((high - low) * share), low + 1), high - 1)
        if (found := size(value)) <= free:
            low, small = value, found
        else:
            high, big = value, found
        halve = not halve
    return low if small else 0


# --- what is free -------------------------------------------------------------------------------


def on_host() -> bool:
    """Whether the device that trains has no memory of its own, or does not tell of it."""
    return not hosts.device().memory_stats()


def free_bytes() -> int:
    """Of the device that trains."""
    if on_host():
        return host_free()
    stats = hosts.device().memory_stats() or {}
    return stats["bytes_limit"] - stats["bytes_in_use"]


def host_free(root: Path = Path("/")) -> int:
    """What this process may still take of the host's memory: caches can be given up for it."""
    page = os.sysconf("SC_PAGE_SIZE")
    available = entries(root / "proc/meminfo").get("MemAvailable")
    free = available * 1024 if available else page * os.sysconf("SC_PHYS_PAGES")
    return max(0, min([free, *cgroups_free(root)]))


def cgroups_free(root: Path) -> Iterator[int]:
    """What each of the control groups around this process leaves."""
    for line in text(root / "proc/self/cgroup").splitlines():
        _, controller, path = line.split(":", 2)
        if controller not in CGROUPS:
            continue
        folder, limit, usage = CGROUPS[controller]
        top = root / "sys/fs/cgroup" / folder
        group = top / path.lstrip("/")
        for place in (group, *group.parents):
            most, used = text(place / limit).strip(), text(place / usage).strip()
            if most.isdigit() and used.isdigit():
                stat = entries(place / "memory.stat")
                cached = stat.get("active_file", 0) + stat.get("inactive_file", 0)
                yield int(most) - int(used) + cached
            if place == top:
                break


def entries(path: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    rows = [line.replace(":", " ").split() for line in text(path).splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdigit()}


def text(path: Path) -> str:
    """A file, or "" where there is none: not every system has them."""
    try:
        return path.read_text()
    except OSError:
        return ""
