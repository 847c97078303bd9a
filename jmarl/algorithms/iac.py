"""IAC, independent actor-critic (Foerster et al., 2018, arXiv 1705.08926, section 4): every agent
learns for itself, with a critic that sees what the agent sees, and from its own reward."""

from jmarl.algorithms import on_policy
from jmarl.algorithms import team_actor_critic as tac
from jmarl.algorithms.team_actor_critic import ActorCritic
from jmarl.networks.values import Values
from jmarl.types import EnvSpec


def make(spec: EnvSpec, cfg: tac.Config) -> ActorCritic:
    """IAC for an environment of this spec."""
    critic = Values(spec, ("obs", "last", "id"), cfg.critic_hidden_dim, 1)
    return ActorCritic(spec, cfg, on_policy.agents_of(spec, cfg), critic)


RECIPE = tac.recipe(
    "iac",
    "independent actors and critics (Foerster et al., 2018)",
    tac.Config(team_reward="own"),
    make,
    uses_state=False,
)
