"""SMAX against jaxmarl's own, step by step; then what jaxmarl has not: entities, changing teams."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiling import HASTE
from jax import Array

import jmarl_envs
from jmarl.types import EnvSpec, View
from jmarl_envs.catalogue import BadOption
from jmarl_envs.scene import Circle, Line, Text
from jmarl_envs.smax import TEAMS, library
from jmarl_envs.smax.enemy import enemy_actions, random_one, walk
from jmarl_envs.smax.game import Smax
from jmarl_envs.smax.noise import nth, uniform, words_of
from jmarl_envs.smax.physics import apart, team_reward
from jmarl_envs.smax.rules import Battle, vmapped_last
from jmarl_envs.smax.scenarios import SCENARIOS, kinds
from jmarl_envs.smax.teams import SLOTS, TeamOpenings
from jmarl_envs.time_limit import Timed, TimeLimit

BLOCK = 13  # features of a unit seen by another
LIMIT = 100
SCALE = 10.0
STOP = 4


def made(name: str, **options: Any) -> tuple[TimeLimit[Battle], Smax]:
    env = jmarl_envs.make(name, **options)
    assert isinstance(env, TimeLimit)
    assert isinstance(env.env, Smax)
    return env, env.env


def haste(function: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(function, compiler_options=HASTE)


# --- beside jaxmarl -----------------------------------------------------------------------------

# what is compared: scenario, options of ours, the same for jaxmarl
WILD = {"attack_mode": "random", "see_enemy_actions": False, "walls_cause_death": False}
CASES = {
    "3m": ("3m", {}),
    "2s3z": ("2s3z", {}),
    "smacv2_5_units": ("smacv2_5_units", {}),
    "options": ("3m", WILD),
    "unequal": ("5m_vs_6m", {"enemy_shoots": False}),
}
EPISODES = 128
# Return, length, share of wins of 64 episodes of random play (specs: envs.md 2.1), jaxmarl's scale
RANDOM = {"3m": (0.18, 17.5), "2s3z": (0.20, 54.4), "smacv2_5_units": (0.26, 36.0)}


class Both(NamedTuple):
    """[N, T+1] views and [N, T] outcomes of ours, and what jaxmarl says of the same."""

    spec: EnvSpec
    view: View
    out: Any
    obs: np.ndarray
    available: np.ndarray
    reward: np.ndarray  # [N, T, A]
    over: np.ndarray  # [N, T]

    @property
    def live(self) -> np.ndarray:
        """[N, T] bool: the step was taken before the episode had ended."""
        ended = self.out.terminated | self.out.truncated
        return np.cumsum(ended, 1) - ended == 0


@cache
def both(case: str) -> Both:
    task, options = CASES[case]
    env, _ = made(f"smax/{task}", **options)
    spec, theirs = (
        env.spec,
        library.smax().HeuristicEnemySMAX(
            scenario=library.jaxmarls_scenario(SCENARIOS[task]), max_steps=1000, **options
        ),
    )
    stack = lambda found: jnp.stack([found[name] for name in spec.agents])

    def step(carry: Any, key: Array) -> Any:
        (ours, view), other = carry
        act_key, step_key = jax.random.split(key)
        action = jmarl_envs.random_actions(spec, view.available, act_key)
        ours, out = env.step(ours, action, step_key)
        actions = dict(zip(spec.agents, action, strict=True))
        obs, other, reward, over, _ = theirs.step_env(step_key, other, actions)
        found = stack(obs), stack(theirs.get_avail_actions(other)), stack(reward), over["__all__"]
        return ((ours, out.view), other), (out, found)

    def episode(key: Array) -> Any:
        reset_key, run_key = jax.random.split(key)
        opening, (obs, other) = env.reset(reset_key), theirs.reset(reset_key)
        keys = jax.random.split(run_key, LIMIT)
        _, (outs, found) = jax.lax.scan(step, (opening, other), keys)
        first = stack(obs), stack(theirs.get_avail_actions(other))
        return opening[1], outs, first, found

    keys = jax.random.split(jax.random.key(7), EPISODES)
    view, outs, first, found = jax.tree.map(np.asarray, haste(jax.vmap(episode))(keys))
    join = lambda one, rest: np.concatenate([one[:, None], rest], 1)
    obs, available = (join(*pair) for pair in zip(first, found[:2], strict=True))
    return Both(spec, jax.tree.map(join, view, outs.view), outs, obs, available, *found[2:])


@pytest.mark.parametrize("case", CASES)
def test_episodes_are_jaxmarls(case: str) -> None:
    """Same keys, same actions: rewards, ends, masks and observations until the end.

    Rounding differs, and contacts amplify it: in a few hundred sub-steps to 1e-3, and to 0.01 in
    one number of ten thousand by jax 0.12's compiler.
    """
    run = both(case)
    known = np.concatenate([np.ones((EPISODES, 1), bool), run.live], 1)
    np.testing.assert_array_equal(run.view.available[known], run.available[known].astype(bool))
    apart = np.abs(run.view.obs[known] - run.obs[known])
    assert (apart > 2e-3).mean() < 1e-4 and apart.max() < 0.05
    np.testing.assert_allclose(run.view.obs[:, :5], run.obs[:, :5], atol=1e-5)
    np.testing.assert_array_equal(run.out.terminated[run.live], run.over[run.live])
    np.testing.assert_allclose(
        run.out.reward[run.live], SCALE * run.reward[run.live], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("case", RANDOM)
def test_random_play_earns_and_lasts_what_it_should(case: str) -> None:
    run = both(case)
    returns = (run.out.reward[..., 0] * run.live).sum(1) / SCALE
    for found, expected in zip((returns, run.live.sum(1)), RANDOM[case], strict=True):
        error = found.std(ddof=1) * np.sqrt(1 / EPISODES + 1 / 64)
        assert abs(found.mean() - expected) < 3 * error + 0.005


@pytest.mark.parametrize("case", ["3m", "2s3z", "smacv2_5_units"])
def test_hidden_is_who_has_no_block_in_the_observation(case: str) -> None:
    run = both(case)
    n = run.spec.num_agents
    blocks = run.obs[..., : -(BLOCK - 3)].reshape(*run.obs.shape[:3], -1, BLOCK)
    entities = run.view.entities
    assert entities is not None
    assert not entities.absent.any()
    for agent in range(n):
        others = np.delete(entities.hidden[:, :, agent], agent, -1)
        np.testing.assert_array_equal(others, blocks[:, :, agent, :, 0] <= 0)
        assert not entities.hidden[:, :, agent, agent].any()
    assert entities.hidden.any()


def test_state_rows_are_what_the_agents_know_of_themselves() -> None:
    """Agents' rows stand first, and say what the observation says at its end."""
    run = both("2s3z")
    assert run.spec.agent_features == (5, 10)
    assert run.view.state is not None
    rows = run.view.state.reshape(EPISODES, LIMIT + 1, 10, 10)
    np.testing.assert_array_equal(rows[:, :, :5], run.view.obs[..., -10:])
    alive = rows[..., 0] > 0
    np.testing.assert_array_equal(alive[:, :, :5], run.view.alive)
    assert rows.min() >= 0
    assert rows.max() <= 1
    assert not rows[~alive].any()


def test_the_dead_may_only_stop() -> None:
    run = both("3m")
    dead = ~run.view.alive
    assert dead.any()
    only_stop = np.arange(run.spec.action_size) == STOP
    assert (run.view.available[dead] == only_stop).all()
    assert run.view.available[run.view.alive][:, :5].all()


def test_random_play_never_wins_here_and_ends_before_the_limit() -> None:
    run = both("3m")
    assert run.out.terminated.any(1).mean() > 0.95
    ended = run.live & run.out.terminated
    lost = ~run.view.alive[:, 1:].any(-1)
    won = run.out.info["win_rate"] == 1
    assert ((lost ^ won)[ended]).all()


# --- by hand ------------------------------------------------------------------------------------


@cache
def marines() -> tuple[TimeLimit[Battle], Smax]:
    return made("smax/3m")


@cache
def first_battle() -> Battle:
    return haste(marines()[1].openings)(jax.random.key(0))


def duel(health: float = 45.0, enemies_left: int = 3) -> Battle:
    """Ally 0 and enemy 0 are 4 apart, in reach (5) and sight (9); all others see nobody."""
    x = jnp.array([10.0, 2.0, 30.0, 14.0, 2.0, 30.0])
    y = jnp.array([16.0, 2.0, 2.0, 16.0, 30.0, 30.0])
    left = jnp.array([45.0, 45.0, 45.0, health, 45.0, 45.0])
    alive = jnp.arange(6) < 3 + enemies_left
    return first_battle().replace(x=x, y=y, health=jnp.where(alive, left, 0.0))


@cache
def stepper(limit: int = LIMIT) -> Callable[..., Any]:
    env = TimeLimit(marines()[1], limit)
    return haste(
        lambda battle, action: env.step(
            Timed(battle, jnp.zeros((), jnp.int32)), action, jax.random.key(3)
        )
    )


def played(battle: Battle, action: list[int], limit: int = LIMIT) -> tuple[Battle, Any]:
    state, out = stepper(limit)(battle, jnp.array(action))
    return state.inner, out


def test_a_shot_takes_nine_of_a_marines_45() -> None:
    """Both shoot: each loses 9; of three enemies one has lost a fifth: 10 x 0.2 / 3."""
    battle, out = played(duel(), [5, STOP, STOP])
    np.testing.assert_allclose(battle.health, [36, 45, 45, 36, 45, 45])
    np.testing.assert_allclose(out.reward, 10 * 0.2 / 3, rtol=1e-6)
    assert out.reward.shape == (3,)
    # 0.61 s, plus or minus, less the 7 sub-steps that follow the shot
    left = float(battle.cooldown[0]) - (0.61 - 7 / 16)
    assert -1 / 16 <= left <= 2 / 16
    assert not (out.terminated or out.truncated)


def test_a_move_is_half_a_second_at_full_speed() -> None:
    """3.15 x 0.5 up, right, down. Enemy 0 shoots ally 0, or follows it out of its reach."""
    battle, out = played(duel(), [0, 1, 2])
    start = duel()
    np.testing.assert_allclose(battle.x[1] - start.x[1], 3.15 / 2, rtol=1e-5)
    np.testing.assert_allclose(battle.y[0] - start.y[0], 3.15 / 2, rtol=1e-5)
    np.testing.assert_allclose(battle.y[2] - start.y[2], -3.15 / 2, rtol=1e-5)
    np.testing.assert_allclose(out.reward, 0.0)


def test_the_border_kills() -> None:
    battle, out = played(duel().replace(y=jnp.array([16.0, 1.0, 2.0, 16.0, 30.0, 30.0])), [4, 2, 4])
    assert out.view.alive.tolist() == [True, False, True]
    assert battle.health[1] == 0


def test_the_last_kill_wins_and_ends_even_at_the_limit() -> None:
    """The one enemy left has 9: its last fifth of a third, and 1 for the win."""
    for limit in (LIMIT, 1):
        _, out = played(duel(health=9.0, enemies_left=1), [5, STOP, STOP], limit)
        np.testing.assert_allclose(out.reward, 10 * (0.2 / 3 + 1), rtol=1e-6)
        assert out.terminated
        assert not out.truncated
        assert out.info["win_rate"] == 1


def test_at_the_limit_a_battle_that_goes_on_is_truncated() -> None:
    _, out = played(duel(), [5, STOP, STOP], limit=1)
    assert out.truncated
    assert not out.terminated
    assert out.info["win_rate"] == 0


def test_both_sides_dead_is_no_win() -> None:
    _, env = marines()
    before = duel()
    nobody = before.replace(health=jnp.zeros(6))
    reward, won, over = team_reward(env.rules, before, nobody, SCALE)
    assert not won
    assert over
    np.testing.assert_allclose(reward, 10.0)


def test_entities_tell_which_action_attacks_whom() -> None:
    """Slots, attackable enemies, side, type, health, cooldown, x, y, x and y from the middle."""
    _, env = marines()
    battle = duel(enemies_left=2)
    view = haste(env.view_of)(battle)
    features = np.asarray(view.entities.features)
    assert features.shape == (6, 6 + 3 + 1 + 6 + 6)
    np.testing.assert_array_equal(features[:, :6], np.eye(6))
    np.testing.assert_array_equal(features[:3, 6:9], view.available[:, 5:])
    np.testing.assert_array_equal(features[0, 6:9], [1, 0, 0])  # enemy 0 alone is in reach
    np.testing.assert_array_equal(features[:, 9], [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(features[:, 10], 1)  # marines, the dead one too
    np.testing.assert_allclose(features[0, 16:], [1, 0, 10 / 32, 0.5, -6 / 16, 0])
    assert not features[5, 16:].any()
    hidden = np.ones((3, 6), bool)
    hidden[[0, 1, 2], [0, 1, 2]] = hidden[0, 3] = False
    np.testing.assert_array_equal(view.entities.hidden, hidden)


def test_enemies_keep_their_victim_then_take_the_closest() -> None:
    """Enemy 0 has two allies in reach; slots count from the last ally, so ally 0 is number 2."""
    _, env = marines()
    x = jnp.array([10.0, 11.0, 30.0, 14.0, 2.0, 30.0])
    battle = duel().replace(x=x, y=jnp.array([16.0, 17.0, 2.0, 16.0, 30.0, 30.0]))
    words = words_of(jax.random.key(0))
    action, victim = enemy_actions(env.rules, battle, words)
    assert (int(action[0]), int(victim[0])) == (5 + 1, 1)  # ally 1 is the closest
    kept = battle.replace(victim=jnp.array([2, -1, -1]))
    action, victim = enemy_actions(env.rules, kept, words)
    assert (int(action[0]), int(victim[0])) == (5 + 2, 2)
    assert victim[1:].tolist() == [-1, -1]
    assert (action[1:] < STOP).all()  # they walk


def test_enemies_walk_the_straightest_way() -> None:
    x, y = jnp.array([0.0, 2.0, 0.5, -3.0, 1.0]), jnp.array([1.0, 1.0, -1.0, 1.0, 1.0])
    assert walk(x, y).tolist() == [0, 1, 2, 3, 0]


def test_random_choice_is_jaxs() -> None:
    keys = jax.random.split(jax.random.key(5), 200)
    mask = jax.random.bernoulli(jax.random.key(6), 0.5, (200, 4)).at[:, 1].set(True)
    pick = lambda key, row: jax.random.choice(key, 4, p=row / row.sum())
    found = random_one(mask, uniform(words_of(keys)))
    np.testing.assert_array_equal(found, jax.nn.one_hot(jax.vmap(pick)(keys, mask), 4))


def test_random_numbers_are_jaxs() -> None:
    key = jax.random.key(11)
    parts = jax.random.split(key, 5)
    found = nth(words_of(key), jnp.arange(5))
    np.testing.assert_array_equal(jnp.stack(found, -1), jax.random.key_data(parts))
    expected = jax.vmap(lambda key: jax.random.uniform(key, minval=-0.5, maxval=2.0))(parts)
    np.testing.assert_allclose(uniform(words_of(parts), -0.5, 2.0), expected, rtol=1e-6)
    np.testing.assert_array_equal(uniform(words_of(parts)), jax.vmap(jax.random.uniform)(parts))


def test_batches_stand_last_inside_and_first_outside() -> None:
    """Under vmap, two of them, and one that batches some arguments alone."""
    shapes = []

    def push(x: Array, y: Array, radius: Array) -> tuple[Array, Array]:
        shapes.append(x.shape)
        return apart(x, y, radius, radius > 0)

    function = vmapped_last(push)
    x, y = jax.random.uniform(jax.random.key(0), (2, 3, 4, 5))
    radius = jnp.full(5, 0.3)
    once = jax.vmap(function, (0, 0, None))(x[0], y[0], radius)
    assert (5, 4) in shapes
    twice = jax.vmap(jax.vmap(function, (0, 0, None)), (0, 0, None))(x, y, radius)
    for i in range(4):
        lone = function(x[0, i], y[0, i], radius)
        for found in (once, tuple(part[0] for part in twice)):
            np.testing.assert_allclose([part[i] for part in found], lone, rtol=1e-5)
    assert not np.allclose(once[0], x[0])


# --- the scripted policy on both sides ----------------------------------------------------------


def mirrored(battle: Battle, goal: tuple[Array, Array], victim: Array) -> Battle:
    """Sides swapped, so that the enemy's policy plays the allies (of teams of one size)."""
    n = victim.size
    turn = lambda units: jnp.concatenate([units[n:][::-1], units[:n]])
    parts = ("x", "y", "health", "cooldown", "kind", "action", "present")
    turned = {part: turn(getattr(battle, part)) for part in parts}
    return Battle(**turned, goal_x=goal[0], goal_y=goal[1], victim=victim)


class Fights(NamedTuple):
    opening: Battle  # [N, ...]
    returns: np.ndarray  # [N]
    length: np.ndarray
    won: np.ndarray
    alive: np.ndarray  # [N, T, E]
    view: View  # [N, T, ...]


@cache
def fights(task: str, episodes: int) -> Fights:
    """Scripted allies against scripted enemies."""
    env, game = made(f"smax/{task}")

    def step(carry: Any, key: Array) -> Any:
        state, goal, victim, live = carry
        act_key, step_key = jax.random.split(key)
        turned = mirrored(state.inner, goal, victim)
        action, victim = enemy_actions(game.rules, turned, words_of(act_key))
        state, out = env.step(state, action, step_key)
        found = out.reward[0] * live, live, out.info["win_rate"] * live
        live &= ~(out.terminated | out.truncated)
        return (state, goal, victim, live), (found, state.inner.alive, out.view)

    def episode(key: Array) -> Any:
        reset_key, run_key = jax.random.split(key)
        state, _ = env.reset(reset_key)
        n = game.rules.num_allies
        goal = 32 - state.inner.x[:n], 32 - state.inner.y[:n]
        carry = state, goal, jnp.full(n, -1, jnp.int32), jnp.ones((), bool)
        keys = jax.random.split(run_key, env.spec.episode_limit)
        _, (found, alive, view) = jax.lax.scan(step, carry, keys)
        return state.inner, *(part.sum() for part in found), alive, view

    keys = jax.random.split(jax.random.key(1), episodes)
    return Fights(*jax.tree.map(np.asarray, haste(jax.vmap(episode))(keys)))


def test_scripted_marines_fare_as_jaxmarls() -> None:
    """Return 1.38, length 13.9, wins 0.47 in 64 episodes (specs: envs.md 2.1)."""
    found = fights("3m", 256)
    for numbers, expected in (
        (found.returns / SCALE, 1.38),
        (found.length, 13.9),
        (found.won, 0.47),
    ):
        error = numbers.std(ddof=1) * np.sqrt(1 / 256 + 1 / 64)
        assert abs(numbers.mean() - expected) < 3 * error


# --- teams that change --------------------------------------------------------------------------


def test_a_win_is_worth_twenty_at_every_size() -> None:
    found = fights("3-8sz", 96)
    size = found.opening.present[:, :SLOTS].sum(1)
    assert set(size) == {3, 4, 5, 6, 7, 8}
    won = found.won == 1
    np.testing.assert_allclose(found.returns[won], 20.0, rtol=1e-5)
    assert len(set(size[won])) >= 5
    assert (found.returns[~won] < 10.001).all()
    assert 0.3 < won.mean() < 0.75  # the specs: 0.38 to 0.71 by size


def test_nobody_resurrects_and_the_absent_stay_away() -> None:
    found = fights("3-8sz", 96)
    present = found.opening.present
    alive = np.concatenate([(found.opening.health > 0)[:, None], found.alive], 1)
    assert (alive[:, 0] == present).all()
    assert (alive[:, 1:] <= alive[:, :-1]).all()
    entities, absent = found.view.entities, ~present
    assert entities is not None
    assert absent.any()
    np.testing.assert_array_equal(
        entities.absent, np.broadcast_to(absent[:, None], entities.absent.shape)
    )
    assert not entities.features[entities.absent].any()
    assert entities.hidden.transpose(0, 1, 3, 2)[entities.absent].all()
    gone = entities.absent[..., :SLOTS]
    assert not found.view.alive[gone].any()
    assert (found.view.available[gone] == (np.arange(13) == STOP)).all()
    dead = present[:, None, :SLOTS] & ~found.view.alive
    own = entities.hidden[..., :SLOTS].diagonal(axis1=2, axis2=3)
    assert not own[dead].any()
    assert (entities.features[..., :SLOTS, :][dead][:, :16].sum(-1) == 1).all()


def openings(name: str, episodes: int, **options: Any) -> tuple[TeamOpenings, Battle]:
    game = made(name, **options)[1]
    assert isinstance(game.openings, TeamOpenings)
    keys = jax.random.split(jax.random.key(2), episodes)
    return game.openings, jax.tree.map(np.asarray, haste(jax.vmap(game.openings))(keys))


def test_all_39_compositions_are_equally_likely() -> None:
    """Chi-squared with 38 degrees of freedom exceeds 75 once in 3000 times."""
    found, battle = openings("smax/3-8sz", 3900)
    assert len(found.compositions) == len(set(found.compositions)) == 39
    sides = [slice(None, SLOTS), slice(SLOTS, None)]
    counts = [
        [(battle.present & (battle.kind == kind))[:, side].sum(1) for kind in TEAMS["3-8sz"]]
        for side in sides
    ]
    np.testing.assert_array_equal(counts[0], counts[1])
    drawn = np.array(counts[0]).T
    seen = np.array([(drawn == pair).all(1).sum() for pair in found.compositions])
    assert seen.sum() == 3900
    assert ((seen - 100) ** 2 / 100).sum() < 75
    # random slots: each is filled as often as any other, and the sides differ
    filled = battle.present[:, :SLOTS].mean(0)
    np.testing.assert_allclose(filled, filled.mean(), atol=0.03)
    assert (battle.present[:, :SLOTS] != battle.present[:, SLOTS:]).any()


def test_teams_start_opposite_to_each_other_all_round() -> None:
    _, battle = openings("smax/3-8sz", 3900)
    away = np.stack([battle.x, battle.y], -1) - 16
    middles = [
        (away * battle.present[..., None])[:, side].sum(1) / battle.present[:, side].sum(1)[:, None]
        for side in (slice(None, SLOTS), slice(SLOTS, None))
    ]
    apart_by = np.linalg.norm(middles[0] - middles[1], axis=-1)
    np.testing.assert_allclose(apart_by.mean(), 14, atol=0.1)
    angle = np.arctan2(middles[0][:, 1], middles[0][:, 0])
    quarters = np.histogram(angle, 4, (-np.pi, np.pi))[0] / len(angle)
    np.testing.assert_allclose(quarters, 0.25, atol=0.03)
    assert abs(away[battle.present]).max() < 12  # far from the border


def test_held_out_sizes_fit_the_same_network() -> None:
    few, many = (
        made("smax/3-8mm", min_units=low, max_units=high)[0].spec for low, high in ((3, 5), (6, 8))
    )
    assert few == many == made("smax/3-8mm")[0].spec
    _, battle = openings(
        "smax/3-8mm", 300, min_units=6, max_units=7, rotated_starts=False, shuffled_slots=False
    )
    size = battle.present[:, :SLOTS].sum(1)
    assert set(size) == {6, 7}
    assert (battle.present[:, :SLOTS] == (np.arange(SLOTS) < size[:, None])).all()
    assert set(battle.kind[battle.present]) == {0, 1}
    assert (battle.x[:, :SLOTS] < 12).all()  # allies left, enemies right
    assert (battle.x[:, SLOTS:] > 20).all()
    assert (abs(battle.y - 16) < 4).all()


def test_no_team_has_more_at_least_than_at_most() -> None:
    with pytest.raises(BadOption, match="min_units=6 must not be above max_units=4"):
        jmarl_envs.make("smax/3-8sz", min_units=6, max_units=4)
    with pytest.raises(BadOption, match="from 1 to 8"):
        jmarl_envs.make("smax/3-8sz", max_units=9)


# --- the list -----------------------------------------------------------------------------------


def test_every_scenario_of_jaxmarls_is_here_unchanged() -> None:
    from jaxmarl.environments.smax.smax_env import MAP_NAME_TO_SCENARIO

    listed = [task for task, scenario in SCENARIOS.items() if scenario.listed]
    assert set(listed) == set(MAP_NAME_TO_SCENARIO)
    for task in listed:
        ours, theirs = library.jaxmarls_scenario(SCENARIOS[task]), MAP_NAME_TO_SCENARIO[task]
        assert vars(ours).keys() == vars(theirs).keys()
        for field, value in vars(theirs).items():
            np.testing.assert_array_equal(getattr(ours, field), value)
    assert set(SCENARIOS) - set(listed) == {"5m", "8m_vs_9m", "3s_vs_3z", "3s_vs_4z", "corridor"}
    corridor = SCENARIOS["corridor"]
    assert (kinds(corridor.allies), kinds(corridor.enemies)) == ([3] * 6, [4] * 24)
    assert corridor.summary == "6 zealots against 24 zerglings"


@pytest.mark.parametrize("task", SCENARIOS)
def test_specs_follow_from_the_numbers_of_units(task: str) -> None:
    env, _ = made(f"smax/{task}")
    n, m = len(kinds(SCENARIOS[task].allies)), len(kinds(SCENARIOS[task].enemies))
    spec = env.spec
    assert spec.agents == tuple(f"ally_{index}" for index in range(n))
    assert spec.obs_sizes == (13 * (n - 1 + m) + 10,) * n
    assert spec.action_sizes == (m + 5,) * n
    assert spec.state_size == 10 * (n + m)
    assert (spec.num_entities, spec.episode_limit) == (n + m, LIMIT)
    peer = jmarl_envs.entry(f"smax/{task}").peer
    assert peer is not None
    theirs = peer.make()
    assert (tuple(theirs.agents), theirs.num_enemies) == (spec.agents, m)
    assert theirs.max_steps == 100


def test_jaxmarls_own_names_are_known() -> None:
    import jaxmarl

    assert jmarl_envs.make("3m").spec == marines()[0].spec
    assert jmarl_envs.make("HeuristicEnemySMAX").spec == made("smax/5m")[0].spec
    theirs: Any = jaxmarl.make("HeuristicEnemySMAX")
    assert (theirs.num_allies, theirs.num_enemies, theirs.scenario) == (5, 5, None)


def test_without_entities_the_contract_is_kept() -> None:
    env, _ = made("smax/3s_vs_3z", entities=False, reward_scale=1.0, episode_limit=30)
    assert (env.spec.num_entities, env.spec.entity_size) == (0, 0)
    jmarl_envs.check(env, episodes=3)


def test_pictures_show_the_living_and_who_attacks() -> None:
    env, _ = marines()
    battle = duel(enemies_left=2).replace(action=jnp.array([5, 4, 0, 7, 4, 5]))
    assert env.draw is not None
    state = Timed(jax.tree.map(np.asarray, battle), jnp.zeros((), jnp.int32))
    scene = env.draw(state)
    circles = [shape for shape in scene.shapes if isinstance(shape, Circle)]
    assert sorted(circle.x for circle in circles) == [2, 2, 10, 14, 30]
    assert len({circle.fill for circle in circles}) == 2
    lines = [(line.x, line.to_x) for line in scene.shapes if isinstance(line, Line)]
    assert lines == [(10.0, 14.0), (14.0, 10.0)]  # the dead attack nobody
    assert [text.words for text in scene.shapes if isinstance(text, Text)] == ["m"] * 5
    assert scene.caption == "allies 3 of 3, enemies 2 of 3"
