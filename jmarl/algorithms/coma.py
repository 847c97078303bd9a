"""COMA (Foerster et al., 2018, arXiv 1705.08926): a counterfactual baseline for every agent.

The critic values each action of an agent, given what the others do; what an action was worth is
its value less their mean under the agent's policy (equation 4). Exact to PyMARL's learner
(oxwhirl/pymarl c971afd).
"""

import jax.numpy as jnp
from jax import Array

from jmarl.algorithms import on_policy
from jmarl.algorithms import team_actor_critic as tac
from jmarl.algorithms.batch import take
from jmarl.networks.values import SEES_ALL, Values
from jmarl.types import EnvSpec, Transition


class Coma(tac.ActorCritic):
    def advantage(self, seen: Array, goal: Array, log_policy: Array, batch: Transition) -> Array:
        """Q(s, u) - sum_a pi(a) Q(s, (u_others, a)), [T, B, A]."""
        return take(seen, batch.action) - (jnp.exp(log_policy) * seen).sum(-1)


def make(spec: EnvSpec, cfg: tac.Config) -> Coma:
    """COMA for an environment of this spec."""
    critic = Values(spec, SEES_ALL, cfg.critic_hidden_dim, spec.action_size)
    return Coma(spec, cfg, on_policy.agents_of(spec, cfg), critic)


RECIPE = tac.recipe(
    "coma", "a counterfactual baseline for every agent (Foerster et al., 2018)", tac.Config(), make
)
