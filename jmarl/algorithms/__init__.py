"""The algorithms there are: `ALL` is the only list, read by the CLI, the benchmarks and tests."""

from jmarl.algorithms import iql, maddpg_recipe, qatten, qmix, qtran, vdn
from jmarl.algorithms.recipe import Recipe

ALL: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        maddpg_recipe.RECIPE,
        maddpg_recipe.DDPG,
        iql.RECIPE,
        vdn.RECIPE,
        qmix.RECIPE,
        qatten.RECIPE,
        qtran.RECIPE,
    )
}
