"""What mixers cost by themselves: gradient of the online one, value of the target, by turns.

For one seed and several at once (vmapped); Qatten also with a query and keys for each head, the way
that its own mixer does not take. Several updates a call, as in training. Prints a table.

  python benchmarks/mixers.py --env smax/3m --seeds 1 4
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from anatomy import UPDATES, timed
from jax import Array
from rich.console import Console
from rich.table import Table

from jmarl.algorithms import ALL, qatten
from jmarl.cli import exit_code
from jmarl.config import experiment
from jmarl.making import env_of
from jmarl.networks.base import Net, functional
from jmarl.networks.layers import Linear, TwoLayers
from jmarl.types import EnvSpec, Key, Params, View

SECONDS = 5.0  # for each row


class EachHead(qatten.AttentionMixer):
    """A module for each head: its queries [..., H, D] meet every agent's keys [..., A, H, D]."""

    @nn.nowrap
    def heads(self, layer: Any, name: str) -> Any:
        axes: Any = {"in_axes": None, "out_axes": -2, "variable_axes": {"params": 0}}
        many = nn.vmap(layer, **axes, split_rngs={"params": True}, axis_size=self.cfg.heads)
        return lambda *args: many(*args, name=name)

    def logits(self, q: Array, state: Array) -> Array:
        cfg, (agents, size) = self.cfg, self.features
        own = state[..., : agents * size].reshape(*state.shape[:-1], agents, size)
        query = self.heads(TwoLayers, "query")(cfg.query_dim, cfg.attention_dim)(state)
        key = self.heads(Linear, "key")(cfg.attention_dim)(own)
        return jnp.einsum("...hd,...ahd->...ha", query, key)


def contenders(spec: EnvSpec) -> dict[str, Net[Any]]:
    made: dict[str, Any] = {n: ALL[n].make(spec, ALL[n].config) for n in ("qmix", "qatten")}
    assert spec.agent_features is not None
    each = functional(EachHead(spec.agent_features, made["qatten"].cfg))
    return {**{name: algorithm.mixer for name, algorithm in made.items()}, "each head": each}


def learning(net: Net[Any], spec: EnvSpec, batch: int, seeds: int) -> Callable[[], Any]:
    """`UPDATES` gradient steps on random values and states [T+1, B, ...]."""
    rows = (spec.episode_limit + 1, batch)
    none = jnp.zeros((*rows, spec.num_agents), jnp.int32)

    def init(key: Key) -> tuple[Params, Array, Array]:
        net_key, q_key, state_key = jax.random.split(key, 3)
        q = jax.random.normal(q_key, none.shape)
        return (
            net.init(net_key, q[0, 0], spec.example_view(), none[0, 0]),
            q,
            jax.random.normal(state_key, (*rows, spec.state_size)),
        )

    def joint(params: Params, q: Array, state: Array) -> Array:
        view = View(q[..., None], none[..., None] == 0, none == 0, state)
        return net.apply(params, q, view, none).joint

    def loss(params: Params, q: Array, goal: Array, state: Array) -> Array:
        return ((joint(params, q, state) - goal) ** 2).mean()

    def step(carry: Any, _: None) -> tuple[Any, None]:
        params, q, state = carry
        goal = joint(params, q, state)
        slopes, slope = jax.grad(loss, (0, 1))(params, q, 0.9 * goal, state)
        params = jax.tree.map(lambda x, slope: x - 1e-3 * slope, params, slopes)
        return (params, q - slope, 0.999 * state), None

    args = jax.jit(jax.vmap(init))(jax.random.split(jax.random.key(0), seeds))
    run = lambda *carry: jax.lax.scan(step, carry, length=UPDATES)[0]
    if seeds == 1:
        args = jax.tree.map(lambda x: x[0], args)
    compiled = jax.jit(run if seeds == 1 else jax.vmap(run)).lower(*args).compile()
    return lambda: compiled(*args)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="smax/3m")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 4])
    args = parser.parse_args()
    spec = env_of(experiment("qatten", settings={"env": args.env})).spec
    calls = {
        f"{name}, {seeds} seeds": learning(net, spec, args.batch, seeds)
        for seeds in args.seeds
        for name, net in contenders(spec).items()
    }
    found = timed(calls, SECONDS)
    first = next(iter(found.values()))
    table = Table("mixer", "ms", "from", "to", "times the first", "from", "to", title=args.env)
    for name, seconds in found.items():
        steps = [1e3 * x / UPDATES for x in seconds]
        ratios = [x / y for x, y in zip(seconds, first, strict=True)]
        middles = (
            f"{x:.2f}"
            for some in (steps, ratios)
            for x in (statistics.median(some), min(some), max(some))
        )
        table.add_row(name, *middles)
    Console(width=120).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
