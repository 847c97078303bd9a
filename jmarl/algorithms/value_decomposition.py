"""One learner for IQL, VDN, QMIX, Qatten, QTRAN and REFIL: each brings how values are joined.

Deep Q-learning on whole rollouts with a target network (after oxwhirl/pymarl c971afd):
agents' networks unroll from zero states wherever an episode opened; the joint value of the actions
taken moves towards the reward and the target's joint value of the actions that look best next.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array

from jmarl import targets
from jmarl.algorithms.batch import mean, take
from jmarl.algorithms.recipe import Plan, Preset, Recipe, always, nothing, updates_asked
from jmarl.algorithms.team import SharedReward, earned, refuse_apart
from jmarl.exploration import epsilon_greedy, greedy
from jmarl.fields import ConfigError, knob, static
from jmarl.memory import Keep, replay
from jmarl.networks.agents import Agents, Carry, RecurrentTeam, Unrolled
from jmarl.networks.base import Net
from jmarl.optim import clip_global, descend, every, global_norm
from jmarl.types import Clock, EnvSpec, Key, Memory, Metrics, Params, Policy, Transition, View


class Training(struct.PyTreeNode):
    """Defaults are PyMARL's. An episode here is a rollout as long as the environment's limit: one
    episode, or several that ended early."""

    lr: float = knob(5e-4, low=0)  # step size of the optimiser
    gamma: float = knob(0.99, low=0, high=1)  # discount per step
    td_lambda: float = knob(0.0, low=0, high=1)  # TD(lambda) of the targets; 0 is one step
    eps_start: float = knob(1.0, low=0, high=1)  # share of random actions at first
    eps_finish: float = knob(0.05, low=0, high=1)  # ... and after eps_decay
    eps_decay: float = knob(50_000.0, above=0)  # of its linear decay: steps and truncated ends
    tau: float = knob(1.0, low=0, high=1)  # share of the online networks in each target update
    max_grad_norm: float = knob(10.0, above=0)  # all gradients together are clipped to this norm
    loss_scale: float = knob(1.0, above=0)  # of the mean squared error; PyMARL2's is a half
    rms_decay: float = knob(0.99, low=0, high=1)  # of RMSprop's mean of squared gradients
    rms_eps: float = knob(1e-5, above=0)  # of RMSprop, outside the root
    target_update_interval: int = static(200, low=1)  # gradient steps between target updates
    n_step: int = static(1, low=1)  # rewards in the targets before a value; above 1 without lambda
    double_q: bool = static(True)  # the online network chooses the target's actions
    optimiser: Literal["rmsprop", "adam"] = static("rmsprop")  # PyMARL's, or PyMARL2's
    rnn_dim: int = static(64, low=0)  # width of the GRU; 0 is a feed-forward network
    last_action: bool = static(True)  # agents see their action before
    team_reward: SharedReward = static("auto")  # of agents' rewards; auto: as the environment says
    buffer_size: int = static(5000, low=1)  # episodes remembered
    batch_size: int = static(32, low=1)  # episodes in each gradient step
    warmup_episodes: int = static(32, low=1)  # before the first gradient step
    episodes_per_update: float = static(1.0, above=0)  # episodes played per gradient step


class Config(Training):
    """With PyMARL's agents."""

    hidden_dim: tuple[int, ...] = static((64,), low=1, entries=1)  # of the layers before the GRU
    parameter_sharing: bool = static(True)  # one network for all agents, or one each
    agent_id: bool = static(True)  # agents see who they are


class Mixed(NamedTuple):
    """What a mixer makes of the agents' values."""

    joint: Array  # [..., K] one value of the team, or one for each agent
    penalty: Array | None = None  # [...] added to the loss
    attention: Array | None = None  # [..., heads, A] weights, to look at
    head_weights: Array | None = None  # [..., heads] likewise, where the heads do not just add up
    slopes: Array | None = None  # [..., A] of the joint value in each agent's, where mixers tell


class Learner(struct.PyTreeNode):
    """What learning changes."""

    params: Params  # {"agent": ..., "mixer": ...}
    target: Params
    opt: Any


@dataclass(frozen=True)
class ValueDecomposition:
    """The agents' networks value their actions, the mixer joins the values of those taken.

    An algorithm of its own brings a mixer, and other `agents`, `goal`, `error` or `loss` where it
    differs in more (qmix.py; qtran.py and refil.py are subclasses).
    """

    spec: EnvSpec
    cfg: Training
    agents: RecurrentTeam
    mixer: Net[Any]  # (values [..., A], view, actions [..., A]) -> Mixed
    fixed: tuple[str, ...] = ()  # parts of the mixer that stay as they were drawn

    # --- acting ---------------------------------------------------------------------------------

    def explore(self, learner: Learner, clock: Clock) -> Policy[Carry]:
        cfg = self.cfg
        left = 1 - jnp.minimum(clock.env_steps / cfg.eps_decay, 1)
        return self.policy(learner, cfg.eps_finish + (cfg.eps_start - cfg.eps_finish) * left)

    def exploit(self, learner: Learner) -> Policy[Carry]:
        return self.policy(learner, 0.0)

    def policy(self, learner: Learner, epsilon: Any) -> Policy[Carry]:
        """Each agent acts at random with probability `epsilon`, by itself."""

        def step(carry: Carry, view: View, key: Key) -> tuple[Carry, Array, tuple[()]]:
            q, hidden = self.agents.step(learner.params["agent"], carry, view)
            action = epsilon_greedy(key, q, view.available, epsilon)
            return Carry(hidden, action.astype(jnp.int32)), action, ()

        return Policy(lambda key, num_envs: self.agents.reset(num_envs), step)

    # --- learning -------------------------------------------------------------------------------

    def init(self, key: Key) -> Learner:
        agent_key, mixer_key = jax.random.split(key)
        q = jnp.zeros(self.spec.num_agents)
        params = {
            "agent": self.agents.init(agent_key),
            "mixer": self.mixer.init(mixer_key, *self.mixer_inputs(q)),
        }
        return Learner(params, params, self.tx.init(params))

    def mixer_inputs(self, q: Array) -> tuple[Any, ...]:
        """Examples, to size the mixer with."""
        return q, self.spec.example_view(), q.astype(jnp.int32)

    @property
    def tx(self) -> optax.GradientTransformation:
        return optax.chain(clip_global(self.cfg.max_grad_norm), self.step)

    @property
    def step(self) -> optax.GradientTransformation:
        cfg = self.cfg
        rmsprop = lambda: optax.rmsprop(
            cfg.lr, decay=cfg.rms_decay, eps=cfg.rms_eps, eps_in_sqrt=False
        )
        return {"rmsprop": rmsprop, "adam": lambda: optax.adam(cfg.lr)}[cfg.optimiser]()

    def update(
        self, learner: Learner, batch: Transition, key: Key, clock: Clock
    ) -> tuple[Learner, Metrics]:
        """One gradient step of agents and mixer together."""
        loss = jax.value_and_grad(self.loss, has_aux=True)
        (_, metrics), grads = loss(learner.params, learner.target, batch)
        grads = self.hold(grads, jax.tree.map(jnp.zeros_like, grads))
        params, opt = descend(self.tx, grads, learner.opt, learner.params)
        fresh = self.hold(params, learner.target)
        period = self.cfg.target_update_interval
        target = every(period, clock.updates, self.cfg.tau, fresh, learner.target)
        return Learner(params, target, opt), {**metrics, "grad_norm": global_norm(grads)}

    def hold(self, new: Params, old: Params) -> Params:
        """`new`, but for the parts of the mixer that are fixed."""
        kept = {name: old["mixer"][name] for name in self.fixed}
        return {**new, "mixer": {**new["mixer"], **kept}}

    def loss(self, params: Params, target: Params, batch: Transition) -> tuple[Array, Metrics]:
        """Mean squared error of the joint value over all steps that were taken."""
        online, old = self.agents.unroll((params["agent"], target["agent"]), batch)
        mixed = self.join(params, online, batch)
        goal = self.goal(target, online, old, batch)
        return self.error(mixed, goal, batch)

    def join(self, params: Params, online: Unrolled, batch: Transition) -> Mixed:
        """The joint value of the actions taken, [T, B, K]."""
        view = jax.tree.map(lambda x: x[:-1], batch.view)
        chosen = take(online.q[:-1], batch.action)
        return self.mixer.apply(params["mixer"], chosen, view, batch.action)

    def goal(self, target: Params, online: Unrolled, old: Unrolled, batch: Transition) -> Array:
        """Targets [T, B, K]: of the reward, and of the best next actions under the target."""
        best = self.best(online, old, batch.view)
        mixed = self.mixer.apply(target["mixer"], take(old.q, best), batch.view, best)
        return self.returns(mixed.joint, batch)

    def returns(self, joint: Array, batch: Transition) -> Array:
        """Targets [T, B, K] from the joint values [T+1, B, K] of the views."""
        paid = batch.replace(reward=self.team_reward(batch.reward))
        if self.cfg.n_step > 1:
            return targets.n_step(joint, paid, self.cfg.gamma, self.cfg.n_step)
        return targets.lambda_returns(joint, paid, self.cfg.gamma, self.cfg.td_lambda)

    def best(self, online: Unrolled, old: Unrolled, view: View) -> Array:
        """The actions that look best: to the online network (double Q), or to the target."""
        return greedy(online.q if self.cfg.double_q else old.q, view.available)

    def team_reward(self, reward: Array) -> Array:
        """[..., A] -> [..., 1]."""
        return earned(self.spec, self.cfg.team_reward, reward)

    def error(self, mixed: Mixed, goal: Array, batch: Transition) -> tuple[Array, Metrics]:
        """The loss, and what it is made of."""
        weight = batch.valid.astype(goal.dtype)
        mean_of = lambda x: mean(x, weight)
        error = mixed.joint - goal
        squared = mean_of((error**2).mean(-1))
        penalty = 0.0 if mixed.penalty is None else mean_of(mixed.penalty)
        return self.cfg.loss_scale * squared + penalty, {
            "loss": squared,
            "td_error": mean_of(jnp.abs(error).mean(-1)),
            "q_value": mean_of(mixed.joint.mean(-1)),
            "target_value": mean_of(goal.mean(-1)),
        }


# --- what the recipes share -----------------------------------------------------------------------


def agents_of(spec: EnvSpec, cfg: Config) -> Agents:
    return Agents(
        spec, cfg.hidden_dim, cfg.rnn_dim, cfg.parameter_sharing, cfg.last_action, cfg.agent_id
    )


def plan(cfg: Training, num_envs: int, rollout_length: int) -> Plan:
    """Keeps `episodes_per_update` whatever the number of environments; at least one update."""
    asked = updates_asked(cfg, "episodes_per_update", num_envs)
    warmup = math.ceil(cfg.warmup_episodes / num_envs)
    return Plan(warmup, max(1, round(asked)), asked, "warmup_episodes")


def remember(uses_state: bool) -> Callable[[EnvSpec, Config, int, int], Memory[Any]]:
    """A replay of `buffer_size` whole rollouts that keeps what the learner reads."""

    def keep(rollout: Transition) -> Transition:
        view = rollout.view.replace(entities=None)
        return rollout.replace(view=view if uses_state else view.replace(state=None))

    def memory(spec: EnvSpec, cfg: Config, num_envs: int, rollout_length: int) -> Memory[Any]:
        return whole_rollouts(cfg, num_envs, rollout_length, keep)

    return memory


def whole_rollouts(cfg: Training, num_envs: int, rollout_length: int, keep: Keep) -> Memory[Any]:
    """A replay of `buffer_size` rollouts or a few more, as environments play side by side."""
    rollouts = math.ceil(cfg.buffer_size / num_envs)
    return replay(rollout_length, rollouts, cfg.batch_size, whole_rollouts=True, keep=keep)


def refuse(spec: EnvSpec, cfg: Training) -> None:
    """ConfigError for environments without one team that shares a reward."""
    refuse_apart(spec, cfg.team_reward, "value decomposition")
    if cfg.n_step > 1 and cfg.td_lambda:
        raise ConfigError(f"td_lambda must be 0 where n_step is above 1, got {cfg.td_lambda}")


def presets(config: Any, **pymarl2: Any) -> dict[str, Preset]:
    """The recipes of PyMARL, of PyMARL2 (with an algorithm's own settings there), and a fast one.

    Gradient steps per episode played, and how often each stored step is learned from: PyMARL one,
    32 times; PyMARL2 an eighth, 16 times; fast a half, 16 times.
    """
    tuned = config.replace(
        lr=1e-3,
        td_lambda=0.6,
        eps_decay=100_000.0,
        optimiser="adam",
        loss_scale=0.5,
        batch_size=128,
        warmup_episodes=128,
        episodes_per_update=8.0,
        target_update_interval=25,
    )
    fast = config.replace(
        td_lambda=0.6,
        eps_decay=200_000.0,
        optimiser="adam",
        warmup_episodes=128,
        episodes_per_update=2.0,
        target_update_interval=100,
    )
    return {
        "pymarl": Preset(config, {"num_envs": 1}, "as oxwhirl/pymarl"),
        "pymarl2": Preset(tuned.replace(**pymarl2), {"num_envs": 8}, "as hijkzzz/pymarl2"),
        "fast": Preset(fast, {"num_envs": 128}, "for hundreds of parallel environments"),
    }


def recipe(
    name: str,
    summary: str,
    config: Training,
    make: Callable[[EnvSpec, Any], Any],
    uses_state: bool = True,
    refuse: Callable[[EnvSpec, Any], None] = refuse,
    warn: Callable[[Any], str] = nothing,
    shows: tuple[str, ...] = (),
    **pymarl2: Any,
) -> Recipe:
    """An entry of `ALL` for an algorithm of this family; `pymarl2`: its own settings there."""
    return Recipe(
        name=name,
        summary=summary,
        config=config,
        make=make,
        memory=remember(uses_state),
        plan=plan,
        action_kinds=lambda cfg: ("discrete",),
        presets=presets(config, **pymarl2),
        loop={"env": "smax/3m"},
        episodic=always,
        refuse=refuse,
        warn=warn,
        shows=shows,
    )
