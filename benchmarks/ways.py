"""Ways that the learners do not take, each beside the one that they take, by turns.

At the shapes of one gradient step of an algorithm that decomposes values, on whatever device jax
finds. Prints a table and writes a JSON file under results/ (benchmarks/NOTES.md says what was
found).

  python benchmarks/ways.py qmix --env smax/3m
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp
from anatomy import UPDATES, timed
from jax import Array
from jax.flatten_util import ravel_pytree
from rich.console import Console
from rich.table import Table
from rung import about

from jmarl.algorithms import ALL
from jmarl.algorithms.batch import take
from jmarl.cli import exit_code
from jmarl.config import experiment
from jmarl.making import env_of
from jmarl.networks import recurrent
from jmarl.networks.recurrent import Cell, Weights

Call = Callable[[], Any]
RESULTS = Path(__file__).parent / "results"


def draw(seed: int, *shape: int) -> Array:
    return jax.random.normal(jax.random.key(seed), shape)


def repeated(step: Callable[[Any], Any], carry: Any) -> Call:
    """`step` carry -> carry, compiled, `UPDATES` times a call."""
    many = lambda carry: jax.lax.scan(
        lambda c, _: (step(c), None), carry, length=UPDATES, unroll=1
    )[0]
    compiled = jax.jit(many).lower(carry).compile()
    return lambda: compiled(carry)


def learning(loss: Callable[..., Array], x: Array, *data: Array) -> Call:
    """Gradient steps of loss(x, *data). The data go along, so that nothing of them is known before;
    x moves a little, so that a step waits for the one before."""

    def step(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        x, *data = carry
        return (x - 1e-6 * jax.grad(loss)(x, *data).astype(x.dtype), *data)

    return repeated(step, (x, *data))


def gathers(rows: tuple[int, ...], actions: int) -> dict[str, Call]:
    """The values [T, B, A, U] of the actions taken."""
    q = draw(0, *rows, actions)
    action = jax.random.randint(jax.random.key(1), rows, 0, actions)
    gathered = lambda q, action: (take(q, action) ** 2).sum()
    hot = lambda q, action: ((q * jax.nn.one_hot(action, actions)).sum(-1) ** 2).sum()
    return {"taken": learning(gathered, q, action), "not": learning(hot, q, action)}


def optimisers(algorithm: Any) -> dict[str, Call]:
    """A step of the optimiser: over the parameters as they are, over one vector of all of them."""
    params = algorithm.init(jax.random.key(0)).params

    def stepped(params: Any) -> Call:
        def step(carry: Any) -> Any:
            params, state = carry
            updates, state = algorithm.tx.update(jax.tree.map(jnp.sin, params), state, params)
            return jax.tree.map(jnp.add, params, updates), state

        return repeated(step, (params, algorithm.tx.init(params)))

    return {"taken": stepped(params), "not": stepped({"all": ravel_pytree(params)[0]})}


def unrolled(rows: tuple[int, ...], width: int) -> Callable[[], Call]:
    """The GRU's scans, there and back, online and target, as they are when the call is compiled."""
    weights = Weights(draw(0, width, 3 * width) / width, draw(1, 3 * width))
    start = jax.random.bernoulli(jax.random.key(2), 0.02, rows[:2])

    def loss(seen: Array, start: Array) -> Array:
        own, other = (Cell(weights, weights, x) for x in (seen, jax.lax.stop_gradient(seen)))
        states, (targets,) = recurrent.through_time(own, (other,), start)
        return (states * targets).sum()

    return lambda: learning(loss, draw(3, *rows, width), start)


def turns(rows: tuple[int, ...], width: int, times: int) -> dict[str, Call]:
    """A step of the scans a turn, or several."""
    compiled, scan = unrolled(rows, width), jax.lax.scan
    several = lambda *args, **options: scan(*args, **{"unroll": times, **options})
    with patch.object(recurrent.jax.lax, "scan", several):
        other = compiled()
    return {"taken": compiled(), "not": other}


def places(rows: tuple[int, ...], width: int) -> dict[str, Call]:
    """The products that no state enters: in the scans or at once, whichever the platform takes."""
    compiled, on_cpu = unrolled(rows, width), jax.default_backend() == "cpu"
    other_way = lambda way, *args: way(*args, at_once=on_cpu)
    with patch.object(recurrent, "by_platform", other_way):
        other = compiled()
    return {"taken": compiled(), "not": other}


def narrow(rows: int, width: int) -> dict[str, Call]:
    """The gradient of a layer's product, of numbers of 32 bits and of 16."""
    loss = lambda kernel, x: ((x @ kernel) ** 2).sum()
    x, kernel = draw(0, rows, width), draw(1, width, 3 * width) / width
    way = lambda kind: learning(loss, kernel.astype(kind), x.astype(kind))
    return {"taken": way(jnp.float32), "not": way(jnp.bfloat16)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithm", nargs="?", default="qmix", choices=["qmix", "vdn", "iql"])
    parser.add_argument("--env", default="smax/3m")
    parser.add_argument("--preset", default="")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each way")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    plan = experiment(args.algorithm, args.preset, settings={"env": args.env})
    spec, cfg = env_of(plan).spec, plan.config
    algorithm = ALL[args.algorithm].make(spec, cfg)
    rows = spec.episode_limit + 1, cfg.batch_size, spec.num_agents
    pairs = {
        "values of actions gathered, instead of one-hot products": gathers(rows, spec.action_size),
        "the optimiser over a tree, instead of one vector": optimisers(algorithm),
        **{
            f"the GRU's scans a step a turn, instead of {n}": turns(rows, cfg.rnn_dim, n)
            for n in (2, 8)
        },
        "the GRU's products in its scans on a CPU, at once elsewhere": places(rows, cfg.rnn_dim),
        "float32 products, instead of bfloat16": narrow(rows[0] * rows[1] * rows[2], cfg.rnn_dim),
    }
    table = Table("way taken", "ms", "ms of the other", "other / taken", "from", "to")
    found = {}
    for name, pair in pairs.items():
        both = {k: [x / UPDATES for x in v] for k, v in timed(pair, args.seconds).items()}
        found[name] = both
        ratios = [other / taken for other, taken in zip(both["not"], both["taken"], strict=True)]
        middles = (f"{1e3 * statistics.median(both[k]):.3f}" for k in ("taken", "not"))
        spread = (f"{x:.2f}" for x in (statistics.median(ratios), min(ratios), max(ratios)))
        table.add_row(name, *middles, *spread)
    Console(width=130).print(table)
    args.out.mkdir(parents=True, exist_ok=True)
    out = args.out / f"ways-{args.algorithm}-{args.env.replace('/', '-')}.json"
    told = {"about": about(), "settings": plan.as_json(), "ways": found}
    out.write_text(json.dumps(told, indent=1) + "\n")
    print(f"written to {out}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
