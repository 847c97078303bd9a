"""IPPO (de Witt et al., 2020, arXiv 2011.09533): every agent learns by PPO for itself, with a
critic that sees what the agent sees, and from its own reward."""

from jmarl.algorithms import ppo

RECIPE = ppo.recipe(
    "ippo", "independent proximal policy optimisation (de Witt et al., 2020)", central=False
)
