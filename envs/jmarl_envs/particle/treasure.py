"""Cooperative Treasure Collection (Iqbal and Sha, "Actor-Attention-Critic for Multi-Agent
Reinforcement Learning", 2019; the scenario `fullobs_collect_treasure` of the authors' release).

Collectors gather treasures of several kinds and bring each to the deposit of its kind. All move
and all push each other. A step: bodies move; observations and rewards of all; then what the
observations do not show yet: an empty collector that touches a treasure takes it, a treasure that
was gone comes back elsewhere with a new kind (so each is missing for exactly one step), and a
collector that touches the deposit of its treasure's kind lays it down.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jmarl.types import ActionKind, Entities, Key
from jmarl_envs.catalogue import Count
from jmarl_envs.common import open_entities
from jmarl_envs.particle.geometry import one_hot, opening, squares, stacked
from jmarl_envs.particle.ordering import nearest_first
from jmarl_envs.particle.physics import bodies
from jmarl_envs.particle.world import Particles, Scenario, World
from jmarl_envs.particles_drawing import LETTERS, Body, particle_scene
from jmarl_envs.scene import WALL, Scene, colour
from jmarl_envs.time_limit import TimeLimit

COLLECTOR, DEPOSIT, TREASURE = 0.05, 0.075, 0.025  # radii
PRIZE, BUMP, SHAPING = 5.0, 5.0, 0.1  # rewards: a treasure taken or brought; a collision; distance
FIELD = 0.95  # treasures lie within this of the middle
GONE = -999.0  # where the original keeps a treasure that was taken
FREE = -1  # held by a collector with empty hands


class Treasures(struct.PyTreeNode):
    """What there is to collect, and who carries what."""

    pos: Array  # [L, 2]
    kind: Array  # [L] int32
    there: Array  # [L] bool: not gone
    held: Array  # [H] int32 kind that collector h carries, or FREE


class Near(struct.PyTreeNode):
    """Distances to the H collectors, and who may give to whom."""

    collectors: Array  # [H, H]
    treasures: Array  # [H, L]
    deposits: Array  # [H, K]
    free: Array  # [H] bool
    owed: Array  # [H, K] bool: h carries what k takes


class TreasureCollection(Scenario):
    """H collectors, then K deposits; deposit k takes kind k of the K kinds of L treasures.

    `mask_dead`: a treasure that is gone is zeros in observations and far from nobody, instead of
    lying at (-999, -999).
    """

    name = "treasure_collection"
    variant = "maac"
    team_names = ("team",)
    team_reward = None
    vocabulary = 0
    info = (("collected", "sum"), ("delivered", "sum"), ("collisions", "sum"))

    def __init__(self, collectors: int, deposits: int, treasures: int, mask_dead: bool) -> None:
        self.collectors, self.deposits, self.treasures = collectors, deposits, treasures
        self.mask_dead = mask_dead
        total = collectors + deposits
        names = [f"collector_{i}" for i in range(collectors)]
        self.agents = (*names, *(f"deposit_{i}" for i in range(deposits)))
        self.teams, self.speaks = (0,) * total, (False,) * total
        self.bodies = bodies(
            radius=[COLLECTOR] * collectors + [DEPOSIT] * deposits,
            collides=[True] * total,
            movable=[True] * total,
            acceleration=1.5,
            max_speed=1.0,
            mass=[1.0] * collectors + [2.25] * deposits,
        )
        seen = 4 + (total - 1) * (4 + 2 * deposits) + treasures * (2 + deposits)
        self.obs_sizes = (seen + deposits,) * collectors + (seen,) * deposits

    def reset(self, key: Key) -> Particles:
        body_key, treasure_key = jax.random.split(key)
        pos, kind = self.fresh(treasure_key)
        there = jnp.ones(self.treasures, bool)
        held = jnp.full(self.collectors, FREE, jnp.int32)
        bodies_ = opening(self, body_key, jnp.zeros(0, jnp.int32))
        return bodies_.replace(extra=Treasures(pos, kind, there, held))

    def fresh(self, key: Key) -> tuple[Array, Array]:
        """Places [L, 2] and kinds [L] for all treasures; one flat row is drawn fastest."""
        count = self.treasures
        draw = jax.random.uniform(key, (3 * count,))
        kind = (draw[2 * count :] * self.deposits).astype(jnp.int32)
        return (2 * draw[: 2 * count].reshape(count, 2) - 1) * FIELD, kind

    def near(self, state: Particles) -> Near:
        bearers, deposits = state.pos[: self.collectors], state.pos[self.collectors :]
        return Near(
            collectors=jnp.sqrt(squares(bearers, bearers)),
            treasures=jnp.sqrt(squares(bearers, state.extra.pos)),
            deposits=jnp.sqrt(squares(bearers, deposits)),
            free=state.extra.held == FREE,
            owed=one_hot(state.extra.held, self.deposits),
        )

    def observe(self, state: Particles) -> Array:
        """Own place, speed and (collectors) treasure; then all others and all treasures, each the
        nearest first: place seen from here, speed, marks; place, kind.

        Marks: one-hots of the kind that a deposit takes, and of the kind that a collector holds.
        """
        h, k, found = self.collectors, self.deposits, state.extra
        holds, takes = one_hot(found.held, k), np.eye(k, dtype=bool)
        marks = jnp.concatenate([jnp.pad(holds, ((0, 0), (k, 0))), np.pad(takes, ((0, 0), (0, k)))])
        body = jnp.concatenate([state.pos, state.vel], -1)
        others = nearest_first(state.pos, jnp.concatenate([body, marks], -1), itself=True)
        loot = nearest_first(state.pos, jnp.concatenate([found.pos, one_hot(found.kind, k)], -1))
        if self.mask_dead:  # the gone are the furthest, so they are last
            seen = np.arange(self.treasures) < found.there.sum()
            loot = jnp.where(seen[:, None], loot, 0.0)
        others, loot = others.reshape(h + k, -1), loot.reshape(h + k, -1)
        collectors = jnp.concatenate([body[:h], holds, others[:h], loot[:h]], -1)
        return stacked(collectors, jnp.concatenate([body[h:], others[h:], loot[h:]], -1))

    def reward(self, state: Particles) -> Array:
        """All: 5 for each pair of a treasure and an empty collector, or of a deposit and a bearer
        of its kind, that touch. Collectors: minus 5 for each other that they touch, and a tenth of
        the distance to the nearest treasure, or to the deposit of the one held. Deposits: minus a
        tenth of the distance to the nearest bearer of their kind, or to the collectors' middle.
        """
        near = self.near(state)
        takes = (near.treasures < COLLECTOR + TREASURE) & near.free[:, None]
        brings = (near.deposits < COLLECTOR + DEPOSIT) & near.owed
        prize = PRIZE * (takes.sum() + brings.sum())
        home = jnp.where(near.owed, near.deposits, 0.0).sum(-1)
        way = jnp.where(near.free, self.to_treasure(state, near), home)
        collectors = -BUMP * self.bumps(near).sum(-1) - SHAPING * way
        bearer = jnp.where(near.owed, near.deposits, jnp.inf).min(0)
        middle = state.pos[: self.collectors].mean(0) - state.pos[self.collectors :]
        way = jnp.where(near.owed.any(0), bearer, jnp.sqrt((middle**2).sum(-1)))
        return prize + jnp.concatenate([collectors, -SHAPING * way])

    def to_treasure(self, state: Particles, near: Near) -> Array:
        """[H] the distance to the nearest treasure."""
        if not self.mask_dead:
            return near.treasures.min(-1)
        there = state.extra.there
        nearest = jnp.where(there, near.treasures, jnp.inf).min(-1)
        return jnp.where(there.any(), nearest, 0.0)

    def bumps(self, near: Near) -> Array:
        """[H, H] which collectors touch."""
        other = ~np.eye(self.collectors, dtype=bool)
        return (near.collectors < 2 * COLLECTOR) & other

    def measure(self, state: Particles) -> Mapping[str, Array]:
        """Treasures taken and brought by this step, and pairs of collectors that touch."""
        near = self.near(state)
        taken, held = self.take(state.extra, near)
        counts = {
            "collected": taken.sum(),
            "delivered": (held != self.bring(held, near)).sum(),
            "collisions": self.bumps(near).sum() // 2,
        }
        return {name: count.astype(jnp.float32) for name, count in counts.items()}

    def after(self, state: Particles, key: Key) -> Particles:
        found, near = state.extra, self.near(state)
        taken, held = self.take(found, near)
        pos, kind = self.fresh(key)
        pos = jnp.where(found.there[:, None], found.pos, pos)
        found = Treasures(
            pos=jnp.where(taken[:, None], GONE, pos),
            kind=jnp.where(found.there, found.kind, kind),
            there=~taken,
            held=self.bring(held, near),
        )
        return state.replace(extra=found)

    def take(self, found: Treasures, near: Near) -> tuple[Array, Array]:
        """Which treasures [L] are taken, and what is then held [H].

        One treasure after the other, each by the first empty collector that touches it.
        """
        within, index = near.treasures < COLLECTOR + TREASURE, np.arange(self.collectors)
        held, taken = found.held, []
        for treasure in range(self.treasures):
            can = within[:, treasure] & (held == FREE)
            first = jnp.where(can, index, self.collectors).min()
            held = jnp.where(index == first, found.kind[treasure], held)
            taken.append(first < self.collectors)
        return jnp.stack(taken), held

    def bring(self, held: Array, near: Near) -> Array:
        """[H] what is held once those who touch the right deposit have emptied their hands."""
        within = near.deposits < COLLECTOR + DEPOSIT
        brought = (within & one_hot(held, self.deposits)).any(-1)
        return jnp.where(brought, FREE, held)

    def features(self, state: Particles) -> Array:
        """Of each treasure: place, kind, whether it is there (else zeros). What is held."""
        found, k = state.extra, self.deposits
        there = found.there[:, None]
        treasures = jnp.concatenate([found.pos, one_hot(found.kind, k), there], -1)
        treasures = jnp.where(there, treasures, 0.0)
        return jnp.concatenate([treasures.reshape(-1), one_hot(found.held, k).reshape(-1)])

    def entities(self, state: Particles) -> Entities:
        """[H+K+L, 3+K+4] collectors, deposits, treasures: which of these it is; the kind that it
        holds, takes or is; place, speed. A treasure that is gone is absent, and zeros."""
        h, k, found = self.collectors, self.deposits, state.extra
        what = np.repeat(np.eye(3), (h, k, self.treasures), 0)
        kind = jnp.concatenate(
            [one_hot(found.held, k), np.eye(k, dtype=bool), one_hot(found.kind, k)]
        )
        place = jnp.concatenate([state.pos, found.pos])
        speed = jnp.pad(state.vel, ((0, self.treasures), (0, 0)))
        features = jnp.concatenate([what, kind, place, speed], -1, dtype=place.dtype)
        absent = jnp.concatenate([jnp.zeros(h + k, bool), ~found.there])
        return open_entities(jnp.where(absent[:, None], 0, features), absent, h + k)

    def draw(self, state: Particles) -> Scene:
        """Collectors are grey or wear the colour that they carry; deposits that which they take."""
        found, places = state.extra, state.pos.tolist()
        loot = zip(found.pos[found.there].tolist(), found.kind[found.there], strict=True)
        treasures = [Body(x, y, TREASURE, colour(kind)) for (x, y), kind in loot]
        deposits = [
            Body(
                *(x, y, DEPOSIT, colour(kind), LETTERS[kind % 26], (colour(kind),)),
                agent=self.collectors + kind,
            )
            for kind, (x, y) in enumerate(places[self.collectors :])
        ]
        inks = [WALL if kind == FREE else colour(kind) for kind in found.held]
        collectors = [
            Body(x, y, COLLECTOR, ink, f"{index}", agent=index)
            for index, ((x, y), ink) in enumerate(zip(places, inks, strict=False))
        ]
        touching = int(self.bumps(self.near(state)).sum()) // 2
        caption = f"{(found.held != FREE).sum()} treasures carried, {touching} contacts"
        return particle_scene([*deposits, *collectors], treasures, caption=caption)


def treasure_collection(
    num_collectors: Count = 6,
    num_deposits: Count = 2,
    num_treasures: Count = 6,
    mask_dead: bool = False,
    actions: ActionKind = "discrete",
    episode_limit: Count = 100,
) -> TimeLimit[Particles]:
    """Cooperative Treasure Collection; there are as many kinds of treasures as deposits."""
    scenario = TreasureCollection(num_collectors, num_deposits, num_treasures, mask_dead)
    return TimeLimit(World(scenario, actions, episode_limit))
