"""What on-policy learners share: a stochastic policy, how it acts, and what is remembered of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array

from jmarl.algorithms.recipe import Plan
from jmarl.algorithms.team import TeamReward, earned, refuse_apart, refuse_stateless
from jmarl.fields import knob, static
from jmarl.memory import latest
from jmarl.networks.agents import Agents, Carry
from jmarl.optim import clip_global
from jmarl.types import Clock, EnvSpec, Key, Memory, Params, Policy, Transition, View

NEVER = -1e9  # log-probability of what is unavailable


class Config(struct.PyTreeNode):
    """The settings of every on-policy learner."""

    lr: float = knob(5e-4, low=0)  # step size of the policy
    critic_lr: float = knob(5e-4, low=0)  # step size of the critic
    gamma: float = knob(0.99, low=0, high=1)  # discount per step
    td_lambda: float = knob(0.8, low=0, high=1)  # TD(lambda) of the critic's targets
    entropy_weight: float = knob(0.0, low=0)  # of the policy's mean entropy, a bonus
    max_grad_norm: float = knob(10.0, above=0)  # gradients of policy and critic are each clipped
    optimiser: Literal["rmsprop", "adam"] = static("rmsprop")  # of policy and critic
    rms_decay: float = knob(0.99, low=0, high=1)  # of RMSprop's mean of squared gradients
    optimiser_eps: float = knob(1e-5, above=0)  # of both optimisers, outside the root
    hidden_dim: tuple[int, ...] = static((64,), low=1, entries=1)  # of the layers before the GRU
    rnn_dim: int = static(64, low=0)  # width of the policy's GRU; 0 is a feed-forward network
    parameter_sharing: bool = static(True)  # one policy network for all agents, or one each
    last_action: bool = static(True)  # agents see their action before
    agent_id: bool = static(True)  # agents see who they are
    team_reward: TeamReward = static("auto")  # of agents' rewards; auto: as the environment says
    eval_actions: Literal["sample", "greedy"] = static("greedy")  # of the team under evaluation


class Learner(struct.PyTreeNode):
    actor: Params
    critic: Params
    target: Params  # of the critic
    actor_opt: Any
    critic_opt: Any


def log_policy(logits: Array, available: Array, floor: Any = 0.0) -> Array:
    """Of (1 - floor) softmax + floor / U, cut to what is available: log-probabilities [..., U].

    PyMARL's: the softmax knows nothing of what is available, so nor does the floor's share.
    """
    size = logits.shape[-1]
    soft = jax.nn.log_softmax(logits)
    mixed = jnp.logaddexp(jnp.log1p(-floor) + soft, jnp.log(jnp.asarray(floor / size, soft.dtype)))
    return jax.nn.log_softmax(jnp.where(available, mixed, NEVER))


def entropy(log_policy: Array) -> Array:
    """[..., U] -> [...]."""
    return -(jnp.exp(log_policy) * log_policy).sum(-1)


@dataclass(frozen=True)
class Team:
    """Agents that draw their actions from recurrent (or feed-forward) policies."""

    spec: EnvSpec
    cfg: Any  # a Config
    agents: Agents

    # --- acting ---------------------------------------------------------------------------------

    def explore(self, learner: Any, clock: Clock) -> Policy[Carry]:
        return self.policy(learner.actor, self.floor(clock), jax.random.categorical)

    def exploit(self, learner: Any) -> Policy[Carry]:
        if self.cfg.eval_actions == "sample":
            return self.policy(learner.actor, 0.0, jax.random.categorical)
        return self.policy(learner.actor, 0.0, lambda key, log_policy: log_policy.argmax(-1))

    def floor(self, clock: Clock) -> Any:
        """The share of actions that are taken at random while exploring."""
        return 0.0

    def policy(
        self, actor: Params, floor: Any, choose: Callable[[Key, Array], Array]
    ) -> Policy[Carry]:
        """`choose(key, log_policy)` draws from log-probabilities [B, A, U]."""

        def step(carry: Carry, view: View, key: Key) -> tuple[Carry, Array, tuple[()]]:
            logits, hidden = self.agents.step(actor, carry, view)
            action = choose(key, log_policy(logits, view.available, floor)).astype(jnp.int32)
            return Carry(hidden, action), action, ()

        return Policy(lambda key, num_envs: self.agents.reset(num_envs), step)

    # --- learning -------------------------------------------------------------------------------

    def optimiser(self, lr: Any) -> optax.GradientTransformation:
        return optax.chain(clip_global(self.cfg.max_grad_norm), self.step_rule(lr))

    def step_rule(self, lr: Any) -> optax.GradientTransformation:
        """The optimiser without clipping."""
        cfg = self.cfg
        if cfg.optimiser == "adam":
            return optax.adam(lr, eps=cfg.optimiser_eps)
        return optax.rmsprop(lr, decay=cfg.rms_decay, eps=cfg.optimiser_eps, eps_in_sqrt=False)

    def policies(self, actor: Params, batch: Transition, floor: Any) -> Array:
        """Log-probabilities of all actions at all views, [T+1, B, A, U]."""
        (unrolled,) = self.agents.unroll((actor,), batch)
        return log_policy(unrolled.q, batch.view.available, floor)

    def paid(self, batch: Transition) -> Transition:
        """With the rewards that count: the agents' own [T, B, A], or the team's [T, B, 1]."""
        return batch.replace(reward=earned(self.spec, self.cfg.team_reward, batch.reward))


def weights(batch: Transition) -> Array:
    """[T, B, A]: 1 where an agent that was alive took a step."""
    alive = batch.view.alive[:-1] & batch.valid[..., None]
    return alive.astype(batch.view.obs.dtype)


def standardised(x: Array, weight: Array) -> Array:
    """Less the mean, over the deviation, of x under weights of its shape; both have no gradient."""
    share = weight / jnp.maximum(weight.sum(), 1)
    centred = x - jax.lax.stop_gradient((share * x).sum())
    return centred / (jnp.sqrt(jax.lax.stop_gradient((share * centred**2).sum())) + 1e-8)


def agents_of(spec: EnvSpec, cfg: Any) -> Agents:
    return Agents(
        spec, cfg.hidden_dim, cfg.rnn_dim, cfg.parameter_sharing, cfg.last_action, cfg.agent_id
    )


def remember(uses_state: bool) -> Callable[[EnvSpec, Any, int, int], Memory[Any]]:
    """The latest rollout, of which the learner never reads entities, nor the state unless it
    `uses_state`."""

    def keep(rollout: Transition) -> Transition:
        view = rollout.view.replace(entities=None)
        return rollout.replace(view=view if uses_state else view.replace(state=None))

    def memory(spec: EnvSpec, cfg: Any, num_envs: int, rollout_length: int) -> Memory[Any]:
        return latest(keep)

    return memory


def refuse(name: str, uses_state: bool) -> Callable[[EnvSpec, Any], None]:
    """Of environments without a team reward, where one is asked for, or without a state."""

    def check(spec: EnvSpec, cfg: Config) -> None:
        refuse_apart(spec, cfg.team_reward, name)
        if uses_state:
            refuse_stateless(spec, name)

    return check


def plan(cfg: Any, num_envs: int, rollout_length: int) -> Plan:
    """Every rollout is learned from once, as soon as it is made."""
    return Plan()
