"""MADDPG (Lowe et al., 2017, arXiv 1706.02275): each agent's critic sees every agent's observation
and action, its actor its own observation alone. `local_critic` makes it independent DDPG.

The two reference implementations (openai/maddpg 3ceefa0, shariqiqbal2810/maddpg-pytorch 40388d7)
differ in more than their numbers; each difference is an option here, and the presets put them
together. Agents are the leading axis [A, ...] of every parameter; agents of unequal sizes are
padded (networks/initialisers.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax import Array

from jmarl import actions, targets
from jmarl.algorithms.actor_critic import Learner, Nets, transitions
from jmarl.algorithms.batch import Batch, fold, mean
from jmarl.algorithms.sides import local_agents
from jmarl.exploration import ornstein_uhlenbeck
from jmarl.fields import knob, static
from jmarl.grouped import Groups
from jmarl.networks.base import Net
from jmarl.networks.initialisers import Scheme
from jmarl.networks.mlp import Moments, batch_moments, mlp, per_agent, running
from jmarl.optim import clip_each, clip_global, descend, global_norm, polyak
from jmarl.stripes import part
from jmarl.types import (
    ActionKind,
    Clock,
    EnvSpec,
    Key,
    Memory,
    Metrics,
    Params,
    Policy,
    Transition,
    View,
)


class Config(struct.PyTreeNode):
    """Defaults are openai/maddpg's but for slower, steadier actors and their greedy evaluation."""

    actor_lr: float = knob(3e-3, low=0)  # Adam step size of the actors
    critic_lr: float = knob(1e-2, low=0)  # Adam step size of the critics
    gamma: float = knob(0.95, low=0, high=1)  # discount per step
    tau: float = knob(0.01, low=0, high=1)  # share of the online networks in each target update
    max_grad_norm: float = knob(0.5, above=0)  # gradient clipping, see clip
    output_penalty: float = knob(1e-3, low=0)  # weight of the mean squared actor output
    temperature: float = knob(1.0, above=0)  # of the Gumbel-softmax
    noise_start: float = knob(0.3, low=0)  # box actions: scale of the exploration noise at first
    noise_finish: float = knob(0.0, low=0)  # ... and after noise_decay
    noise_decay: float = knob(625_000.0, above=0)  # environment steps of its linear decay
    noise_theta: float = knob(0.15, low=0)  # its pull back to zero (Ornstein-Uhlenbeck)
    noise_sigma: float = knob(0.2, low=0)  # its random part
    hidden_dim: tuple[int, ...] = static((64, 64), low=1)  # widths of the hidden layers
    buffer_size: int = static(1_000_000, low=1)  # transitions remembered
    batch_size: int = static(1024, low=1)  # transitions in each agent's update
    warmup_steps: int = static(25_600, low=0)  # environment steps before the first update
    env_steps_per_update: float = static(100.0, above=0)  # environment steps per gradient step
    local_critic: bool = static(False)  # critics see their own agent alone: independent DDPG
    team_algorithms: str = static("")  # maddpg or ddpg by team: adversaries=ddpg,good=maddpg
    estimator: actions.Estimator = static("relaxed")  # of the gradient of discrete actions
    box_policy: Literal["tanh", "gaussian"] = static("tanh")  # bounded, or a mean and a deviation
    target_actions: Literal["sample", "greedy"] = static("sample")  # of the target actors
    other_actions: Literal["replay", "current"] = static("replay")  # of others, in the actor loss
    eval_actions: Literal["sample", "greedy"] = static("greedy")  # of the team under evaluation
    clip: Literal["each", "global"] = static("each")  # every array by its norm, or all by theirs
    order: Literal["in_place", "one_by_one", "together"] = static("in_place")  # of agents' updates
    own_batches: bool = static(True)  # each agent draws its own batch
    init: Scheme = static("glorot")  # initialiser of the layers
    norm_input: bool = static(False)  # batch-normalise the inputs of actors and critics
    standardise_rewards: bool = static(False)  # by mean and deviation of all remembered rewards
    infer_policies: bool = static(False)  # critics take others' next actions from approximations
    infer_batch: int = static(100, low=1)  # latest positions in each fit of the approximations
    infer_lr: float = knob(1e-2, low=0)  # Adam step size of the approximations
    infer_entropy: float = knob(1e-3, low=0)  # weight of their entropy in that fit
    ensemble: int = static(1, low=1, high=100)  # sub-policies of an agent; one plays an episode
    ensemble_by: Literal["agent", "team"] = static("agent")  # who draws: each, or a team as one


@dataclass(frozen=True)
class Maddpg:
    spec: EnvSpec
    cfg: Config
    head: actions.Head
    actor: Net[Array]
    critic: Net[Array]

    # --- acting ---------------------------------------------------------------------------------

    def explore(self, learner: Learner, clock: Clock) -> Policy[Array]:
        left = 1 - jnp.minimum(clock.env_steps / self.cfg.noise_decay, 1)
        scale = self.cfg.noise_finish + (self.cfg.noise_start - self.cfg.noise_finish) * left
        return self.policy(learner, self.head.sample, scale)

    def exploit(self, learner: Learner) -> Policy[Array]:
        if self.cfg.eval_actions == "sample":
            return self.policy(learner, self.head.sample, 0.0)
        return self.policy(learner, lambda out, noise, ok: self.head.greedy(out, ok), 0.0)

    def policy(self, learner: Learner, choose: Callable[..., Array], scale: Any) -> Policy[Array]:
        """`scale` weighs the noise that box policies carry through an episode, [B, A, W]."""
        spec = self.spec
        noisy = spec.action_kind == "box" and self.cfg.box_policy == "tanh"

        def reset(key: Key, num_envs: int) -> Array:
            return jnp.zeros((num_envs, spec.num_agents, spec.action_size if noisy else 0))

        def step(carry: Array, view: View, key: Key) -> tuple[Array, Array, tuple[()]]:
            head_key, noise_key = jax.random.split(key)
            out = self.outputs(learner.nets.actor, view.obs, learner.seen)
            vector = choose(out, self.head.noise(head_key, out.shape), view.available)
            if noisy:
                cfg = self.cfg
                carry = ornstein_uhlenbeck(noise_key, carry, cfg.noise_theta, cfg.noise_sigma)
                vector = jnp.clip(vector + scale * carry, -1, 1) * view.available
            return carry, actions.decode(spec, self.head, vector, view.available), ()

        return Policy(reset, step)

    # --- learning -------------------------------------------------------------------------------

    def init(self, key: Key) -> Learner:
        actor_key, critic_key = jax.random.split(key)
        agents = self.spec.num_agents
        nets = Nets(
            per_agent(self.actor).init(actor_key, self.spec.obs_mask(), self.head.real()),
            per_agent(self.critic).init(critic_key, self.critic_mask(), np.ones((agents, 1), bool)),
        )
        opt = Nets(
            jax.vmap(self.tx.actor.init)(nets.actor), jax.vmap(self.tx.critic.init)(nets.critic)
        )
        shape = (agents, self.spec.obs_size)
        # targets start equal (openai/maddpg starts them at random, its first release did not)
        return Learner(nets, nets, opt, Moments(jnp.zeros(shape), jnp.ones(shape)))

    @property
    def tx(self) -> Nets:
        return Nets(self.adam(self.cfg.actor_lr), self.adam(self.cfg.critic_lr))

    def adam(self, lr: Any) -> optax.GradientTransformation:
        clip = {"each": clip_each, "global": clip_global}[self.cfg.clip](self.cfg.max_grad_norm)
        return optax.chain(clip, optax.adam(lr))

    def update(
        self, learner: Learner, batch: Transition, key: Key, clock: Clock
    ) -> tuple[Learner, Metrics]:
        """One gradient step of every critic and every actor."""
        agents, flat = jnp.arange(self.spec.num_agents), self.fold(batch)
        keys = jax.random.split(key, self.spec.num_agents)
        if self.cfg.order == "together":
            turns = jax.vmap(self.turn, (None, None, 0, 0))
            nets, opt, metrics = turns(learner, flat, agents, keys)
            learner = learner.replace(nets=nets, opt=opt)
        else:
            one = lambda learner, x: self.put(learner, x[0], *self.turn(learner, flat, *x))
            learner, metrics = jax.lax.scan(one, learner, (agents, keys))
        if self.cfg.order != "in_place":
            learner = learner.replace(target=polyak(learner.nets, learner.target, self.cfg.tau))
        if self.cfg.norm_input:
            look = lambda seen, agent: (self.look(seen, self.batch_of(flat, agent)), None)
            learner = learner.replace(seen=jax.lax.scan(look, learner.seen, agents)[0])
        return learner, {name: value.mean() for name, value in metrics.items()}

    def turn(
        self, learner: Learner, flat: Batch, agent: Array, key: Key
    ) -> tuple[Nets, Nets, Metrics]:
        """One agent's steps on its part of the batch."""
        own = self.batch_of(flat, agent)
        return self.improve(learner, agent, own, self.noise(key, own))

    def improve(
        self,
        learner: Learner,
        agent: Array,
        batch: Batch,
        noise: tuple[Array, Array],
        member: tuple[Array, ...] = (),
    ) -> tuple[Nets, Nets, Metrics]:
        """One agent's critic step, then its actor step; returns its own slices.

        `member` is which of its sub-policies, if there are several (ensemble.py).
        """
        nets, opt = jax.tree.map(lambda x: x[agent, *member], (learner.nets, learner.opt))
        target_noise, own_noise = noise
        goal = self.goal(learner.target, agent, batch, target_noise, member)
        (critic_loss, q), critic_grad = jax.value_and_grad(self.critic_loss, has_aux=True)(
            nets.critic, goal, agent, batch
        )
        critic, critic_opt = descend(self.tx.critic, critic_grad, opt.critic, nets.critic)
        actor_loss, actor_grad = jax.value_and_grad(self.actor_loss)(
            nets.actor, critic, learner.nets.actor, agent, batch, own_noise
        )
        actor, actor_opt = descend(self.tx.actor, actor_grad, opt.actor, nets.actor)
        metrics = {
            "critic_loss": critic_loss,
            "actor_loss": actor_loss,
            "q_value": q,
            "critic_grad_norm": global_norm(critic_grad),
            "actor_grad_norm": global_norm(actor_grad),
        }
        return Nets(actor, critic), Nets(actor_opt, critic_opt), metrics

    def put(
        self, learner: Learner, agent: Array, nets: Nets, opt: Nets, metrics: Metrics
    ) -> tuple[Learner, Metrics]:
        """Write one agent's slices back, for the agents after it to see."""
        write = lambda every, own: jax.tree.map(lambda e, o: e.at[agent].set(o), every, own)
        learner = learner.replace(nets=write(learner.nets, nets), opt=write(learner.opt, opt))
        if self.cfg.order == "in_place":
            old = jax.tree.map(lambda x: x[agent], learner.target)
            new = polyak(nets, old, self.cfg.tau)
            learner = learner.replace(target=write(learner.target, new))
        return learner, metrics

    def goal(
        self,
        target: Nets,
        agent: Array,
        batch: Batch,
        noise: Array,
        member: tuple[Array, ...] = (),
    ) -> Array:
        """y = r_i + gamma Q'_i(o', a'), a' from all target actors; [N]."""
        view = batch.next_view
        moments = batch_moments(view.obs, batch.weight)
        out = self.outputs(target.actor, view.obs, moments, batch.member)
        if self.cfg.target_actions == "sample":
            vector = self.head.sample(out, noise, view.available)
        else:
            vector = self.head.greedy(out, view.available)
        critic = jax.tree.map(lambda x: x[agent, *member], target.critic)
        future = self.value(critic, agent, view, vector, batch.weight)
        return targets.one_step(batch.reward[:, agent], future, batch.terminated, self.cfg.gamma)

    def critic_loss(
        self, params: Params, goal: Array, agent: Array, batch: Batch
    ) -> tuple[Array, Array]:
        """Mean squared error of Q_i(o, a); also the mean value."""
        q = self.value(params, agent, batch.view, batch.action, batch.weight)
        return mean((q - goal) ** 2, batch.weight), mean(q, batch.weight)

    def actor_loss(
        self,
        params: Params,
        critic: Params,
        actors: Params,
        agent: Array,
        batch: Batch,
        noise: Array,
    ) -> Array:
        """-Q_i(o, a) with the agent's own action from its actor, plus the output penalty."""
        view, cfg = batch.view, self.cfg
        moments = batch_moments(view.obs, batch.weight)
        own_moments = jax.tree.map(lambda x: x[agent], moments)
        out = self.actor.apply(params, view.obs[:, agent], own_moments)
        spread = lambda x: jnp.broadcast_to(x[:, None], (len(x), self.spec.num_agents, x.shape[-1]))
        vector = self.head.sample(spread(out), spread(noise), view.available)
        others = batch.action
        if cfg.other_actions == "current":
            theirs = self.outputs(actors, view.obs, moments, batch.member)
            others = self.head.greedy(theirs, view.available)
        own = (jnp.arange(self.spec.num_agents) == agent)[:, None]
        q = self.value(critic, agent, view, jnp.where(own, vector, others), batch.weight)
        weight = batch.weight * view.alive[:, agent]
        real = jnp.asarray(self.head.real())[agent]
        penalty = (self.head.squared(out) * real).sum(-1) / real.sum()
        return mean(cfg.output_penalty * penalty - q, weight)

    # --- networks over agents -------------------------------------------------------------------

    def outputs(
        self, params: Params, obs: Array, moments: Moments, member: Array | None = None
    ) -> Array:
        """All actors' outputs: [..., A, O] -> [..., A, V]; `member` is for ensembles."""
        return per_agent(self.actor).apply(params, obs, moments)

    def value(
        self, params: Params, agent: Array, view: View, vector: Array, weight: Array
    ) -> Array:
        """One agent's Q of observations and action vectors [N, A, W]: all of them, or its own."""
        seen = view.obs, vector
        if self.local.all():
            x = jnp.concatenate([part[:, agent] for part in seen], -1)
        else:
            x = jnp.concatenate([part.reshape(len(part), -1) for part in seen], -1)
            if self.local.any():
                x = x * jnp.asarray(self.critic_mask())[agent]
        return self.critic.apply(params, x, batch_moments(x, weight))[:, 0]

    @cached_property
    def local(self) -> np.ndarray:
        """[A] bool: whose critics see their own agent alone."""
        return local_agents(self.spec, self.cfg.local_critic, self.cfg.team_algorithms)

    def critic_mask(self) -> np.ndarray:
        """[A, in] bool: which inputs of each agent's critic are real."""
        seen = self.spec.obs_mask(), actions.vector_mask(self.spec)
        if self.local.all():
            return np.concatenate(seen, -1)
        own = np.eye(self.spec.num_agents, dtype=bool) | ~self.local[:, None]  # who sees whom
        joint = [own[..., None] & part for part in seen]
        return np.concatenate([part.reshape(len(part), -1) for part in joint], -1)

    def look(self, seen: Moments, batch: Batch) -> Moments:
        """Running moments after one more batch."""
        return running(seen, batch.view.obs, batch.weight)

    # --- batches --------------------------------------------------------------------------------

    def fold(self, batch: Transition) -> Batch:
        return fold(self.spec, batch)

    def batch_of(self, batch: Batch, agent: Array) -> Batch:
        """The part of the batch that is this agent's, or all of it."""
        if not self.cfg.own_batches:
            return batch
        return part(batch, self.spec.num_agents, agent)

    def noise(self, key: Key, batch: Batch) -> tuple[Array, Array]:
        """For the target actors [N, A, V] and for the agent's own actor [N, V]."""
        target_key, own_key = jax.random.split(key)
        size, width = len(batch.weight), self.head.width
        target = self.head.noise(target_key, (size, self.spec.num_agents, width))
        return target, self.head.noise(own_key, (size, width))


def make(spec: EnvSpec, cfg: Config, kind: type[Maddpg] = Maddpg) -> Maddpg:
    """MADDPG, or an extension of it, for an environment of this spec."""
    if spec.action_kind != "box":
        head: actions.Head = actions.Choices(spec, cfg.estimator, cfg.temperature)
    else:
        head = {"tanh": actions.Bounded, "gaussian": actions.Gaussian}[cfg.box_policy](spec)
    small = 3e-3 if cfg.init == "torch" and spec.action_kind == "box" else None
    net = lambda out, last: mlp(cfg.hidden_dim, out, cfg.init, cfg.norm_input, last)
    return kind(spec, cfg, head, net(head.width, small), net(1, None))


def memory(spec: EnvSpec, cfg: Config, num_envs: int, rollout_length: int) -> Memory[Any]:
    """Of single transitions, as many for each agent as `own_batches` says."""
    size = cfg.batch_size * (spec.num_agents if cfg.own_batches else 1)
    if cfg.ensemble > 1:
        groups = Groups(spec.num_agents, cfg.ensemble, lambda rollout: rollout.extras)
        return transitions(cfg, num_envs, rollout_length, cfg.batch_size, groups=groups)
    latest = cfg.infer_batch if cfg.infer_policies else 0
    return transitions(cfg, num_envs, rollout_length, size, latest)


def action_kinds(cfg: Config) -> tuple[ActionKind, ...]:
    """Relaxed actions are what openai/maddpg sends, stores and learns from."""
    return ("simplex", "discrete", "box") if cfg.estimator == "relaxed" else ("discrete", "box")


OPENAI = Config(actor_lr=1e-2, eval_actions="sample")
IQBAL = Config(
    actor_lr=1e-2,
    warmup_steps=1024,
    estimator="straight_through",
    target_actions="greedy",
    other_actions="current",
    clip="global",
    order="one_by_one",
    init="torch",
    norm_input=True,
    standardise_rewards=True,
)
