"""Central-V (Foerster et al., 2018, arXiv 1705.08926, section 4): actors with one critic of the
state, which is told whose value is asked."""

from jmarl.algorithms import on_policy
from jmarl.algorithms import team_actor_critic as tac
from jmarl.algorithms.team_actor_critic import ActorCritic
from jmarl.networks.values import Values
from jmarl.types import EnvSpec


def critic(spec: EnvSpec, cfg: tac.Config) -> Values:
    """V_i(s, u_before)."""
    return Values(spec, ("state", "all_last", "id"), cfg.critic_hidden_dim, 1)


def make(spec: EnvSpec, cfg: tac.Config) -> ActorCritic:
    """Central-V for an environment of this spec."""
    return ActorCritic(spec, cfg, on_policy.agents_of(spec, cfg), critic(spec, cfg))


RECIPE = tac.recipe(
    "central_v", "actors with a critic of the state (Foerster et al., 2018)", tac.Config(), make
)
