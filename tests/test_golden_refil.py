"""REFIL against the authors' code, tensor by tensor, with the groups that it drew."""

from functools import cached_property, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import Golden, cases
from golden_value import Case, check_tree
from jax import Array
from probes import assert_same, jit

from jmarl.algorithms.batch import take
from jmarl.algorithms.refil import mixer_of
from jmarl.algorithms.value_decomposition import Learner, ValueDecomposition
from jmarl.exploration import greedy
from jmarl.networks.agents import Unrolled, actions_before
from jmarl.networks.entities import Seen
from jmarl.types import Clock, Transition

pytestmark = pytest.mark.golden
PASSES = "real", "within", "interact"
NOW, AFTER = slice(None, -1), slice(1, None)  # of the views


class RefilCase(Case):
    """One file's two updates, each with the groups drawn for it."""

    def __init__(self, z: Golden) -> None:
        super().__init__(z, "refil")
        self.batch = self.split("group_draw")

    def split(self, draw: str) -> Transition:
        """The batch with the sides that each episode's entities were drawn to."""
        sides = self.z[f"noise/{draw}"] == 1
        shape = *self.batch.start.shape, sides.shape[-1]
        return self.batch.replace(extras=jnp.broadcast_to(sides, shape))

    @cached_property
    def seen(self) -> Seen:
        batch = self.batch
        return self.algorithm.agents.inputs(batch.view, actions_before(batch))

    @cached_property
    def unrolled(self) -> list[Unrolled]:
        """The online agents three times behind each other, and the target's."""
        teams = self.params["agent"], self.target["agent"]
        masks, _ = self.algorithm.imagined(self.batch)
        return jit(self.algorithm.agents.unroll)(teams, self.batch, masks)

    @cached_property
    def updates(self) -> list[tuple[Learner, dict[str, Array]]]:
        """Without drawing anew."""
        update = jit(partial(ValueDecomposition.update, self.algorithm))
        learner = Learner(self.params, self.target, self.algorithm.tx.init(self.params))
        out = []
        for done, draw in enumerate(("group_draw", "group_draw_step2")):
            clock = Clock(jnp.zeros(()), jnp.zeros(()), jnp.int32(done))
            learner, metrics = update(learner, self.split(draw), jax.random.key(0), clock)
            out.append((learner, metrics))
        return out


case, in_its_precision = cases(("refil", "refil_vdn"), RefilCase)


def test_masks(case: RefilCase) -> None:
    """Those of the mixer are one an episode; those of the agents hide what is unseen as well."""
    algorithm, agents = case.algorithm, case.spec.num_agents
    of_agents, of_mixer = algorithm.imagined(case.batch)
    for i, name in enumerate(PASSES[1:]):
        shown = np.swapaxes(case.seen.blocked | of_agents[i], 0, 1)
        np.testing.assert_array_equal(case.z[f"masks/agent_{name}"][:, :, :agents] == 1, shown)
        recorded = case.z[f"masks/mixer_{name}"][:, None, :agents] == 1
        assert (np.swapaxes(of_mixer[i], 0, 1) == recorded).all()


def test_agents(case: RefilCase) -> None:
    """Inputs, attention and values of the three passes at every position, padding too."""
    agents, (online, old) = case.spec.num_agents, case.unrolled
    case.check("entity_inputs", case.seen.features)
    case.check("target_agent_qs", old.q)
    case.check("agent_hidden_real", online.hidden[..., :agents, :])
    weights = jit(lambda params, seen: case.algorithm.agents.apply("attention", params, seen))
    masks = jnp.zeros((), bool), *case.algorithm.imagined(case.batch)[0]
    for i, (name, mask) in enumerate(zip(PASSES, masks, strict=True)):
        case.check(f"agent_qs_{name}", online.q[..., i * agents : (i + 1) * agents, :])
        shown = case.seen._replace(blocked=case.seen.blocked | mask)
        case.check(f"agent_attn_{name}", weights(case.params["agent"], shown))


def test_targets_and_errors(case: RefilCase) -> None:
    """From chosen and best next actions to the errors of the steps that were taken."""
    everywhere, where_stepped = jit(lambda nets: tensors(case, *nets))(case.unrolled)
    for name, value in everywhere.items():
        case.check(name, value)
    for name, value in where_stepped.items():
        case.check(name, value, masked=True)


def tensors(case: RefilCase, online: Unrolled, old: Unrolled) -> tuple[Any, Any]:
    """What can be compared in padding too, and what cannot: there the files let -9999999 through
    the target mixer."""
    algorithm, batch = case.algorithm, case.algorithm.told(case.batch)
    batch = batch.replace(action=jnp.maximum(batch.action, 0))  # files have action 0 in padding
    (_, masks), whole = algorithm.imagined(case.batch), algorithm.whole(online)
    real, imagined = algorithm.mixed(case.params, online, batch, masks)
    chosen = take(online.q[NOW], jnp.concatenate([batch.action] * 3, -1))
    goal = algorithm.goal(case.target, whole, old, batch)
    best = algorithm.best(whole, old, batch.view)
    future = take(old.q, best)
    joint = algorithm.mixer.apply(case.target["mixer"], future, batch.view, best).joint
    agents = case.spec.num_agents
    return {
        "mask": batch.valid[..., None],
        "next_greedy_actions": greedy(whole.q, batch.view.available)[AFTER],
        "chosen_agent_qs": chosen[..., :agents],
        "chosen_agent_qs_imagined": chosen[..., agents:],
        "q_tot": real.joint,
        "q_tot_imagined": imagined.joint,
    }, {
        "target_chosen_agent_qs": future[AFTER],
        "target_q_tot": joint[AFTER],
        "targets": goal,
        "td_error": real.joint - goal,
        "td_error_imagined": imagined.joint - goal,
    }


@pytest.mark.parametrize("which", ["mixer_real", "mixer_imagined", "target_mixer"])
def test_mixer(case: RefilCase, which: str) -> None:
    """What is inside the online and the target mixer."""
    inside = jit(lambda nets: opened(case, which, *nets))(case.unrolled)
    assert inside.keys() == set(case.z.names(f"{case.z.precision}/{which}/"))
    for name, value in inside.items():
        padded = name == "hidden" and which == "target_mixer"
        case.check(f"{which}/{name}", value, masked=padded)


def opened(case: RefilCase, which: str, online: Unrolled, old: Unrolled) -> dict[str, Array]:
    """A mixer's parts, from the rows that its networks give out."""
    algorithm, agents, cfg = case.algorithm, case.spec.num_agents, case.algorithm.cfg
    if cfg.mixer == "sum":
        return {}
    batch, aims = algorithm.told(case.batch), which == "target_mixer"
    masks = () if aims else tuple(x[NOW] for x in algorithm.imagined(case.batch)[1])
    view = jax.tree.map(lambda x: x[AFTER if aims else NOW], batch.view)
    action = jnp.concatenate([jnp.maximum(batch.action, 0)] * 3, -1)
    best = algorithm.best(algorithm.whole(online), old, batch.view)
    q = take(old.q, best)[AFTER] if aims else take(online.q[NOW], action)
    params = (case.target if aims else case.params)["mixer"]
    factors = [q] if aims else [q[..., :agents], q[..., agents:]]
    module: Any = mixer_of(case.spec, cfg)
    _, record = module.apply(
        {"params": params},
        factors,
        view,
        masks,
        method="mix",
        capture_intermediates=True,
        mutable=["intermediates"],
    )
    rows = lambda name: record["intermediates"][name]["__call__"][0]
    positive = jax.nn.softmax if cfg.mixing_weights == "softmax" else jnp.abs
    rest = slice(agents, None) if which == "mixer_imagined" else slice(agents)
    w1 = positive(rows("hyper_w_1"))[..., rest, :]
    b1 = rows("hyper_b_1")
    return {
        "w1": w1,
        "b1": b1,
        "hidden": nn.elu(jnp.einsum("...f,...fu->...u", q[..., rest], w1) + b1),
        "w_final": positive(rows("hyper_w_final")),
        "v": rows("V")[..., 0],
    }


def test_loss_and_gradients(case: RefilCase) -> None:
    (loss, metrics), grads = case.gradient
    case.z.check("loss", loss)
    case.z.check("loss_real", metrics["loss"])
    case.z.check("loss_imagined", metrics["imagined_loss"])
    check_tree(case.z, "grad/", grads)


def test_two_steps(case: RefilCase) -> None:
    """Clipping, RMSprop, the copy to the target, and other groups at the second step."""
    (first, metrics), (second, again) = case.updates
    case.z.check("grad_norm", metrics["grad_norm"])
    check_tree(case.z, "after/params/", first.params, case.told_from_zero)
    assert_same(first.target, first.params)
    if case.z.precision == "f64":
        cfg = case.algorithm.cfg
        losses = again["loss"], again["imagined_loss"]
        case.z.check("step2/loss_real", losses[0])
        case.z.check("step2/loss_imagined", losses[1])
        case.z.check("step2/loss", (1 - cfg.lmbda) * losses[0] + cfg.lmbda * losses[1])
        case.z.check("step2/grad_norm", again["grad_norm"])
        check_tree(case.z, "step2/after/params/", second.params)
