"""Soft actor-critic for teams with a counterfactual baseline (MAAC 6174a01).

The critic values every action of each agent, given what all others see and do. An actor moves
towards what is better than its own average, the others' actions held: Q_i(o, a) less the sum over
k of pi_i(k) Q_i(o, (k, a_others)). MAAC's critic attends (maac.py), its rivals' concatenate
(sac_baselines.py); all else is here. Agents are the leading axis [A, ...] of the actors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array

from jmarl import targets
from jmarl.actions import Parts
from jmarl.algorithms.actor_critic import Learner, Nets, transitions
from jmarl.algorithms.batch import Batch, fold, means, take
from jmarl.algorithms.recipe import Preset, Recipe, anything, off_policy_plan
from jmarl.fields import knob, static
from jmarl.networks.base import Net
from jmarl.networks.critics import SLOPE, Critic, Judged
from jmarl.networks.mlp import Moments, batch_moments, mlp, normalised, per_agent, running
from jmarl.optim import clip_global, descend, global_norm, polyak
from jmarl.types import Clock, EnvSpec, Key, Memory, Metrics, Params, Policy, Transition, View

NEVER = -1e9  # log-probability of what is unavailable


class Config(struct.PyTreeNode):
    """Defaults are the released MAAC's, but for fewer, larger steps and raw observations."""

    actor_lr: float = knob(1e-3, low=0)  # Adam step size of the actors
    critic_lr: float = knob(1e-3, low=0)  # Adam step size of the critic
    gamma: float = knob(0.99, low=0, high=1)  # discount per step
    tau: float = knob(0.005, low=0, high=1)  # share of the online networks in each target update
    alpha: float = knob(0.01, low=0)  # what entropy counts: 1 / reward_scale of the release
    max_grad_norm: float = knob(0.5, above=0)  # each actor's gradient is clipped to this norm
    critic_max_grad_norm: float = knob(10.0, above=0)  # the critic's, times the number of agents
    weight_decay: float = knob(1e-3, low=0)  # of the critic, added to its gradients
    output_penalty: float = knob(1e-3, low=0)  # weight of the actors' mean squared logits
    hidden_dim: tuple[int, ...] = static((128, 128), low=1)  # widths of the actors' hidden layers
    buffer_size: int = static(1_000_000, low=1)  # transitions remembered
    batch_size: int = static(1024, low=1)  # transitions in each update
    warmup_steps: int = static(1024, low=0)  # environment steps before the first update
    env_steps_per_update: float = static(100.0, above=0)  # environment steps per gradient step
    discount_entropy: bool = static(False)  # the next step's entropy is discounted, as in the paper
    eval_actions: Literal["sample", "greedy"] = static("greedy")  # of the team under evaluation
    norm_input: bool = static(False)  # batch-normalise the inputs of actors and critic
    standardise_rewards: bool = static(True)  # by mean and deviation of all remembered rewards


@dataclass(frozen=True)
class MultiAgentSac:
    spec: EnvSpec
    cfg: Any  # a Config
    actor: Net[Array]  # of each agent: [..., A, O] -> [..., A, W]
    critic: Critic

    # --- acting ---------------------------------------------------------------------------------

    def explore(self, learner: Learner, clock: Clock) -> Policy[tuple[()]]:
        return self.policy(learner, jax.random.categorical)

    def exploit(self, learner: Learner) -> Policy[tuple[()]]:
        if self.cfg.eval_actions == "sample":
            return self.policy(learner, jax.random.categorical)
        return self.policy(learner, lambda key, log_policy: log_policy.argmax(-1))

    def policy(self, learner: Learner, choose: Callable[..., Array]) -> Policy[tuple[()]]:
        """`choose(key, log_policy)` draws from log-probabilities [B, A, U]."""
        size = self.spec.obs_size
        seen = jax.tree.map(lambda x: x[:, :size], learner.seen)

        def step(carry: tuple[()], view: View, key: Key) -> tuple[tuple[()], Array, tuple[()]]:
            out = self.outputs(learner.nets.actor, view.obs, seen)
            return carry, choose(key, self.log_policy(out, view.available)), ()

        return Policy(lambda key, num_envs: (), step)

    # --- learning -------------------------------------------------------------------------------

    def init(self, key: Key) -> Learner:
        spec = self.spec
        actor_key, critic_key = jax.random.split(key)
        actor = self.actor.init(actor_key, spec.obs_mask(), Parts(spec).real)
        nets = Nets(actor, self.critic.init(critic_key))
        opt = Nets(jax.vmap(self.tx.actor.init)(actor), self.tx.critic.init(nets.critic))
        shape = spec.num_agents, spec.obs_size + Parts(spec).width
        return Learner(nets, nets, opt, Moments(jnp.zeros(shape), jnp.ones(shape)))

    @property
    def tx(self) -> Nets:
        cfg = self.cfg
        clip = clip_global(cfg.critic_max_grad_norm * self.spec.num_agents)
        decay = optax.add_decayed_weights(cfg.weight_decay)
        return Nets(
            optax.chain(clip_global(cfg.max_grad_norm), optax.adam(cfg.actor_lr)),
            optax.chain(clip, decay, optax.adam(cfg.critic_lr)),
        )

    def update(
        self, learner: Learner, batch: Transition, key: Key, clock: Clock
    ) -> tuple[Learner, Metrics]:
        """One gradient step of the critic, then one of every actor, then of the targets."""
        flat = fold(self.spec, batch)
        target_key, own_key = jax.random.split(key)
        shape = *flat.reward.shape, self.spec.action_size
        goal = self.goal(learner.target, flat, jax.random.gumbel(target_key, shape))
        return self.improve(learner, flat, goal, jax.random.gumbel(own_key, shape))

    def improve(
        self, learner: Learner, batch: Batch, goal: Array, noise: Array
    ) -> tuple[Learner, Metrics]:
        """Towards the critic's `goal` [N, A]; `noise` [N, A, U] chooses the actors' actions."""
        nets, opt = learner.nets, learner.opt
        critic_slope = jax.value_and_grad(self.critic_loss, has_aux=True)
        (_, critic_metrics), grads = critic_slope(nets.critic, goal, batch)
        grads = self.shared_less(grads)
        critic, critic_opt = descend(self.tx.critic, grads, opt.critic, nets.critic)
        actor_slope = jax.value_and_grad(self.actor_loss, has_aux=True)
        (_, actor_metrics), slopes = actor_slope(nets.actor, critic, batch, noise)
        step = lambda grads, opt, params: descend(self.tx.actor, grads, opt, params)
        actor, actor_opt = jax.vmap(step)(slopes, opt.actor, nets.actor)
        new = Nets(actor, critic)
        target = polyak(new, learner.target, self.cfg.tau)
        seen = learner.seen
        if self.cfg.norm_input:
            seen = running(seen, joined(batch.view, batch.action), batch.weight)
        norms = {
            "critic_grad_norm": global_norm(grads),
            "actor_grad_norm": jax.vmap(global_norm)(slopes).mean(),
        }
        metrics = {**critic_metrics, **actor_metrics, **norms}
        return Learner(new, target, Nets(actor_opt, critic_opt), seen), metrics

    def goal(self, target: Nets, batch: Batch, noise: Array) -> Array:
        """y_i = r_i + gamma Q'_i(o', a') - alpha log pi'_i(a'_i | o'_i), [N, A].

        `noise` [N, A, U] chooses a'. The release neither discounts the entropy nor cuts it where
        an episode ends.
        """
        view, cfg = batch.next_view, self.cfg
        out = self.outputs(target.actor, view.obs, batch_moments(view.obs, batch.weight))
        log_policy = self.log_policy(out, view.available)
        action = (log_policy + noise).argmax(-1)
        judged = self.judge(target.critic, view, self.parts.one_hot(action), batch.weight)
        future, bonus = take(judged.q, action), -cfg.alpha * take(log_policy, action)
        ends = batch.terminated[:, None]
        if cfg.discount_entropy:
            return targets.one_step(batch.reward, future + bonus, ends, cfg.gamma)
        return targets.one_step(batch.reward + bonus, future, ends, cfg.gamma)

    def critic_loss(self, params: Params, goal: Array, batch: Batch) -> tuple[Array, Metrics]:
        """Mean squared errors of Q_i(o, a) and what the critic adds, summed over agents."""
        judged = self.judge(params, batch.view, batch.action, batch.weight)
        q = take(judged.q, self.parts.flat(batch.action))
        squared = means((q - goal) ** 2, batch.weight)
        penalty = means(jnp.broadcast_to(judged.penalty, q.shape), batch.weight)
        metrics = {"critic_loss": squared.mean(), "q_value": means(q, batch.weight).mean()}
        if judged.attention is not None:
            spread = means(entropy(judged.attention).mean(1), batch.weight)
            metrics |= {f"attention_entropy/head_{h}": x for h, x in enumerate(spread, start=1)}
        return (squared + penalty).sum(), metrics

    def actor_loss(
        self, params: Params, critic: Params, batch: Batch, noise: Array
    ) -> tuple[Array, Metrics]:
        """The score function's, of fresh actions of everybody; summed over agents."""
        view, cfg = batch.view, self.cfg
        out = self.outputs(params, view.obs, batch_moments(view.obs, batch.weight))
        log_policy = self.log_policy(out, view.available)
        action = (log_policy + noise).argmax(-1)
        q = self.judge(critic, view, self.parts.one_hot(action), batch.weight).q
        baseline = (jnp.exp(log_policy) * q).sum(-1)
        advantage, chosen = take(q, action) - baseline, take(log_policy, action)
        push = chosen * jax.lax.stop_gradient(cfg.alpha * chosen - advantage)
        real = jnp.asarray(self.parts.real)
        penalty = (out**2 * real).sum(-1) / real.sum(-1)
        weight = batch.weight[:, None] * view.alive
        loss = means(push + cfg.output_penalty * penalty, weight)
        spread = means(-(jnp.exp(log_policy) * log_policy).sum(-1), weight)
        return loss.sum(), {"actor_loss": loss.mean(), "entropy": spread.mean()}

    def shared_less(self, grads: Params) -> Params:
        """What every agent's loss moves, moves by their mean."""
        shared = {name: grads[name] for name in self.critic.shared}
        return {**grads, **jax.tree.map(lambda g: g / self.spec.num_agents, shared)}

    # --- networks over agents -------------------------------------------------------------------

    @property
    def parts(self) -> Parts:
        return Parts(self.spec)

    def outputs(self, params: Params, obs: Array, moments: Moments) -> Array:
        """The actors' logits, of each part of their actions: [..., A, O] -> [..., A, W]."""
        return self.actor.apply(params, self.normed(obs, moments), None)

    def log_policy(self, out: Array, available: Array) -> Array:
        """Log-probabilities of flat choices, [..., A, U]."""
        return jax.nn.log_softmax(jnp.where(available, self.parts.flat_logits(out), NEVER))

    def judge(self, params: Params, view: View, vector: Array, by: Array | Moments) -> Judged:
        """What the critic says of action vectors [..., A, W], normed by a batch's weights [N], or
        by the moments [A, O + W] given."""
        x, size = joined(view, vector), self.spec.obs_size
        x = self.normed(x, by if isinstance(by, Moments) else batch_moments(x, by))
        return self.critic.apply(params, x[..., :size], x[..., size:])

    def normed(self, x: Array, moments: Moments) -> Array:
        return normalised(x, moments) if self.cfg.norm_input else x


def joined(view: View, vector: Array) -> Array:
    """What agents see and do, [..., A, O + W]."""
    return jnp.concatenate([view.obs, vector.astype(view.obs.dtype)], -1)


def entropy(weights: Array) -> Array:
    """Of distributions over the last axis."""
    return -(weights * jnp.log(weights + 1e-8)).sum(-1)


# --- what the recipes share -----------------------------------------------------------------------


def actor_of(spec: EnvSpec, cfg: Any) -> Net[Array]:
    """Of each agent, as the release draws it."""
    return per_agent(mlp(cfg.hidden_dim, Parts(spec).width, "torch", slope=SLOPE))


def memory(spec: EnvSpec, cfg: Any, num_envs: int, rollout_length: int) -> Memory[Any]:
    """Of single transitions."""
    return transitions(cfg, num_envs, rollout_length, cfg.batch_size)


def presets(config: Any) -> dict[str, Preset]:
    """The released MAAC's settings."""
    official = config.replace(tau=0.001, env_steps_per_update=25.0, norm_input=True)
    loop = {"num_envs": 12, "rollout_length": 25}
    return {"official": Preset(official, loop, "the settings of shariqiqbal2810/MAAC")}


def recipe(
    name: str,
    summary: str,
    config: Config,
    make: Callable[[EnvSpec, Any], Any],
    refuse: Callable[[EnvSpec, Any], None] = anything,
    shows: tuple[str, ...] = (),
) -> Recipe:
    """An entry of `ALL` for an algorithm of this family."""
    return Recipe(
        name=name,
        summary=summary,
        config=config,
        make=make,
        memory=memory,
        plan=off_policy_plan,
        action_kinds=lambda cfg: ("discrete",),
        presets=presets(config),
        loop={"env": "particle/rover_tower"},
        refuse=refuse,
        shows=shows,
    )
