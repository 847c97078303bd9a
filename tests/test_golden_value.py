"""VDN, QMIX and Qatten against PyMARL and the authors' Qatten, tensor by tensor."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import Golden
from golden_value import Case, check_tree, episodes, filled, spec_from
from jax import Array
from probes import assert_same, jit

from jmarl.algorithms.qatten import AttentionMixer
from jmarl.algorithms.qmix import Monotonic
from jmarl.algorithms.value_decomposition import take
from jmarl.exploration import greedy
from jmarl.networks.agents import Agents, Carry, Unrolled, actions_before
from jmarl.types import View

pytestmark = pytest.mark.golden
FILES = {
    "vdn": "vdn",
    "qmix": "qmix",
    "qmix_hyper1": "qmix",
    "qatten_weighted": "qatten",
    "qatten_unweighted": "qatten",
    "qatten_weighted_registered": "qatten",
}
PRECISIONS = "f64", "f32"
NOW, AFTER = slice(None, -1), slice(1, None)  # of the views
Named = dict[str, Array]
Inputs = tuple[Array, View, Array]  # of a mixer


@pytest.fixture(scope="module", params=[(f, p) for f in FILES for p in PRECISIONS], ids="-".join)
def case(request: pytest.FixtureRequest, data_dir: Path) -> Any:
    name, precision = request.param
    with jax.enable_x64(precision == "f64"):
        return Case(Golden(data_dir / "golden" / f"{name}.npz", precision), FILES[name])


@pytest.fixture(autouse=True)
def in_its_precision(request: pytest.FixtureRequest) -> Iterator[None]:
    """Around each test alone: contexts that overlap would not close in turn."""
    recorded = request.getfixturevalue("case" if "case" in request.fixturenames else "probe")
    with jax.enable_x64(recorded.z.precision == "f64"):
        yield


def test_agents(case: Case) -> None:
    """Inputs, values and hidden states at every position, padding too."""
    online, old = case.unrolled
    inputs = case.algorithm.agents.inputs(case.batch.view, actions_before(case.batch))
    case.check("agent_inputs", inputs)
    case.check("agent_qs", online.q)
    case.check("agent_hidden", online.hidden)
    case.check("target_agent_qs", old.q)


def test_targets_and_errors(case: Case) -> None:
    """From chosen and best next actions to the errors of the steps that were taken."""
    everywhere, where_stepped = jit(lambda nets: tensors(case, *nets))(case.unrolled)
    for name, value in everywhere.items():
        case.check(name, value)
    for name, value in where_stepped.items():
        case.check(name, value, masked=True)


def tensors(case: Case, online: Unrolled, old: Unrolled) -> tuple[Named, Named]:
    """What can be compared in padding too, and what cannot: there the files let -9999999 through
    the target mixer."""
    algorithm, batch = case.algorithm, case.batch
    goal = algorithm.goal(case.target, online, old, batch)
    error = algorithm.join(case.params, online, batch).joint - goal
    q, next_q = mixer_inputs(case, online, old).values()
    mixed = algorithm.mixer.apply(case.params["mixer"], *q)
    future = algorithm.mixer.apply(case.target["mixer"], *next_q)
    return {
        "mask": batch.valid[..., None],
        "chosen_agent_qs": q[0],
        "next_greedy_actions": greedy(online.q, batch.view.available)[1:],
        "q_tot": mixed.joint,
        "masked_td_error": error * batch.valid[..., None],
    }, {
        "target_chosen_agent_qs": next_q[0],
        "target_q_tot": future.joint,
        "targets": goal,
        "td_error": error,
    }


def mixer_inputs(case: Case, online: Unrolled, old: Unrolled) -> dict[str, Inputs]:
    """What the online and the target mixer are shown. Files have action 0 in padding."""
    batch, taken = case.batch, jnp.maximum(case.batch.action, 0)
    best = case.algorithm.best(online, old, batch.view)
    now, after = (jax.tree.map(lambda x, s=s: x[s], batch.view) for s in (NOW, AFTER))
    return {
        "mixer_out": (take(online.q[NOW], taken), now, taken),
        "target_mixer_out": (take(old.q, best)[AFTER], after, best[AFTER]),
    }


@pytest.mark.parametrize("which", ["mixer_out", "target_mixer_out"])
def test_mixer(case: Case, which: str) -> None:
    """What is inside the online and the target mixer."""
    params = case.params if which == "mixer_out" else case.target
    look = lambda nets: opened(case, params["mixer"], *mixer_inputs(case, *nets)[which])
    inside = jit(look)(case.unrolled)
    assert inside.keys() == set(case.z.names(f"{case.z.precision}/{which}/"))
    for name, value in inside.items():
        padded = name in ("hidden", "q_h", "sum_q_h") and which == "target_mixer_out"
        case.check(f"{which}/{name}", value, masked=padded)


def opened(case: Case, params: Any, q: Array, view: View, action: Array) -> Named:
    """A mixer's parts. What no layer gives out is what is left when the rest is silenced."""
    cfg, features = case.algorithm.cfg, case.spec.agent_features
    if not params:
        return {}
    monotonic = lambda: Monotonic(cfg.mixing_dim, cfg.hypernet_dim)
    module: Any = AttentionMixer(features, cfg) if features else monotonic()
    run = lambda params, **how: module.apply({"params": params}, q, view, action, **how)
    mixed, record = run(params, capture_intermediates=True, mutable=["intermediates"])
    layer = lambda name: record["intermediates"][name]["__call__"][0]
    joint = lambda params: run(params).joint[..., 0]
    if features is None:
        return {
            "w1": jnp.abs(layer("hyper_w_1")),
            "b1": layer("hyper_b_1"),
            "hidden": each_alone(joint, constant(params, "V"), "hyper_w_final", cfg.mixing_dim),
            "w_final": jnp.abs(layer("hyper_w_final")),
            "v": layer("V"),
        }
    weights = {"w_h": mixed.head_weights} if cfg.weighted_heads else {}
    return weights | {
        "q_lambda_list": jnp.swapaxes(mixed.attention, -1, -2),
        "q_h": jnp.einsum("...ha,...a->...h", mixed.attention, q),
        "sum_q_h": joint(constant(params, "constraint")),
        "c": layer("constraint"),
    }


def each_alone(joint: Any, params: Any, weights: str, count: int) -> Array:
    """[..., count]: the joint value where the net of the last weights gives one of them alone."""
    one = lambda row: joint(constant(params, weights, row))
    return jnp.moveaxis(jax.vmap(one)(jnp.eye(count)), 0, -1)


def constant(params: Any, net: str, value: Any = 0.0) -> Any:
    """Parameters whose `net` gives `value` whatever it is shown."""
    last = params[net]["fc2"] if "fc2" in params[net] else params[net]
    still = {
        "kernel": jnp.zeros_like(last["kernel"]),
        "bias": jnp.zeros_like(last["bias"]) + value,
    }
    return {**params, net: {**params[net], "fc2": still} if "fc2" in params[net] else still}


def test_loss_and_gradients(case: Case) -> None:
    (loss, _), grads = case.gradient
    case.z.check("loss", loss)
    check_tree(case.z, "grad/", grads)
    if case.algorithm.fixed:
        check_tree(case.z, "grad_untrained/", grads)


def test_two_steps(case: Case) -> None:
    """Clipping, RMSprop, the copy to the target; what is fixed is neither stepped nor copied."""
    (first, metrics), (second, again) = case.updates
    case.z.check("grad_norm", metrics["grad_norm"])
    check_tree(case.z, "after/params/", first.params, case.told_from_zero)
    for name in case.algorithm.fixed:
        assert_same(first.params["mixer"][name], case.params["mixer"][name])
        assert_same(second.target["mixer"][name], case.target["mixer"][name])
    free = lambda tree: {k: v for k, v in tree["mixer"].items() if k not in case.algorithm.fixed}
    assert_same(first.target["agent"], first.params["agent"])
    assert_same(free(first.target), free(first.params))
    if case.z.precision == "f64":
        case.z.check("step2/loss", again["loss"])
        case.z.check("step2/grad_norm", again["grad_norm"])
        check_tree(case.z, "step2/after/params/", second.params)


# --- the agents' network alone --------------------------------------------------------------------


class Probe:
    """rnn_agent.npz: values and hidden states from two first states, and gradients through time."""

    def __init__(self, z: Golden) -> None:
        self.z, self.batch = z, episodes(z)
        width, flags = z.config("rnn_hidden_dim"), ("obs_last_action", "obs_agent_id")
        last_action, agent_id = (bool(z.config(flag)) for flag in flags)
        self.agents = Agents(spec_from(z), (width,), width, True, last_action, agent_id)
        like = jax.eval_shape(self.agents.init, jax.random.key(0))
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, z.dtype), like)
        named = {name: z[f"params/{name}"] for name in z.names("params/")}
        self.params = filled({"agent": like}, named)["agent"]

    def unroll(self, params: Any) -> tuple[Array, Array]:
        """As learning does, from nothing."""
        (net,) = self.agents.unroll((params,), self.batch)
        return net.q, net.hidden

    def steps(self, params: Any) -> tuple[Array, Array]:
        """As acting does, from the recorded states."""
        before = actions_before(self.batch)

        def one(hidden: Array, x: tuple[View, Array]) -> tuple[Array, tuple[Array, Array]]:
            view, last = x
            q, hidden = self.agents.step(params, Carry(hidden, last), view)
            return hidden, (q, hidden)

        h0 = jnp.asarray(self.z["probe/h0"])
        return jax.lax.scan(one, h0, (self.batch.view, before))[1]


@pytest.fixture(scope="module", params=PRECISIONS)
def probe(request: pytest.FixtureRequest, data_dir: Path) -> Any:
    with jax.enable_x64(request.param == "f64"):
        return Probe(Golden(data_dir / "golden" / "rnn_agent.npz", request.param))


@pytest.mark.parametrize(("name", "way"), [("zero_h0", Probe.unroll), ("random_h0", Probe.steps)])
def test_agents_network(probe: Probe, name: str, way: Any) -> None:
    z = probe.z
    weights = [jnp.asarray(z[f"probe/cotangent_{x}"]).swapaxes(0, 1) for x in "qh"]

    def loss(params: Any) -> tuple[Array, Any]:
        out = way(probe, params)
        return (weights[0] * out[0]).sum() + (weights[1] * out[1]).sum(), out

    (value, (q, hidden)), grads = jit(jax.value_and_grad(loss, has_aux=True))(probe.params)
    inputs = probe.agents.inputs(probe.batch.view, actions_before(probe.batch))
    z.check("agent_inputs", inputs.swapaxes(0, 1))
    z.check(f"{name}/q", q.swapaxes(0, 1))
    z.check(f"{name}/h", hidden.swapaxes(0, 1))
    terms = sum(np.abs(w * x).sum() for w, x in zip(weights, (q, hidden), strict=True))
    z.check(f"{name}/probe_loss", value, atol=1e-6 * float(terms))  # they cancel
    check_tree(z, f"{name}/grad/", {"agent": grads})
