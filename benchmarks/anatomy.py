"""Where the time of one iteration of a value-decomposition learner goes, and what its choices buy.

Each part runs alone, compiled by itself, on a warmed-up run; each choice is timed against the way
not taken, the two by turns. Prints tables and writes a JSON file under results/.

  python benchmarks/anatomy.py qmix --env smax/3m --num-envs 64
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
from jax import Array
from rich.console import Console
from rich.table import Table
from rung import about

from jmarl.algorithms.value_decomposition import ValueDecomposition
from jmarl.cli import exit_code
from jmarl.config import experiment
from jmarl.exploration import uniform_policy
from jmarl.loop import Loop
from jmarl.making import env_of
from jmarl.networks import recurrent
from jmarl.networks.agents import Agents, Unrolled, actions_before
from jmarl.program import Program
from jmarl.rollout import open_actors, rollout
from jmarl.types import Params, Transition, tree_where

REPEATS = 7
UPDATES = 8  # in a call: alone, one would mostly wait for fresh memory
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Apart(Agents):
    """Online and target networks go through time one after the other."""

    def unroll(self, teams: Sequence[Params], batch: Transition) -> list[Unrolled]:
        return [super(Apart, self).unroll([params], batch)[0] for params in teams]


@dataclass(frozen=True)
class Inside(Agents):
    """The layers before the GRU, and the head, are computed step by step."""

    def unroll(self, teams: Sequence[Params], batch: Transition) -> list[Unrolled]:
        x = self.inputs(batch.view, actions_before(batch))
        zeros = jnp.zeros((*x.shape[1:-1], self.rnn_dim))

        def one(states: list[Array], xs: tuple[Array, Array]) -> tuple[list[Array], Any]:
            now, start = xs
            states = [
                self.apply(
                    "remember",
                    params,
                    tree_where(start, jnp.zeros_like(h), h),
                    self.apply("encode", params, now),
                )
                for params, h in zip(teams, states, strict=True)
            ]
            heads = [self.apply("head", p, h) for p, h in zip(teams, states, strict=True)]
            return states, [Unrolled(q, h) for q, h in zip(heads, states, strict=True)]

        return jax.lax.scan(one, [zeros for _ in teams], (x, batch.start))[1]


@dataclass(frozen=True)
class OneByOne(Agents):
    """Agents that share a network are an axis of their own, not part of the batch."""

    def apply(self, method: str, params: Params, *inputs: Array) -> Array:
        apply = lambda *x: self.net().apply(params, *x, method=method)
        return jax.vmap(apply, -2, -2)(*inputs)


@dataclass(frozen=True)
class ByAutodiff(Agents):
    """The gradient of the GRU is autodiff's."""

    def through_time(
        self, teams: Sequence[Params], encoded: list[Array], start: Array
    ) -> list[Array]:
        zeros = jnp.zeros((*encoded[0].shape[1:-1], self.rnn_dim))

        def one(states: list[Array], xs: Any) -> tuple[list[Array], list[Array]]:
            now, start = xs
            states = [
                self.apply("remember", p, tree_where(start, jnp.zeros_like(h), h), e)
                for p, h, e in zip(teams, states, now, strict=True)
            ]
            return states, states

        return jax.lax.scan(one, [zeros for _ in teams], (encoded, start))[1]


@dataclass(frozen=True)
class AtOnce(Agents):
    """What no state enters is computed for all steps, as accelerators have it."""

    def through_time(
        self, teams: Sequence[Params], encoded: list[Array], start: Array
    ) -> list[Array]:
        with patch.object(recurrent, "by_platform", lambda way, *args: way(*args, at_once=True)):
            return super().through_time(teams, encoded, start)


CHOICES: dict[str, type[Agents]] = {
    "online and target in one scan": Apart,
    "first layers and heads outside the scan": Inside,
    "agents folded into the batch": OneByOne,
    "the GRU's own gradient": ByAutodiff,
    "the GRU's products in the scan": AtOnce,
}


def timed(calls: dict[str, Callable[[], Any]], seconds: float) -> dict[str, list[float]]:
    """Seconds a call, of each by turns: `REPEATS` times as many as fit a share of `seconds`."""
    for call in calls.values():
        jax.block_until_ready(call())
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, call in calls.items():
            began, count = time.perf_counter(), 0
            while count == 0 or time.perf_counter() - began < seconds / REPEATS:
                jax.block_until_ready(call())
                count += 1
            found[name].append((time.perf_counter() - began) / count)
    return found


def parts(program: Program, loop: Loop, run: Any) -> dict[str, tuple[Callable[[], Any], float]]:
    """Each part of an iteration, and how often an iteration does it."""
    algorithm: Any = loop.algorithm
    clock = loop.clock(jnp.int32(loop.cfg.warmup_rollouts))
    key, updates = jax.random.key(1), loop.cfg.updates_per_rollout
    batch = jax.jit(loop.memory.sample)(run.memory, key, clock)
    params, target = run.learner.params, run.learner.target
    uniform = uniform_policy(program.env.spec)

    def alone(key: Array) -> Array:
        actors = open_actors(program.env, uniform, loop.cfg.num_envs, key)
        _, (steps, _) = rollout(program.env, uniform, actors, key, loop.cfg.rollout_length)
        return steps.reward.sum() + steps.view.obs.sum()

    def acting(key: Array, learner: Any) -> Array:
        policy = algorithm.explore(learner, clock)
        actors = open_actors(program.env, policy, loop.cfg.num_envs, key)
        _, (steps, _) = rollout(program.env, policy, actors, key, loop.cfg.rollout_length)
        return steps.reward.sum() + steps.view.obs.sum()

    unroll = lambda params, target, batch: algorithm.agents.unroll(
        (params["agent"], target["agent"]), batch
    )
    loss = lambda params, target, batch: algorithm.loss(params, target, batch)[0]
    functions: dict[str, tuple[Callable[..., Any], tuple[Any, ...], float]] = {
        "rollout, uniform policy": (alone, (key,), 1),
        "rollout, acting": (acting, (key, run.learner), 1),
        "sample a batch": (loop.memory.sample, (run.memory, key, clock), updates),
        "unroll online and target": (unroll, (params, target, batch), updates),
        "loss": (loss, (params, target, batch), updates),
        "loss and gradient": (jax.value_and_grad(loss), (params, target, batch), updates),
        "update": (algorithm.update, (run.learner, batch, key, clock), updates),
    }
    bound: dict[str, tuple[Callable[[], Any], float]] = {}
    for name, (function, args, times) in functions.items():
        compiled = jax.jit(function).lower(*args).compile()
        bound[name] = (lambda f=compiled, a=args: f(*a)), times
    return bound


def choices(loop: Loop, run: Any) -> dict[str, dict[str, Callable[[], Any]]]:
    """`UPDATES` gradient steps as they are, and with each choice undone."""
    algorithm = loop.algorithm
    assert isinstance(algorithm, ValueDecomposition) and isinstance(algorithm.agents, Agents)
    clock = loop.clock(jnp.int32(loop.cfg.warmup_rollouts))
    fields = {name: getattr(algorithm.agents, name) for name in Agents.__dataclass_fields__}

    def learning(agents: Agents) -> Callable[[], Any]:
        changed = replace(
            loop,
            algorithm=replace(algorithm, agents=agents),
            cfg=replace(loop.cfg, updates_per_rollout=UPDATES),
        )
        compiled = jax.jit(lambda run: changed.learn(run, clock)).lower(run).compile()
        return lambda: compiled(run)

    as_it_is = learning(algorithm.agents)
    pairs = {
        name: {"taken": as_it_is, "not": learning(kind(**fields))} for name, kind in CHOICES.items()
    }
    return {**pairs, "leading axes folded in a product": products(algorithm.agents, loop, run)}


def products(agents: Agents, loop: Loop, run: Any) -> dict[str, Callable[[], Any]]:
    """The gradient of two layers over a batch [T, B, A, ...], `UPDATES` times."""
    clock = loop.clock(jnp.int32(loop.cfg.warmup_rollouts))
    batch = jax.jit(loop.memory.sample)(run.memory, jax.random.key(1), clock)
    x = agents.inputs(batch.view, actions_before(batch))
    layers = run.learner.params["agent"]["fc_0"], run.learner.params["agent"]["gru"]["input"]

    def value(kernels: list[Array], x: Array) -> Array:
        return ((jax.nn.relu(x @ kernels[0]) @ kernels[1]) ** 2).sum()

    def gradients(x: Array) -> Callable[[], Any]:
        def one(kernels: list[Array], _: None) -> tuple[list[Array], None]:
            slopes = jax.grad(value)(kernels, x)
            return [k - 1e-9 * slope for k, slope in zip(kernels, slopes, strict=True)], None

        repeated = jax.jit(lambda kernels: jax.lax.scan(one, kernels, length=UPDATES)[0])
        compiled = repeated.lower(kernels := [layer["kernel"] for layer in layers]).compile()
        return lambda: compiled(kernels)

    return {"taken": gradients(x.reshape(-1, x.shape[-1])), "not": gradients(x)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithm")
    parser.add_argument("--env", default="smax/3m")
    parser.add_argument("--num-envs", default="64")
    parser.add_argument("--preset", default="")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each part")
    args = parser.parse_args()
    settings = {"env": args.env, "num_envs": args.num_envs, "total_steps": "1e9"}
    plan = experiment(args.algorithm, args.preset, settings=settings)
    program = Program(env_of(plan), plan)
    loop = program.loop(plan.config)
    run = jax.block_until_ready(jax.jit(loop.start)(jax.random.key(0))[0])
    bound = parts(program, loop, run)
    found = timed({name: call for name, (call, _) in bound.items()}, args.seconds)
    table = Table("part", "ms", "from", "to", "times in an iteration", "ms in an iteration")
    rows = []
    for name, seconds in found.items():
        times, middle = bound[name][1], statistics.median(seconds)
        rows.append({"part": name, "seconds": seconds, "times": times})
        spread = (f"{1e3 * x:.2f}" for x in (middle, min(seconds), max(seconds)))
        table.add_row(name, *spread, f"{times:g}", f"{1e3 * middle * times:.1f}")
    chosen = Table("choice", "ms with it", "ms without", "without / with", "from", "to")
    bought = {}
    for name, pair in choices(loop, run).items():
        both = {k: [x / UPDATES for x in v] for k, v in timed(pair, args.seconds).items()}
        ratios = [n / t for t, n in zip(both["taken"], both["not"], strict=True)]
        bought[name] = both
        middles = (f"{1e3 * statistics.median(both[k]):.2f}" for k in ("taken", "not"))
        spread = (f"{x:.3f}" for x in (statistics.median(ratios), min(ratios), max(ratios)))
        chosen.add_row(name, *middles, *spread)
    console = Console(width=140)
    console.print(table, chosen)
    out = RESULTS / f"anatomy-{args.algorithm}-{args.env.replace('/', '-')}-{args.num_envs}.json"
    told = {"about": about(), "settings": plan.as_json(), "parts": rows, "choices": bought}
    out.write_text(json.dumps(told, indent=1) + "\n")
    console.print(f"written to {out}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
