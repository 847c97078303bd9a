"""REFIL on a batch and parameters made of sines, against numbers that the authors' code gave for
them (REFIL ffe23a1; six digits, float32)."""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_value import episodes, filled
from probes import jit, spec_of
from test_value_conformance import Shapes, close, linear, named_batch, sines

from jmarl.algorithms import ALL
from jmarl.algorithms.value_decomposition import Learner, ValueDecomposition
from jmarl.types import Clock, Transition

AGENTS, ACTIONS, FEATURES = 2, 3, 3
SIZES = {"entity_dim": 8, "hypernet_dim": 8, "heads": 2, "mixing_dim": 3}
RECURRENT = {**SIZES, "rnn_dim": 4}
FORWARD = {**SIZES, "rnn_dim": 0, "last_action": False, "mixer": "linear"}


class Kind(NamedTuple):
    """One table of the specs."""

    slots: int
    sides: list[list[int]]
    sizes: dict[str, Any]
    agent: Shapes
    mixer: Shapes


def attending(name: str, into: int, out: int, width: int = 8) -> Shapes:
    """fc1, in_trans (no bias), out_trans, fc2."""
    return [
        *linear(f"{name}/fc1", width, into),
        (f"{name}/attn/in_trans/kernel", (3 * width, width)),
        *linear(f"{name}/attn/out_trans", width, width),
        *linear(f"{name}/fc2", out, width),
    ]


GRU = [("agent/W_i", (12, 4)), ("agent/W_h", (12, 4)), ("agent/b_i", (12,)), ("agent/b_h", (12,))]
NETS = "hyper_w_1", "hyper_w_final", "hyper_b_1", "V"
KINDS = {
    "recurrent": Kind(
        4,
        [[1, 0, 0, 1], [0, 1, 0, 1]],
        RECURRENT,
        [*attending("agent", 6, 4), *GRU, *linear("agent/fc3", 3, 4)],
        [row for net in NETS for row in attending(f"mixer/{net}", 6, 3)],
    ),
    "forward": Kind(
        2,
        [[1, 0], [1, 1]],
        FORWARD,
        attending("agent", 3, 3),
        [row for net in ("hyper_w_1", "V") for row in attending(f"mixer/{net}", 3, 3)],
    ),
}


@cache
def batch(kind: str) -> Transition:
    """The recurrent one has an absent slot, and an agent that does not see two others."""
    slots = KINDS[kind].slots
    entities = sines(210, (2, 4, slots, FEATURES))
    absent, hidden = np.zeros((2, 4, slots)), np.zeros((2, 4, slots, slots))
    if kind == "recurrent":
        entities[1, :, 3] = 0
        absent[1, :, 3] = hidden[1, :, 3] = hidden[1, :, :, 3] = 1
        hidden[0, 1, 0, [1, 2]] = 1
    for padded in (entities, absent, hidden):
        padded[1, 3] = 0
    named = {"entities": entities, "entity_mask": absent, "obs_mask": hidden}
    named |= {k: v for k, v in named_batch().items() if k not in ("obs", "state")}
    out = episodes({f"batch/{name}": value for name, value in named.items()})
    sides = jnp.asarray(KINDS[kind].sides) == 1
    return out.replace(extras=jnp.broadcast_to(sides, (*out.start.shape, slots)))


def tensors(kind: str, mixer: bool, first: int) -> Iterator[tuple[str, np.ndarray]]:
    """Official names and values; kernels (in, out)."""
    shapes = KINDS[kind].agent + (KINDS[kind].mixer if mixer else [])
    for i, (name, shape) in enumerate(shapes, start=first):
        value = sines(i, shape, 0.3)
        if "/W_" in name or "/b_" in name:
            part = "kernel" if "/W_" in name else "bias"
            for gate, third in zip("rzn", np.split(value, 3), strict=True):
                yield f"agent/rnn/{name[-1]}{gate}/{part}", third.T
        else:
            yield name, value.T


@cache
def made(kind: str, **options: Any) -> tuple[Any, Learner]:
    """The algorithm and its learner; the target is never copied."""
    spec = spec_of(
        ((ACTIONS,),) * AGENTS,
        limit=3,
        team_reward="shared",
        num_entities=KINDS[kind].slots,
        entity_size=FEATURES,
    )
    config = ALL["refil"].config.replace(**{**KINDS[kind].sizes, **options})
    algorithm: Any = ALL["refil"].make(spec, config)
    like = jax.eval_shape(algorithm.init, jax.random.key(0)).params
    mixer = config.mixer != "sum"
    params, target = (filled(like, dict(tensors(kind, mixer, i))) for i in (0, 50))
    return algorithm, Learner(params, target, algorithm.tx.init(params))


def test_first_values() -> None:
    """As seen, within groups, between groups."""
    algorithm, learner = made("recurrent")
    masks, _ = algorithm.imagined(batch("recurrent"))
    (net,) = jit(algorithm.agents.unroll)((learner.params["agent"],), batch("recurrent"), masks)
    expected = [
        [[0.047205, 0.311455, 0.293790], [0.053144, 0.305831, 0.298447]],
        [[0.050386, 0.308372, 0.296417], [0.055860, 0.303540, 0.300048]],
        [[0.065198, 0.295391, 0.306069], [0.050388, 0.308370, 0.296419]],
    ]
    close(net.q[1, 0], np.concatenate(expected))


def test_mixer() -> None:
    """Of the agents' values, and of imagined factors."""
    algorithm, learner = made("recurrent")
    swap = lambda x: jnp.asarray(np.swapaxes(x, 0, 1))
    q = [swap(sines(300, (2, 3, AGENTS))), swap(sines(301, (2, 3, 2 * AGENTS)))]
    told, (_, masks) = algorithm.told(batch("recurrent")), algorithm.imagined(batch("recurrent"))
    view, masks = jax.tree.map(lambda x: x[:3], (told.view, masks))
    real, imagined = algorithm.mixer.apply(learner.params["mixer"], q, view, masks, method="mix")
    expected = [[0.569526, 1.324162, 1.041748], [0.260971, 0.206535, 1.009389]]
    close(real.joint[..., 0].T, expected)
    expected = [[1.672642, -0.075500, 1.367252], [0.314704, 0.794618, 0.961682]]
    close(imagined.joint[..., 0].T, expected)


# loss, imagined loss (if any), gradient norm, sum and sum of absolutes afterwards
TABLE: dict[tuple[str, ...], list[tuple[Any, ...]]] = {
    ("recurrent", "groups=none"): [
        (0.716115, None, 2.358818, -0.091207, 359.596119),
        (0.566910, None, 2.018360, 0.220211, 360.421013),
    ],
    ("recurrent",): [
        (0.646109, 0.576103, 2.225052, -0.091403, 359.598088),
        (0.509289, 0.451956, 1.870193, 0.153044, 360.365513),
    ],
    ("recurrent", "mixing_weights=abs"): [
        (0.610646, 0.536114, 3.256619, -0.060293, 359.438643),
        (0.420379, 0.389878, 1.799847, 0.155077, 359.948583),
    ],
    ("recurrent", "mixer=sum"): [
        (0.776813, 0.637135, 2.609024, 1.383750, 93.878952),
        (0.735099, 0.579180, 2.499891, 1.445244, 94.015326),
    ],
    ("forward", "groups=none"): [
        (0.528025, None, 1.404037, -0.243397, 185.473868),
        (0.462657, None, 1.255157, -0.140996, 185.564104),
    ],
    ("forward",): [
        (0.517501, 0.506977, 1.381332, -0.205728, 185.565790),
        (0.453694, 0.444688, 1.236111, -0.080422, 185.748895),
    ],
}


@pytest.mark.parametrize("case", TABLE, ids=" ".join)
def test_two_updates(case: tuple[str, ...]) -> None:
    kind, *options = case
    algorithm, learner = made(kind, **dict(option.split("=") for option in options))
    update = jit(partial(ValueDecomposition.update, algorithm))  # draws no groups
    for done, (loss, aux, norm, total, absolute) in enumerate(TABLE[case]):
        clock = Clock(jnp.zeros(()), jnp.zeros(()), jnp.int32(done))
        learner, metrics = update(learner, batch(kind), jax.random.key(0), clock)
        whole = metrics["loss"]
        if aux is not None:
            close(metrics["imagined_loss"], aux)
            whole = (whole + metrics["imagined_loss"]) / 2
        close(whole, loss)
        close(metrics["grad_norm"], norm)
        leaves = [np.asarray(x, np.float64) for x in jax.tree.leaves(learner.params)]
        sums = sum(x.sum() for x in leaves), sum(np.abs(x).sum() for x in leaves)
        np.testing.assert_allclose(sums, (total, absolute), rtol=0, atol=1e-4)
