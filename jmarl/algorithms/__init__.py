"""The algorithms there are: `ALL` is the only list, read by the CLI, the benchmarks and tests."""

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
