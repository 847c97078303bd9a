"""LIIR (Du et al., 2019, NeurIPS): an intrinsic reward for each agent, learned to help the team.

Each agent improves on the team's reward plus a little of its own intrinsic one; how that step
changes what the team earns says how the intrinsic reward should have been. theta: policy, eta:
intrinsic reward, A: advantages, m: steps of agents alive.

    inner   theta'(eta) = theta + alpha grad_theta sum m log pi_theta(u|h) A_proxy(eta) / sum m
    outer   J(theta') = sum m A_team pi_theta'(u|h) / pi_theta(u|h) / sum m, of joint actions
    eta moves along dJ(theta'(eta))/d eta

The authors' released code computes something else: `release_mode` (liir_release.py).
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from jmarl import targets
from jmarl.algorithms import central_v, liir_release, on_policy
from jmarl.algorithms import team_actor_critic as tac
from jmarl.algorithms.batch import mean, take
from jmarl.algorithms.liir_release import LiirRelease
from jmarl.algorithms.on_policy import standardised, weights
from jmarl.algorithms.recipe import Preset
from jmarl.fields import ConfigError, knob, static
from jmarl.networks.agents import actions_before
from jmarl.networks.values import Values
from jmarl.optim import descend, global_norm
from jmarl.types import Clock, EnvSpec, Key, Metrics, Params, Transition


class Config(tac.Config):
    """Defaults are the release's numbers with the paper's update."""

    intrinsic_weight: float = knob(0.01, low=0)  # of the intrinsic reward beside the team's
    intrinsic_lr: float = knob(5e-4, low=0)  # step size of the intrinsic reward
    intrinsic_bound: float = knob(10.0, above=0)  # intrinsic rewards lie within +- this
    inner_lr: float = knob(5e-4, above=0)  # alpha, of the policy's step that is looked through
    release_value_weight: float = knob(1.0, low=0)  # of the team value's error, in release_mode
    intrinsic: Literal["learned", "random"] = static("learned")  # random: as it was drawn
    release_mode: bool = static(False)  # the update of the authors' code, defects and all


class Learner(on_policy.Learner):
    """`critic` is of the proxy reward: the team's and the intrinsic one."""

    intrinsic: Params
    intrinsic_opt: Any
    team_critic: Params  # of the team's reward alone
    team_target: Params
    team_opt: Any


class Liir(tac.TeamActorCritic[Learner]):
    """Central-V on the proxy reward, and the intrinsic reward's step."""

    cfg: Config

    @property
    def intrinsic_net(self) -> Values:
        """To a number for each action of an agent."""
        sees = "obs", "last", "id"
        return Values(self.spec, sees, self.cfg.critic_hidden_dim, self.spec.action_size)

    @property
    def team_net(self) -> Values:
        """V(s, u_before); an agent more or less sees the same."""
        return Values(self.spec, ("state", "all_last"), self.cfg.critic_hidden_dim, 1)

    def init(self, key: Key) -> Learner:
        # a longer split begins with the keys of the shorter: the same actor and critic as without
        _, _, intrinsic_key, team_key = jax.random.split(key, 4)
        plain, tx = self.opened(key), self.optimiser(0.0)
        intrinsic, team = self.intrinsic_net.init(intrinsic_key), self.team_net.init(team_key)
        return Learner(
            **vars(plain),
            intrinsic=intrinsic,
            intrinsic_opt=tx.init(intrinsic),
            team_critic=team,
            team_target=team,
            team_opt=tx.init(team),
        )

    def update(
        self, learner: Learner, batch: Transition, key: Key, clock: Clock
    ) -> tuple[Learner, Metrics]:
        """Central-V's update on the proxy reward; then the team's critic and the intrinsic reward,
        both by what was known before."""
        team = self.paid(batch)
        reward = self.intrinsic_reward(learner.intrinsic, team)
        new, metrics = self.improve(learner, self.with_proxy(team, reward), key, clock)
        advantage, fields, team_metrics = self.judge(learner, team, clock)
        grads = self.meta_gradient(learner, team, advantage, self.floor(clock))
        metrics |= team_metrics | {
            "intrinsic_reward": mean((reward * weights(team)).mean(-1), team.valid),
            "intrinsic_size": mean((jnp.abs(reward) * weights(team)).mean(-1), team.valid),
            "meta_grad_norm": global_norm(grads),
        }
        if self.cfg.intrinsic == "learned":
            down = jax.tree.map(jnp.negative, grads)  # it is climbed
            tx = self.optimiser(self.cfg.intrinsic_lr)
            intrinsic, opt = descend(tx, down, learner.intrinsic_opt, learner.intrinsic)
            fields |= {"intrinsic": intrinsic, "intrinsic_opt": opt}
        return new.replace(**fields), metrics

    def intrinsic(self, learner: Learner, batch: Transition) -> Array:
        """What the steps of a batch could have earned of it, [T, B, A, U]: to look at."""
        return self.intrinsic_rewards(learner.intrinsic, batch)

    # --- rewards --------------------------------------------------------------------------------

    def intrinsic_rewards(self, eta: Params, batch: Transition) -> Array:
        """Of every action at each step, [T, B, A, U]."""
        x = self.inputs(self.intrinsic_net, batch)[:-1]
        bound = self.cfg.intrinsic_bound
        return bound * jnp.tanh(self.intrinsic_net.apply(eta, x) / bound)

    def intrinsic_reward(self, eta: Params, batch: Transition) -> Array:
        """Of the actions taken, [T, B, A]."""
        return take(self.intrinsic_rewards(eta, batch), batch.action)

    def with_proxy(self, team: Transition, intrinsic: Array) -> Transition:
        """The team's reward [T, B, 1] and a little of each agent's own [T, B, A]."""
        return team.replace(reward=team.reward + self.cfg.intrinsic_weight * intrinsic)

    def inputs(self, net: Values, batch: Transition) -> Array:
        """[T+1, B, A, in]; for networks that do not see what is done at the views."""
        before = actions_before(batch)
        return net.inputs(batch.view, jnp.zeros_like(before), before)

    # --- the outer step -------------------------------------------------------------------------

    def judge(
        self, learner: Learner, team: Transition, clock: Clock
    ) -> tuple[Array, dict[str, Any], Metrics]:
        """The team's advantage [T, B, 1], standardised, and its critic after its steps."""
        cfg, net = self.cfg, self.team_net
        x = self.inputs(net, team)[..., :1, :]
        values = net.apply(learner.team_target, x)[..., 0]
        goal = targets.lambda_returns(values, team, cfg.gamma, cfg.td_lambda)
        advantage = goal - net.apply(learner.team_critic, x)[:-1, ..., 0]
        fitted = self.fit(net, learner.team_critic, learner.team_opt, x, goal, team)
        target = self.followed(fitted.params, learner.team_target, team, clock)
        fields = {"team_critic": fitted.params, "team_target": target, "team_opt": fitted.opt}
        metrics = {f"team_{name}": value for name, value in fitted.metrics.items()}
        return standardised(advantage, team.valid[..., None] * 1.0), fields, metrics

    def meta_gradient(
        self, learner: Learner, team: Transition, advantage: Array, floor: Any
    ) -> Params:
        """dJ(theta'(eta))/d eta: the outer gradient at theta', led back through the inner step.

        Both are first-order gradients; that of theta' by eta is never formed.
        """
        of_actions = lambda actor: take(self.policies(actor, team, floor)[:-1], team.action)
        log_prob, pull = jax.vjp(of_actions, learner.actor)
        weight, steps = weights(team), team.valid.sum()

        def stepped(eta: Params) -> Params:
            better = self.proxy_advantage(learner, eta, team)
            (slope,) = pull(weight * better / (self.spec.num_agents * jnp.maximum(steps, 1)))
            return jax.tree.map(lambda p, s: p + self.cfg.inner_lr * s, learner.actor, slope)

        def earned(actor: Params) -> Array:
            ratio = jnp.exp((weight * (of_actions(actor) - log_prob)).sum(-1))
            return mean(advantage[..., 0] * ratio, team.valid.astype(ratio.dtype))

        actor, back = jax.vjp(stepped, learner.intrinsic)
        (grads,) = back(jax.grad(earned)(actor))
        return grads

    def proxy_advantage(self, learner: Learner, eta: Params, team: Transition) -> Array:
        """Of the actions taken [T, B, A], which eta moves through the returns."""
        cfg = self.cfg
        proxy = self.with_proxy(team, self.intrinsic_reward(eta, team))
        x = self.inputs(self.critic, team)
        values = self.critic.apply(learner.target, x)[..., 0]
        goal = targets.lambda_sums(values, proxy, cfg.gamma, cfg.td_lambda)
        advantage = goal - self.critic.apply(learner.critic, x)[:-1, ..., 0]
        return standardised(advantage, weights(team)) if cfg.standardise_advantages else advantage


def make(spec: EnvSpec, cfg: Config) -> Liir | LiirRelease:
    """LIIR for an environment of this spec."""
    agents = on_policy.agents_of(spec, cfg)
    if cfg.release_mode:
        cfg = cfg.replace(standardise_advantages=False)  # it does so in its own way
        return LiirRelease(spec, cfg, agents, liir_release.inputs(spec, cfg))
    return Liir(spec, cfg, agents, central_v.critic(spec, cfg))


def refuse(spec: EnvSpec, cfg: Config) -> None:
    """ConfigError for environments without a state, and without a reward that the team shares."""
    if cfg.team_reward == "own":
        raise ConfigError(
            "team_reward must be auto, sum or mean for liir, whose intrinsic rewards serve the "
            "team's, got 'own'"
        )
    on_policy.refuse("liir", uses_state=True)(spec, cfg)


CONFIG = Config(standardise_advantages=True, eps_decay=50_000.0)
RELEASE = Preset(
    CONFIG.replace(release_mode=True), {"num_envs": 32}, "as yalidu/liir, defects and all"
)
RECIPE = replace(
    tac.recipe(
        "liir",
        "a learned intrinsic reward for each agent (Du et al., 2019)",
        CONFIG,
        make,
        shows=("intrinsic",),
        official={"release": RELEASE},
        num_envs=32,
    ),
    refuse=refuse,
)
