"""One environment at every size, in a process of its own.

    python benchmarks/env_rung.py ORDER

ORDER is an `Order` as JSON. Events come as lines of JSON on stdout: {"about": versions},
{"phase": words}, {"size": measurements of one size, or why there are none}, and at the end
{"done": facts} or {"failed": reason}.
"""

import math
import os
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from rung import about, peak_memory, spread
from sides import SIDES, Side, ours
from telling import Tell, answer

import jmarl_envs
from jmarl.types import Key
from jmarl.versions import keep_compiled

CHUNK = 16  # steps in one scan; a call runs as many scans as it takes
FULL = 0.8  # of the free memory: programs that would take more are not run


@dataclass(frozen=True)
class Order:
    """What to measure, and for how long."""

    env: str
    sizes: list[int]
    options: dict[str, Any] = field(default_factory=dict)
    peer: str = ""  # the environment whose peer it stands beside; its own if empty
    seconds: float = 0.5  # of each repeat
    repeats: int = 5
    budget: float = 90.0  # seconds of one size, compiling included
    compile_cache: str = "off"

    @property
    def label(self) -> str:
        return " ".join([self.env, *(f"{name}={value}" for name, value in self.options.items())])


class TooMuch(Exception):
    """A size that is not measured, and why."""


@dataclass(frozen=True)
class Repeat:
    """Something that was timed."""

    seconds: float
    cpu_seconds: float  # of all threads: what others do on this machine counts less
    env_steps: int

    @property
    def speed(self) -> float:
        return self.env_steps / self.seconds


class Running:
    """A side at one size, compiled, in mid-flight."""

    def __init__(self, side: Side, num_envs: int) -> None:
        def play(carry: Any, key: Key, times: Any) -> tuple[Any, Any, Any]:
            def scan(i: Any, now: Any) -> Any:
                keys = jax.random.split(jax.random.fold_in(key, i), CHUNK)
                return jax.lax.scan(one, now, keys)[0]

            def one(now: Any, key: Key) -> tuple[Any, None]:
                carry, count, seen = now
                carry, steps, more = side.step(carry, key)
                return (carry, count + steps, seen + more), None

            return jax.lax.fori_loop(0, times, scan, (carry, jnp.int32(0), jnp.float32(0)))

        opened = jax.jit(side.open, static_argnums=1)(jax.random.key(0), num_envs)
        # the library's states change their weak types with the first step
        self.carry = jax.tree.map(lambda x: jnp.asarray(x, x.dtype), opened)
        self.key, self.calls = jax.random.key(1), 0
        began = time.monotonic()
        lowered = jax.jit(play, donate_argnums=0).lower(self.carry, self.key, jnp.int32(1))
        self.compiled = lowered.compile()
        self.compile_seconds = time.monotonic() - began
        refuse_too_large(self.compiled)

    def run(self, times: int) -> Repeat:
        """So many scans, and their true steps."""
        self.calls += 1
        key = jax.random.fold_in(self.key, self.calls)
        began, cpu = time.perf_counter(), time.process_time()
        self.carry, steps, _ = jax.block_until_ready(self.compiled(self.carry, key, times))
        seconds, used = time.perf_counter() - began, time.process_time() - cpu
        return Repeat(seconds, used, int(steps))

    def calibrated(self, seconds: float) -> tuple[int, float]:
        """How many scans last about so long, at least one; and how long they do."""
        times, took = 1, self.run(1).seconds
        while took < seconds / 4:
            times = math.ceil(times * min(10, seconds / took))
            took = self.run(times).seconds
        fitting = max(1, round(times * seconds / took))
        return fitting, took * fitting / times


def refuse_too_large(compiled: Any) -> None:
    """TooMuch if a program needs more memory than there is."""
    needs = compiled.memory_analysis()
    free = free_memory()
    if needs is None or free is None:
        return
    wanted = needs.temp_size_in_bytes + needs.output_size_in_bytes
    if wanted > FULL * free:
        raise TooMuch(f"needs {wanted / 2**30:.1f} GiB of {free / 2**30:.1f} GiB free")


def free_memory() -> int | None:
    """Bytes of the device, or of this machine; None where neither is told."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    info = Path("/proc/meminfo")
    lines = info.read_text().splitlines() if info.exists() else []
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable")]
    return int(found[0]) * 1024 if found else None


def measure(order: Order, sides: dict[str, Side], num_envs: int, tell: Tell) -> dict[str, Any]:
    """Both sides at one size, in turn: ours, theirs, ours, theirs, ..."""
    deadline = time.monotonic() + order.budget
    running: dict[str, Running] = {}
    for name, side in sides.items():
        tell(phase=f"{num_envs:,} environments: compiling {name}")
        running[name] = Running(side, num_envs)
    tell(phase=f"{num_envs:,} environments: running")
    plans = {name: made.calibrated(order.seconds) for name, made in running.items()}
    round_ = sum(seconds for _, seconds in plans.values())
    rounds = max(1, min(order.repeats, int((deadline - time.monotonic()) / round_)))
    repeats: dict[str, list[Repeat]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, (times, _) in plans.items():
            repeats[name].append(running[name].run(times))
    memory, memory_of = peak_memory()
    found: dict[str, Any] = {
        "num_envs": num_envs,
        "sides": {name: told(made, repeats[name]) for name, made in running.items()},
        "peak_memory_bytes": memory,
        "peak_memory_of": memory_of,
    }
    if len(sides) == 2:
        found["ratio"] = ratios(*repeats.values())
    return found


def told(made: Running, repeats: Sequence[Repeat]) -> dict[str, Any]:
    return {
        "env_steps_per_second": spread([repeat.speed for repeat in repeats]),
        "cpu_microseconds_per_env_step": statistics.median(
            1e6 * repeat.cpu_seconds / repeat.env_steps for repeat in repeats
        ),
        "compile_seconds": made.compile_seconds,
        "repeats": [asdict(repeat) for repeat in repeats],
    }


def ratios(mine: Sequence[Repeat], theirs: Sequence[Repeat]) -> dict[str, float]:
    """Our speed over theirs: of neighbours in time, of the medians, and by processor time."""
    pairs = [a.speed / b.speed for a, b in zip(mine, theirs, strict=True)]
    medians = [statistics.median(r.speed for r in side) for side in (mine, theirs)]
    costs = [
        statistics.median(r.cpu_seconds / r.env_steps for r in side) for side in (mine, theirs)
    ]
    by_cpu = {"by_cpu_time": costs[1] / costs[0]} if min(costs) > 0 else {}
    return {**spread(pairs), "of_medians": medians[0] / medians[1], **by_cpu}


def sides_of(order: Order) -> tuple[dict[str, Side], dict[str, Any]]:
    """Ours, and the library's if there is one; and facts to tell."""
    env = jmarl_envs.make(order.env, **order.options)
    peer = jmarl_envs.entry(order.peer or order.env).peer
    sides = {"jmarl": ours(env)}
    if peer is not None:
        sides[peer.library] = SIDES[peer.library](peer.make())
    facts = {
        "agents": env.spec.num_agents,
        "obs_size": env.spec.obs_size,
        "episode_limit": env.spec.episode_limit,
        "library": peer.library if peer else "",
    }
    return sides, facts


def watched(order: Order, tell: Tell, num_envs: int) -> threading.Timer:
    """Ends the process if a size takes far longer than it may: compiling hears no signal."""

    def end() -> None:
        tell(failed=f"{num_envs:,} environments took more than {2 * order.budget:.0f} s")
        os._exit(1)

    timer = threading.Timer(2 * order.budget, end)
    timer.daemon = True
    timer.start()
    return timer


def measure_all(order: Order, tell: Tell) -> dict[str, Any]:
    """Each size in turn, unless it would take too long by what the size before it took."""
    tell(phase="making")
    sides, facts = sides_of(order)
    last = (0, 0.0)  # a size, and the seconds of its shortest calls
    for num_envs in order.sizes:
        forecast = 4 * last[1] * num_envs / last[0] if last[0] else 0.0
        result: dict[str, Any]
        if forecast > order.budget:
            reason = f"would take about {forecast:,.0f} s, {order.budget:g} s are allowed"
            tell(size={"num_envs": num_envs, "skipped": reason})
            continue
        timer = watched(order, tell, num_envs)
        try:
            result = measure(order, sides, num_envs, tell)
            scans = [
                CHUNK * num_envs / side["env_steps_per_second"]["median"]
                for side in result["sides"].values()
            ]
            last = num_envs, sum(scans)
        except TooMuch as much:
            result = {"num_envs": num_envs, "skipped": str(much)}
        finally:
            timer.cancel()
        tell(size=result)
    return facts


def ordered(asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    order = Order(**asked)
    keep_compiled(order.compile_cache)
    tell(about=about())
    return measure_all(order, tell)


if __name__ == "__main__":
    sys.exit(answer(ordered))
