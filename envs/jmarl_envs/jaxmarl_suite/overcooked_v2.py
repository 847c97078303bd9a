"""Overcooked's second version: several ingredients, recipes that change, and partial sight.

From Gessler et al., OvercookedV2: Rethinking Overcooked for Zero-Shot Coordination (2025), in
jaxmarl's version. The recipe is drawn at the reset; where a layout shows it, only those see it who
look there. A soup that follows it earns all cooks 20; pressing the recipe's button costs 5.
"""

from functools import partial
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import View
from jmarl_envs.catalogue import BadOption, Count, Entry, Listing, Peer, Range, options_of
from jmarl_envs.common import open_view
from jmarl_envs.jaxmarl_suite.base import flat, load
from jmarl_envs.jaxmarl_suite.kitchen import Cook, Item, Tile, kitchen_scene
from jmarl_envs.jaxmarl_suite.overcooked import Kitchen
from jmarl_envs.libraries import NEVER
from jmarl_envs.scene import Scene
from jmarl_envs.time_limit import TimeLimit

# Overcooked-AI's own, then those with recipes to look up, protocols to form, partners to teach
ONIONS_ONLY = (
    "cramped_room",
    "asymm_advantages",
    "coord_ring",
    "forced_coord",
    "counter_circuit",
    "long_room",
)
LAYOUTS = (
    *ONIONS_ONLY,
    "cramped_room_v2",
    "asymm_advantages_recipes_center",
    "asymm_advantages_recipes_right",
    "asymm_advantages_recipes_left",
    "two_rooms",
    "two_rooms_both",
    "fun_coordination",
    "more_fun_coordination",
    "fun_symmetries",
    "fun_symmetries_plates",
    "fun_symmetries1",
    "grounded_coord_simple",
    "grounded_coord_ring",
    "test_time_simple",
    "test_time_wide",
    "demo_cook_simple",
    "demo_cook_wide",
)
MOST, COOKING = 3, 20  # ingredients of a soup, steps that it takes
KINDS = {0: "floor", 4: "serve", 5: "pot", 6: "recipe", 7: "button", 9: "plates"}  # else counter
PILE = 10  # and on: of ingredient 0, 1, ...
STEPS = ((-1, 0), (1, 0), (0, 1), (0, -1))  # (down, right) of up, down, right, left


class OvercookedV2(Kitchen):
    """`library` is jaxmarl's OvercookedV2."""

    def __init__(self, library: Any, name: str, episode_limit: int, weight: float) -> None:
        self.kinds = library.layout.num_ingredients
        cook, cell = 8 + self.kinds, 3 + self.kinds
        self.cook = cook
        cells = library.height * library.width
        size = library.num_agents * cook + cells * cell + self.kinds
        super().__init__(library, name, size, episode_limit, weight)

    def view(self, state: Any, obs: Array) -> View:
        """State: of each cook its column and row (0..1), direction one-hot, and burden; then of
        each cell what is on it, and the cooking time left (0..1); then the recipe.

        What is carried or lies somewhere: is it on a plate, is it cooked, how much of each
        ingredient (1: three).
        """
        cooks = state.agents
        places = cooks.pos.to_array() / jnp.array([self.library.width - 1, self.library.height - 1])
        facing = jax.nn.one_hot(cooks.dir, 4)
        rows = jnp.concatenate([places, facing, self.contents(cooks.inventory)], 1)
        timers = state.grid[..., 2:] / COOKING
        cells = jnp.concatenate([self.contents(state.grid[..., 1]), timers], -1)
        return open_view(self.spec, obs, flat(rows, cells, self.contents(state.recipe)[2:]))

    def contents(self, number: Array) -> Array:
        """[..., 2 + ingredients] of the library's bits: plate, cooked, two for each ingredient."""
        tops = number[..., None] & 1, (number[..., None] >> 1) & 1
        shifts = 2 * jnp.arange(1, self.kinds + 1)
        counts = ((number[..., None] >> shifts) & 3) / MOST
        return jnp.concatenate([*tops, counts], -1)

    def deliveries(self, state: Any, rewards: Array) -> Array:
        """1 if a soup that follows the recipe was served in this step."""
        return state.new_correct_delivery.astype(jnp.float32)

    def draw(self, state: Any) -> Scene:
        recipe = int(state.recipe)
        tiles = [[_tile(recipe, *cell) for cell in row] for row in state.grid.tolist()]
        cooks = state.agents
        facts = zip(cooks.pos.y, cooks.pos.x, cooks.dir, cooks.inventory, strict=True)
        drawn = [Cook(int(y), int(x), *STEPS[int(d)], _item(int(held))) for y, x, d, held in facts]
        names = ", ".join(str(kind) for kind in _item(recipe).ingredients)
        words = f"step {int(state.step)}, recipe: ingredients {names}"
        return kitchen_scene(tiles, drawn, words)


def _item(number: int) -> Item:
    counts = [(number >> 2 * (kind + 1)) & 3 for kind in range(10)]
    return Item(
        tuple(kind for kind, count in enumerate(counts) for _ in range(count)), number & 1 > 0
    )


def _tile(recipe: int, thing: int, content: int, extra: int) -> Tile:
    if thing >= PILE:
        return Tile("pile", Item((thing - PILE,)))
    kind = KINDS.get(thing, "counter")
    if kind == "recipe" or (kind == "button" and extra):
        return Tile("recipe", _item(recipe))
    return Tile(
        kind, _item(content), extra * (kind == "pot"), cooked=bool(content & 2) and kind == "pot"
    )


def library(layout: str, **options: Any) -> Any:
    """jaxmarl's environment itself."""
    return load("overcooked_v2", layout=layout, **options)


def overcooked_v2(
    layout: str,
    episode_limit: Count = 400,
    shaped_reward: Annotated[float, Range(0.0)] = 0.0,
    observation_type: Literal["default", "featurized"] = "default",
    agent_view_size: Annotated[int, Range(0)] = 0,
    random_reset: bool = False,
    random_agent_positions: bool = False,
    start_cooking_interaction: bool = False,
    negative_rewards: bool = False,
    sample_recipe_on_delivery: bool = False,
    indicate_successful_delivery: bool = False,
) -> TimeLimit[Any]:
    """`shaped_reward` weighs what each cook earns for useful steps towards a soup: 3 for an
    ingredient put into a pot, 5 for a pot started by hand, 3 for a plate, 5 for a soup taken.
    `agent_view_size` cells are seen to each side (0: all). The others are the library's own."""
    name = f"overcooked_v2/{layout}"
    if observation_type == "featurized" and (agent_view_size or layout not in ONIONS_ONLY):
        raise BadOption(
            f"{name}: observation_type 'featurized' needs agent_view_size 0 and one of the layouts "
            f"with onions alone: {', '.join(ONIONS_ONLY)}"
        )
    made = library(
        layout,
        max_steps=NEVER,
        observation_type=observation_type,
        agent_view_size=agent_view_size or None,
        random_reset=random_reset,
        random_agent_positions=random_agent_positions,
        start_cooking_interaction=start_cooking_interaction,
        negative_rewards=negative_rewards,
        sample_recipe_on_delivery=sample_recipe_on_delivery,
        indicate_successful_delivery=indicate_successful_delivery,
    )
    return TimeLimit(OvercookedV2(made, name, episode_limit, float(shaped_reward)))


def _entry(layout: str) -> Entry:
    factory = partial(overcooked_v2, layout)
    what = "onion soups" if layout in ONIONS_ONLY else "soups after a recipe"
    return Entry(
        name=f"overcooked_v2/{layout}",
        factory=factory,
        listing=Listing(
            summary=f"cooks serve {what}; seen: rows x columns x layers, flattened in this order",
            reward="all: 20 for each right soup served, -5 for pressing the recipe's button; "
            "option shaped_reward adds each cook's own",
            lacks=("true endings (every episode is truncated)", "action masks", "entities"),
        ),
        options=options_of(factory),
        aliases=("overcooked_v2",) if layout == LAYOUTS[0] else (),
        peer=Peer("jaxmarl", partial(library, layout)),
    )


ENTRIES = tuple(_entry(layout) for layout in LAYOUTS)
