"""The value family on a batch and parameters made of sines, against numbers that PyMARL, PyMARL2
and the Qatten authors' code gave for them (c971afd, 8ccac7c, 79aff76; six digits, float32)."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_value import episodes, filled
from probes import jit, spec_of

from jmarl.algorithms import ALL
from jmarl.algorithms.value_decomposition import Learner
from jmarl.targets import lambda_returns
from jmarl.types import Clock, Transition

AGENTS, ACTIONS, OBS, STATE, HIDDEN = 2, 3, 3, 4, 4
SPEC = spec_of(
    ((ACTIONS,),) * AGENTS,
    obs_sizes=(OBS,) * AGENTS,
    limit=3,
    state_size=STATE,
    agent_features=(AGENTS, 2),
    team_reward="shared",
)
SIZES: dict[str, dict[str, Any]] = {
    "qmix": {"mixing_dim": 2, "hypernet_dim": 5},
    "qatten": {"heads": 2, "query_dim": 4, "attention_dim": 3, "weight_dim": 4, "bias_dim": 3},
    "qtran": {"mixing_dim": (2, 2)},
}
PYMARL2 = {"optimiser": "adam", "lr": 1e-3, "td_lambda": 0.6, "loss_scale": 0.5}
Shapes = list[tuple[str, tuple[int, ...]]]


def sines(first: int, shape: tuple[int, ...], height: float = 1.0) -> np.ndarray:
    """The fill rule F of the specs."""
    steps = np.arange(np.prod(shape)).reshape(shape)
    return (height * np.sin(1 + first + 0.7 * steps)).astype(np.float32)


@cache
def batch() -> Transition:
    """Two episodes of three and two steps; the second terminates and is padded."""
    return episodes({f"batch/{name}": value for name, value in named_batch().items()})


def named_batch() -> dict[str, np.ndarray]:
    """Official names and values, [B, T, ...]."""
    obs, state = sines(200, (2, 4, AGENTS, OBS)), sines(201, (2, 4, STATE))
    actions, reward = np.zeros((2, 4, AGENTS, 1), int), np.zeros((2, 4, 1), np.float32)
    actions[0, :3, :, 0] = [[0, 1], [1, 0], [2, 2]]
    actions[1, :2, :, 0] = [[2, 0], [0, 1]]
    reward[0, :3, 0], reward[1, :2, 0] = [1, 0.5, -0.25], [0.2, 2]
    available, stored, ended = np.ones((2, 4, AGENTS, ACTIONS)), np.ones((2, 4, 1)), reward * 0
    available[0, 1, 0, 2] = available[1, 1, 1, 0] = 0
    ended[1, 1] = 1
    for padded in (obs, state, available, stored):
        padded[1, 3] = 0
    named = {"obs": obs, "state": state, "actions": actions, "avail_actions": available}
    return named | {"reward": reward, "terminated": ended, "filled": stored}


# --- parameters, in torch's layout (out, in) and the order of the specs ---------------------------


def linear(name: str, out: int, into: int) -> Shapes:
    return [(f"{name}/kernel", (out, into)), (f"{name}/bias", (out,))]


def layers(name: str, *widths: int) -> Shapes:
    """fc1, fc2, ..., from the first width to the last."""
    pairs = enumerate(zip(widths[1:], widths[:-1], strict=True), start=1)
    return [row for i, (out, into) in pairs for row in linear(f"{name}/fc{i}", out, into)]


def mixers(pymarl2: bool) -> dict[str, Shapes]:
    w_1, b_1 = layers("hyper_w_1", STATE, 5, AGENTS * 2), linear("hyper_b_1", 2, STATE)
    w_final, value = layers("hyper_w_final", STATE, 5, 2), layers("V", STATE, 2, 1)
    pairs = HIDDEN + ACTIONS
    return {
        "iql": [],
        "vdn": [],
        "qmix": (w_1 + b_1 + w_final if pymarl2 else w_1 + w_final + b_1) + value,
        "qatten": layers("query/0", STATE, 4, 3)
        + layers("query/1", STATE, 4, 3)
        + linear("key/0", 3, 2)
        + linear("key/1", 3, 2)
        + layers("head", STATE, 4, 2)
        + layers("constraint", STATE, 3, 1),
        "qtran": layers("Q", STATE + pairs, 2, 2, 1)
        + layers("V", STATE, 2, 2, 1)
        + layers("action_encoding", pairs, pairs, pairs),
    }


def shapes(mixer: str, pymarl2: bool) -> Shapes:
    """torch's GRU has three gates in each of its four tensors."""
    gates = 3 * HIDDEN
    gru = [("W_i", (gates, HIDDEN)), ("W_h", (gates, HIDDEN)), ("b_i", (gates,)), ("b_h", (gates,))]
    first = linear("fc1", HIDDEN, OBS + ACTIONS + AGENTS)
    agent = first + gru + linear("fc2", ACTIONS, HIDDEN)
    mixing = mixers(pymarl2)[mixer]
    return [
        (f"{net}/{name}", s)
        for net, row in (("agent", agent), ("mixer", mixing))
        for name, s in row
    ]


def tensors(mixer: str, pymarl2: bool, first: int) -> Iterator[tuple[str, np.ndarray]]:
    """Official names and values; kernels (in, out)."""
    for i, (name, shape) in enumerate(shapes(mixer, pymarl2), start=first):
        value = sines(i, shape, 0.3)
        if "/W_" in name or "/b_" in name:
            kind, side = ("kernel" if "/W_" in name else "bias"), name[-1]
            for gate, third in zip("rzn", np.split(value, 3), strict=True):
                yield f"agent/rnn/{side}{gate}/{kind}", third.T
        else:
            yield name, value.T


@cache
def made(mixer: str, pymarl2: bool = False) -> tuple[Any, Learner]:
    """The algorithm and its learner; the target is never copied."""
    sizes = {"hidden_dim": (HIDDEN,), "rnn_dim": HIDDEN, **SIZES.get(mixer, {})}
    config = ALL[mixer].config.replace(**sizes, **(PYMARL2 if pymarl2 else {}))
    algorithm: Any = ALL[mixer].make(SPEC, config)
    like = jax.eval_shape(algorithm.init, jax.random.key(0)).params
    params, target = (filled(like, dict(tensors(mixer, pymarl2, i))) for i in (0, 50))
    return algorithm, Learner(params, target, algorithm.tx.init(params))


# --- the tables -----------------------------------------------------------------------------------


def close(mine: Any, recorded: Any) -> None:
    np.testing.assert_allclose(mine, recorded, rtol=1e-5, atol=1e-6)


def test_first_values() -> None:
    algorithm, learner = made("vdn")
    (net,) = jit(algorithm.agents.unroll)((learner.params["agent"],), batch())
    close(net.q[0, 0], [[0.231004, 0.237535, 0.000414], [0.229832, 0.237617, 0.001432]])
    close(net.q[2, 0], [[0.160986, 0.286878, -0.022552], [0.162670, 0.285506, -0.021652]])


@pytest.mark.parametrize(
    ("mixer", "expected"),
    [
        ("qmix", [[0.314493, 0.112067, 0.330553], [0.133993, -0.052199, 0.157993]]),
        ("qatten", [[0.175094, 0.495273, 0.506104], [0.008948, -0.114067, 0.374511]]),
    ],
)
def test_mixers(mixer: str, expected: Any) -> None:
    algorithm, learner = made(mixer)
    q = jnp.asarray(np.swapaxes(sines(300, (2, 3, AGENTS)), 0, 1))
    view = jax.tree.map(lambda x: x[:3], batch().view)
    mixed = algorithm.mixer.apply(learner.params["mixer"], q, view, batch().action)
    close(mixed.joint[..., 0].T, expected)


# loss, gradient norm, mean |td| (not recorded for all), sum and sum of absolutes afterwards
PYMARL_TABLE = {
    "iql": [
        (0.983176, 1.098323, 0.803547, 0.602407, 32.633814),
        (0.968717, 1.083573, 0.794318, 0.617136, 32.631652),
    ],
    "vdn": [
        (0.992593, 2.371060, 0.917095, 0.640198, 32.691642),
        (0.958026, 2.318698, 0.895993, 0.702433, 32.727027),
    ],
    "qmix": [
        (1.078429, 1.691975, 0.826357, 1.169601, 53.424777),
        (1.050940, 1.665584, 0.813087, 1.152476, 53.490850),
    ],
    "qatten": [
        (0.942520, 1.951025, 0.789636, 0.299518, 58.451824),
        (0.911410, 1.920578, 0.777487, 0.296312, 58.479963),
    ],
    "qtran": [
        (1.073651, 2.680009, None, -1.938172, 63.366696),
        (1.030629, 2.113986, None, -1.942080, 63.279049),
    ],
}
PYMARL2_TABLE = {
    "vdn": [
        (0.700885, 1.393777, None, 0.591091, 32.671300),
        (0.696565, 1.388235, None, 0.599099, 32.683469),
    ],
    "qmix": [
        (0.654756, 1.191622, None, 0.168371, 53.363020),
        (0.649526, 1.187079, None, 0.199805, 53.382358),
    ],
    "qatten": [
        (0.653417, 1.217349, None, 0.283085, 58.458395),
        (0.649352, 1.214013, None, 0.294015, 58.471911),
    ],
}
QTRAN_PARTS = [(0.833045, 0.240483, 0.001228), (0.823720, 0.206845, 0.000643)]
CASES = [
    (name, table is PYMARL2_TABLE) for table in (PYMARL_TABLE, PYMARL2_TABLE) for name in table
]


@pytest.mark.parametrize(("mixer", "pymarl2"), CASES)
def test_two_updates(mixer: str, pymarl2: bool) -> None:
    algorithm, learner = made(mixer, pymarl2)
    cfg, update = algorithm.cfg, jit(algorithm.update)
    table = PYMARL2_TABLE if pymarl2 else PYMARL_TABLE
    for done, (loss, norm, td_error, total, absolute) in enumerate(table[mixer]):
        clock = Clock(jnp.zeros(()), jnp.zeros(()), jnp.int32(done))
        learner, metrics = update(learner, batch(), jax.random.key(0), clock)
        parts = [metrics[name] for name in ("loss", "opt_loss", "nopt_loss") if name in metrics]
        weights = [1, cfg.opt_weight, cfg.nopt_weight] if mixer == "qtran" else [cfg.loss_scale]
        close(np.dot(weights, parts), loss)
        close(metrics["grad_norm"], norm)
        if td_error is not None:
            close(metrics["td_error"], td_error)
        if mixer == "qtran":
            close(parts, QTRAN_PARTS[done])
        leaves = [np.asarray(x, np.float64) for x in jax.tree.leaves(learner.params)]
        sums = sum(x.sum() for x in leaves), sum(np.abs(x).sum() for x in leaves)
        np.testing.assert_allclose(sums, (total, absolute), rtol=0, atol=1e-4)


def test_lambda_returns() -> None:
    values = jnp.asarray(np.swapaxes(sines(301, (2, 4, 1)), 0, 1))
    close(values[..., 0].T[0], [0.395953, 0.894408, 0.972209, 0.592765])
    one = batch().replace(reward=batch().reward[..., :1])  # the agents share it
    goals = lambda_returns(values, one, 0.99, 0.6)[..., 0].T
    close(goals[0], [1.998721, 1.085076, 0.336837])
    close(goals[1, :2], [1.113609, 2.0])  # padding follows
