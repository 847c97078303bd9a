"""QTRAN-base against PyMARL, tensor by tensor."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from golden import Golden
from golden_value import Case, check_tree
from jax import Array
from probes import assert_same, jit

from jmarl.algorithms.value_decomposition import take
from jmarl.exploration import greedy
from jmarl.networks.agents import Unrolled

pytestmark = pytest.mark.golden
NOW, AFTER = slice(None, -1), slice(1, None)  # of the views


@pytest.fixture(scope="module", params=["f64", "f32"])
def case(request: pytest.FixtureRequest, data_dir: Path) -> Any:
    with jax.enable_x64(request.param == "f64"):
        return Case(Golden(data_dir / "golden" / "qtran.npz", request.param), "qtran")


@pytest.fixture(autouse=True)
def in_its_precision(case: Case) -> Iterator[None]:
    """Around each test alone: contexts that overlap would not close in turn."""
    with jax.enable_x64(case.z.precision == "f64"):
        yield


def test_agents(case: Case) -> None:
    online, old = case.unrolled
    case.check("agent_qs", online.q)
    case.check("agent_hidden", online.hidden)
    case.check("target_agent_qs", old.q)
    case.check("target_agent_hidden", old.hidden)
    case.check("greedy_actions", greedy(online.q, case.batch.view.available))


def test_joint_values_and_errors(case: Case) -> None:
    """The three errors are compared where a step was taken: elsewhere nothing is available."""
    everywhere, where_stepped = jit(lambda nets: tensors(case, *nets))(case.unrolled)
    for name, value in everywhere.items():
        case.check(name, value)
    for name, value in where_stepped.items():
        case.check(name, value, masked=True)


def tensors(
    case: Case, online: Unrolled, old: Unrolled
) -> tuple[dict[str, Array], dict[str, Array]]:
    algorithm, batch = case.algorithm, case.batch
    now = lambda tree: jax.tree.map(lambda x: x[NOW], tree)
    best = algorithm.best(online, old, batch.view)
    here, view = now(online), now(batch.view)
    looks_best = greedy(here.q, view.available)
    taken, value = algorithm.joint(case.params, here, view, batch.action)
    top, _ = algorithm.joint(case.params, here, view, looks_best)
    future, _ = algorithm.joint(case.target, old, batch.view, best)
    goal = algorithm.returns(future, batch)
    sums = lambda action: take(here.q, action).sum(-1, keepdims=True)
    return {
        "mask": batch.valid[..., None],
        "chosen_agent_qs": take(here.q, jnp.maximum(batch.action, 0)),  # the file's in padding
        "joint_qs": taken,
        "vs": value,
        "max_joint_qs": top,
        "target_joint_qs": future[AFTER],
    }, {
        "td_targets": goal,
        "td_error": taken - goal,
        "opt_error": sums(looks_best) - top + value,
        "nopt_error": (sums(batch.action) - taken + value).clip(max=0),
    }


def test_losses_and_gradients(case: Case) -> None:
    (loss, metrics), grads = case.gradient
    case.z.check("loss", loss)
    case.z.check("td_loss", metrics["loss"])
    case.z.check("opt_loss", metrics["opt_loss"])
    case.z.check("nopt_loss", metrics["nopt_loss"])
    check_tree(case.z, "grad/", grads)


def test_two_steps(case: Case) -> None:
    """Clipping, RMSprop and the copy to the target."""
    (first, metrics), (second, again) = case.updates
    case.z.check("grad_norm", metrics["grad_norm"])
    check_tree(case.z, "after/params/", first.params, case.told_from_zero)
    assert_same(first.target, first.params)
    if case.z.precision == "f64":
        td, opt, nopt = (again[name] for name in ("loss", "opt_loss", "nopt_loss"))
        cfg = case.algorithm.cfg
        case.z.check("step2/td_loss", td)
        case.z.check("step2/opt_loss", opt)
        case.z.check("step2/nopt_loss", nopt)
        case.z.check("step2/loss", td + cfg.opt_weight * opt + cfg.nopt_weight * nopt)
        case.z.check("step2/grad_norm", again["grad_norm"])
        check_tree(case.z, "step2/after/params/", second.params)
