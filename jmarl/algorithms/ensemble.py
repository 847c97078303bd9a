"""MADDPG with policy ensembles (Lowe et al., 2017, section 4.3).

Every agent has K sub-policies, each with a critic of its own, and draws one as an episode opens.
Sub-policy k of agent i learns from steps at which it acted. What the others did is replayed, and
what they would do next is asked of the sub-policies that acted in the replayed episode. Leaves of
the learner are [A, K, ...].
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl.algorithms.actor_critic import Learner, Nets
from jmarl.algorithms.batch import Batch
from jmarl.algorithms.maddpg import Maddpg
from jmarl.networks.mlp import Moments
from jmarl.stripes import part
from jmarl.types import Key, Metrics, Params, Policy, Transition, View, tree_where


class Carry(struct.PyTreeNode):
    member: Array  # [B, A] int8: who plays this episode
    noise: Array  # as MADDPG's


class Ensemble(Maddpg):
    # --- acting ---------------------------------------------------------------------------------

    def policy(self, learner: Learner, choose: Callable[..., Array], scale: Any) -> Policy[Any]:
        """Plays one sub-policy of each agent for an episode, and tells which in `extras`."""
        plain = super().policy

        def reset(key: Key, num_envs: int) -> Carry:
            member_key, noise_key = jax.random.split(key)
            noise = plain(learner, choose, scale).reset(noise_key, num_envs)
            return Carry(self.draw(member_key, num_envs), noise)

        def step(carry: Carry, view: View, key: Key) -> tuple[Carry, Array, Array]:
            def act(nets: Nets) -> tuple[Array, Array]:
                policy = plain(learner.replace(nets=nets), choose, scale)
                return policy.step(carry.noise, view, key)[:2]

            # all have the same key, so what is chosen is what each would do alone
            noise, action = jax.vmap(act, 1)(learner.nets)
            return carry.replace(noise=noise[0]), chosen(action, carry.member), carry.member

        return Policy(reset, step)

    def draw(self, key: Key, num_envs: int) -> Array:
        """Who plays, [B, A]: uniform, of each agent apart or of a team alike."""
        teams = jnp.asarray(self.spec.teams)
        who = teams if self.cfg.ensemble_by == "team" else jnp.arange(self.spec.num_agents)
        drawn = jax.random.randint(key, (num_envs, len(teams)), 0, self.cfg.ensemble)
        return drawn[:, who].astype(jnp.int8)

    # --- learning -------------------------------------------------------------------------------

    def init(self, key: Key) -> Learner:
        plain = super().init
        learner = jax.vmap(plain, out_axes=1)(jax.random.split(key, self.cfg.ensemble))
        return learner.replace(seen=plain(key).seen)  # nothing is normalised

    def turn(
        self, learner: Learner, flat: Batch, agent: Array, key: Key
    ) -> tuple[Nets, Nets, Metrics]:
        """Steps of an agent's sub-policies, each on its part of the batch: [K, ...].

        None reads what another learns, so that they step side by side.
        """
        members, size = jnp.arange(self.cfg.ensemble), self.cfg.ensemble
        mine = self.batch_of(flat, agent)

        def one(member: Array, key: Key) -> tuple[Nets, Nets, Metrics, Array]:
            own = part(mine, size, member)
            acted = own.weight.sum() > 0
            old = jax.tree.map(lambda x: x[agent, member], (learner.nets, learner.opt))
            *new, metrics = self.improve(learner, agent, own, self.noise(key, own), (member,))
            nets, opt = tree_where(acted, tuple(new), old)
            return nets, opt, metrics, acted

        nets, opt, metrics, acted = jax.vmap(one)(members, jax.random.split(key, size))
        share = acted / jnp.maximum(acted.sum(), 1)
        return nets, opt, {name: (share * value).sum() for name, value in metrics.items()}

    def outputs(
        self, params: Params, obs: Array, moments: Moments, member: Array | None = None
    ) -> Array:
        """Of the sub-policies that acted, from parameters [A, K, ...]; or of one's [A, ...]."""
        plain = super().outputs
        if member is None:
            return plain(params, obs, moments)
        return chosen(jax.vmap(plain, (1, None, None))(params, obs, moments), member)

    def fold(self, batch: Transition) -> Batch:
        member = jax.lax.collapse(batch.extras, 0, 2)
        return super().fold(batch).replace(member=member)


def chosen(every: Array, member: Array) -> Array:
    """Of what each sub-policy would do [K, N, A, ...], what the drawn ones do: [N, A, ...]."""
    index = member.astype(jnp.int32).reshape(1, *member.shape, *(1,) * (every.ndim - 3))
    return jnp.take_along_axis(every, index, 0)[0]
