"""Search and rescue: searchers fly over a square without edges and look for drifting targets.

A searcher turns and accelerates; it finds a target that it has in contact range and in its cone of
view. A target is worth 1 to its finders together, less the later it is found: nothing at the limit.
An episode ends for good when all targets are found.

jumanji moves searchers and targets; what they see and find is worked out here for all pairs at
once, which is equal and much faster than its bins of neighbours.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import Entities, Key, Outcome, View
from jmarl_envs.catalogue import Count
from jmarl_envs.jumanji_suite.base import build, firm, flat, numbers, team_spec
from jmarl_envs.scene import PALETTE, PAPER, WALL, Box, Circle, Line, Scene, Shape, Text, faded
from jmarl_envs.time_limit import TimeLimit

FACTS = 7  # of an entity
SEARCHER_FACTS = 5  # of a searcher: all but what only targets have
CHANNELS = 3  # of a view: searchers, found targets, others


class Sight(NamedTuple):
    """Of searchers [A] on others [N], all [A, N]."""

    distance: Array
    angle: Array  # from one's heading
    width: Array  # half of the angle that the other one takes up

    def within(self, reach: float) -> Array:
        return self.distance <= reach

    def overlaps(self, cone: float) -> Array:
        """Whether a part of it is in the cone of view, which rays are dense enough to hit."""
        return jnp.abs(self.angle) - self.width < cone


class SearchAndRescue:
    """`library` is jumanji's SearchAndRescue; its own limit scales the rewards."""

    def __init__(self, library: Any, walk: Any, name: str, episode_limit: int) -> None:
        self.library, self.walk = library, walk
        self.eyes = library._observation_fn
        self.cone = float(self.eyes.view_angle * np.pi)  # to each side of the heading
        agents, targets = library.num_agents, library.generator.num_targets
        self.spec = team_spec(
            name,
            num_agents=agents,
            obs_size=CHANNELS * self.eyes.num_vision + 1,
            num_actions=2,
            state_size=SEARCHER_FACTS * agents + 3 * targets,
            episode_limit=episode_limit,
            action_kind="box",
            team_reward="sum",
            num_entities=agents + targets,
            entity_size=FACTS,
            agent_features=(agents, SEARCHER_FACTS),
            info=(("solved_rate", "last"), ("found_share", "last")),
        )

    def reset(self, key: Key) -> tuple[Any, View]:
        drawn = self.library.generator(key, self.library.searcher_params)
        state = firm(drawn.replace(step=jnp.zeros((), jnp.int32)))
        return state, self.view(state)

    def step(self, state: Any, action: Array, key: Key) -> tuple[Any, Outcome]:
        """`action` [A, 2]: turn and acceleration, clipped to -1..1."""
        library, size = self.library, self.library.generator.env_size
        own_key, target_key = jax.random.split(state.key)
        searchers = self.walk(size, library.searcher_params, state.searchers, action)
        targets = library._target_dynamics(target_key, state.targets, size)
        sight = sight_of(searchers, targets.pos, self.eyes.agent_radius, size)
        found = sight.within(library.target_contact_range) & ~targets.found
        found &= jnp.abs(sight.angle) <= self.cone
        reward = library._reward_fn(found, state.step, library.time_limit)
        targets = targets.replace(found=targets.found | found.any(0))
        fresh = {"searchers": searchers, "targets": targets, "key": own_key}
        state = firm(state.replace(**fresh, step=state.step + 1))
        over = targets.found.all()
        share = targets.found.mean(dtype=jnp.float32)
        info = {"solved_rate": over.astype(jnp.float32), "found_share": share}
        return state, Outcome(self.view(state), reward, over, jnp.zeros((), bool), info)

    def view(self, state: Any) -> View:
        """Observed: along each ray from right to left of one's heading the distance (0..1 of what
        is in range) to the nearest searcher, found target, other target, or -1; the share of
        targets that is left.

        State: of searchers x, y, heading's cosine and sine, speed; of targets x, y, found.
        """
        searchers, targets = state.searchers, state.targets
        size, radius = self.library.generator.env_size, self.eyes.agent_radius
        mates = sight_of(searchers, searchers.pos, radius, size)
        goals = sight_of(searchers, targets.pos, radius, size)
        near = self.eyes.target_vision_range
        others = ~jnp.eye(self.spec.num_agents, dtype=bool)
        rays = [
            self.rays(mates, self.eyes.searcher_vision_range, others),
            self.rays(goals, near, targets.found),
            self.rays(goals, near, ~targets.found),
        ]
        left = jnp.full((self.spec.num_agents, 1), 1 - targets.found.mean(dtype=jnp.float32))
        features = self.features(state)
        seen = jnp.concatenate([mates.overlaps(self.cone), goals.overlaps(self.cone)], 1)
        ranges = (self.eyes.searcher_vision_range, near)
        seen &= jnp.concatenate([mates.within(ranges[0]), goals.within(ranges[1])], 1)
        hidden = ~seen & jnp.pad(others, ((0, 0), (0, len(targets.found))), constant_values=True)
        entities = Entities(features, jnp.zeros(len(features), bool), hidden)
        agents = features[: self.spec.num_agents, :SEARCHER_FACTS]
        goods = numbers(*(targets.pos.T / size), targets.found)
        return View(
            obs=jnp.concatenate([*rays, left], 1),
            available=jnp.ones((self.spec.num_agents, 2), bool),
            alive=jnp.ones(self.spec.num_agents, bool),
            state=flat(agents, goods),
            entities=entities,
        )

    def rays(self, sight: Sight, reach: float, counts: Array) -> Array:
        """[A, rays]: how far the nearest of those that count ([N] or [A, N]) is, or -1."""
        counts = sight.within(reach) & counts
        rays = jnp.linspace(-self.cone, self.cone, self.eyes.num_vision)
        left, right = sight.angle - sight.width, sight.angle + sight.width
        hit = counts[..., None] & (left[..., None] < rays) & (rays < right[..., None])
        nearest = jnp.where(hit, (sight.distance / reach)[..., None], jnp.inf).min(1)
        return jnp.where(nearest < jnp.inf, nearest, -1.0)

    def features(self, state: Any) -> Array:
        """[E, 7]: x, y, heading's cosine and sine, speed; is it a target, is it found."""
        searchers, targets, size = state.searchers, state.targets, self.library.generator.env_size
        none = jnp.zeros_like(searchers.speed)
        fastest = self.library.searcher_params.max_speed
        turned = jnp.cos(searchers.heading), jnp.sin(searchers.heading)
        own = numbers(*(searchers.pos.T / size), *turned, searchers.speed / fastest, none, none)
        still = jnp.zeros_like(targets.pos[:, 0])
        goals = numbers(*(targets.pos.T / size), still, still, still, still + 1, targets.found)
        return jnp.concatenate([own, goals])

    def draw(self, state: Any) -> Scene:
        """Searchers blue with the cone in which they see targets; found targets green."""
        size, near = self.library.generator.env_size, self.eyes.target_vision_range
        shapes: list[Shape] = [Box(0, 0, size, size, PAPER, WALL)]
        for (x, y), found in zip(state.targets.pos, state.targets.found, strict=True):
            shapes += [Circle(x, y, 0.012, PALETTE[2] + "88" if found else PALETTE[1])]
        searchers = state.searchers
        for index, ((x, y), heading) in enumerate(
            zip(searchers.pos, searchers.heading, strict=True)
        ):
            for angle in np.linspace(-self.cone, self.cone, 25) + heading:
                to = x + near * np.cos(angle), y + near * np.sin(angle)
                shapes += [Line(x, y, *to, faded(PALETTE[0], 0.35))]
            shapes += [Circle(x, y, 0.022, PALETTE[0], agent=index)]
            shapes += [Text(x, y, str(index + 1), 0.03, PAPER)]
        found, targets = int(state.targets.found.sum()), len(state.targets.found)
        return Scene(0, 0, size, size, tuple(shapes), f"found {found} of {targets}")


def sight_of(searchers: Any, spots: Array, radius: float, size: float) -> Sight:
    """Where others at `spots` [N, 2] are from searchers [A], the shorter way round the torus."""
    x, y = (shorter(spots[:, i] - searchers.pos[:, i, None], size) for i in (0, 1))
    distance = jnp.sqrt(x * x + y * y)
    bearing = jnp.arctan2(y, x) % (2 * jnp.pi)
    angle = shorter(searchers.heading[:, None] - bearing, 2 * jnp.pi)
    return Sight(distance, angle, jnp.arctan2(radius, distance))


def shorter(way: Array, length: float) -> Array:
    """A way round a circle of this `length`, or the way back if that is shorter."""
    back = jnp.sign(way) * (jnp.abs(way) - length)
    return jnp.where(jnp.abs(way) < jnp.abs(back), way, back)


def library(num_searchers: int = 2, num_targets: int = 40, time_limit: int = 400) -> Any:
    """jumanji's environment itself."""

    def make(environments: Any) -> Any:
        generators = environments.swarms.search_and_rescue.generator
        generator = generators.RandomGenerator(num_searchers, num_targets)
        return environments.SearchAndRescue(generator=generator, time_limit=time_limit)

    return build(make)


def search_and_rescue(
    name: str, num_searchers: Count = 2, num_targets: Count = 40, episode_limit: Count = 400
) -> TimeLimit[Any]:
    """A target is worth 1 at once and less from step to step, nothing after `episode_limit`."""
    walk = build(lambda environments: environments.swarms.common.updates.update_state)
    made = library(num_searchers, num_targets, episode_limit)
    return TimeLimit(SearchAndRescue(made, walk, name, episode_limit))
