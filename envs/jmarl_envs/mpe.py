"""jaxmarl's particle environments (MPE) behind the protocol.

Whatever the action kind, an agent's action becomes the vector that the library's "Continuous"
mode reads: the parts (move 5, message) one after another. A part exists only where it does
something: still agents do not move, silent ones do not speak.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import ActionKind, EnvSpec, Key, Outcome, View
from jmarl_envs.actions import one_hots
from jmarl_envs.catalogue import Entry, Listing, Option, Peer
from jmarl_envs.jaxmarl_suite import base
from jmarl_envs.libraries import NEVER, firm
from jmarl_envs.mpe_drawing import mpe_scene
from jmarl_envs.mpe_forces import lighten
from jmarl_envs.mpe_scenarios import LACKS, SCENARIOS, Scenario
from jmarl_envs.scene import Scene
from jmarl_envs.time_limit import TimeLimit

MOVES = 5  # none, left, right, down, up
OPTIONS = {
    "actions": Option("discrete", choices=("discrete", "simplex", "box")),
    "episode_limit": Option(25, least=1),
}


class Mpe:
    """One scenario. `library` is the jaxmarl environment, `agents` those that a policy moves."""

    def __init__(self, library: Any, spec: EnvSpec) -> None:
        self.library, self.spec = library, spec
        self.moving = tuple(moves(library, name) for name in spec.agents)

    def reset(self, key: Key) -> tuple[Any, View]:
        obs, state = self.library.reset(key)
        return firm(state), self.view(obs)

    def step(self, state: Any, action: Array, key: Key) -> tuple[Any, Outcome]:
        """`action` is [A] or [A, U] by the spec's kind; entries beyond an agent's are ignored."""
        actions = dict(zip(self.spec.agents, self.vectors(action), strict=True))
        still = {name: jnp.zeros(MOVES) for name in self.library.agents if name not in actions}
        obs, state, rewards, _, _ = self.library.step_env(key, state, actions | still)
        reward = jnp.stack([rewards[name].astype(jnp.float32) for name in self.spec.agents])
        never = jnp.zeros((), bool)
        return firm(state), Outcome(self.view(obs), firm(reward), never, never)

    def view(self, obs: dict[str, Array]) -> View:
        """Observations padded to the widest agent [A, O]; the state is all of them unpadded."""
        rows = [obs[name].astype(jnp.float32) for name in self.spec.agents]
        padded = [jnp.pad(row, (0, self.spec.obs_size - row.size)) for row in rows]
        return View(
            obs=firm(jnp.stack(padded)),
            available=jnp.asarray(self.spec.action_mask()),
            alive=jnp.ones(self.spec.num_agents, bool),
            state=firm(jnp.concatenate(rows)),
        )

    def vectors(self, action: Array) -> list[Array]:
        """Each agent's action as the library reads it: [5], [messages] or [5 + messages]."""
        if self.spec.action_kind == "discrete":
            return [one_hots(a, p) for a, p in zip(action, self.spec.action_parts, strict=True)]
        rows = [row[:size] for row, size in zip(action, self.spec.action_sizes, strict=True)]
        if self.spec.action_kind == "simplex":
            return rows
        return [from_box(row, moving) for row, moving in zip(rows, self.moving, strict=True)]

    def draw(self, state: Any) -> Scene:
        return mpe_scene(self.library, self.spec, state)


def from_box(numbers: Array, moving: bool) -> Array:
    """The library's vector for numbers in [-1, 1]: a force (x, y) if moving, then a message."""
    numbers = numbers.clip(-1.0, 1.0)
    if not moving:
        return (numbers + 1) / 2
    none, left, right = jnp.zeros(1), (-numbers[:2]).clip(0), numbers[:2].clip(0)
    force = [none, left[:1], right[:1], left[1:], right[1:]]
    return jnp.concatenate([*force, (numbers[2:] + 1) / 2])


def moves(library: Any, name: str) -> bool:
    return bool(np.asarray(library.moveable)[library.a_to_i[name]])


def parts(library: Any, name: str, kind: ActionKind) -> tuple[int, ...]:
    """The sizes of an agent's action parts: its move and its message, where it has them."""
    silent = np.asarray(library.silent)[library.a_to_i[name]]
    message = 0 if silent else library.dim_c
    if kind == "box":
        return (2 * moves(library, name) + message,)
    return tuple(size for size in (MOVES * moves(library, name), message) if size)


def make(
    task: str, actions: ActionKind = "discrete", episode_limit: int = 25, **options: Any
) -> TimeLimit[Any]:
    """The scenario `task`; `options` are the library's own, as the scenario lists them."""
    scenario = SCENARIOS[task]
    defaults = {name: option.default for name, option in scenario.options.items()}
    options = defaults | dict(scenario.fixed) | options
    # the scenarios with scripted prey know continuous actions alone, and no such argument
    kind = {} if scenario.scripted_prey else {"action_type": "Continuous"}
    library = load(scenario.library_id, **options, **kind)
    agents = library.agents
    if scenario.scripted_prey:
        agents = [name for name in agents if name not in library.good_agents]
    shapes, _ = jax.eval_shape(library.reset, jax.random.key(0))
    sizes = tuple(shapes[name].shape[0] for name in agents)
    teams, team_names = sides(library, agents)
    # with local_ratio 0 the individual part of spread's and reference's rewards is gone
    shared = scenario.shared or options.get("local_ratio") == 0 or len(agents) == 1
    spec = EnvSpec(
        name=f"mpe/{task}",
        agents=tuple(agents),
        obs_sizes=sizes,
        action_kind=actions,
        action_parts=tuple(parts(library, name, actions) for name in agents),
        state_size=sum(sizes),
        episode_limit=episode_limit,
        teams=teams,
        team_names=team_names,
        team_reward="shared" if shared else None,
        agent_features=(len(sizes), sizes[0]) if len(set(sizes)) == 1 else None,
    )
    return TimeLimit(Mpe(library, spec))


def sides(library: Any, agents: Sequence[str]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Each agent's team, and the teams' names; adversaries come first where there are any."""
    adversaries = {*getattr(library, "adversaries", ()), getattr(library, "leader", None)}
    names = ["adversaries" if name in adversaries else "good" for name in agents]
    order = tuple(dict.fromkeys(names))
    if order == ("good",):
        order, names = ("team",), ["team"] * len(names)
    return tuple(order.index(name) for name in names), order


def load(library_id: str, **options: Any) -> Any:
    """The library's environment, its own limit out of reach, and with our forces."""
    library = base.load(library_id, max_steps=NEVER, **options)
    lighten(library)
    return library


def _peer(scenario: Scenario) -> Any:
    return base.load(scenario.library_id, **scenario.fixed)


def _entry(task: str, scenario: Scenario) -> Entry:
    lacks = (*LACKS, *scenario.lacks)
    return Entry(
        name=f"mpe/{task}",
        factory=partial(make, task),
        listing=Listing(scenario.summary, scenario.reward, lacks, scenario.defects),
        options=OPTIONS | dict(scenario.options),
        aliases=(scenario.alias or scenario.library_id,),
        peer=Peer("jaxmarl", partial(_peer, scenario)),
    )


ENTRIES = tuple(_entry(task, scenario) for task, scenario in SCENARIOS.items())
