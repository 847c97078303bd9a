"""MADDPG against maddpg-pytorch: values, losses, gradients, steps, tensor by tensor."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import Golden, cases, put, stacked
from jax import Array

from jmarl.algorithms import maddpg
from jmarl.algorithms.batch import Batch
from jmarl.algorithms.maddpg import Learner, Maddpg, Nets
from jmarl.networks.mlp import Moments, batch_moments
from jmarl.optim import polyak
from jmarl.types import EnvSpec, View

pytestmark = pytest.mark.golden
FILES = (
    "maddpg_discrete",
    "maddpg_continuous",
    "maddpg_discrete_bn",
    "maddpg_continuous_bn",
    "maddpg_hetero",
)


class Case:
    """One file's algorithm, learner and batch, padded as jmarl pads."""

    def __init__(self, z: Golden) -> None:
        self.z, self.agents = z, z.config("n_agents")
        discrete = bool(z.config("discrete_action"))
        sizes = tuple(z.config("action_dims"))
        self.spec = EnvSpec(
            name="golden",
            agents=tuple(map(str, range(self.agents))),
            obs_sizes=tuple(z.config("obs_dims")),
            action_kind="simplex" if discrete else "box",
            action_parts=tuple((size,) for size in sizes),
            state_size=0,
            episode_limit=1,
            teams=(0,) * self.agents,
        )
        cfg = maddpg.IQBAL.replace(
            actor_lr=z.config("lr"),
            critic_lr=z.config("lr"),
            gamma=z.config("gamma"),
            tau=z.config("tau"),
            max_grad_norm=z.config("grad_clip"),
            output_penalty=z.config("policy_reg_coef"),
            temperature=z.config("gumbel_temperature"),
            hidden_dim=(z.config("hidden_dim"),) * 2,
            norm_input=bool(z.config("norm_in")),
            own_batches=False,
        )
        self.algorithm: Maddpg = maddpg.make(self.spec, cfg)
        self.discrete = discrete
        # where the file's unpadded rows and columns stand among ours
        self.rows = {"policy": self.spec.obs_mask(), "critic": self.algorithm.critic_mask()}
        self.columns = {
            "policy": self.spec.action_mask(),
            "critic": np.ones((self.agents, 1), bool),
        }

    def pad(self, prefix: str, width: int) -> Array:
        """Per-agent arrays `prefix/0`, ... [N, size_i] as one [N, A, width]."""
        return stacked([self.z[f"{prefix}/{i}"] for i in range(self.agents)], width)

    def nets(self, prefix: str) -> Nets:
        return Nets(self.net(f"{prefix}policy/"), self.net(f"{prefix}critic/"))

    def net(self, prefix: str) -> Any:
        """Stacked, padded parameters from `prefix{i}/fc1/kernel` and so on."""
        kind = prefix.split("/")[-2]
        agents = [self.padded(prefix, kind, i) for i in range(self.agents)]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *agents)

    def padded(self, prefix: str, kind: str, i: int) -> Any:
        rows, columns = np.flatnonzero(self.rows[kind][i]), np.flatnonzero(self.columns[kind][i])
        wide, tall = self.columns[kind].shape[1], self.rows[kind].shape[1]
        tree: dict[str, dict[str, np.ndarray]] = {}
        for name in self.z.names(f"{prefix}{i}/"):
            layer, leaf = name.split("/")
            value = self.z[f"{prefix}{i}/{name}"]
            if layer in ("bn", "fc1"):
                value = put(value, rows, tall) if leaf != "bias" or layer == "bn" else value
            if layer == "fc3":
                value = put(value.T, columns, wide).T
            tree.setdefault("norm" if layer == "bn" else layer, {})[leaf] = value
        if "norm" in tree:
            tree["norm"]["scale"] = np.where(self.rows[kind][i], tree["norm"]["scale"], 1)
        return tree

    def check_net(self, prefix: str, params: Any, kind: str, i: int, **tolerance: float) -> None:
        """Compare padded parameters of agent i with `prefix{i}/...`; padding must be untouched."""
        rows, columns = self.rows[kind][i], self.columns[kind][i]
        assert self.z.names(f"f64/{prefix}{i}/")  # some are recorded in float64 alone
        for name in self.z.names(f"{self.z.precision}/{prefix}{i}/"):
            layer, leaf = name.split("/")
            value = np.asarray(params["norm" if layer == "bn" else layer][leaf])
            if layer == "bn" or (layer == "fc1" and leaf == "kernel"):
                assert not value[~rows].any() or leaf == "scale", f"padding of {name} moved"
                value = value[rows]
            if layer == "fc3":
                assert not value[..., ~columns].any(), f"padding of {name} moved"
                value = value[..., columns]
            where: Any = True
            if prefix.startswith("after/"):
                where = self.z.told_from_zero(f"{kind}/grad/{kind}/{i}/{name}")
            self.z.check(f"{prefix}{i}/{name}", value, where=where, **tolerance)

    def learner(self) -> Learner:
        nets, target = self.nets("params/"), self.nets("target_params/")
        tx = self.algorithm.tx
        opt = Nets(jax.vmap(tx.actor.init)(nets.actor), jax.vmap(tx.critic.init)(nets.critic))
        shape = self.spec.num_agents, self.spec.obs_size
        return Learner(nets, target, opt, Moments(jnp.zeros(shape), jnp.ones(shape)))

    def batch(self, agent: int) -> Batch:
        """The batch as `agent` reads it: the official code has a done flag per agent."""
        z, agents = self.z, range(self.agents)
        reward = jnp.stack([z[f"batch/rewards/{i}"] for i in agents], 1)
        view = lambda name: View(
            obs=self.pad(f"batch/{name}", self.spec.obs_size),
            available=jnp.broadcast_to(
                self.spec.action_mask(), (*reward.shape, self.spec.action_size)
            ),
            alive=jnp.ones(reward.shape, bool),
        )
        return Batch(
            view=view("obs"),
            next_view=view("next_obs"),
            action=self.pad("batch/actions", self.spec.action_size),
            reward=reward,
            terminated=jnp.asarray(z[f"batch/dones/{agent}"]),
            weight=jnp.ones(len(reward)),
        )

    def noise(self, agent: int) -> tuple[Array, Array]:
        """The target actors are greedy: theirs is never read."""
        width = self.spec.action_size
        own = jnp.zeros((self.z.config("batch"), width))
        if self.discrete:
            gumbel = self.z[f"noise/gumbel/{agent}"]
            own = jnp.asarray(np.pad(gumbel, ((0, 0), (0, width - gumbel.shape[1]))))
        return jnp.zeros((len(own), self.agents, width)), own


case, in_its_precision = cases(FILES, Case)


def test_critic(case: Case) -> None:
    """Targets, values, losses and gradients, each agent from the initial networks."""
    z, algorithm, learner = case.z, case.algorithm, case.learner()
    loss = jax.jit(jax.value_and_grad(algorithm.critic_loss, has_aux=True))
    for i in range(case.agents):
        batch, noise = case.batch(i), case.noise(i)[0]
        goal = jax.jit(algorithm.goal)(learner.target, jnp.int32(i), batch, noise)
        params = jax.tree.map(lambda x, i=i: x[i], learner.nets.critic)
        q = algorithm.value(params, jnp.int32(i), batch.view, batch.action, batch.weight)
        (value, _), grads = loss(params, goal, jnp.int32(i), batch)
        z.check(f"critic/target_value/{i}", goal[:, None])
        z.check(f"critic/value/{i}", q[:, None])
        z.check(f"critic/loss/{i}", value)
        case.check_net("critic/grad/critic/", grads, "critic", i)


def test_actor(case: Case) -> None:
    """Actions, values, losses and gradients; the critic is the one after its step."""
    z, algorithm, learner = case.z, case.algorithm, case.learner()
    stepped = case.net(f"{z.precision}/after/params/critic/")
    loss = jax.jit(jax.value_and_grad(algorithm.actor_loss))
    for i in range(case.agents):
        batch, noise = case.batch(i), case.noise(i)[1]
        own = lambda tree, i=i: jax.tree.map(lambda x: x[i], tree)
        size = case.spec.action_sizes[i]
        moments = batch_moments(batch.view.obs, batch.weight)
        out = algorithm.outputs(learner.nets.actor, batch.view.obs, moments)
        vector = algorithm.head.sample(out, noise[:, None], batch.view.available)
        z.check(f"policy/out/{i}", (out if case.discrete else vector)[:, i, :size])
        if case.discrete:
            z.check(f"policy/action/{i}", vector[:, i, :size])
        value, grads = loss(
            own(learner.nets.actor), own(stepped), learner.nets.actor, jnp.int32(i), batch, noise
        )
        z.check(f"policy/loss/{i}", value)
        # through batch-norm the last bias of a continuous policy has no gradient but noise
        case.check_net("policy/grad/policy/", grads, "policy", i, atol=1e-6)


def test_step(case: Case) -> None:
    """Parameters after one update of each agent from the initial networks, and gradient norms."""
    z, learner = case.z, case.learner()
    improve = jax.jit(case.algorithm.improve)
    for i in range(case.agents):
        nets, _, metrics = improve(learner, jnp.int32(i), case.batch(i), case.noise(i))
        z.check(f"critic/grad_norm/{i}", metrics["critic_grad_norm"])
        z.check(f"policy/grad_norm/{i}", metrics["actor_grad_norm"])
        case.check_net("after/params/critic/", nets.critic, "critic", i)
        case.check_net("after/params/policy/", nets.actor, "policy", i)


def test_two_rounds_one_agent_after_another(case: Case) -> None:
    """Agents see the new policies of those before them; then all targets move; then again."""
    z, algorithm, learner = case.z, case.algorithm, case.learner()
    if z.precision == "f32":
        pytest.skip("recorded in float64 only")
    improve, put_back = jax.jit(algorithm.improve), jax.jit(algorithm.put)
    for step in ("seq", "step2"):
        for i in range(case.agents):
            batch, agent = case.batch(i), jnp.int32(i)
            nets, opt, metrics = improve(learner, agent, batch, case.noise(i))
            z.check(f"{step}/critic_loss/{i}", metrics["critic_loss"])
            z.check(f"{step}/policy_loss/{i}", metrics["actor_loss"])
            learner, _ = put_back(learner, agent, nets, opt, metrics)
            learner = learner.replace(seen=algorithm.look(learner.seen, batch))
        target = polyak(learner.nets, learner.target, algorithm.cfg.tau)
        learner = learner.replace(target=target)
        if step == "seq":
            check_round(case, learner)


def check_round(case: Case, learner: Learner) -> None:
    own = lambda tree, i: jax.tree.map(lambda x: x[i], tree)
    for i in range(case.agents):
        case.check_net("seq/after/params/policy/", own(learner.nets.actor, i), "policy", i)
        prefix = "seq/after/target_params/"
        case.check_net(f"{prefix}policy/", own(learner.target.actor, i), "policy", i)
        case.check_net(f"{prefix}critic/", own(learner.target.critic, i), "critic", i)
        if case.algorithm.cfg.norm_input:
            real = case.spec.obs_mask()[i]
            stats = f"seq/after/bn_stats/policy/{i}/bn/running"
            case.z.check(f"{stats}_mean", learner.seen.mean[i][real])
            case.z.check(f"{stats}_var", learner.seen.variance[i][real])
