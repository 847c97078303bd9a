"""LIIR as its authors' code computes it (yalidu/liir a5edb47), to compare with.

One critic network gives intrinsic rewards, the values of the proxy reward and those of the team's.
The meta-gradient multiplies means where the paper has the mean of products, and points the other
way; advantages are standardised over positions without a step, too.
"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl import targets
from jmarl.algorithms import on_policy
from jmarl.algorithms.batch import mean, take
from jmarl.algorithms.on_policy import weights
from jmarl.algorithms.team_actor_critic import TeamActorCritic
from jmarl.networks.agents import actions_before
from jmarl.networks.base import Net, functional
from jmarl.networks.layers import Linear
from jmarl.networks.values import SEES_ALL, Values
from jmarl.optim import descend, global_norm
from jmarl.types import Clock, EnvSpec, Key, Metrics, Params, Transition

HEADS = "fc3_r_in", "fc4"  # what the intrinsic step moves


class Judged(struct.PyTreeNode):
    """What the critic says of [..., A] agents."""

    intrinsic: Array  # [..., A, U] of each action
    proxy: Array  # [..., A]
    team: Array  # [..., 1]


class ReleaseCritic(nn.Module):
    """Inputs [..., A, in] to all that is judged; the team's value sees all agents' features."""

    hidden: tuple[int, ...]
    actions: int
    bound: Any

    @nn.compact
    def __call__(self, x: Array) -> Judged:
        for layer, width in enumerate(self.hidden, start=1):
            x = nn.relu(Linear(width, name=f"fc{layer}")(x))
        intrinsic = self.bound * jnp.tanh(Linear(self.actions, name="fc3_r_in")(x) / self.bound)
        proxy = Linear(1, name="fc3_v_mix")(x)[..., 0]
        return Judged(intrinsic, proxy, Linear(1, name="fc4")(x.reshape(*x.shape[:-2], -1)))


class Learner(on_policy.Learner):
    """`critic` is the whole network; its optimiser moves all but the `HEADS`."""

    intrinsic_opt: Any


@dataclass(frozen=True)
class Proxy:
    """The critic as far as the proxy reward's values go."""

    net: Net[Judged]

    def apply(self, params: Params, x: Array) -> Array:
        return self.net.apply(params, x).proxy[..., None]


class LiirRelease(TeamActorCritic[Learner]):
    """`critic` makes the inputs; the network is `judge`."""

    @property
    def judge(self) -> Net[Judged]:
        cfg = self.cfg
        return functional(
            ReleaseCritic(cfg.critic_hidden_dim, self.spec.action_size, cfg.intrinsic_bound)
        )

    def init(self, key: Key) -> Learner:
        actor_key, critic_key = jax.random.split(key)
        actor, tx = self.agents.init(actor_key), self.optimiser(0.0)
        nobody = jnp.full(self.spec.num_agents, -1)
        x = self.critic.inputs(self.spec.example_view(), nobody, nobody)
        critic = self.judge.init(critic_key, x)
        opts = tx.init(actor), tx.init(critic), self.unclipped.init(heads_of(critic))
        return Learner(actor, critic, critic, *opts)

    @property
    def unclipped(self) -> Any:
        return self.step_rule(self.cfg.intrinsic_lr)

    def improve(
        self, learner: Learner, batch: Transition, key: Key, clock: Clock
    ) -> tuple[Learner, Metrics]:
        """Steps of the proxy critic, of the policy, of the heads."""
        floor = self.floor(clock)
        unroll = lambda actor: self.policies(actor, batch, floor)
        log_policy, pull = jax.vjp(unroll, learner.actor)
        action = self.actions(batch, log_policy[-1], key)
        x = self.critic.inputs(batch.view, action, actions_before(batch))
        old = self.judge.apply(learner.target, x)
        reward = take(self.judge.apply(learner.critic, x).intrinsic[:-1], batch.action)
        goal = self.returns(old.proxy, batch, reward)
        fitted = self.fit(Proxy(self.judge), learner.critic, learner.critic_opt, x, goal, batch)
        advantage = unbiased(jnp.where(batch.valid[..., None], goal, 0) - fitted.seen[..., 0])
        slope, metrics = jax.grad(self.actor_loss, has_aux=True)(log_policy, advantage, batch)
        (grads,) = pull(slope)
        tx = self.optimiser(self.cfg.lr)
        actor, actor_opt = descend(tx, grads, learner.actor_opt, learner.actor)
        product = self.product(learner, actor, take(log_policy[:-1], action[:-1]), x, old, batch)
        heads = heads_of(learner.critic)
        slopes = jax.grad(self.heads_loss)(heads, learner.critic, x, old, product, batch)
        heads, intrinsic_opt = descend(self.unclipped, slopes, learner.intrinsic_opt, heads)
        critic = {**fitted.params, **heads}
        target = self.followed(critic, learner.target, batch, clock)
        metrics |= {
            **fitted.metrics,
            "actor_grad_norm": global_norm(grads),
            "intrinsic_reward": mean((reward * weights(batch)).mean(-1), batch.valid),
            "meta_product": product,
        }
        return Learner(actor, critic, target, actor_opt, fitted.opt, intrinsic_opt), metrics

    def returns(self, values: Array, batch: Transition, intrinsic: Any = 0.0) -> Array:
        """TD(lambda) returns of the team's and a little of the intrinsic reward, with gradient."""
        paid = batch.replace(reward=batch.reward + self.cfg.intrinsic_weight * intrinsic)
        return targets.lambda_sums(values, paid, self.cfg.gamma, self.cfg.td_lambda)

    # --- what stands for the meta-gradient ------------------------------------------------------

    def log_prob(self, actor: Params, batch: Transition) -> Array:
        """Of the actions taken, by the softmax over all actions, available or not, [T, B, A]."""
        (unrolled,) = self.agents.unroll((actor,), batch)
        return take(jax.nn.log_softmax(unrolled.q[:-1]), batch.action) * weights(batch)

    def product(
        self,
        learner: Learner,
        actor: Params,
        played: Array,
        x: Array,
        old: Judged,
        batch: Transition,
    ) -> Array:
        """Mean score at the old policy, times the slope of the team's objective at the new one.

        `played` [T, B, A] are the log-probabilities that the actions were drawn with.
        """
        score = jax.grad(self.score)(learner.actor, batch)
        outer = jax.grad(self.objective)(
            actor, played, self.team_advantage(learner.critic, x, old, batch), batch
        )
        each = jax.tree.map(jnp.vdot, score, outer)
        return jnp.asarray(jax.tree.leaves(each)).sum()

    def score(self, actor: Params, batch: Transition) -> Array:
        """Mean log-probability of the actions taken."""
        return mean(self.log_prob(actor, batch).mean(-1), batch.valid.astype(batch.reward.dtype))

    def objective(self, actor: Params, played: Array, advantage: Array, batch: Transition) -> Array:
        """The team's mean advantage, by the joint ratio to how the actions were drawn."""
        log_ratio = self.log_prob(actor, batch) - played * weights(batch)
        ratio = jnp.exp(log_ratio.sum(-1))
        return mean(advantage[..., 0] * ratio, batch.valid.astype(ratio.dtype))

    def team_advantage(self, critic: Params, x: Array, old: Judged, batch: Transition) -> Array:
        """[T, B, 1], standardised over all positions."""
        goal = jnp.where(batch.valid[..., None], self.returns(old.team, batch), 0)
        return unbiased(goal - self.judge.apply(critic, x).team[:-1])

    def heads_loss(
        self,
        heads: Params,
        critic: Params,
        x: Array,
        old: Judged,
        product: Array,
        batch: Transition,
    ) -> Array:
        """The mean proxy return times the product, and the squared error of the team's value."""
        judged, steps = self.judge.apply({**critic, **heads}, x), batch.valid * 1.0
        reward = take(judged.intrinsic[:-1], batch.action)
        proxy = mean(self.returns(old.proxy, batch, reward).mean(-1), steps)
        goal = jax.lax.stop_gradient(self.returns(old.team, batch))
        error = mean(((judged.team[:-1] - goal) ** 2)[..., 0], steps)
        return product * proxy + self.cfg.release_value_weight * error

    def intrinsic(self, learner: Learner, batch: Transition) -> Array:
        """What the steps of a batch could have earned of it, [T, B, A, U]: to look at."""
        action = jnp.concatenate([batch.action, jnp.full_like(batch.action[:1], -1)])
        x = self.critic.inputs(batch.view, action, actions_before(batch))
        return self.judge.apply(learner.critic, x).intrinsic[:-1]


def heads_of(critic: Params) -> Params:
    return {name: critic[name] for name in HEADS}


def unbiased(x: Array) -> Array:
    """Less the mean over all entries, over their unbiased deviation."""
    return (x - x.mean()) / (x.std(ddof=1) + 1e-8)


def inputs(spec: EnvSpec, cfg: Any) -> Values:
    """What the critic sees; the network itself is `ReleaseCritic`."""
    return Values(spec, SEES_ALL, cfg.critic_hidden_dim, 1)
