"""The nouns of the framework. Imports nothing from jmarl; everything imports it.

Axes stand always in this order: T time, B parallel environments, A agents, then features
(O observation, U action, S state, E entities). Shapes at the fields leave out T and B.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

Key = Array
Params = Any
Metrics = dict[str, Array]
ActionKind = Literal["discrete", "simplex", "box"]
L = TypeVar("L")  # learner state, one type per algorithm
M = TypeVar("M")  # memory state
C = TypeVar("C")  # policy carry (a recurrent state, or ())
S = TypeVar("S")  # environment state


class Entities(struct.PyTreeNode):
    """What attention over entities needs; absent (None) elsewhere."""

    features: Array  # [E, F] agents first
    absent: Array  # [E] bool: this slot is empty; agents are absent for whole episodes
    hidden: Array  # [A, E] bool: agent a does not see entity e
    outside: Array | None = None  # [A, E] bool: e is in another true group than a, where known


class View(struct.PyTreeNode):
    """What may be known at one step: by each agent, and by a centralised learner."""

    obs: Array  # [A, O] padded with zeros to the widest agent
    available: Array  # [A, U] bool; padded actions are unavailable
    alive: Array  # [A] bool: may act, and counts in the losses of policies
    state: Array | None = None  # [S] for centralised training only; None once a memory drops it
    entities: Entities | None = None


class Outcome(struct.PyTreeNode):
    """What one environment step yields, before anyone resets anything."""

    view: View
    reward: Array  # [A]
    terminated: Array  # [] bool: no future, the bootstrap is cut
    truncated: Array  # [] bool: the clock ran out, the bootstrap stays
    info: Mapping[str, Array] = struct.field(default_factory=dict)  # [] each, as the spec lists


class Step(struct.PyTreeNode):
    """One position of a rollout: a view, and what was done there.

    `valid` is false where a truncated episode's last view stands: nothing was stepped there, the
    environment was reset instead. So the view at t+1 is the true successor of t, but after
    `terminated`, where no value is asked for: there it opens the next episode.
    """

    view: View
    action: Array  # discrete [A] int, else [A, U]
    reward: Array  # [A]
    terminated: Array  # [] bool
    truncated: Array  # [] bool
    start: Array  # [] bool: `view` opens an episode, so carries are reset before it
    valid: Array  # [] bool
    extras: Any = ()  # what learning must know of the policy's choice (log-probabilities, ...)


class Transition(struct.PyTreeNode):
    """What an update reads: T steps, and the T+1 views around them.

    `view[t + 1]` is the true successor of `view[t]` wherever `valid[t]`, unless `terminated[t]`:
    then it is another episode's first and `start[t + 1]`. Nothing is stored twice.
    """

    view: View  # [T+1, B, ...]
    start: Array  # [T+1, B]
    action: Array  # [T, B, A] or [T, B, A, U]
    reward: Array  # [T, B, A]
    terminated: Array  # [T, B]
    truncated: Array  # [T, B]
    valid: Array  # [T, B]
    extras: Any = ()  # [T, B, ...]


class Attention(NamedTuple):
    """Whom an algorithm attends to at each step: diagnostics, to look at.

    A team attends as one, or each of its agents for itself: to the others, or to all that it sees,
    of which agents are a part.
    """

    weights: Array  # [T, B, heads, A] or [T, B, A, heads, A]; a head's sum to 1, or less, over A
    head_weights: Array | None = None  # [T, B, heads] what each head counts; None: all the same


class Clock(struct.PyTreeNode):
    """Where training stands. Made by the loop from its scan index: no seed axis under vmap."""

    iteration: Array  # rollouts finished before this one
    env_steps: Array  # their positions over all environments, float: 32 bits would not count them
    updates: Array  # gradient updates done before this one


@dataclass(frozen=True)
class EnvSpec:
    """Static facts that size networks and reports. Hashable, so usable as a jit constant.

    `action_parts` holds, for each agent, the sizes of the parts of its action (move, message):
    - discrete: one flat index over the product of the parts, the first part running fastest;
    - simplex: the parts' distributions (or one-hots) one after another;
    - box: numbers in [-1, 1], one part holding their count.
    """

    name: str
    agents: tuple[str, ...]
    obs_sizes: tuple[int, ...]
    action_kind: ActionKind
    action_parts: tuple[tuple[int, ...], ...]
    state_size: int
    episode_limit: int
    teams: tuple[int, ...]  # team index of each agent
    team_names: tuple[str, ...] = ("team",)
    team_reward: Literal["mean", "sum", "shared"] | None = None  # None: agents' own rewards
    num_entities: int = 0
    entity_size: int = 0
    true_groups: bool = False  # entities tell who is `outside` whose group
    agent_features: tuple[int, int] | None = None  # state[:A * size] holds [A, size]: (A, size)
    info: tuple[tuple[str, Literal["sum", "last"]], ...] = ()  # named as metrics: win_rate

    @property
    def num_agents(self) -> int:
        return len(self.agents)

    @property
    def obs_size(self) -> int:
        """O, the padded width."""
        return max(self.obs_sizes)

    @property
    def action_sizes(self) -> tuple[int, ...]:
        """Each agent's true number of action entries (flat choices, or vector entries)."""
        count = np.prod if self.action_kind == "discrete" else np.sum
        return tuple(int(count(parts)) for parts in self.action_parts)

    @property
    def action_size(self) -> int:
        """U, the padded width."""
        return max(self.action_sizes)

    def obs_mask(self) -> np.ndarray:
        """[A, O] bool: which entries are real."""
        return np.arange(self.obs_size) < np.array(self.obs_sizes)[:, None]

    def action_mask(self) -> np.ndarray:
        """[A, U] bool: which entries are real."""
        return np.arange(self.action_size) < np.array(self.action_sizes)[:, None]

    def example_view(self) -> View:
        """One environment's worth of zeros, to size networks and memories with."""
        a, e = self.num_agents, self.num_entities
        hidden = jnp.zeros((a, e), bool)
        entities = Entities(
            features=jnp.zeros((e, self.entity_size)),
            absent=jnp.zeros(e, bool),
            hidden=hidden,
            outside=hidden if self.true_groups else None,
        )
        return View(
            obs=jnp.zeros((a, self.obs_size)),
            available=jnp.asarray(self.action_mask()),
            alive=jnp.ones(a, bool),
            state=jnp.zeros(self.state_size),
            entities=entities if e else None,
        )


class Environment(Protocol[S]):
    """A pure, single environment: it never resets itself and has no batch axis."""

    @property
    def spec(self) -> EnvSpec: ...
    def reset(self, key: Key) -> tuple[S, View]: ...
    def step(self, state: S, action: Array, key: Key) -> tuple[S, Outcome]: ...


@dataclass(frozen=True)
class Policy(Generic[C]):
    """A way to act, for rollouts and evaluation alike, on [B, A, ...] views."""

    reset: Callable[[Key, int], C]  # (key, num_envs) -> carries, drawn as episodes open
    step: Callable[[C, View, Key], tuple[C, Array, Any]]  # -> carry, action, extras


@dataclass(frozen=True)
class Memory(Generic[M]):
    """What an update reads: the last rollout (on-policy) or a ring of past ones (off-policy)."""

    init: Callable[[Transition], M]  # from one rollout's worth of zeros
    add: Callable[[M, Transition, Clock], M]
    sample: Callable[[M, Key, Clock], Transition]  # only `clock.iteration` is read: rollouts added


class Algorithm(Protocol[L]):
    """Four pure methods. All that an algorithm remembers is in L; `self` is constant."""

    def init(self, key: Key) -> L: ...
    def explore(self, learner: L, clock: Clock) -> Policy: ...
    def exploit(self, learner: L) -> Policy: ...
    def update(
        self, learner: L, batch: Transition, key: Key, clock: Clock
    ) -> tuple[L, Metrics]: ...


def tree_where(mask: Array, yes: Any, no: Any) -> Any:
    """`jnp.where` over trees whose leaves share `mask`'s leading axes."""

    def pick(y: Array, n: Array) -> Array:
        return jnp.where(mask.reshape(mask.shape + (1,) * (y.ndim - mask.ndim)), y, n)

    return jax.tree.map(pick, yes, no)
