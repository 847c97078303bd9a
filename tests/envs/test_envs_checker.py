"""The checker passes what is sound, and says of what is not what is wrong with it."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from jmarl.types import Entities, Environment, EnvSpec, Key, Outcome, View
from jmarl_envs import ContractError, TimeLimit, check
from jmarl_envs.checker import shape_rules
from jmarl_envs.scene import Circle, Scene

LIMIT = 3
SPEC = EnvSpec(
    name="test/steps",
    agents=("wide", "narrow"),
    obs_sizes=(2, 1),
    action_kind="discrete",
    action_parts=((3,), (2,)),
    state_size=1,
    episode_limit=LIMIT,
    teams=(0, 0),
)
BOX = replace(SPEC, action_kind="box")
CROWD = replace(SPEC, num_entities=3, entity_size=2, true_groups=True)


def same(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Steps:
    """Counts its steps, cuts at the third and keeps the contract, but for its bends.

    `after` changes what a step gives, `everywhere` each state and view.
    """

    spec: EnvSpec = SPEC
    after: Callable[[Array, Outcome, Array], tuple[Any, Outcome]] = lambda s, out, a: (s, out)
    everywhere: Callable[[View], View] = same
    opening: Callable[[Array], Array] = same

    def reset(self, key: Key) -> tuple[Any, View]:
        time = self.opening(jnp.zeros((), jnp.int32))
        return time, self.everywhere(self.view(time))

    def step(self, state: Any, action: Array, key: Key) -> tuple[Any, Outcome]:
        time = state + 1
        view, never = self.everywhere(self.view(time)), jnp.zeros((), bool)
        reward = action.astype(jnp.float32).reshape(2, -1)[:, 0]
        return self.after(time, Outcome(view, reward, never, time >= LIMIT), action)

    def view(self, time: Array) -> View:
        obs = jnp.full((2, 2), time, jnp.float32) * SPEC.obs_mask()
        return View(obs, jnp.asarray(SPEC.action_mask()), jnp.ones(2, bool), obs[0, :1])


def outcome(**changes: Callable[[Outcome], Any]) -> Callable[..., tuple[Any, Outcome]]:
    """A bend that replaces fields of every outcome."""
    return lambda state, out, action: (
        state,
        out.replace(**{name: change(out) for name, change in changes.items()}),
    )


def view(**changes: Callable[[View], Any]) -> Callable[[View], View]:
    """A bend that replaces fields of every view."""
    return lambda view: view.replace(**{name: change(view) for name, change in changes.items()})


def entities(**changes: Callable[[Entities, View], Any]) -> Callable[[View], View]:
    """Two agents who see each other and form a group, and an empty slot; but for its bends."""
    absent = jnp.array([False, False, True])
    hidden = jnp.broadcast_to(absent, (2, 3))

    def bend(view: View) -> View:
        present = jnp.where(absent[:, None], 0.0, jnp.ones((3, 2)))
        crowd = Entities(present, absent, hidden, outside=hidden)
        bent = {name: change(crowd, view) for name, change in changes.items()}
        return view.replace(entities=crowd.replace(**bent))

    return bend


@dataclass(frozen=True)
class Drawn(Steps):
    """Draws whatever it was given."""

    picture: Any = None

    def draw(self, state: Any) -> Any:
        return self.picture


def wild_at_the_extreme(state: Array, out: Outcome, action: Array) -> tuple[Array, Outcome]:
    last = (action == jnp.array([2, 1])).all() & (state == 2)
    return state, out.replace(reward=jnp.where(last, jnp.inf, out.reward))


def fresh_at_the_end(state: Array, out: Outcome, action: Array) -> tuple[Array, Outcome]:
    state = jnp.where(out.truncated, 0, state)
    return state, out.replace(view=Steps().view(state))


def firm(state: Array, out: Outcome, action: Array) -> tuple[Array, Outcome]:
    return state.astype(jnp.int32), out


def never_cut(state: Array, out: Outcome, action: Array) -> tuple[Array, Outcome]:
    return state, out.replace(truncated=jnp.zeros((), bool))


def impure() -> Callable[..., tuple[Any, Outcome]]:
    """Rewards that count on the host."""
    count = itertools.count()

    def draw() -> np.ndarray:
        return np.full(2, next(count), np.float32)

    def bend(state: Array, out: Outcome, action: Array) -> tuple[Array, Outcome]:
        shape = jax.ShapeDtypeStruct((2,), jnp.float32)
        drawn = jax.pure_callback(draw, shape, vmap_method="sequential")
        return state, out.replace(reward=drawn)

    return bend


def counts_traces() -> Callable[..., tuple[Any, Outcome]]:
    """Rewards that depend on how often the step was traced."""
    count = itertools.count()
    return lambda state, out, action: (state, out.replace(reward=out.reward + next(count)))


# What rules on shapes say of these environments.
SHAPES: dict[str, tuple[Steps, str]] = {
    "obs_type": (
        Steps(everywhere=view(obs=lambda v: v.obs.astype(jnp.int32))),
        "reset's view.obs: expected float32 [2, 2], found int32 [2, 2]",
    ),
    "obs_shape": (
        Steps(everywhere=view(obs=lambda v: v.obs[:, :1])),
        "step's view.obs: expected float32 [2, 2], found float32 [2, 1]",
    ),
    "state": (
        Steps(everywhere=view(state=lambda v: None)),
        "reset's view.state: expected float32 [1], found nothing",
    ),
    "alive": (
        Steps(everywhere=view(alive=lambda v: v.alive * 1.0)),
        "view.alive: expected bool [2], found float32 [2]",
    ),
    "reward": (
        Steps(after=outcome(reward=lambda out: out.reward.sum())),
        "step's reward: expected float32 [2], found float32 []",
    ),
    "flag": (
        Steps(after=outcome(terminated=lambda out: out.terminated * 1)),
        "step's terminated: expected bool [], found int32 []",
    ),
    "info": (
        Steps(after=outcome(info=lambda out: {"won": out.reward})),
        "step's info: expected the spec's keys [], found ['won']",
    ),
    "info_type": (
        Steps(
            spec=replace(SPEC, info=(("won", "last"),)),
            after=outcome(info=lambda out: {"won": out.truncated}),
        ),
        "step's info['won']: expected float32, found bool",
    ),
    "info_shape": (
        Steps(after=outcome(info=lambda out: {"won": out.reward})),
        "step's info['won']: expected a single number, found shape (2,)",
    ),
    "state_type": (
        Steps(after=lambda s, out, a: (s.astype(jnp.float32), out)),
        "state after a step: expected int32 [], found float32 []",
    ),
    "weak_type": (
        Steps(opening=lambda time: jnp.asarray(0), after=firm),
        "state after a step: expected weak type (a Python number), found firm type",
    ),
    "traces": (
        Steps(opening=lambda time: jnp.asarray(0), after=firm),
        "step: expected one trace for all steps, found 2",
    ),
}

# What a whole check says of these.
EPISODES: dict[str, tuple[Environment[Any], str]] = {
    "padding": (
        Steps(everywhere=view(obs=lambda v: v.obs + 1)),
        "view.obs: expected zeros in the padding, found some (position 0, episode 0, agent 1)",
    ),
    "padded_choice": (
        Steps(everywhere=view(available=lambda v: v.available | True)),
        "view.available: expected no padded action, found some (position 0, episode 0, agent 1)",
    ),
    "stuck": (
        Steps(everywhere=view(available=lambda v: v.available & (v.obs[0, 0] < 2))),
        "expected a choice for each living agent, found none (position 2, episode 0, agent 0)",
    ),
    "finite": (
        Steps(after=wild_at_the_extreme),
        "reward: expected finite numbers, found NaN or infinity (position 1, ",
    ),
    "early": (
        Steps(after=outcome(truncated=lambda out: out.view.obs[0, 0] >= 2)),
        "truncated: expected at step 3 alone, found true (position 1, episode 0)",
    ),
    "late": (Steps(after=never_cut), "truncated: expected true at step 3, found false"),
    "both": (
        Steps(after=outcome(terminated=lambda out: out.truncated)),
        "terminated and truncated: expected one of them, found both (position 2, episode 0)",
    ),
    "self_reset": (Steps(after=fresh_at_the_end), "an environment never resets itself"),
    "inner_reset": (TimeLimit(Steps(after=fresh_at_the_end)), "state.inner: expected the"),
    "keys": (Steps(after=impure()), "expected the same episode from the same keys"),
    "batch": (Steps(after=counts_traces()), "expected the same under vmap as alone"),
    "padded_action": (
        Steps(spec=BOX, after=lambda s, out, a: (s, out.replace(reward=a.sum(-1)))),
        "outcome.reward: expected padded action entries to change nothing",
    ),
    "shared": (
        Steps(spec=replace(SPEC, team_reward="shared")),
        "reward: expected one reward for all of a team, found several",
    ),
    "absent_alive": (
        Steps(
            spec=CROWD,
            everywhere=entities(absent=lambda e, v: jnp.array([True, False, True])),
        ),
        "view.alive: expected false where entities are absent, found true (position 0, episode 0",
    ),
    "absent_features": (
        Steps(spec=CROWD, everywhere=entities(features=lambda e, v: e.features + 1)),
        "entities.features: expected zeros in empty slots, found some (position 0, episode 0, "
        "slot 2)",
    ),
    "absent_seen": (
        Steps(spec=CROWD, everywhere=entities(hidden=lambda e, v: e.hidden & False)),
        "entities.hidden: expected true for empty slots, found false (position 0, episode 0, "
        "agent 0)",
    ),
    "blind": (
        Steps(spec=CROWD, everywhere=entities(hidden=lambda e, v: e.hidden | (v.obs[0, 0] == 2))),
        "expected each living agent to see itself, found not (position 2, episode 0, agent 0)",
    ),
    "gone": (
        Steps(
            spec=CROWD,
            everywhere=entities(absent=lambda e, v: e.absent.at[1].set(v.obs[0, 0] > 1)),
        ),
        "entities.absent: expected the same agents all along, found others (position 2, ",
    ),
    "group": (
        Steps(
            spec=CROWD,
            everywhere=entities(outside=lambda e, v: e.hidden.at[0, 1].set(v.obs[0, 0] > 1)),
        ),
        "entities.outside: expected each agent in its own group and both alike (position 2, ",
    ),
    "no_scene": (Drawn(), "draw: expected a Scene, found NoneType"),
    "no_window": (Drawn(picture=Scene(0, 0, 0, 1)), "draw: expected a window of some size"),
    "wild_scene": (
        Drawn(picture=Scene(0, 0, 1, 1, (Circle(0, float("nan"), 1),))),
        "draw: expected finite numbers, found Circle(x=0, y=nan",
    ),
    "nobody": (
        Drawn(picture=Scene(0, 0, 1, 1, (Circle(0, 0, 1, agent=0), Circle(0, 0, 1, agent=2)))),
        "draw: expected one of 2 agents, found Circle(x=0, y=0, radius=1, ",
    ),
    "crash": (
        Steps(after=lambda s, out, a: (s, out.replace(reward=a[5:] + a))),
        "reset or step fails: TypeError",
    ),
}


@pytest.mark.parametrize(("env", "report"), SHAPES.values(), ids=SHAPES)
def test_a_wrong_shape_or_type_is_reported(env: Steps, report: str) -> None:
    traced = shape_rules.trace(env)
    assert report in "\n".join(finding for rule in shape_rules.RULES for finding in rule(traced))


@pytest.mark.parametrize(("env", "report"), EPISODES.values(), ids=EPISODES)
def test_wrong_behaviour_is_reported(env: Environment[Any], report: str) -> None:
    with pytest.raises(ContractError) as raised:
        check(env, episodes=2)
    assert report in str(raised.value)


def test_the_environment_bent_above_is_sound() -> None:
    check(Steps())
    check(Steps(spec=BOX))
    check(Steps(spec=CROWD, everywhere=entities()))
    check(Drawn(picture=Scene(0, 0, 1, 1, (Circle(0, 0, 1),))))


def test_all_breaches_are_reported_at_once() -> None:
    bent = Steps(
        spec=replace(SPEC, team_names=("us", "them")),
        everywhere=view(obs=lambda v: v.obs + 1),
        after=outcome(reward=lambda out: out.reward.astype(jnp.int32)),
    )
    with pytest.raises(ContractError, match=r"test/steps breaks .* in 3 points") as raised:
        check(bent, episodes=2)
    assert [finding.split(":")[0] for finding in raised.value.findings] == [
        "spec.teams",
        "step's reward",
        "view.obs",
    ]


def test_a_spec_of_another_kind_is_reported() -> None:
    @dataclass(frozen=True)
    class Other(Steps):
        spec: Any = field(default_factory=dict)

    with pytest.raises(ContractError, match=r"expected an EnvSpec, found \{\}"):
        check(Other())
