"""MAAC's rivals in its paper: the same learner, whose critics concatenate instead of attending.

MADDPG+SAC has a critic for each agent, COMA+SAC one for all, which is told whose values it gives.
Their code was never released; this is what MAAC's paper tells of them. As there, critics are
about as large as MAAC's: on Rover-Tower, within a hundredth.
"""

from jmarl.algorithms import multi_agent_sac as sac
from jmarl.algorithms.multi_agent_sac import MultiAgentSac
from jmarl.fields import static
from jmarl.networks.critics import JoinedCritic
from jmarl.types import EnvSpec


class Config(sac.Config):
    """What the critics need beside the learner's settings."""

    critic_hidden_dim: tuple[int, ...] = static((154, 154), low=1)  # of each critic's hidden layers


def maddpg_sac(spec: EnvSpec, cfg: Config) -> MultiAgentSac:
    """With a critic for each agent."""
    return made(spec, cfg, one_for_all=False)


def coma_sac(spec: EnvSpec, cfg: Config) -> MultiAgentSac:
    """With one critic for all."""
    return made(spec, cfg, one_for_all=True)


def made(spec: EnvSpec, cfg: Config, one_for_all: bool) -> MultiAgentSac:
    critic = JoinedCritic(spec, cfg.critic_hidden_dim, one_for_all)
    return MultiAgentSac(spec, cfg, sac.actor_of(spec, cfg), critic)


MADDPG_SAC = sac.recipe(
    "maddpg_sac",
    "MAAC's learner with a concatenating critic for each agent (Iqbal and Sha, 2019)",
    Config(),
    maddpg_sac,
)
COMA_SAC = sac.recipe(
    "coma_sac",
    "MAAC's learner with one concatenating critic for all agents (Iqbal and Sha, 2019)",
    Config(critic_hidden_dim=(523, 523)),
    coma_sac,
)
