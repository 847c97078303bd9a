"""`Maddpg.update` under the `openai` preset against openai/maddpg's sweep, written anew from its
description (openai/maddpg 3ceefa0, maddpg/trainer/maddpg.py).

Nothing is recorded here: of jmarl's learner only its first networks, masks and noise are taken. The
sweep below has one list of layers per network, of that agent's own sizes, and a loop over the
agents; jmarl pads, stacks and scans. Compared are online and target networks of every agent after
two sweeps: Adam's first step hardly depends on a gradient's length, its second does. The numbers of
the preset are written out, so that it is held to them too. Adam's epsilon stands where optax and
torch have it (TensorFlow's first version corrects the bias after adding it).
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from jax import Array
from probes import assert_same, jit, spec_of

from jmarl.algorithms import maddpg
from jmarl.algorithms.batch import fold
from jmarl.algorithms.maddpg import Learner, Maddpg
from jmarl.types import ActionKind, Key, Params, Transition, View

LEARNING_RATE, GAMMA, TAU, CLIP, PENALTY = 1e-2, 0.95, 0.01, 0.5, 1e-3
BATCH_SIZE, STEPS = 6, 5  # rows of an agent's batch; the last holds no step and must not count

Layers = list[list[Array]]  # [kernel, bias] each


@dataclass(frozen=True)
class Game:
    kind: ActionKind
    parts: tuple[tuple[int, ...], ...]
    obs_sizes: tuple[int, ...] = (4, 3, 2)
    options: dict[str, Any] = field(default_factory=dict)

    def algorithm(self) -> Maddpg:
        spec = spec_of(self.parts, self.kind, self.obs_sizes)
        return maddpg.make(spec, maddpg.OPENAI.replace(hidden_dim=(5, 4), **self.options))


SIMPLEX = ((3,), (3, 2), (2,))
GAMES = {
    "simplex": Game("simplex", SIMPLEX),
    "simplex-local": Game("simplex", SIMPLEX, options={"local_critic": True}),
    "box": Game("box", ((3,), (1,), (2,)), options={"box_policy": "gaussian"}),
}


class Trained(struct.PyTreeNode):
    """A network and its Adam."""

    net: Layers
    mean: Layers
    square: Layers
    count: Array


class Agent(struct.PyTreeNode):
    actor: Trained
    critic: Trained
    target_actor: Layers
    target_critic: Layers


class Rows(struct.PyTreeNode):
    """One agent's batch; lists have an entry per agent, arrays [N, its own size]."""

    obs: list[Array]
    next_obs: list[Array]
    action: list[Array]
    reward: Array  # [N] its own
    terminated: Array  # [N]
    target_noise: list[Array]
    own_noise: Array


# --- the sweep of openai/maddpg -------------------------------------------------------------------


def sweep(game: Game, team: list[Agent], batches: list[Rows]) -> list[Agent]:
    """Critic, actor, then targets of each agent; later agents see the earlier ones' targets."""
    team = list(team)
    for i, rows in enumerate(batches):
        old = team[i]
        goal = goal_of(game, team, i, rows)
        critic = adam(old.critic, jax.grad(critic_loss)(old.critic.net, game, i, rows, goal))
        actor = adam(old.actor, jax.grad(actor_loss)(old.actor.net, critic.net, game, i, rows))
        team[i] = Agent(
            actor,
            critic,
            follow(old.target_actor, actor.net),
            follow(old.target_critic, critic.net),
        )
    return team


def goal_of(game: Game, team: list[Agent], i: int, rows: Rows) -> Array:
    """r_i + gamma (1 - terminated) Q'_i(o', a'), all a' drawn from the target actors."""
    action = [
        sample(game, j, mlp(agent.target_actor, rows.next_obs[j]), rows.target_noise[j])
        for j, agent in enumerate(team)
    ]
    future = value(game, team[i].target_critic, i, rows.next_obs, action)
    return rows.reward + GAMMA * (1 - rows.terminated) * future


def critic_loss(net: Layers, game: Game, i: int, rows: Rows, goal: Array) -> Array:
    return ((value(game, net, i, rows.obs, rows.action) - goal) ** 2).mean()


def actor_loss(net: Layers, critic: Layers, game: Game, i: int, rows: Rows) -> Array:
    """The other agents act as they did in the batch."""
    out = mlp(net, rows.obs[i])
    action = list(rows.action)
    action[i] = sample(game, i, out, rows.own_noise)
    return PENALTY * (out**2).mean() - value(game, critic, i, rows.obs, action).mean()


def value(game: Game, net: Layers, i: int, obs: list[Array], action: list[Array]) -> Array:
    """Q_i of all observations, then all actions; a local critic knows its own agent's."""
    local = game.options.get("local_critic", False)
    seen = [obs[i], action[i]] if local else [*obs, *action]
    return mlp(net, jnp.concatenate(seen, -1))[:, 0]


def sample(game: Game, i: int, out: Array, noise: Array) -> Array:
    """A softmax of noisy logits for each part, or mean + exp(logstd) noise."""
    if game.kind == "box":
        mean, log_std = jnp.split(out, 2, -1)
        return mean + jnp.exp(log_std) * noise
    parts = jnp.split(out + noise, np.cumsum(game.parts[i])[:-1], -1)
    return jnp.concatenate([jax.nn.softmax(part) for part in parts], -1)


def mlp(net: Layers, x: Array) -> Array:
    (w1, b1), (w2, b2), (w3, b3) = net
    return jax.nn.relu(jax.nn.relu(x @ w1 + b1) @ w2 + b2) @ w3 + b3


def adam(old: Trained, grads: Layers) -> Trained:
    """One step, every array clipped by its own norm."""
    count = old.count + 1
    grads = jax.tree.map(lambda g: g * jnp.minimum(1, CLIP / jnp.sqrt((g**2).sum())), grads)
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, old.mean, grads)
    square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, old.square, grads)
    step = lambda m, v: m / (1 - 0.9**count) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8)
    net = jax.tree.map(lambda x, m, v: x - LEARNING_RATE * step(m, v), old.net, mean, square)
    return Trained(net, mean, square, count)


def follow(target: Layers, net: Layers) -> Layers:
    return jax.tree.map(lambda old, new: (1 - TAU) * old + TAU * new, target, net)


# --- the same learner and batches in both forms ---------------------------------------------------


def learner_of(algorithm: Maddpg, key: Key) -> Learner:
    """In float64, with targets that differ from the online networks."""
    exact = lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x
    init = jit(algorithm.init)
    learner, other = (jax.tree.map(exact, init(k)) for k in jax.random.split(key))
    return learner.replace(target=other.nets)


def team_of(algorithm: Maddpg, learner: Learner) -> list[Agent]:
    return [agent_of(algorithm, learner, i) for i in range(algorithm.spec.num_agents)]


def agent_of(algorithm: Maddpg, learner: Learner, i: int) -> Agent:
    inputs, outputs = algorithm.spec.obs_mask()[i], algorithm.head.real()[i]
    joint, one = algorithm.critic_mask()[i], np.ones(1, bool)
    own = lambda tree: jax.tree.map(lambda x: np.asarray(x[i]), tree)
    nets, target = own(learner.nets), own(learner.target)
    return Agent(
        untrained(cut(nets.actor, inputs, outputs)),
        untrained(cut(nets.critic, joint, one)),
        cut(target.actor, inputs, outputs),
        cut(target.critic, joint, one),
    )


def cut(params: Params, rows: np.ndarray, columns: np.ndarray) -> Layers:
    """Without the padding of the first layer's inputs and of the last one's outputs."""
    first, second, last = ([params[f"fc{k}"][x] for x in ("kernel", "bias")] for k in (1, 2, 3))
    return [[first[0][rows], first[1]], second, [x[..., columns] for x in last]]


def untrained(net: Layers) -> Trained:
    zeros = jax.tree.map(jnp.zeros_like, net)
    return Trained(net, zeros, zeros, jnp.zeros(()))


def batch_of(game: Game, algorithm: Maddpg, rng: np.random.Generator) -> Transition:
    """One agent's batch after another's, [1, A N]; padding is zero."""
    spec, steps = algorithm.spec, algorithm.spec.num_agents * BATCH_SIZE
    mask = jnp.asarray(spec.action_mask())
    normal = lambda *shape: jnp.asarray(rng.normal(size=shape))
    views = (2, steps, spec.num_agents)
    return Transition(
        view=View(
            normal(*views, spec.obs_size) * spec.obs_mask(),
            jnp.broadcast_to(mask, (*views, spec.action_size)),
            jnp.ones(views, bool),
        ),
        start=jnp.zeros(views[:2], bool),
        action=jnp.stack([action_of(game, parts, steps, rng) for parts in game.parts], 2) * mask,
        reward=3 * normal(1, *views[1:]),
        terminated=jnp.asarray(rng.random((1, steps)) < 0.3),
        truncated=jnp.zeros((1, steps), bool),
        valid=jnp.arange(steps)[None] % BATCH_SIZE < STEPS,
    )


def action_of(
    game: Game, parts: tuple[int, ...], steps: int, rng: np.random.Generator
) -> np.ndarray:
    """Random actions of one agent [1, steps, W]."""
    width = max(map(sum, game.parts))
    if game.kind == "box":
        return rng.normal(size=(1, steps, width))
    action = np.concatenate([rng.dirichlet(np.ones(part), (1, steps)) for part in parts], -1)
    return np.pad(action, ((0, 0), (0, 0), (0, width - action.shape[-1])))


def rows_of(algorithm: Maddpg, batch: Transition, key: Key, i: int) -> Rows:
    """What agent i reads of the batch, without padding, and the noise that jmarl draws for it."""
    spec, sizes = algorithm.spec, algorithm.spec.action_sizes
    start = i * BATCH_SIZE
    own = jax.tree.map(lambda x: np.asarray(x)[:, start : start + BATCH_SIZE], batch)
    cut_all = lambda x, sizes: [x[:STEPS, j, :size] for j, size in enumerate(sizes)]
    key = jax.random.split(key, spec.num_agents)[i]
    target_noise, own_noise = jax.tree.map(np.asarray, jit(algorithm.noise)(key, fold(spec, own)))
    return Rows(
        obs=cut_all(own.view.obs[0], spec.obs_sizes),
        next_obs=cut_all(own.view.obs[1], spec.obs_sizes),
        action=cut_all(own.action[0], sizes),
        reward=own.reward[0, :STEPS, i],
        terminated=own.terminated[0, :STEPS],
        target_noise=cut_all(target_noise, sizes),
        own_noise=own_noise[:STEPS, : sizes[i]],
    )


@pytest.mark.parametrize("name", GAMES)
def test_two_sweeps(name: str) -> None:
    game = GAMES[name]
    with jax.enable_x64(True):
        algorithm, rng = game.algorithm(), np.random.default_rng(0)
        learner = learner_of(algorithm, jax.random.key(0))
        team = team_of(algorithm, learner)
        update, by_hand = jit(algorithm.update), jit(partial(sweep, game))
        for key in jax.random.split(jax.random.key(1)):
            batch = batch_of(game, algorithm, rng)
            learner, _ = update(learner, batch, key, None)
            team = by_hand(team, [rows_of(algorithm, batch, key, i) for i in range(len(team))])
        for mine, theirs in zip(team_of(algorithm, learner), team, strict=True):
            assert_same(networks(mine), networks(theirs), atol=1e-9)


def networks(agent: Agent) -> dict[str, Layers]:
    return {
        "actor": agent.actor.net,
        "critic": agent.critic.net,
        "target_actor": agent.target_actor,
        "target_critic": agent.target_critic,
    }
