"""Proximal policy optimisation for teams (Schulman et al., 2017; Yu et al., 2022), the learner of
IPPO and MAPPO, which bring their critics.

A rollout is learned from several times over, in lots of whole environments. Probabilities of the
actions taken may leave those of the rollout's policy by a share of `clip` before their gradient
ends; how much better they were is their generalised advantage estimate.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl import targets
from jmarl.algorithms import on_policy
from jmarl.algorithms.batch import mean, take
from jmarl.algorithms.on_policy import Team, entropy, standardised, weights
from jmarl.algorithms.recipe import Preset, Recipe
from jmarl.fields import knob, static
from jmarl.networks.agents import Agents
from jmarl.optim import descend, global_norm
from jmarl.stripes import drawn, lots
from jmarl.types import Clock, EnvSpec, Key, Metrics, Params, Transition


class Config(on_policy.Config):
    clip: float = knob(0.2, above=0)  # how far probabilities and values may go in an update
    lr_decay: float = knob(0.0, low=0)  # steps over which both step sizes fall to 0; 0: they stay
    epochs: int = static(4, low=1)  # times that each rollout is learned from
    minibatches: int = static(4, low=1)  # even lots of environments in each epoch, or fewer
    clip_values: bool = static(True)  # the critic's loss is clipped, too


class Learner(struct.PyTreeNode):
    actor: Params
    critic: Params
    actor_opt: Any
    critic_opt: Any


class Lot(struct.PyTreeNode):
    """A rollout, or some of its environments, and what was known of it before learning."""

    batch: Transition
    log_prob: Array  # [T, B, A] of the actions taken
    value: Array  # [T, B, A]
    goal: Array  # [T, B, A]
    advantage: Array  # [T, B, A] standardised


@dataclass(frozen=True)
class Ppo(Team):
    critic: Agents  # one output for each agent

    def init(self, key: Key) -> Learner:
        actor_key, critic_key = jax.random.split(key)
        actor, critic = self.agents.init(actor_key), self.critic.init(critic_key)
        tx = self.optimiser(0.0)
        return Learner(actor, critic, tx.init(actor), tx.init(critic))

    def update(
        self, learner: Learner, batch: Transition, key: Key, clock: Clock
    ) -> tuple[Learner, Metrics]:
        """All gradient steps that a rollout is good for."""
        lot, cfg = self.known(learner, self.paid(batch)), self.cfg
        num_envs = batch.valid.shape[1]
        count = math.gcd(cfg.minibatches, num_envs)  # that can be even
        left = jnp.maximum(1 - clock.env_steps / jnp.maximum(cfg.lr_decay, 1e-8), 0)
        scale = jnp.where(cfg.lr_decay > 0, left, 1.0)

        def epoch(learner: Learner, key: Key) -> tuple[Learner, Metrics]:
            order, parts = lots(key, lot, num_envs, count)
            some = lambda learner, at: self.step(learner, drawn(parts, at), scale)
            return jax.lax.scan(some, learner, order)

        learner, metrics = jax.lax.scan(epoch, learner, jax.random.split(key, cfg.epochs))
        return learner, jax.tree.map(jnp.mean, metrics)

    def known(self, learner: Learner, batch: Transition) -> Lot:
        """What the rollout's own policy and critic say of it."""
        log_policy = self.policies(learner.actor, batch, 0.0)[:-1]
        value = self.values(learner.critic, batch)
        goal = targets.lambda_returns(value, batch, self.cfg.gamma, self.cfg.td_lambda)
        advantage = standardised(goal - value[:-1], weights(batch))
        return Lot(batch, take(log_policy, batch.action), value[:-1], goal, advantage)

    def values(self, critic: Params, batch: Transition) -> Array:
        """Of all views, [T+1, B, A]."""
        (unrolled,) = self.critic.unroll((critic,), batch)
        return unrolled.q[..., 0]

    def step(self, learner: Learner, lot: Lot, scale: Array) -> tuple[Learner, Metrics]:
        """One of the policy and one of the critic."""
        actor_slope = jax.grad(self.actor_loss, has_aux=True)
        grads, metrics = actor_slope(learner.actor, lot)
        tx = self.optimiser(self.cfg.lr * scale)
        actor, actor_opt = descend(tx, grads, learner.actor_opt, learner.actor)
        loss, slopes = jax.value_and_grad(self.critic_loss)(learner.critic, lot)
        tx = self.optimiser(self.cfg.critic_lr * scale)
        critic, critic_opt = descend(tx, slopes, learner.critic_opt, learner.critic)
        metrics |= {
            "critic_loss": loss,
            "target_value": mean(lot.goal.mean(-1), lot.batch.valid),
            "actor_grad_norm": global_norm(grads),
            "critic_grad_norm": global_norm(slopes),
        }
        return Learner(actor, critic, actor_opt, critic_opt), metrics

    def actor_loss(self, actor: Params, lot: Lot) -> tuple[Array, Metrics]:
        """Less what the clipped ratios gain, less the entropy's bonus; means over agents alive."""
        log_policy, clip = self.policies(actor, lot.batch, 0.0)[:-1], self.cfg.clip
        change = take(log_policy, lot.batch.action) - lot.log_prob
        ratio = jnp.exp(change)
        gain = jnp.minimum(
            ratio * lot.advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * lot.advantage
        )
        over = lambda x: mean(x, weights(lot.batch))
        push, spread = -over(gain), over(entropy(log_policy))
        return push - self.cfg.entropy_weight * spread, {
            "actor_loss": push,
            "entropy": spread,
            "clipped": over(jnp.abs(ratio - 1) > clip),
            "policy_change": over(ratio - 1 - change),  # estimates the divergence from before
        }

    def critic_loss(self, critic: Params, lot: Lot) -> Array:
        """Mean squared error over steps; of values that went further than `clip`, the larger of
        theirs and that of where they may go."""
        value, clip = self.values(critic, lot.batch)[:-1], self.cfg.clip
        squared = (value - lot.goal) ** 2
        if self.cfg.clip_values:
            near = lot.value + jnp.clip(value - lot.value, -clip, clip)
            squared = jnp.maximum(squared, (near - lot.goal) ** 2)
        return mean(squared.mean(-1), lot.batch.valid.astype(squared.dtype))


# --- what the recipes share -----------------------------------------------------------------------


def make(spec: EnvSpec, cfg: Config, central: bool) -> Ppo:
    """PPO with critics of what agents see, or of the state."""
    shape = cfg.hidden_dim, cfg.rnn_dim, cfg.parameter_sharing
    last, who = cfg.last_action and not central, cfg.agent_id
    critic = Agents(spec, *shape, last, who, central=central, outputs=1)
    return Ppo(spec, cfg, on_policy.agents_of(spec, cfg), critic)


def recipe(name: str, summary: str, central: bool) -> Recipe:
    """An entry of `ALL` for an algorithm of this family."""
    config = Config(
        td_lambda=0.95,
        entropy_weight=0.01,
        max_grad_norm=0.5,
        optimiser="adam",
        hidden_dim=(128, 128),
        rnn_dim=0,
        last_action=False,
        team_reward="own",
    )
    recurrent = config.replace(hidden_dim=(128,), rnn_dim=128)
    return Recipe(
        name=name,
        summary=summary,
        config=config,
        make=lambda spec, cfg: make(spec, cfg, central),
        memory=on_policy.remember(central),
        plan=on_policy.plan,
        action_kinds=lambda cfg: ("discrete",),
        presets={
            "recurrent": Preset(recurrent, {}, "policy and critic remember; rollouts are episodes")
        },
        loop={"rollout_length": 128},
        episodic=lambda cfg: cfg.rnn_dim > 0,
        refuse=on_policy.refuse(name, central),
    )
