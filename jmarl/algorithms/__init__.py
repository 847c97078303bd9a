"""The algorithms there are: `ALL` is the only list, read by the CLI, the benchmarks and tests."""

import re

from jmarl.algorithms import (
    central_v,
    coma,
    iac,
    ippo,
    iql,
    liir,
    maac,
    maddpg_recipe,
    mappo,
    qatten,
    qmix,
    qtran,
    refil,
    sac_baselines,
    vdn,
)
from jmarl.algorithms.recipe import Recipe
from jmarl.fields import ConfigError

ALL: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        maddpg_recipe.RECIPE,
        maddpg_recipe.DDPG,
        maac.RECIPE,
        sac_baselines.MADDPG_SAC,
        sac_baselines.COMA_SAC,
        iql.RECIPE,
        vdn.RECIPE,
        qmix.RECIPE,
        qatten.RECIPE,
        qtran.RECIPE,
        refil.RECIPE,
        iac.RECIPE,
        central_v.RECIPE,
        coma.RECIPE,
        liir.RECIPE,
        ippo.RECIPE,
        mappo.RECIPE,
    )
}


def register_algorithm(recipe: Recipe) -> None:
    """Make an algorithm of your own known by `recipe.name`, as jmarl's are, in this process.

    Raises ConfigError if the name is no lower-case word, or taken.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", recipe.name):
        raise ConfigError(f"name of an algorithm must be a lower-case word, got {recipe.name!r}")
    if recipe.name in ALL:
        raise ConfigError(f"name of an algorithm must be new, got {recipe.name!r}")
    ALL[recipe.name] = recipe
