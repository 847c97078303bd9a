"""MAAC (Iqbal and Sha, 2019, arXiv 1810.02912): a critic whose agents attend to each other.

The learner is multi_agent_sac.py's, the critic AttentionCritic's. Equal to the released code's
last state (shariqiqbal2810/MAAC 6174a01), which differs from the paper.
"""

import jax

from jmarl.algorithms import multi_agent_sac as sac
from jmarl.algorithms.actor_critic import Learner
from jmarl.fields import ConfigError, knob, static
from jmarl.networks.critics import AttentionCritic
from jmarl.types import Attention, EnvSpec, Transition


class Config(sac.Config):
    """What the critic needs beside the learner's settings."""

    attention_penalty: float = knob(1e-3, low=0)  # of the mean squared logit of every head
    heads: int = static(4, low=1)  # attention heads, which share critic_dim
    critic_dim: int = static(128, low=1)  # width of the critic's layers
    uniform_attention: bool = static(False)  # to all others alike: the paper's ablation


class Maac(sac.MultiAgentSac):
    """The learner, which tells who attends to whom."""

    def attention(self, learner: Learner, batch: Transition) -> Attention:
        """Weights [T, B, A, heads, A] at the steps of a batch, under the online critic."""
        view = jax.tree.map(lambda x: x[:-1], batch.view)
        vector = self.parts.one_hot(batch.action)
        judged = self.judge(learner.nets.critic, view, vector, learner.seen)
        assert judged.attention is not None
        return Attention(judged.attention)


def make(spec: EnvSpec, cfg: Config) -> Maac:
    """MAAC for an environment of this spec."""
    critic = AttentionCritic(
        spec, cfg.critic_dim, cfg.heads, cfg.attention_penalty, cfg.uniform_attention
    )
    return Maac(spec, cfg, sac.actor_of(spec, cfg), critic)


def refuse(spec: EnvSpec, cfg: Config) -> None:
    """ConfigError for a lonely agent, and for heads that cannot share the width."""
    if spec.num_agents < 2:
        raise ConfigError(
            f"env must have two agents or more for maac, whose agents attend to others, "
            f"got {spec.name}, which has one"
        )
    if cfg.critic_dim % cfg.heads:
        raise ConfigError(
            f"critic_dim must be a multiple of heads, {cfg.heads}, got {cfg.critic_dim}"
        )


RECIPE = sac.recipe(
    "maac",
    "actors with a critic that attends to the other agents (Iqbal and Sha, 2019)",
    Config(),
    make,
    refuse=refuse,
    shows=("attention",),
)
