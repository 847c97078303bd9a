"""The switch riddle against jaxmarl itself."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from jaxmarl_peers import Played, side_by_side

import jmarl_envs
from jmarl.types import EnvSpec, View
from jmarl_envs.jaxmarl_suite.switch_riddle import called, library
from jmarl_envs.plain import plain
from jmarl_envs.scene import Circle

NOTHING, SWITCH, TELL = range(3)


class Called:
    """jaxmarl's environment, where we draw who is called into the room."""

    def __init__(self, **options: Any) -> None:
        self.library = library(**options)
        self.agents = self.library.agents

    def reset(self, key: Array) -> tuple[Any, Any]:
        return self.calling(self.library.reset(key)[1], key)

    def step_env(self, key: Array, state: Any, actions: Any) -> tuple[Any, ...]:
        _, state, *told = self.library.step_env(key, state, actions)
        return *self.calling(state, key), *told

    def calling(self, state: Any, key: Array) -> tuple[Any, Any]:
        """What is seen, and the state."""
        state = state.replace(agent_in_room=called(key, len(self.agents)))
        return self.library.get_obs(state), state


def hesitant(spec: EnvSpec, view: View, key: Array) -> Array:
    """Whoever is inside tells with probability 1/5, so that some come to be right."""
    act = jax.random.choice(key, 3, p=jnp.array([0.4, 0.4, 0.2]))
    return jnp.where(view.available[:, TELL], act, NOTHING)


@pytest.fixture(scope="module", params=[(3, False), (5, False), (5, True)])
def played(request: pytest.FixtureRequest) -> Played:
    """Beside jaxmarl's own with its draws, or with ours put in."""
    num_agents, draws = request.param
    options = {"num_agents": num_agents}
    env = jmarl_envs.make("switch_riddle/switch_riddle", library_draws=draws, **options)
    peer = library(**options) if draws else Called(**options)
    return side_by_side(env, peer, episodes=512, choose=hesitant)


def test_episodes_are_the_librarys_own(played: Played) -> None:
    played.assert_alike()
    live = played.live
    np.testing.assert_array_equal(played.ended[live], played.over[live])
    assert played.spec.episode_limit == {3: 6, 5: 14}[played.spec.num_agents]


@pytest.mark.parametrize("agents", [3, 5])
def test_everybody_is_called_equally_often(agents: int) -> None:
    """Within four and a half standard errors, and not by a rule from one key to the next."""
    draws = 30_000
    drawn = jax.vmap(lambda key: called(key, agents))(jax.random.split(jax.random.key(3), draws))
    assert drawn.dtype == jnp.int32
    pairs = np.bincount(agents * np.asarray(drawn)[:-1] + np.asarray(drawn)[1:])
    assert pairs.size == agents**2
    share = 1 / agents**2
    np.testing.assert_allclose(pairs / draws, share, atol=4.5 * np.sqrt(share / draws))


def test_a_step_draws_random_bits_once() -> None:
    """They are much of its time."""
    env = jmarl_envs.make("switch_riddle/switch_riddle")
    key = jax.random.key(0)
    state, _ = jax.eval_shape(env.reset, key)
    program = str(jax.make_jaxpr(env.step)(state, jnp.zeros(3, jnp.int32), key))
    assert program.count("random_bits[") == 1 and "random_split" not in program


def test_telling_ends_the_riddle_and_is_right_once_all_have_been_inside(played: Played) -> None:
    inside = played.view.obs[:, :-1, :, 0] > 0  # whose turn each step was
    been = np.maximum.accumulate(inside, 1).all(-1)
    told = (np.where(inside, played.action, NOTHING) == TELL).any(-1)
    live, out = played.live, played.outcome
    np.testing.assert_array_equal(out.terminated[live], told[live])
    np.testing.assert_array_equal(out.info["win_rate"][live], (told & been)[live])
    right = np.where(been, 1.0, -1.0) * told
    np.testing.assert_array_equal(
        out.reward[live], np.repeat(right[live][:, None], len(inside[0, 0]), 1)
    )
    assert (right[live] == 1).any()
    assert out.truncated.any()


def test_only_who_is_inside_may_act_and_sees_the_light(played: Played) -> None:
    inside = played.view.obs[..., 0] > 0
    np.testing.assert_array_equal(inside.sum(-1), 1)
    assert played.view.available[..., NOTHING].all()
    np.testing.assert_array_equal(played.view.available[..., SWITCH], inside)
    np.testing.assert_array_equal(played.view.available[..., TELL], inside)
    lit = played.view.state[..., -1] > 0
    np.testing.assert_array_equal(played.view.obs[..., 1] > 0, inside & lit[..., None])
    switched = (np.where(inside[:, :-1], played.action, NOTHING) == SWITCH).any(-1)
    np.testing.assert_array_equal(lit[:, 1:], lit[:, :-1] ^ switched)


def test_the_state_tells_who_is_inside_and_who_has_been(played: Played) -> None:
    agents = played.spec.num_agents
    rows = played.view.state[..., :-1].reshape(*played.view.state.shape[:2], agents, 2)
    inside = played.view.obs[..., 0]
    np.testing.assert_array_equal(rows[..., 0], inside)
    been = np.maximum.accumulate(inside[:, :-1], 1)
    assert not rows[:, 0, :, 1].any()
    np.testing.assert_array_equal(rows[:, 1:, :, 1], been)


def test_options() -> None:
    env = jmarl_envs.make(
        "switch_riddle/switch_riddle",
        num_agents=4,
        initial_bulb_state=True,
        reward_all_live=2.0,
        reward_all_die=-3.0,
        episode_limit=5,
    )
    jmarl_envs.check(env, episodes=3)
    state, view = env.reset(jax.random.key(0))
    assert view.state is not None
    assert view.state[-1] == 1
    _, out = env.step(state, jnp.full(4, TELL), jax.random.key(1))
    assert out.reward.tolist() == [-3.0] * 4
    assert bool(out.terminated)


def test_pictures_show_the_light() -> None:
    env = jmarl_envs.make("switch_riddle/switch_riddle")
    state, _ = env.reset(jax.random.key(0))
    after, _ = env.step(state, jnp.full(3, SWITCH), jax.random.key(1))
    draw = getattr(env, "draw")  # noqa: B009
    bulbs = [
        sum(
            isinstance(shape, Circle) and shape.fill == "#F0E442" for shape in draw(plain(s)).shapes
        )
        for s in (state, after)
    ]
    assert bulbs == [0, 1]
