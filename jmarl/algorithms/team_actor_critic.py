"""One learner for IAC, Central-V, COMA and LIIR: each brings its critic and what advantage is.

After PyMARL (oxwhirl/pymarl c971afd): whole episodes of the policy as it is; the critic
moves towards TD(lambda) returns, position by position from the last to the first; the policy
follows the score function, weighed by how much better an action was than the critic thought.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from jmarl import targets
from jmarl.algorithms import on_policy
from jmarl.algorithms.batch import mean, take
from jmarl.algorithms.on_policy import Learner, Team, entropy, standardised, weights
from jmarl.algorithms.recipe import Preset, Recipe, always
from jmarl.fields import knob, static
from jmarl.networks.agents import actions_before
from jmarl.networks.values import Values
from jmarl.optim import descend, every, global_norm
from jmarl.types import Clock, EnvSpec, Key, Metrics, Params, Transition


class Config(on_policy.Config):
    """Defaults are PyMARL's."""

    eps_start: float = knob(0.5, low=0, high=1)  # share of random actions at first
    eps_finish: float = knob(0.01, low=0, high=1)  # ... and after eps_decay
    eps_decay: float = knob(100_000.0, above=0)  # of its linear decay: steps and truncated ends
    tau: float = knob(1.0, low=0, high=1)  # share of the critic in each update of its target
    target_update_interval: int = static(200, low=1)  # critic's steps between those
    critic_hidden_dim: tuple[int, ...] = static((128, 128), low=1, entries=1)  # its layers
    critic_steps: Literal["each_position", "one"] = static("each_position")  # in each update
    standardise_advantages: bool = static(False)  # by their mean and deviation over the batch


L = TypeVar("L", bound=Learner)
alone = jax.lax.optimization_barrier


class Critic(Protocol):
    """Values [..., A, K] from inputs [..., A, in]."""

    def apply(self, params: Params, x: Array) -> Array: ...


class Fitted(NamedTuple):
    """A critic after its steps."""

    params: Params
    opt: Any
    seen: Array  # [T, B, A, K] its outputs, each before the step at its position
    metrics: Metrics


@dataclass(frozen=True)
class TeamActorCritic(Team, Generic[L]):
    """What all of them do; `L` is what they learn."""

    critic: Values

    def floor(self, clock: Clock) -> Array:
        cfg = self.cfg
        left = 1 - jnp.minimum(clock.env_steps / cfg.eps_decay, 1)
        return cfg.eps_finish + (cfg.eps_start - cfg.eps_finish) * left

    def opened(self, key: Key) -> Learner:
        actor_key, critic_key = jax.random.split(key)
        actor, critic = self.agents.init(actor_key), self.critic.init(critic_key)
        opts = self.optimiser(self.cfg.lr).init(actor), self.optimiser(0.0).init(critic)
        return Learner(actor, critic, critic, *opts)

    def update(self, learner: L, batch: Transition, key: Key, clock: Clock) -> tuple[L, Metrics]:
        """The critic's steps, then one of the policy."""
        return self.improve(learner, self.paid(batch), key, clock)

    def improve(self, learner: L, batch: Transition, key: Key, clock: Clock) -> tuple[L, Metrics]:
        """`update` for rewards [T, B, A] or [T, B, 1] as they count.

        Behind barriers, so that it is compiled to the same bits whatever stands around it: LIIR
        without weight is Central-V.
        """
        reward = jnp.broadcast_to(batch.reward, batch.action.shape)
        learner, batch = alone((learner, batch.replace(reward=reward)))
        unroll = lambda actor: self.policies(actor, batch, self.floor(clock))
        log_policy, pull = jax.vjp(unroll, learner.actor)
        action = self.actions(batch, log_policy[-1], key)
        x = self.critic.inputs(batch.view, action, actions_before(batch))
        goal = self.goal(learner.target, x, action, batch)
        fitted = self.fit(self.critic, learner.critic, learner.critic_opt, x, goal, batch)
        advantage = self.advantage(fitted.seen, goal, log_policy[:-1], batch)
        slope, metrics = jax.grad(self.actor_loss, has_aux=True)(log_policy, advantage, batch)
        (grads,) = pull(slope)
        actor, actor_opt = descend(
            self.optimiser(self.cfg.lr), grads, learner.actor_opt, learner.actor
        )
        target = self.followed(fitted.params, learner.target, batch, clock)
        metrics |= {**fitted.metrics, "actor_grad_norm": global_norm(grads)}
        new = Learner(actor, fitted.params, target, actor_opt, fitted.opt)
        return alone((learner.replace(**vars(new)), metrics))

    def actions(self, batch: Transition, last: Array, key: Key) -> Array:
        """Actions at all views [T+1, B, A]; behind the last step the policy's, drawn here.

        By the same noise in every environment: an action is as likely as it should be, and
        environments stay interchangeable.
        """
        noise = jax.random.gumbel(key, last.shape[1:], last.dtype)
        drawn = (last + noise).argmax(-1).astype(batch.action.dtype)
        return jnp.concatenate([batch.action, drawn[None]])

    # --- the critic -----------------------------------------------------------------------------

    def goal(self, target: Params, x: Array, action: Array, batch: Transition) -> Array:
        """TD(lambda) returns [T, B, A] under the target critic."""
        return targets.lambda_returns(
            chosen(self.critic.apply(target, x), action),
            batch,
            self.cfg.gamma,
            self.cfg.td_lambda,
        )

    def steps(self, batch: Transition) -> int:
        """The critic's, in each update."""
        return len(batch.valid) if self.cfg.critic_steps == "each_position" else 1

    def followed(self, params: Params, target: Params, batch: Transition, clock: Clock) -> Params:
        """The target, updated after so many steps of the critic."""
        period = math.ceil(self.cfg.target_update_interval / self.steps(batch))
        return every(period, clock.updates, self.cfg.tau, params, target)

    def fit(
        self, critic: Critic, params: Params, opt: Any, x: Array, goal: Array, batch: Transition
    ) -> Fitted:
        """Squared errors descended: by all positions together, or by each, the last first."""
        count, tx = self.steps(batch), self.optimiser(self.cfg.critic_lr)

        def step(state: tuple[Params, Any], at: tuple[Array, ...]) -> tuple[Any, Any]:
            valid = at[-1]
            (loss, seen), grads = slope(state[0], *at)
            new = descend(tx, grads, state[1], state[0])
            # an optimiser moves by its past even where nothing was done
            kept = jax.tree.map(lambda n, o: jnp.where(valid.any(), n, o), new, state)
            return kept, (seen, loss, global_norm(grads), valid.any())

        slope = jax.value_and_grad(partial(critic_loss, critic), has_aux=True)
        xs = x[:-1], goal, batch.action, batch.valid
        lots = jax.tree.map(lambda x: x.reshape(count, -1, *x.shape[2:]), xs)
        (params, opt), out = jax.lax.scan(step, (params, opt), lots, reverse=True)
        seen, loss, norm, any_valid = out
        metrics = {
            "critic_loss": mean(loss, any_valid),
            "critic_grad_norm": mean(norm, any_valid),
            "target_value": mean(goal.mean(-1), batch.valid),
        }
        return Fitted(params, opt, seen.reshape(*goal.shape, -1), metrics)

    # --- the policy -----------------------------------------------------------------------------

    def advantage(self, seen: Array, goal: Array, log_policy: Array, batch: Transition) -> Array:
        """How much better than thought [T, B, A] the actions were."""
        return goal - seen[..., 0]

    def actor_loss(
        self, log_policy: Array, advantage: Array, batch: Transition
    ) -> tuple[Array, Metrics]:
        """The score function's, from log-probabilities [T+1, B, A, U]."""
        log_policy, weight = log_policy[:-1], weights(batch)
        if self.cfg.standardise_advantages:
            advantage = standardised(advantage, weight)
        steps = batch.valid.astype(weight.dtype)
        over = lambda x: mean((x * weight).mean(-1), steps)
        push = -over(jax.lax.stop_gradient(advantage) * take(log_policy, batch.action))
        spread = over(entropy(log_policy))
        loss = push - self.cfg.entropy_weight * spread
        return loss, {"actor_loss": push, "entropy": spread, "advantage": over(jnp.abs(advantage))}


class ActorCritic(TeamActorCritic[Learner]):
    """A policy and a critic, and nothing else."""

    def init(self, key: Key) -> Learner:
        return self.opened(key)


def critic_loss(
    critic: Critic, params: Params, x: Array, goal: Array, action: Array, valid: Array
) -> tuple[Array, Array]:
    """Mean squared error over agents and steps [N], and all outputs."""
    out = critic.apply(params, x)
    squared = (chosen(out, action) - goal) ** 2
    return mean(squared.mean(-1), valid.astype(squared.dtype)), out


def chosen(values: Array, action: Array) -> Array:
    """[..., A]: the only value of each agent, or that of its action."""
    return values[..., 0] if values.shape[-1] == 1 else take(values, action)


# --- what the recipes share -----------------------------------------------------------------------


def recipe(
    name: str,
    summary: str,
    config: Config,
    make: Callable[[EnvSpec, Any], Any],
    uses_state: bool = True,
    shows: tuple[str, ...] = (),
    official: Mapping[str, Preset] | None = None,
    num_envs: int = 8,
) -> Recipe:
    """An entry of `ALL` for an algorithm of this family; `official`: presets but PyMARL's."""
    fast = config.replace(optimiser="adam", entropy_weight=0.01, eps_start=0.0, eps_finish=0.0)
    official = official or {"pymarl": Preset(config, {"num_envs": 8}, "as oxwhirl/pymarl")}
    return Recipe(
        name=name,
        summary=summary,
        config=config,
        make=make,
        memory=on_policy.remember(uses_state),
        plan=on_policy.plan,
        action_kinds=lambda cfg: ("discrete",),
        presets={
            **official,
            "fast": Preset(fast, {"num_envs": 128}, "for hundreds of parallel environments"),
        },
        loop={"env": "smax/3m", "num_envs": num_envs},
        episodic=always,
        refuse=on_policy.refuse(name, uses_state),
        shows=shows,
    )
