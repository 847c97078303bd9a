"""How near training is to what the machine could do: a floor under its time, counted and measured.

The floor is the environment's own time, and the longer of two: the products' operations at the
rate of one large product, or the bytes they touch at the memory's bandwidth.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from counting import Work, work_of

from jmarl.exploration import uniform_policy
from jmarl.loop import Loop
from jmarl.program import Program
from jmarl.rollout import open_actors, rollout

TRIES = 20  # the quickest counts: what others do on the machine only ever adds
SIDE = {"cpu": 1024}  # of the product that is timed; accelerators need a larger one
NUMBERS = 2**26  # far more than caches hold


@dataclass(frozen=True)
class Machine:
    """What it can do at best, in float32 at jax's default precision."""

    flops_per_second: float
    bytes_per_second: float


def machine(clock: Callable[[], float] = time.perf_counter) -> Machine:
    """In memory that is there already, as training's is: each call writes where it has read.

    By a clock of processor time, in seconds of processors.
    """
    side = SIDE.get(jax.default_backend(), 8192)
    x = jnp.full((side, side), 1 / side)  # its product with itself
    long = jnp.ones(NUMBERS)
    flops = 2.0 * side**3 / quickest(jax.jit(lambda x: x @ x), x, clock)
    touched = 2.0 * long.nbytes  # read and written
    seconds = quickest(jax.jit(lambda x: x + 1, donate_argnums=0), long, clock)
    return Machine(flops, touched / seconds)


def quickest(call: Callable[[Any], Any], x: Any, clock: Callable[[], float]) -> float:
    """Seconds of one call on what the call before it gave, after one that compiles."""
    x, took = jax.block_until_ready(call(x)), []
    for _ in range(TRIES):
        began = clock()
        x = jax.block_until_ready(call(x))
        took.append(clock() - began)
    return min(took)


def work_of_chunk(program: Program, environment: bool = False) -> Work:
    """What a chunk's products do; those of the environment itself only where they are asked for."""
    first = jnp.int32(0)
    chunk = lambda loop, run: without_warmup(loop).chunk(run, first)
    whole = work_of(lambda run: program.each(chunk, program.config, run), program.state)
    alone = Work() if environment else work_of_environments(program)
    return Work(max(0.0, whole.flops - alone.flops), max(0.0, whole.bytes - alone.bytes))


def without_warmup(loop: Loop) -> Loop:
    """`work_of` would count a rollout that only collects: of branches it takes the smaller one."""
    return replace(loop, cfg=replace(loop.cfg, warmup_rollouts=0))


def work_of_rollout(program: Program) -> Work:
    """Of one that learns nothing, as in the warm-up."""
    first = jnp.int32(0)
    collect = lambda run: program.each(lambda loop, x: loop.collect(x, first), program.config, run)
    return work_of(collect, program.state)


def work_of_environments(program: Program) -> Work:
    """Of a chunk's rollouts under the uniform policy."""
    env, policy, shape = program.env, uniform_policy(program.env.spec), program.shape

    def play(key: Any) -> Any:
        actors = open_actors(env, policy, shape.num_envs, key)
        return rollout(env, policy, actors, key, shape.rollout_length)

    return work_of(play, jax.random.key(0)) * (shape.rollouts_per_chunk * len(program.seeds))


def floor(work: Work, found: Machine, env_seconds: float, took: float) -> dict[str, Any]:
    """Of one chunk: `env_seconds` of its environments alone, `took` as it was measured."""
    parts = {
        "environment": env_seconds,
        "operations": work.flops / found.flops_per_second,
        "bytes": work.bytes / found.bytes_per_second,
    }
    least = env_seconds + max(parts["operations"], parts["bytes"])
    return {
        **asdict(work),
        **asdict(found),
        "seconds": {**parts, "floor": least, "measured": took},
        "times_the_floor": took / least,
    }
