"""COMA against PyMARL's learner, tensor by tensor."""

from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import RTOL, cases
from golden_critic import Case
from golden_value import check_tree
from jax import Array
from probes import jit

from jmarl.algorithms.batch import take
from jmarl.algorithms.on_policy import Learner
from jmarl.algorithms.team_actor_critic import Fitted, critic_loss

pytestmark = pytest.mark.golden


class Coma(Case):
    @cached_property
    def learner(self) -> Learner:
        actor, critic, target = self.nets()
        opts = (self.algorithm.optimiser(0.0).init(net) for net in (actor, critic))
        return Learner(actor, critic, target, *opts)

    @cached_property
    def goal(self) -> Array:
        return jit(self.algorithm.goal)(self.learner.target, self.x, self.action, self.batch)

    @cached_property
    def fitted(self) -> Fitted:
        fit = jit(partial(self.algorithm.fit, self.algorithm.critic))
        opened = self.learner.critic, self.learner.critic_opt
        return fit(*opened, self.x, self.goal, self.batch)

    @cached_property
    def updates(self) -> list[tuple[Learner, dict[str, Array]]]:
        """Two on the same batch, whose last actions are the recorded ones."""
        noise = jnp.where(jax.nn.one_hot(self.action[-1], self.spec.action_size), 1e12, 0)
        update, out, learner = jit(self.update), [], self.learner
        for done in range(2):
            learner, metrics = update(learner, noise, self.clock.replace(updates=jnp.int32(done)))
            out.append((learner, metrics))
        return out

    def update(self, learner: Learner, noise: Array, clock: Any) -> Any:
        class Known(type(self.algorithm)):
            def actions(self, batch: Any, last: Array, key: Any) -> Array:
                return jnp.concatenate([batch.action, (last + noise).argmax(-1)[None]])

        algorithm = self.algorithm
        known = Known(algorithm.spec, algorithm.cfg, algorithm.agents, algorithm.critic)
        return known.update(learner, self.batch, jax.random.key(0), clock)


case, in_its_precision = cases(("coma",), lambda z: Coma(z, "coma"))


def test_critic(case: Coma) -> None:
    """Inputs and values of all actions, at every position."""
    case.check("critic/inputs", case.x)
    case.check("critic/q", case.algorithm.critic.apply(case.learner.critic, case.x))
    case.check("target_critic/q", case.algorithm.critic.apply(case.learner.target, case.x))


def test_targets(case: Coma) -> None:
    case.check("targets", case.goal, masked=True)


def test_the_critic_moves_position_by_position(case: Coma) -> None:
    """Each sees what the later ones have made of the critic."""
    case.check("critic_update/q_seen", case.fitted.seen)
    last = len(case.batch.valid) - 1
    loss = jax.value_and_grad(partial(critic_loss, case.algorithm.critic), has_aux=True)
    at = lambda x: x[last]
    data = at(case.x), at(case.goal), at(case.batch.action), at(case.batch.valid)
    (value, _), grads = jit(loss)(case.learner.critic, *data)
    case.z.check("critic_update/losses", np.r_[value, np.asarray(recorded_losses(case))[1:]])
    check_tree(case.z, "critic_update/grad_first/", {"critic": grads})


def recorded_losses(case: Coma) -> np.ndarray:
    """Of each position, the last first, from the values that the critic saw there."""
    q = take(case.fitted.seen, case.batch.action)
    squared = np.asarray((q - case.goal) ** 2).mean(-1)
    valid = np.asarray(case.batch.valid)
    return ((squared * valid).sum(1) / np.maximum(valid.sum(1), 1))[::-1]


def test_policy(case: Coma) -> None:
    """The floor is mixed in before what is unavailable is cut out."""
    case.check_agents()
    log_policy = case.log_policy[:-1]
    q = take(case.fitted.seen, case.batch.action)
    advantage = case.algorithm.advantage(case.fitted.seen, case.goal, log_policy, case.batch)
    case.check("policy/probs", jnp.exp(log_policy), masked=True)
    case.check("policy/log_pi_taken", take(log_policy, case.batch.action), masked=True)
    case.check("policy/q_taken", q, masked=True)
    case.check("policy/baseline", q - advantage, masked=True)
    case.check("policy/advantages", advantage, masked=True)


def test_policy_gradient(case: Coma) -> None:
    now = case.log_policy[:-1]
    advantage = case.algorithm.advantage(case.fitted.seen, case.goal, now, case.batch)

    def loss(actor: Any) -> Array:
        log_policy = case.algorithm.policies(actor, case.batch, case.floor)
        return case.algorithm.actor_loss(log_policy, advantage, case.batch)[0]

    value, grads = jit(jax.value_and_grad(loss))(case.learner.actor)
    case.z.check("policy/loss", value)
    check_tree(case.z, "policy/grad/", {"agent": grads})


def test_updates(case: Coma) -> None:
    """Losses of both, and the parameters after the first; the target is copied between."""
    (first, metrics), (_, later) = case.updates
    norms = case.z.data[f"{case.z.precision}/critic_update/grad_norms"]
    assert metrics["critic_grad_norm"] == pytest.approx(norms.mean(), rel=RTOL[case.z.precision])
    case.z.check("policy/loss", metrics["actor_loss"])
    case.z.check("policy/grad_norm", metrics["actor_grad_norm"])
    check_tree(case.z, "after/params/", {"agent": first.actor, "critic": first.critic})
    if case.z.precision == "f64":
        case.z.check("step2/policy_loss", later["actor_loss"])
        losses = case.z.data["f64/step2/critic_losses"]
        assert later["critic_loss"] == pytest.approx(losses.mean(), rel=1e-9)
