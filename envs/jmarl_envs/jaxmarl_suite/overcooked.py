"""Overcooked: two cooks put onions into pots, soups onto plates, and serve them.

jaxmarl's first version, after Carroll et al., On the Utility of Learning about Humans for Human-AI
Coordination (2019). Three onions in a pot cook for 20 steps; a soup served earns both cooks 20.
The library's limit is passed on, because an observation's last layer announces it; only TimeLimit
ends episodes.
"""

from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import View
from jmarl_envs.catalogue import Count, Entry, Listing, Peer, Range, options_of
from jmarl_envs.common import open_view
from jmarl_envs.jaxmarl_suite.base import Adapter, flat, load, team_spec
from jmarl_envs.jaxmarl_suite.kitchen import Cook, Item, Tile, kitchen_scene
from jmarl_envs.libraries import import_library
from jmarl_envs.scene import Scene
from jmarl_envs.time_limit import TimeLimit

LAYOUTS = ("cramped_room", "asymm_advantages", "coord_ring", "forced_coord", "counter_circuit")
ACTIONS = 6  # up, down, right, left, stay, interact
DELIVERY = 20.0  # what a soup served earns
LARGEST = (3.0, 20.0, 1.0, 1.0, 1.0)  # onions in a pot, ...: of a cell in the global state
COOK = 9  # numbers of one cook in the global state
ONION, PLATE, SOUP = 3, 5, 9  # what a cook may carry, as the library numbers it
EMPTY_POT, FULL_POT = 23, 20  # a pot's status: fewer for each onion, then counted down to ready
TILES = {2: "counter", 4: "pile", 6: "plates", 7: "serve", 8: "pot", 3: "counter", 5: "counter"}
TILES |= {9: "counter"}


class Kitchen(Adapter):
    """One layout, in either version of the game. `weight` is that of the shaped rewards."""

    def __init__(self, library: Any, name: str, state_size: int, limit: int, weight: float) -> None:
        self.weight = weight
        spec = team_spec(
            name,
            library,
            ACTIONS,
            state_size,
            limit,
            team_reward="mean" if weight else "shared",
            info=(("deliveries", "sum"), ("shaped_reward", "sum")),
        )
        super().__init__(library, spec)

    def over(self, state: Any, endings: Any) -> bool:
        return False

    def reward(self, rewards: Array, told: Any) -> Array:
        return (
            rewards + self.weight * self.stacked(told["shaped_reward"]) if self.weight else rewards
        )

    def info(
        self, before: Any, state: Any, over: Array | bool, rewards: Array, told: Any
    ) -> dict[str, Array]:
        shaped = self.stacked(told["shaped_reward"]).sum()
        return {"deliveries": self.deliveries(state, rewards), "shaped_reward": shaped}

    def deliveries(self, state: Any, rewards: Array) -> Array:
        """Soups served in this step."""
        return rewards[0] / DELIVERY


class Overcooked(Kitchen):
    """`library` is jaxmarl's Overcooked."""

    def __init__(self, library: Any, name: str, episode_limit: int, weight: float) -> None:
        size = 2 * COOK + len(LARGEST) * library.height * library.width
        super().__init__(library, name, size, episode_limit, weight)

    def view(self, state: Any, obs: Array) -> View:
        """State: of each cook its column and row (0..1), direction and burden one-hot; then of each
        cell onions in the pot, cooking time left, is there a soup, a plate, an onion (0..1)."""
        far = jnp.array([self.library.width - 1, self.library.height - 1])
        cooks = jnp.concatenate(
            [
                state.agent_pos / far,
                jax.nn.one_hot(state.agent_dir_idx, 4),
                state.agent_inv[:, None] == jnp.array([ONION, PLATE, SOUP]),
            ],
            axis=1,
        )
        grid = obs[0].reshape(self.library.height, self.library.width, -1)
        layers = jnp.concatenate([grid[..., 16:17], grid[..., 20:24]], -1) / jnp.array(LARGEST)
        return open_view(self.spec, obs, flat(cooks, layers))

    def draw(self, state: Any) -> Scene:
        edge = (len(state.maze_map) - self.library.height) // 2
        inner = state.maze_map[edge:-edge, edge:-edge]
        tiles = [[_tile(*numbers) for numbers in row.tolist()] for row in inner]
        steps = ((-1, 0), (1, 0), (0, 1), (0, -1))  # up, down, right, left
        cooks = [
            Cook(int(row), int(column), *steps[int(facing)], _burden(int(carried)))
            for (column, row), facing, carried in zip(
                state.agent_pos, state.agent_dir_idx, state.agent_inv, strict=True
            )
        ]
        return kitchen_scene(tiles, cooks, f"step {int(state.step)}")


def _burden(number: int) -> Item:
    items = {ONION: Item((0,)), PLATE: Item(plate=True), SOUP: Item((0, 0, 0), plate=True)}
    return items.get(number, Item())


def _tile(thing: int, _: int, status: int) -> Tile:
    kind = TILES.get(thing, "floor")
    if kind == "pot":
        onions = (0,) * min(EMPTY_POT - status, 3)
        timer = status if status < FULL_POT else 0
        return Tile(kind, Item(onions), timer, cooked=status == 0)
    return Tile(kind, Item((0,)) if kind == "pile" else _burden(thing))


def library(layout: str, **options: Any) -> Any:
    """jaxmarl's environment itself."""
    layouts = import_library("jaxmarl.environments.overcooked").overcooked_layouts
    return load("overcooked", layout=layouts[layout], **options)


def overcooked(
    layout: str,
    episode_limit: Count = 400,
    shaped_reward: Annotated[float, Range(0.0)] = 0.0,
    random_reset: bool = False,
) -> TimeLimit[Any]:
    """`shaped_reward` weighs what each cook earns for useful steps towards a soup: 3 for an onion
    put into a pot, 3 for a plate taken while there is work for it, 5 for a soup taken from a pot.
    `random_reset` draws places, burdens and pots too, not directions alone."""
    made = library(layout, max_steps=episode_limit, random_reset=random_reset)
    name = f"overcooked/{layout}"
    return TimeLimit(Overcooked(made, name, episode_limit, float(shaped_reward)))


LACKS = (
    "true endings (every episode is truncated)",
    "action masks",
    "entities",
    "the time, but for a layer that is 1 during the last 39 steps",
)


def _entry(layout: str) -> Entry:
    factory = partial(overcooked, layout)
    return Entry(
        name=f"overcooked/{layout}",
        factory=factory,
        listing=Listing(
            summary="two cooks serve onion soups; seen: the whole kitchen, rows x columns x 26 "
            "layers flattened in this order",
            reward="both: 20 for each soup served; option shaped_reward adds each cook's own",
            lacks=LACKS,
            defects=(
                "jaxmarl advises against this version of the game: see overcooked_v2",
                "seven of the 26 layers are always zero (tomatoes) or repeat others",
            ),
        ),
        options=options_of(factory),
        aliases=("overcooked",) if layout == LAYOUTS[0] else (),
        peer=Peer("jaxmarl", partial(library, layout)),
    )


ENTRIES = tuple(_entry(layout) for layout in LAYOUTS)
