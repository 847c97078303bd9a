"""MAPPO (Yu et al., 2022, arXiv 2103.01955): PPO whose critic sees the team's state, and is told
whose value is asked."""

from jmarl.algorithms import ppo

RECIPE = ppo.recipe(
    "mappo", "proximal policy optimisation, a critic of the state (Yu et al., 2022)", central=True
)
