"""MADDPG whose agents infer each other's policies (Lowe et al., 2017, section 4.2).

Agent i keeps an approximation mu_ij of every other agent j's policy, fitted to what j did of late.
It enters where the target of i's critic asks what j would do next, and nowhere else.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl.algorithms.actor_critic import Learner, Nets
from jmarl.algorithms.batch import Batch, fold, means
from jmarl.algorithms.maddpg import Maddpg
from jmarl.networks.mlp import batch_moments, per_agent
from jmarl.optim import descend, polyak
from jmarl.stripes import cut_after
from jmarl.types import Clock, Key, Metrics, Params, Transition


class Guesses(struct.PyTreeNode):
    """Leaves [A, A, ...]: at [i, j] agent i's approximation of j. The diagonal is never read."""

    nets: Params
    target: Params
    opt: Any


class Inferring(Maddpg):
    """Agents see each other's observations and actions in training, but no policies."""

    def init(self, key: Key) -> Learner:
        own_key, guess_key = jax.random.split(key)
        learner = super().init(own_key)
        rows = jax.random.split(guess_key, self.spec.num_agents)
        actors = lambda key: per_agent(self.actor).init(key, self.spec.obs_mask(), self.head.real())
        nets = jax.vmap(actors)(rows)
        opt = jax.vmap(jax.vmap(self.adam(self.cfg.infer_lr).init))(nets)
        return learner.replace(guesses=Guesses(nets, nets, opt))

    def update(
        self, learner: Learner, batch: Transition, key: Key, clock: Clock
    ) -> tuple[Learner, Metrics]:
        """Of a batch whose first `infer_batch` columns are the latest transitions."""
        latest, _ = cut_after(fold(self.spec, batch), self.cfg.infer_batch)
        guesses, loss = self.fit(learner.guesses, latest)
        learner, metrics = super().update(learner.replace(guesses=guesses), batch, key, clock)
        divergence = self.divergence(learner, self.batch_of(self.fold(batch), jnp.int32(0)))
        named = {f"inferred_kl/{n}": kl for n, kl in zip(self.spec.agents, divergence, strict=True)}
        return learner, metrics | {
            "inferred_loss": over_others(loss).mean(),
            "inferred_kl": divergence.mean(),
            **named,
        }

    def fold(self, batch: Transition) -> Batch:
        """Without the latest transitions, which only the fits read."""
        _, drawn = cut_after(super().fold(batch), self.cfg.infer_batch)
        return drawn

    def improve(
        self,
        learner: Learner,
        agent: Array,
        batch: Batch,
        noise: tuple[Array, Array],
        member: tuple[Array, ...] = (),
    ) -> tuple[Nets, Nets, Metrics]:
        """As MADDPG, with target actors as the agent believes them to be: equation (8)."""
        actor = self.believed(learner.target.actor, learner.guesses.target, agent)
        target = learner.target.replace(actor=actor)
        return super().improve(learner.replace(target=target), agent, batch, noise, member)

    def believed(self, actors: Params, guesses: Params, agent: Array) -> Params:
        """All agents' actors [A, ...] in one agent's eyes: its own, and its approximations."""

        def choose(real: Array, guess: Array) -> Array:
            own = (jnp.arange(len(real)) == agent).reshape(-1, *(1,) * (real.ndim - 1))
            return jnp.where(own, real, guess[agent])

        return jax.tree.map(choose, actors, guesses)

    # --- fitting --------------------------------------------------------------------------------

    def fit(self, guesses: Guesses, latest: Batch) -> tuple[Guesses, Array]:
        """One gradient step of every approximation, then their targets follow; losses [A, A]."""
        every = jax.vmap(self.fit_loss, (0, None))
        loss, pull = jax.vjp(lambda nets: every(nets, latest), guesses.nets)
        (grads,) = pull(jnp.ones_like(loss))  # a pair's loss moves its own network alone
        step = jax.vmap(jax.vmap(partial(descend, self.adam(self.cfg.infer_lr))))
        nets, opt = step(grads, guesses.opt, guesses.nets)
        return Guesses(nets, polyak(nets, guesses.target, self.cfg.tau), opt), loss

    def fit_loss(self, nets: Params, batch: Batch) -> Array:
        """-E[log mu_ij(a_j | o_j) + infer_entropy H(mu_ij)] of one agent i, [A]: equation (7)."""
        view = batch.view
        out = self.outputs(nets, view.obs, batch_moments(view.obs, batch.weight))
        likely = self.head.log_prob(out, batch.action, view.available)
        entropy = self.head.entropy(out, view.available)
        return -over_steps(likely + self.cfg.infer_entropy * entropy, batch)

    def divergence(self, learner: Learner, batch: Batch) -> Array:
        """Kullback and Leibler's of targets of approximations from real targets: of each agent j,
        mean over the others i, [A]."""
        view, moments = batch.view, batch_moments(batch.view.obs, batch.weight)
        outputs = lambda nets: self.outputs(nets, view.obs, moments)
        real = outputs(learner.target.actor)
        far = lambda nets: self.head.divergence(outputs(nets), real, view.available)
        each = jax.vmap(lambda nets: over_steps(far(nets), batch))
        return over_others(each(learner.guesses.target))


def over_steps(x: Array, batch: Batch) -> Array:
    """Mean over the steps at which an agent was alive: [N, A] -> [A]."""
    return means(x, batch.weight[:, None] * batch.view.alive)


def over_others(x: Array) -> Array:
    """Mean over the agents i that are not j: [A, A] -> [A]."""
    others = 1 - jnp.eye(len(x))
    return (x * others).sum(0) / jnp.maximum(others.sum(0), 1)
