"""One side of one case in a process of its own, compiled once, run as often as it is told to.

    python benchmarks/peer_rung.py ORDER

ORDER is an `Order` as JSON. Events come as lines of JSON on stdout: {"about": versions}, {"ready":
facts} once it is compiled; for every line on stdin {"repeat": times} of a whole training run; when
stdin ends {"done": facts}. Or {"failed": reason}.
"""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import peer_work
import torch_work
from counting import Work, work_of
from floors import floor, machine, work_of_chunk, work_of_rollout
from jaxmarl_scripts import came_from, load, train_of
from peer_work import SCRIPTS, theirs
from rung import about, environment_alone, peak_memory
from telling import Tell, answer

import jmarl
from jmarl.making import env_of
from jmarl.program import Program
from jmarl.versions import keep_compiled

TRIES = 5  # at the environment alone; the quickest counts


@dataclass(frozen=True)
class Order:
    """Which side of a case."""

    side: str  # jmarl, or jaxmarl
    case: dict[str, Any]
    checkout: str = ""


@dataclass(frozen=True)
class Ready:
    """A side, compiled."""

    run: Callable[[], Any]  # a whole training run; what comes out holds the optimisers' states
    compiling: dict[str, float]  # seconds, tracing included, and seconds of processor time
    positions: int  # steps of all environments of all seeds, with those that only reset
    version: str
    work: Work  # of a run
    true_steps: Callable[[Any], int]  # of what came out of a run: without those
    padding: Callable[[Any], int] = lambda out: 0  # parameters in it that only fill arrays up
    floor: Callable[[float], dict[str, Any]] | None = None  # under so many processor seconds


def ours_ready(order: Order) -> Ready:
    """`jmarl train`'s own compiled functions: what opens a run and warms it up, and one chunk."""
    official = order.case["algorithm"] in torch_work.ALGORITHMS
    case = (torch_work if official else peer_work).Case(**order.case)
    plan = case.plan
    program = Program(env_of(plan), plan)
    program.refuse_impossible()
    shape = program.shape = replace(program.shape, rollouts_per_chunk=case.updates)
    _, compiling = timed(lambda: (program.start, program.advance))
    warmup = work_of_rollout(program) * shape.warmup_rollouts
    work = warmup + work_of_chunk(program, environment=True)

    def run() -> Any:
        state, warmup = program.start()
        state, (_, score) = program.chunk(state, shape.warmup_rollouts)
        return state.learner, [warmup, score]

    rollouts = shape.warmup_rollouts + shape.rollouts_per_chunk
    positions = rollouts * shape.num_envs * shape.rollout_length * len(program.seeds)
    steps = lambda out: int(sum(score.env_steps.sum() for score in out[1]))
    return Ready(
        run,
        compiling,
        positions,
        jmarl.__version__,
        work,
        steps,
        zeros if official else lambda out: 0,
        lambda took: floor_of(program, work, rollouts * len(program.seeds), took),
    )


def zeros(out: Any) -> int:
    """Weights that pad networks of agents of unequal sizes: they are zero and stay so."""
    return sum(int((x == 0).sum()) for x in jax.tree.leaves(out[0].nets))


def floor_of(program: Program, work: Work, rollouts: int, took: float) -> dict[str, Any]:
    """Of a run, in processor seconds: what other processes do meanwhile counts less."""
    play, _ = environment_alone(program)
    play(1)
    alone = min(timed(lambda: play(1))[1]["cpu_seconds"] for _ in range(TRIES))
    return floor(work, machine(time.process_time), alone * rollouts, took)


def theirs_ready(order: Order) -> Ready:
    """A script's `train`, jitted and vmapped over seeds as its `single_run` does."""
    case, checkout = peer_work.Case(**order.case), Path(order.checkout)
    config = theirs(case)
    module = load(checkout, SCRIPTS[case.algorithm])
    train = train_of(module, config)
    keys = jax.random.split(jax.random.PRNGKey(0), case.seeds)
    compiled, compiling = timed(lambda: jax.jit(jax.vmap(train)).lower(keys).compile())
    # what the script itself has made of the total
    positions = config["NUM_UPDATES"] * config["NUM_STEPS"] * config["NUM_ENVS"] * case.seeds
    work = theirs_work(case, jax.vmap(train), keys)
    run, steps = lambda: compiled(keys), lambda out: positions
    return Ready(run, compiling, positions, came_from(checkout), work, steps)


def theirs_work(case: peer_work.Case, train: Callable[[Any], Any], keys: Any) -> Work:
    """Their rollouts learn in a branch, which is not taken in the warm-up."""
    least, most = (work_of(train, keys, taken=taken) for taken in (min, max))
    learning = case.updates / case.rollouts
    return least * (1 - learning) + most * learning


SIDES = {"jmarl": ours_ready, "jaxmarl": theirs_ready}


def timed(call: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What it returns, and how long that took; of all threads, what others do counts less."""
    began, used = time.perf_counter(), time.process_time()
    out = call()
    return out, {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - used,
    }


def learned(out: Any, seeds: int) -> dict[str, int]:
    """Gradient steps as the optimisers themselves counted them, and how many parameters they have
    moved: of one seed."""
    is_adam = lambda node: isinstance(node, optax.ScaleByAdamState)
    leaves = jax.tree.leaves(out, is_leaf=is_adam)
    states = [leaf for leaf in leaves if is_adam(leaf)]
    counts = {int(count) for state in states for count in jnp.ravel(state.count)}
    if len(counts) != 1:
        raise ValueError(f"optimisers must agree on one number of steps, got {sorted(counts)}")
    size = sum(x.size for state in states for x in jax.tree.leaves(state.mu))
    return {"gradient_steps": counts.pop(), "parameters": size // seeds}


def serve(order: Order, tell: Tell) -> dict[str, Any]:
    """Runs for every line that comes in; the facts of the last one at the end."""
    ready, out = SIDES[order.side](order), None
    tell(
        ready={
            "compiling": ready.compiling,
            "positions": ready.positions,
            "version": ready.version,
            **asdict(ready.work),
        }
    )
    took = []
    for _ in sys.stdin:
        out, repeat = timed(lambda: jax.block_until_ready(ready.run()))
        took.append(repeat["cpu_seconds"])
        tell(repeat=repeat)
    memory, memory_of = peak_memory()
    facts: dict[str, Any] = {}
    if out is not None:
        facts = learned(out, order.case["seeds"]) | {"env_steps": ready.true_steps(out)}
        facts["parameters"] -= ready.padding(out)
        if ready.floor is not None:
            facts["floor"] = ready.floor(statistics.median(took[1:] or took))
    return {**facts, "peak_memory_bytes": memory, "peak_memory_of": memory_of}


def ordered(asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    order = Order(**asked)
    keep_compiled("off")  # every compile is a cold one
    tell(about=about())
    return serve(order, tell)


if __name__ == "__main__":
    sys.exit(answer(ordered))
