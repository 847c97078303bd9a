"""LIIR: the release's update tensor by tensor, and the paper's meta-gradient."""

from dataclasses import replace
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

from jmarl.algorithms import liir
from jmarl.algorithms.batch import take
from jmarl.algorithms.liir_release import (
    HEADS,
    Learner,
    LiirRelease,
    Proxy,
    heads_of,
    unbiased,
)
from jmarl.algorithms.team_actor_critic import Fitted, critic_loss
from jmarl.networks.values import SEES_ALL, Values

pytestmark = pytest.mark.golden


class Release(Case):
    @cached_property
    def learner(self) -> Learner:
        actor, critic, target = self.nets()
        tx = self.algorithm.optimiser(0.0)
        heads_opt = self.algorithm.unclipped.init(heads_of(critic))
        opts = tx.init(actor), tx.init(critic), heads_opt
        return Learner(actor, critic, target, *opts)

    @cached_property
    def judged(self) -> Any:
        return self.algorithm.judge.apply(self.learner.critic, self.x)

    @cached_property
    def old(self) -> Any:
        return self.algorithm.judge.apply(self.learner.target, self.x)

    @cached_property
    def team(self) -> Any:
        """The batch with the team's reward."""
        return self.algorithm.paid(self.batch)

    @cached_property
    def goal(self) -> Array:
        reward = take(self.judged.intrinsic[:-1], self.batch.action)
        return self.algorithm.returns(self.old.proxy, self.team, reward)

    @cached_property
    def fitted(self) -> Fitted:
        fit = jit(partial(self.algorithm.fit, Proxy(self.algorithm.judge)))
        opened = self.learner.critic, self.learner.critic_opt
        return fit(*opened, self.x, self.goal, self.batch)

    @cached_property
    def updates(self) -> list[tuple[Learner, dict[str, Array]]]:
        """Two on the same batch, whose last actions are the recorded ones."""
        action = self.action

        class Known(LiirRelease):
            def actions(self, batch: Any, last: Array, key: Any) -> Array:
                return action

        known = Known(*vars(self.algorithm).values())
        update, out, learner = jit(known.update), [], self.learner
        for done in range(2):
            clock = self.clock.replace(updates=jnp.int32(done))
            learner, metrics = update(learner, self.batch, jax.random.key(0), clock)
            out.append((learner, metrics))
        return out


def release(z: Any) -> Release:
    bound, weight = z.config("r_in_scale"), z.config("intrinsic_weight")
    assert z.config("adv_std_eps") == 1e-8
    return Release(
        z,
        "liir",
        release_mode=True,
        standardise_advantages=False,
        intrinsic_bound=bound,
        intrinsic_weight=weight,
        intrinsic_lr=z.config("critic_lr"),
        release_value_weight=z.config("vf_coef"),
        inner_lr=z.config("paper_exact_inner_lr"),
    )


case, in_its_precision = cases(("liir",), release)


def test_critic(case: Release) -> None:
    case.check("critic/inputs", case.x)
    case.check("critic/r_in_all", case.judged.intrinsic)
    case.check("critic/v_mix", case.judged.proxy)
    case.check("critic/v_ex", case.judged.team)
    case.check("target_critic/v_mix", case.old.proxy)
    case.check("target_critic/v_ex", case.old.team)


def test_targets(case: Release) -> None:
    action = jnp.maximum(case.action, 0)  # behind the end the file takes the first action's
    case.check("r_in_taken", take(case.judged.intrinsic, action))
    case.check("targets_mix", case.goal, masked=True)
    case.check("targets_ex", case.algorithm.returns(case.old.team, case.team), masked=True)


def test_the_critic_moves_position_by_position(case: Release) -> None:
    case.check("critic_update/v_mix_seen", case.fitted.seen[..., 0])
    loss = jax.value_and_grad(partial(critic_loss, Proxy(case.algorithm.judge)), has_aux=True)
    data = (case.x[-2], case.goal[-1], case.batch.action[-1], case.batch.valid[-1])
    (value, _), grads = jit(loss)(case.learner.critic, *data)
    squared = np.asarray((case.fitted.seen[..., 0] - case.goal) ** 2).mean(-1)
    steps = np.asarray(case.batch.valid)
    losses = (squared * steps).sum(1) / np.maximum(steps.sum(1), 1)
    case.z.check("critic_update/losses", np.r_[value, losses[-2::-1]])
    check_tree(case.z, "critic_update/grad_first/", {"critic": grads})
    assert not any(np.asarray(x).any() for name in HEADS for x in grads[name].values())


def test_policy(case: Release) -> None:
    case.check_agents()
    log_policy = case.log_policy[:-1]
    taken = take(log_policy, case.batch.action)
    alive = np.asarray(case.batch.view.alive[:-1])
    case.check("mask_alive", alive, masked=True)
    case.check("policy/probs", jnp.exp(log_policy), masked=True)
    case.check("policy/log_pi_taken", taken * alive, masked=True)
    valid = case.batch.valid[..., None]
    advantage = unbiased(jnp.where(valid, case.goal, 0) - case.fitted.seen[..., 0])
    case.check("policy/advantages", advantage)

    def loss(actor: Any) -> Array:
        log_policy = case.algorithm.policies(actor, case.batch, case.floor)
        return case.algorithm.actor_loss(log_policy, advantage, case.batch)[0]

    value, grads = jit(jax.value_and_grad(loss))(case.learner.actor)
    case.z.check("policy/loss", value)
    check_tree(case.z, "policy/grad/", {"agent": grads})


def test_the_product_that_stands_for_the_meta_gradient(case: Release) -> None:
    algorithm, learner = case.algorithm, case.learner
    new = case.updates[0][0].actor
    played = take(case.log_policy[:-1], case.batch.action)
    advantage = algorithm.team_advantage(learner.critic, case.x, case.old, case.team)
    case.check("meta/adv_ex", advantage)
    case.check("meta/log_pi_old", algorithm.log_prob(learner.actor, case.batch))
    case.check("meta/log_pi_new", algorithm.log_prob(new, case.batch))
    alive = case.batch.view.alive[:-1]
    ratio = jnp.exp((algorithm.log_prob(new, case.batch) - played * alive).sum(-1))
    case.check("meta/ratio", ratio, masked=True)
    value, score = jit(jax.value_and_grad(algorithm.score))(learner.actor, case.batch)
    case.z.check("meta/score_objective", value)
    check_tree(case.z, "meta/score_grad/", {"agent": score})
    outer = jit(jax.value_and_grad(algorithm.objective))
    value, slope = outer(new, played, advantage, case.batch)
    case.z.check("meta/outer_objective", value)
    check_tree(case.z, "meta/outer_grad/", {"agent": slope})
    product = jit(algorithm.product)(learner, new, played, case.x, case.old, case.team)
    case.z.check("meta/grad_total", product)
    loss = jit(jax.value_and_grad(algorithm.heads_loss))
    heads = heads_of(learner.critic)
    data = learner.critic, case.x, case.old, product, case.team
    value, slopes = loss(heads, *data)
    case.z.check("meta/intrinsic_loss", value)
    proxy = replace(algorithm, cfg=algorithm.cfg.replace(release_value_weight=0.0))
    case.z.check("meta/pg_ex_loss", jit(proxy.heads_loss)(heads, *data))
    check_tree(case.z, "meta/grad/", {"critic": slopes})


def test_updates(case: Release) -> None:
    (first, metrics), (second, later) = case.updates
    case.z.check("policy/loss", metrics["actor_loss"])
    case.z.check("policy/grad_norm", metrics["actor_grad_norm"])
    norms = case.z.data[f"{case.z.precision}/critic_update/grad_norms"]
    assert metrics["critic_grad_norm"] == pytest.approx(norms.mean(), rel=RTOL[case.z.precision])
    case.z.check("meta/grad_total", metrics["meta_product"])
    check_tree(case.z, "after/params/", {"agent": first.actor, "critic": first.critic})
    if case.z.precision == "f64":
        case.z.check("step2/policy_loss", later["actor_loss"])
        case.z.check("step2/grad_total", later["meta_product"])
        losses = case.z.data["f64/step2/critic_losses"]
        assert later["critic_loss"] == pytest.approx(losses.mean(), rel=1e-9)
        check_tree(case.z, "step2/after/params/", {"agent": second.actor, "critic": second.critic})


def test_the_papers_meta_gradient(case: Release) -> None:
    """Through one plain step of the policy without a floor, by advantages as they are."""
    if case.z.precision == "f32":
        pytest.skip("recorded in float64 only")
    action, before, width = case.action, case.before, case.algorithm.cfg.critic_hidden_dim

    class Paper(liir.Liir):
        @property
        def intrinsic_net(self) -> Values:
            return Values(case.spec, SEES_ALL, width, case.spec.action_size)

        def inputs(self, net: Values, batch: Any) -> Array:
            return net.inputs(batch.view, action, before)

    critic = Values(case.spec, SEES_ALL, width, 1)
    paper = Paper(case.spec, case.algorithm.cfg, case.algorithm.agents, critic)
    net = lambda tree, head: {"fc_0": tree["fc1"], "fc_1": tree["fc2"], "last": tree[head]}
    online, old = case.learner.critic, case.learner.target
    learner = liir.Learner(
        actor=case.learner.actor,
        critic=net(online, "fc3_v_mix"),
        target=net(old, "fc3_v_mix"),
        actor_opt=None,
        critic_opt=None,
        intrinsic=net(online, "fc3_r_in"),
        intrinsic_opt=None,
        team_critic=None,
        team_target=None,
        team_opt=None,
    )
    advantage = case.algorithm.team_advantage(online, case.x, case.old, case.team)
    grads = jit(paper.meta_gradient)(learner, case.team, advantage, 0.0)
    check_tree(case.z, "paper_exact/meta_grad/", {"critic": {"fc3_r_in": grads["last"]}})
