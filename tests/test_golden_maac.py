"""MAAC against the released code: attention, values, losses, gradients, steps, tensor by tensor."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import RTOL, Golden, cases, put, stacked
from jax import Array

from jmarl.actions import vector_mask
from jmarl.algorithms import maac
from jmarl.algorithms.actor_critic import Learner, Nets
from jmarl.algorithms.batch import Batch, take
from jmarl.networks.mlp import Moments, batch_moments
from jmarl.optim import global_norm
from jmarl.types import EnvSpec, View

pytestmark = pytest.mark.golden
FILES = "maac_nobn", "maac_bn", "maac_hetero"
SURE = 1e6  # noise that settles which action is drawn
SHARED = {"key": "key", "query": "query", "value": "value"}  # the file has one of each per head
OWN = {"sa_encoder": "action_encoder", "s_encoder": "state_encoder", "q_head": "head"}


class Case:
    """One file's algorithm, learner and batch, padded as jmarl pads."""

    def __init__(self, z: Golden) -> None:
        self.z, self.agents = z, z.config("n_agents")
        self.spec = EnvSpec(
            name="golden",
            agents=tuple(map(str, range(self.agents))),
            obs_sizes=tuple(z.config("obs_dims")),
            action_kind="discrete",
            action_parts=tuple((size,) for size in z.config("action_dims")),
            state_size=0,
            episode_limit=1,
            teams=(0,) * self.agents,
        )
        cfg = maac.RECIPE.presets["official"].config.replace(
            actor_lr=z.config("pi_lr"),
            critic_lr=z.config("q_lr"),
            gamma=z.config("gamma"),
            tau=z.config("tau"),
            alpha=z.config("soft") / z.config("reward_scale"),
            max_grad_norm=z.config("policy_clip"),
            critic_max_grad_norm=z.config("critic_clip") / self.agents,
            weight_decay=z.config("critic_weight_decay"),
            output_penalty=z.config("policy_reg_coef"),
            attention_penalty=z.config("attend_reg_coef"),
            heads=z.config("attend_heads"),
            critic_dim=z.config("critic_hidden_dim"),
            hidden_dim=(z.config("pol_hidden_dim"),) * 2,
            norm_input=bool(z.config("norm_in")),
        )
        self.algorithm = maac.make(self.spec, cfg)
        obs, acts = self.spec.obs_mask(), self.spec.action_mask()
        # where the file's unpadded rows and columns stand among ours
        self.rows = {
            ("actor", "fc1"): obs,
            ("state_encoder", "fc1"): obs,
            ("action_encoder", "fc1"): np.concatenate([obs, vector_mask(self.spec)], -1),
        }
        self.columns = {("actor", "fc3"): acts, ("head", "fc2"): acts}

    # --- parameters -----------------------------------------------------------------------------

    def nets(self, prefix: str) -> Nets:
        critic: dict[str, Any] = {
            ours: self.net(f"{prefix}critic/{theirs}/", ours) for theirs, ours in OWN.items()
        }
        for name in SHARED:
            tree = f"{prefix}critic/{name}"
            leaves = self.z.names(f"{tree}/0/")
            critic[name] = {leaf: self.side_by_side(tree, leaf) for leaf in leaves}
        return Nets(self.net(f"{prefix}policy/", "actor"), jax.tree.map(jnp.asarray, critic))

    def side_by_side(self, prefix: str, leaf: str) -> np.ndarray:
        heads = range(self.z.config("attend_heads"))
        return np.concatenate([self.z[f"{prefix}/{h}/{leaf}"] for h in heads], -1)

    def net(self, prefix: str, group: str) -> Any:
        """Stacked, padded parameters from `prefix{i}/fc1/kernel` and so on."""
        tree: dict[str, dict[str, Array]] = {}
        for name in self.z.names(f"{prefix}0/"):
            layer, leaf = name.split("/")
            place = group, {"fc": "fc1"}.get(layer, layer)
            each = [
                self.padded(self.z[f"{prefix}{i}/{name}"], place, i) for i in range(self.agents)
            ]
            tree.setdefault(place[1], {})[leaf] = jnp.stack(each)
        return tree

    def padded(self, value: np.ndarray, place: tuple[str, str], i: int) -> np.ndarray:
        if place in self.rows and value.ndim == 2:
            value = put(value, np.flatnonzero(self.rows[place][i]), self.rows[place].shape[1])
        if place in self.columns:
            columns = self.columns[place]
            value = put(value.T, np.flatnonzero(columns[i]), columns.shape[1]).T
        return value

    def check_nets(self, prefix: str, nets: Nets, parts: tuple[str, ...]) -> None:
        """Compare with `prefix`critic/... and `prefix`policy/...; padding must be untouched."""
        if "critic" in parts:
            for theirs, ours in OWN.items():
                self.check_net(f"{prefix}critic/{theirs}/", nets.critic[ours], ours)
            for name in SHARED:
                self.check_shared(f"{prefix}critic/{name}", nets.critic[name])
        if "policy" in parts:
            self.check_net(f"{prefix}policy/", nets.actor, "actor")

    def check_net(self, prefix: str, params: Any, group: str) -> None:
        for i in range(self.agents):
            assert self.z.names(f"f64/{prefix}{i}/")  # some are recorded in float64 alone
            for name in self.z.names(f"{self.z.precision}/{prefix}{i}/"):
                layer, leaf = name.split("/")
                place = group, {"fc": "fc1"}.get(layer, layer)
                value = np.asarray(params[place[1]][leaf])[i]
                if place in self.rows and value.ndim == 2:
                    assert not value[~self.rows[place][i]].any(), f"padding of {name} moved"
                    value = value[self.rows[place][i]]
                if place in self.columns:
                    assert not value[..., ~self.columns[place][i]].any(), f"{name} moved"
                    value = value[..., self.columns[place][i]]
                self.check(f"{prefix}{i}/{name}", value)

    def check_shared(self, prefix: str, params: Any) -> None:
        heads = self.z.config("attend_heads")
        for leaf in self.z.names(f"{self.z.precision}/{prefix}/0/"):
            for h, value in enumerate(np.split(np.asarray(params[leaf]), heads, -1)):
                self.check(f"{prefix}/{h}/{leaf}", value)

    def check(self, name: str, value: Any) -> None:
        where: Any = True
        if name.startswith("after/params/"):
            kind, rest = name.removeprefix("after/params/").split("/", 1)
            where = self.z.told_from_zero(f"{kind}/grad/{kind}/{rest}")
        self.z.check(name, value, where=where)

    def learner(self) -> Learner:
        nets, tx = self.nets("params/"), self.algorithm.tx
        opt = Nets(jax.vmap(tx.actor.init)(nets.actor), tx.critic.init(nets.critic))
        width = self.spec.obs_size + self.spec.action_size
        blank = Moments(jnp.zeros((self.agents, width)), jnp.ones((self.agents, width)))
        return Learner(nets, self.nets("target_params/"), opt, blank)

    # --- data -----------------------------------------------------------------------------------

    def pad(self, prefix: str, width: int) -> Array:
        """Per-agent arrays `prefix/0`, ... [N, size_i] as one [N, A, width]."""
        return stacked([self.z[f"{prefix}/{i}"] for i in range(self.agents)], width)

    def each(self, name: str) -> Array:
        return jnp.stack([self.z[f"{name}/{i}"] for i in range(self.agents)], 1)

    def batch(self) -> Batch:
        """With a flag for each agent's end, [N, A]: `goal` reads one at a time."""
        reward = self.each("batch/rewards")
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
            terminated=self.each("batch/dones"),
            weight=jnp.ones(len(reward)),
        )

    def noise(self, name: str) -> Array:
        return SURE * jax.nn.one_hot(self.each(f"noise/{name}"), self.spec.action_size)

    def rows_of(self, name: str, value: Any) -> None:
        """Compare [N, A, U] or [N, A] with `name/0`, ... [N, size_i] or [N, 1]."""
        for i, size in enumerate(self.spec.action_sizes):
            own = value[:, i]
            self.z.check(f"{name}/{i}", own[:, :size] if own.ndim == 2 else own[:, None])


case, in_its_precision = cases(FILES, Case)


def test_critic(case: Case) -> None:
    """Attention, its penalty, values, targets, loss and gradients."""
    z, algorithm, learner, batch = case.z, case.algorithm, case.learner(), case.batch()
    params, noise = learner.nets.critic, case.noise("next_actions")
    judged = algorithm.judge(params, batch.view, batch.action, batch.weight)
    case.rows_of("critic/all_q", judged.q)
    case.rows_of("critic/q", take(judged.q, algorithm.parts.flat(batch.action)))
    attention = np.asarray(judged.attention)
    for i in range(case.agents):
        others = np.delete(attention[:, i], i, -1)  # [N, heads, A - 1]
        z.check(f"critic/attend_weights/{i}", others.swapaxes(0, 1))
        assert not attention[:, i, :, i].any()
        z.check(f"critic/attend_reg/{i}", judged.penalty[:, i].mean())
    goal = next_values(case, learner, batch, noise)
    loss = jax.jit(jax.value_and_grad(algorithm.critic_loss, has_aux=True))
    (value, metrics), grads = loss(params, goal, batch)
    z.check("critic/loss", value)
    z.check("critic/grad_norm", global_norm(algorithm.shared_less(grads)))
    squares = [z.data[f"{z.precision}/critic/mse/{i}"] for i in range(case.agents)]
    assert metrics["critic_loss"] == pytest.approx(np.mean(squares), rel=RTOL[z.precision])
    case.check_nets("critic/grad/", Nets(None, grads), ("critic",))


def next_values(case: Case, learner: Learner, batch: Batch, noise: Array) -> Array:
    """Targets [N, A], compared, as is what they are made of."""
    algorithm, view, target = case.algorithm, batch.next_view, learner.target
    moments = batch_moments(view.obs, batch.weight)
    out = algorithm.outputs(target.actor, view.obs, moments)
    log_policy, action = algorithm.log_policy(out, view.available), noise.argmax(-1)
    case.rows_of("critic/next_log_pi", take(log_policy, action))
    vector = algorithm.parts.one_hot(action)
    judged = algorithm.judge(target.critic, view, vector, batch.weight)
    case.rows_of("critic/next_q", take(judged.q, action))
    goal = goals(case, learner, batch, noise)
    case.rows_of("critic/target_q", goal)
    return goal


def goals(case: Case, learner: Learner, batch: Batch, noise: Array) -> Array:
    """Targets [N, A]: the release has a done flag for each agent."""
    goal = jax.jit(case.algorithm.goal)
    own = lambda i: batch.replace(terminated=batch.terminated[:, i])
    columns = [goal(learner.target, own(i), noise)[:, i] for i in range(case.agents)]
    return jnp.stack(columns, 1)


def test_actors(case: Case) -> None:
    """Probabilities, values and advantages under the stepped critic, losses and gradients."""
    z, algorithm, learner, batch = case.z, case.algorithm, case.learner(), case.batch()
    stepped = case.nets(f"{z.precision}/after/params/").critic
    view, noise = batch.view, case.noise("actions")
    moments = batch_moments(view.obs, batch.weight)
    out = algorithm.outputs(learner.nets.actor, view.obs, moments)
    log_policy, action = algorithm.log_policy(out, view.available), noise.argmax(-1)
    q = algorithm.judge(stepped, view, algorithm.parts.one_hot(action), batch.weight).q
    baseline = (jnp.exp(log_policy) * q).sum(-1)
    case.rows_of("policy/probs", jnp.exp(log_policy))
    case.rows_of("policy/log_pi", take(log_policy, action))
    case.rows_of("policy/all_q", q)
    case.rows_of("policy/q", take(q, action))
    case.rows_of("policy/baseline", baseline)
    case.rows_of("policy/advantage", take(q, action) - baseline)
    slope = jax.jit(jax.grad(lambda *x: algorithm.actor_loss(*x)[0]))
    grads = slope(learner.nets.actor, stepped, batch, noise)
    case.check_nets("policy/grad/", Nets(grads, None), ("policy",))
    for i in range(case.agents):
        loss, metrics = actor_loss_of(case, i, learner.nets.actor, stepped, "actions")
        z.check(f"policy/loss/{i}", loss)
        z.check(f"policy/entropy/{i}", metrics["entropy"] * case.agents)
        own = jax.tree.map(lambda x, i=i: x[i], grads)
        z.check(f"policy/grad_norm/{i}", global_norm(own))


def actor_loss_of(case: Case, i: int, actor: Any, critic: Any, noise: str) -> Any:
    """Agent i's loss and metrics: nobody else is alive."""
    batch = case.batch()
    alive = batch.view.alive & (jnp.arange(case.agents) == i)
    batch = batch.replace(view=batch.view.replace(alive=alive))
    return jax.jit(case.algorithm.actor_loss)(actor, critic, batch, case.noise(noise))


def test_step(case: Case) -> None:
    """Parameters, targets and running statistics after one update; the losses of a second."""
    z, algorithm, learner, batch = case.z, case.algorithm, case.learner(), case.batch()
    improve, loss = jax.jit(algorithm.improve), jax.jit(algorithm.critic_loss)
    goal = next_values(case, learner, batch, case.noise("next_actions"))
    learner, metrics = improve(learner, batch, goal, case.noise("actions"))
    z.check("critic/grad_norm", metrics["critic_grad_norm"])
    case.check_nets("after/params/", learner.nets, ("critic", "policy"))
    if z.precision == "f32":
        return  # what follows was recorded in float64 only
    case.check_nets("after/target_params/", learner.target, ("critic", "policy"))
    if algorithm.cfg.norm_input:
        check_statistics(case, learner)
    goal = goals(case, learner, batch, case.noise("next_actions_step2"))
    z.check("step2/critic/loss", loss(learner.nets.critic, goal, batch)[0])
    again, _ = improve(learner, batch, goal, case.noise("actions_step2"))
    for i in range(case.agents):
        value = actor_loss_of(case, i, learner.nets.actor, again.nets.critic, "actions_step2")
        z.check(f"step2/policy/loss/{i}", value[0])


def check_statistics(case: Case, learner: Learner) -> None:
    """The policies' own; the critic's are never read in the release."""
    for i, size in enumerate(case.spec.obs_sizes):
        prefix = f"after/bn_stats/policy/{i}/bn/running"
        case.z.check(f"{prefix}_mean", learner.seen.mean[i, :size])
        case.z.check(f"{prefix}_var", learner.seen.variance[i, :size])
