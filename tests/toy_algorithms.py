"""Three learners as small as they come, each of another shape, for the one loop.

On-policy with lambda returns; recurrent and off-policy, reading entities; feed-forward and
off-policy. They show what the protocol asks of an algorithm, and nothing else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import Array

from jmarl.exploration import epsilon_greedy, greedy
from jmarl.optim import descend, polyak
from jmarl.targets import lambda_returns, one_step
from jmarl.types import Clock, EnvSpec, Key, Metrics, Params, Policy, Transition, View, tree_where


class Learner(struct.PyTreeNode):
    params: Params
    target: Params
    opt: Any


def fresh(params: Params, tx: optax.GradientTransformation) -> Learner:
    return Learner(params, params, tx.init(params))


def stepped(
    learner: Learner, loss: Callable[[Params], Array], tx: optax.GradientTransformation, tau: float
) -> tuple[Learner, Metrics]:
    value, grads = jax.value_and_grad(loss)(learner.params)
    params, opt = descend(tx, grads, learner.opt, learner.params)
    return Learner(params, polyak(params, learner.target, tau), opt), {"loss": value}


def linear(params: Params, x: Array) -> Array:
    return x @ params["w"] + params["b"]


def layer(key: Key, inputs: int, outputs: int) -> Params:
    scale = inputs**-0.5
    return {"w": jax.random.normal(key, (inputs, outputs)) * scale, "b": jnp.zeros(outputs)}


def chosen(values: Array, action: Array) -> Array:
    """[..., U] at [...]."""
    return jnp.take_along_axis(values, action[..., None], -1)[..., 0]


@dataclass(frozen=True)
class ActorCritic:
    """On-policy: the rollout just made, a linear policy and value that all agents share."""

    spec: EnvSpec
    gamma: float = 0.9
    trace: float = 0.8

    tx = optax.adam(0.05)

    def init(self, key: Key) -> Learner:
        keys = jax.random.split(key)
        heads = {"actor": self.spec.action_size, "critic": 1}
        params = {
            name: layer(key, self.spec.obs_size, size)
            for key, (name, size) in zip(keys, heads.items(), strict=True)
        }
        return fresh(params, self.tx)

    def explore(self, learner: Learner, clock: Clock) -> Policy[tuple[()]]:
        def step(carry: tuple[()], view: View, key: Key) -> tuple[tuple[()], Array, Array]:
            logits = self.logits(learner.params, view)
            action = jax.random.categorical(key, logits)
            return carry, action, chosen(jax.nn.log_softmax(logits), action)

        return Policy(lambda key, num_envs: (), step)

    def exploit(self, learner: Learner) -> Policy[tuple[()]]:
        def step(carry: tuple[()], view: View, key: Key) -> tuple[tuple[()], Array, tuple[()]]:
            return carry, self.logits(learner.params, view).argmax(-1), ()

        return Policy(lambda key, num_envs: (), step)

    def logits(self, params: Params, view: View) -> Array:
        return jnp.where(view.available, linear(params["actor"], view.obs), -jnp.inf)

    def update(
        self, learner: Learner, batch: Transition, key: Key, clock: Clock
    ) -> tuple[Learner, Metrics]:
        now = jax.tree.map(lambda x: x[:-1], batch.view)
        weight = batch.valid[..., None] / batch.valid.sum()

        def loss(params: Params) -> Array:
            values = linear(params["critic"], batch.view.obs)[..., 0]
            goals = lambda_returns(values, batch, self.gamma, self.trace)
            log_p = chosen(jax.nn.log_softmax(self.logits(params, now)), batch.action)
            ratio = jnp.exp(log_p - batch.extras)  # one, as nothing was learned since: its gradient
            error = goals - values[:-1]
            return (weight * (error**2 - ratio * jax.lax.stop_gradient(error))).sum()

        return stepped(learner, loss, self.tx, 1.0)


@dataclass(frozen=True)
class RecurrentQ:
    """Off-policy on whole episodes: a recurrent Q that all agents share, reading entities.

    `memory` multiplies what is carried from step to step: 1 remembers, 0 forgets.
    """

    spec: EnvSpec
    memory: Any = 1.0
    gamma: float = 0.9
    hidden: int = 16

    tx = optax.adam(0.01)

    def init(self, key: Key) -> Learner:
        see, keep, head = jax.random.split(key, 3)
        size = 2 * self.hidden  # a gate and a candidate
        params = {
            "see": layer(see, self.spec.entity_size, size),
            "keep": layer(keep, self.hidden, size),
            "head": layer(head, self.hidden, self.spec.action_size),
        }
        return fresh(params, self.tx)

    def reset(self, key: Key, num_envs: int) -> Array:
        return jnp.zeros((num_envs, self.spec.num_agents, self.hidden))

    def step(self, params: Params, carry: Array, view: View) -> tuple[Array, Array]:
        """Carry [B, A, H] -> new carry, values [B, A, U]; each agent adds up what it sees."""
        assert view.entities is not None
        seen = ~(view.entities.hidden | view.entities.absent[:, None])
        inputs = jnp.einsum("bae,bef->baf", seen * 1.0, view.entities.features)
        old = carry * self.memory
        gate, new = jnp.split(linear(params["see"], inputs) + linear(params["keep"], old), 2, -1)
        gate = jax.nn.sigmoid(gate)
        carry = gate * old + (1 - gate) * jnp.tanh(new)
        return carry, linear(params["head"], carry)

    def policy(self, params: Params, epsilon: float) -> Policy[Array]:
        def step(carry: Array, view: View, key: Key) -> tuple[Array, Array, tuple[()]]:
            carry, values = self.step(params, carry, view)
            return carry, epsilon_greedy(key, values, view.available, epsilon), ()

        return Policy(self.reset, step)

    def explore(self, learner: Learner, clock: Clock) -> Policy[Array]:
        return self.policy(learner.params, 0.3)

    def exploit(self, learner: Learner) -> Policy[Array]:
        return self.policy(learner.params, 0.0)

    def unroll(self, params: Params, batch: Transition) -> Array:
        """Values [T+1, B, A, U] of all views, remembering from each episode's start."""
        opened = self.reset(jax.random.key(0), batch.start.shape[1])

        def one(carry: Array, x: tuple[View, Array]) -> tuple[Array, Array]:
            view, start = x
            return self.step(params, tree_where(start, opened, carry), view)

        return jax.lax.scan(one, opened, (batch.view, batch.start))[1]

    def update(
        self, learner: Learner, batch: Transition, key: Key, clock: Clock
    ) -> tuple[Learner, Metrics]:
        future = self.unroll(learner.target, batch).max(-1)[1:]
        ends = jnp.broadcast_to(batch.terminated[..., None], future.shape)
        goal = one_step(batch.reward, future, ends, self.gamma)
        weight = batch.valid[..., None] / batch.valid.sum()

        def loss(params: Params) -> Array:
            values = chosen(self.unroll(params, batch)[:-1], batch.action)
            return (weight * (values - goal) ** 2).sum()

        return stepped(learner, loss, self.tx, 0.1)


@dataclass(frozen=True)
class TableQ:
    """Off-policy, feed-forward: Q-learning on one-hot observations, exact where they are states."""

    spec: EnvSpec
    gamma: float = 0.5

    tx = optax.sgd(1.0)

    def init(self, key: Key) -> Learner:
        return fresh(jnp.zeros((self.spec.obs_size, self.spec.action_size)), self.tx)

    def explore(self, learner: Learner, clock: Clock) -> Policy[tuple[()]]:
        epsilon = jnp.maximum(0.2, 1 - clock.env_steps / 1000)
        return self.policy(lambda key, view: self.choose(key, learner, view, epsilon))

    def exploit(self, learner: Learner) -> Policy[tuple[()]]:
        return self.policy(lambda key, view: greedy(view.obs @ learner.params, view.available))

    def choose(self, key: Key, learner: Learner, view: View, epsilon: Array) -> Array:
        return epsilon_greedy(key, view.obs @ learner.params, view.available, epsilon)

    def policy(self, choose: Callable[[Key, View], Array]) -> Policy[tuple[()]]:
        return Policy(
            lambda key, num_envs: (), lambda carry, view, key: (carry, choose(key, view), ())
        )

    def update(
        self, learner: Learner, batch: Transition, key: Key, clock: Clock
    ) -> tuple[Learner, Metrics]:
        now, after = (jax.tree.map(lambda x, at=at: x[at], batch.view.obs) for at in (0, 1))
        future = (after @ learner.params).max(-1)
        ends = jnp.broadcast_to(batch.terminated[0][:, None], future.shape)
        goal = one_step(batch.reward[0], future, ends, self.gamma)
        taken = jax.nn.one_hot(batch.action[0], self.spec.action_size)
        visits = jnp.einsum("bas,bau->su", now, taken)
        share = jnp.einsum("bas,su,bau->ba", now, 1 / jnp.maximum(visits, 1), taken)

        def loss(table: Array) -> Array:
            """Its slope is half the mean error of each entry: steps of one go half the way."""
            error = chosen(now @ table, batch.action[0]) - goal
            return (batch.valid[0][:, None] * share * error**2).sum() / 4

        return stepped(learner, loss, self.tx, 1.0)
