"""One rung of the ladder in a process of its own, whose memory and compiling are then its own too.

    python benchmarks/rung.py ORDER

ORDER is an `Order` as JSON. Events come as lines of JSON on stdout: {"about": versions},
{"phase": name} as each of PHASES but the first begins, and at the end {"done": measurements} or
{"failed": reason}.
"""

import math
import platform
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from floors import floor, machine, work_of_chunk
from jax import Array
from telling import Tell, answer

from jmarl.config import experiment
from jmarl.exploration import uniform_policy
from jmarl.making import env_of
from jmarl.program import Program, rollout_length
from jmarl.rollout import Actors, open_actors, rollout
from jmarl.types import Key
from jmarl.versions import keep_compiled, versions

PHASES: tuple[str, ...] = (
    "starting",
    "compiling start",
    "compiling chunk",
    "warming up",
    "training",
    "environment alone",
    "floor",
)
REPEATS = 3
LONG = 5  # one call that takes so many times the time asked for is the only repeat
UPDATES_PER_CALL = 16  # at least: then what the host does between two calls does not count


@dataclass(frozen=True)
class Order:
    """What to measure, and for how long."""

    algorithm: str
    env: str
    num_envs: int
    seconds: float  # of each repeat
    settings: dict[str, Any]
    compile_cache: str = "off"  # every compile is then a cold one
    options: dict[str, Any] = field(default_factory=dict)  # of the environment


@dataclass(frozen=True)
class Repeat:
    """Something that was timed, and what happened meanwhile."""

    seconds: float
    env_steps: int
    calls: int


Call = Callable[[int], int]  # so many calls in a row, finished; returns their environment steps


def program_of(order: Order) -> Program:
    """What `jmarl train` would compile, in shorter chunks; ConfigError where that would refuse."""
    settings = {**order.settings, "env": order.env, "num_envs": order.num_envs}
    plan = experiment(order.algorithm, env_options=order.options, settings=settings)
    env, run = env_of(plan), plan.run
    length = rollout_length(env, plan)
    warmup = plan.recipe.plan(plan.config, run.num_envs, length).warmup_rollouts
    # speed does not depend on the length of training, which only must hold the warm-up and more
    least = (warmup + 1) * run.num_envs * length
    plan = replace(plan, run=replace(run, total_steps=max(run.total_steps, least)))
    program = Program(env, plan)
    program.refuse_impossible()
    rollouts = math.ceil(UPDATES_PER_CALL / program.shape.updates_per_rollout)
    program.shape = replace(program.shape, rollouts_per_chunk=rollouts)
    return program


def training(program: Program, tell: Tell) -> Call:
    """Chunk after chunk, from a memory that is warmed up."""
    tell(phase="compiling start")
    start = program.start
    tell(phase="compiling chunk")
    _ = program.advance
    tell(phase="warming up")
    state, _ = jax.block_until_ready(start())
    rollouts = program.shape.warmup_rollouts

    def call(times: int) -> int:
        nonlocal state, rollouts
        steps = []
        for _ in range(times):
            state, (_, score) = program.chunk(state, rollouts)
            rollouts += program.shape.rollouts_per_chunk
            steps.append(score.env_steps)
        jax.block_until_ready(state)
        return sum(int(x.sum()) for x in jax.device_get(steps))

    return call


def environment_alone(program: Program) -> tuple[Call, float]:
    """The uniform policy in as many environments, learning nothing; and the compile seconds."""
    env, num_envs = program.env, program.shape.num_envs
    policy = uniform_policy(env.spec)

    def play(actors: Actors, key: Key, times: Array) -> tuple[Actors, Array]:
        def one(i: Array, carry: tuple[Actors, Array]) -> tuple[Actors, Array]:
            actors, (steps, _) = rollout(
                env, policy, carry[0], jax.random.fold_in(key, i), program.shape.rollout_length
            )
            return actors, carry[1] + steps.valid.sum()

        # the actors come out, so that no observation or reward is optimised away
        return jax.lax.fori_loop(0, times, one, (actors, jnp.int32(0)))

    key = jax.random.key(program.seeds[0])
    actors = jax.jit(lambda key: open_actors(env, policy, num_envs, key))(key)
    began = time.monotonic()
    compiled = jax.jit(play).lower(actors, key, jnp.int32(1)).compile()
    compile_seconds = time.monotonic() - began
    call = lambda times: int(jax.block_until_ready(compiled(actors, key, jnp.int32(times)))[1])
    return call, compile_seconds


def timed(call: Call, times: int) -> Repeat:
    began = time.perf_counter()
    env_steps = call(times)
    return Repeat(time.perf_counter() - began, env_steps, times)


def measure(call: Call, seconds: float) -> list[Repeat]:
    """REPEATS of about `seconds` each, after a warm-up; only one where a single call is long."""
    tried = timed(call, 1)
    while tried.seconds < seconds / 4:  # too short to tell how many calls take as long as asked
        factor = min(10, seconds / tried.seconds)
        tried = timed(call, math.ceil(tried.calls * factor))
    if tried.seconds > LONG * seconds:
        return [tried]
    times = max(1, round(tried.calls * seconds / tried.seconds))
    return [timed(call, times) for _ in range(REPEATS)]


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def peak_memory() -> tuple[int, str]:
    """Bytes, and of what: of the device where it counts them, else of this process."""
    stats = jax.devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"], "device"
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    if found:  # ru_maxrss of Linux may be that of the parent, if it was larger before exec
        return int(found[1]) * 1024, "process"
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "process"


def measurements(order: Order, tell: Tell) -> dict[str, Any]:
    """All that is told of a rung."""
    program = program_of(order)
    call = training(program, tell)
    tell(phase="training")
    learned = measure(call, order.seconds)
    memory, memory_of = peak_memory()
    del call  # and with it the replay buffer
    tell(phase="environment alone")
    alone, alone_compile = environment_alone(program)
    played = measure(alone, order.seconds)

    tell(phase="floor")
    shape = program.shape
    per_call = shape.rollouts_per_chunk * shape.updates_per_rollout
    updates = [repeat.calls * per_call for repeat in learned]
    steps = sum(repeat.env_steps for repeat in learned)
    bound = floor_of(program, learned, played)
    return {
        "num_envs": order.num_envs,
        "training": {
            "env_steps_per_second": spread([r.env_steps / r.seconds for r in learned]),
            "gradient_steps_per_second": spread(
                [u / r.seconds for u, r in zip(updates, learned, strict=True)]
            ),
            "gradient_steps_per_env_step": sum(updates) / steps,
            "repeats": [
                {**asdict(r), "gradient_steps": u} for u, r in zip(updates, learned, strict=True)
            ],
        },
        "environment_alone": {
            "env_steps_per_second": spread([r.env_steps / r.seconds for r in played]),
            "repeats": [asdict(r) for r in played],
        },
        "floor": bound,
        "compile_seconds": {**program.compile_seconds, "environment_alone": alone_compile},
        "peak_memory_bytes": memory,
        "peak_memory_of": memory_of,
        "shape": asdict(shape),
        "settings": program.experiment.as_json(),
    }


def floor_of(
    program: Program, learned: Sequence[Repeat], played: Sequence[Repeat]
) -> dict[str, Any]:
    """Of one chunk, in medians: what it took, and the least that it could take."""
    took = statistics.median(repeat.seconds / repeat.calls for repeat in learned)
    steps = statistics.median(repeat.env_steps / repeat.calls for repeat in learned)
    alone = statistics.median(repeat.seconds / repeat.env_steps for repeat in played)
    return floor(work_of_chunk(program), machine(), alone * steps, took)


def about() -> dict[str, Any]:
    """The versions that every run folder has, and the processor's name."""
    info = Path("/proc/cpuinfo")
    name = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return {**versions(), "cpu": name[1] if name else platform.processor()}


def ordered(asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    order = Order(**asked)
    keep_compiled(order.compile_cache)
    tell(about=about())
    return measurements(order, tell)


if __name__ == "__main__":
    sys.exit(answer(ordered))
