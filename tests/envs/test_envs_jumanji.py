"""The jumanji adapters beside jumanji itself, over whole random episodes."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import jmarl_envs
from jmarl_envs.catalogue import BadOption

HASTE = {"xla_backend_optimization_level": 0}  # these programs compile longer than they run
EPISODES = 32


class Play(NamedTuple):
    """A game, its options, its limit in the test, and how jumanji's observation becomes ours."""

    game: str
    options: dict[str, int | bool]
    limit: int
    flatten: Callable[[Any], Array]  # jumanji's observation to [A, O]
    favourites: tuple[int, ...] = ()  # played more often than others: else little would happen


def as_it_is(seen: Any) -> Array:
    return seen.agents_view


def connector_planes(seen: Any) -> Array:
    """Heads, targets and paths of all, then one's own head and target."""
    grid, rows = seen.grid, []
    for agent in range(len(seen.action_mask)):
        heads, targets, paths = (sum(grid == k + 3 * i for i in range(20)) for k in (2, 3, 1))
        rows.append(
            jnp.stack([heads, targets, paths, grid == 2 + 3 * agent, grid == 3 + 3 * agent])
        )
    return jnp.stack(rows).reshape(len(rows), -1)


def cleaner_planes(seen: Any) -> Array:
    """Dirty tiles, walls, how many agents are on each tile, oneself."""
    own = jnp.stack(
        [jnp.zeros(seen.grid.shape).at[tuple(spot)].set(1) for spot in seen.agents_locations]
    )
    shared = jnp.stack([seen.grid == 0, seen.grid == 2, own.sum(0)])
    return jnp.stack([jnp.concatenate([shared, row[None]]) for row in own]).reshape(len(own), -1)


def views_and_rest(seen: Any) -> Array:
    views = seen.searcher_views.reshape(len(seen.positions), -1)
    return jnp.append(views, jnp.full((len(views), 1), seen.targets_remaining), 1)


def routing_rows(seen: Any) -> Array:
    """Of six customers and three vehicles: 10 wide, loads of 20, windows that end by 30."""
    where, fleet = seen.nodes.coordinates.reshape(-1) / 10, seen.vehicles
    places = [where, seen.nodes.demands / 20, seen.windows.start / 30, seen.windows.end / 30]
    places = jnp.concatenate([*places, seen.coeffs.early, seen.coeffs.late])
    facts = [*(fleet.coordinates / 10).T, fleet.local_times / 30, fleet.capacities / 20]
    facts = jnp.stack(facts, 1)
    order = ((0, 1, 2), (1, 2, 0), (2, 0, 1))
    return jnp.stack([jnp.append(facts[jnp.array(row)].reshape(-1), places) for row in order])


PLAYS = {
    "foraging": Play("level_based_foraging", {"grid_size": 6}, 100, as_it_is, favourites=(5,)),
    "foraging in sight": Play(
        "level_based_foraging",
        {"fov": 2, "num_agents": 4, "num_food": 4, "max_agent_level": 3, "force_coop": False},
        100,
        as_it_is,
        favourites=(5,),
    ),
    "warehouse": Play(
        "robot_warehouse",
        {"shelf_rows": 1, "column_height": 2, "num_agents": 3, "request_queue_size": 6},
        80,
        as_it_is,
        favourites=(1, 1, 1, 4),
    ),
    "far-sighted warehouse": Play(
        "robot_warehouse",
        {
            "shelf_rows": 2,
            "shelf_columns": 1,
            "column_height": 3,
            "sensor_range": 2,
            "request_queue_size": 3,
            "num_agents": 2,
        },
        80,
        as_it_is,
        favourites=(1, 1, 1, 4),
    ),
    "connector": Play("connector", {"grid_size": 6, "num_agents": 4}, 15, connector_planes),
    "cleaner": Play("cleaner", {"num_rows": 5, "num_cols": 5, "num_agents": 2}, 25, cleaner_planes),
    "search": Play("search_and_rescue", {"num_searchers": 3, "num_targets": 5}, 60, views_and_rest),
    "routing": Play("multi_cvrp", {"num_customers": 6, "num_vehicles": 3}, 12, routing_rows, (0,)),
}


class Found(NamedTuple):
    """[N, T, ...] of ours and of jumanji's; `live` before jumanji's episode had ended."""

    live: np.ndarray
    start: tuple[Any, Any]  # our first view, jumanji's first observation flattened
    out: Any
    state: Any
    theirs: Any  # reward, observation, mask, discount, last


def seen_and_mask(play: Play, seen: Any, actions: int) -> tuple[Array, Array]:
    obs = play.flatten(seen).astype(jnp.float32)
    mask = getattr(seen, "action_mask", jnp.ones((len(obs), actions), bool))
    return obs, mask


@cache
def side_by_side(name: str) -> Found:
    play = PLAYS[name]
    entry = jmarl_envs.entry(f"jumanji/{play.game}")
    assert entry.peer is not None
    make: Any = entry.peer.make
    free = play.game != "multi_cvrp"  # whose limit is its own
    env = entry.make(**play.options, **({"episode_limit": play.limit} if free else {}))
    lib = make(**play.options, **({"time_limit": play.limit} if free else {}))

    def step(carry: Any, key: Array) -> Any:
        ours, view, theirs, live = carry
        keys = jax.random.split(key, 3)
        action = jmarl_envs.random_actions(env.spec, view.available, keys[0])
        if play.favourites:
            often = jax.random.uniform(keys[1], action.shape) < 0.6
            kind = jax.random.choice(keys[2], jnp.array(play.favourites), action.shape)
            may = jnp.take_along_axis(view.available, kind[:, None], 1)[:, 0]
            # robots may try what they cannot do: they stay, in both
            action = jnp.where(often & (may | (play.game == "robot_warehouse")), kind, action)
        ours, out = env.step(ours, action, key)
        theirs, ts = lib.step(theirs, action)
        seen = seen_and_mask(play, ts.observation, env.spec.action_size)
        told = (ts.reward, *seen, ts.discount, ts.last())
        return (ours, out.view, theirs, live & ~ts.last()), (live, out, ours.inner, told)

    def episode(key: Array) -> Any:
        reset_key, run_key = jax.random.split(key)
        (ours, view), (theirs, ts) = env.reset(reset_key), lib.reset(reset_key)
        start = view, seen_and_mask(play, ts.observation, env.spec.action_size)
        carry = ours, view, theirs, jnp.ones((), bool)
        _, (live, *found) = jax.lax.scan(step, carry, jax.random.split(run_key, play.limit))
        found[1] = jax.tree.map(
            lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x,
            found[1],
        )
        return live, start, *found

    run = jax.jit(jax.vmap(episode), compiler_options=HASTE)
    return Found(*jax.tree.map(np.asarray, run(jax.random.split(jax.random.key(3), EPISODES))))


@pytest.fixture(scope="module", params=PLAYS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def crushed(name: str, state: Any) -> np.ndarray | bool:
    """Robots that were run over: jumanji puts what they see last out of place."""
    return state.robots.crushed if "warehouse" in name else False


def test_observations_masks_and_rewards_are_the_librarys(name: str) -> None:
    found = side_by_side(name)
    live, (_, obs, mask, _, _) = found.live, found.theirs
    (view, (first_obs, first_mask)) = found.start
    np.testing.assert_allclose(view.obs, first_obs, rtol=1e-6)
    np.testing.assert_array_equal(view.available, first_mask)
    ours = found.out.view.obs
    spoilt = np.broadcast_to(crushed(name, found.state), ours.shape[:-1])[..., None]
    close = 1e-5 if name in ("search", "routing") else 0
    np.testing.assert_allclose(
        np.where(spoilt, 0, ours)[live], np.where(spoilt, 0, obs)[live], atol=close
    )
    np.testing.assert_array_equal(found.out.view.available[live], mask[live])
    reward = found.theirs[0]
    reward = reward if reward.ndim == 3 else reward[..., None]
    np.testing.assert_allclose(
        found.out.reward[live], np.broadcast_to(reward, found.out.reward.shape)[live], rtol=1e-6
    )
    if name != "far-sighted warehouse":  # where nobody delivers by chance
        assert (found.out.reward[live] != 0).any()


def test_episodes_end_when_the_librarys_do_and_time_is_no_true_ending(name: str) -> None:
    found, limit = side_by_side(name), PLAYS[name].limit
    out, last, live = found.out, found.theirs[-1], found.live
    np.testing.assert_array_equal((out.terminated | out.truncated)[live], last[live])
    assert not out.truncated[:, : limit - 1].any()
    assert not (out.terminated & out.truncated).any()
    np.testing.assert_array_equal(out.terminated[live], truly_over(name, found)[live])
    if name == "routing":  # the charge at its limit stands for the future
        assert not out.truncated[live].any()
        assert (out.terminated & live)[:, limit - 1].any()
    else:
        assert out.truncated[live].any()


def truly_over(name: str, found: Found) -> np.ndarray:
    """By the rules, from states."""
    state = found.state
    if "foraging" in name:
        np.testing.assert_array_equal(  # jumanji tells this one itself
            state.food_items.eaten.all(-1)[found.live],
            (found.theirs[3] == 0).all(-1)[found.live],
        )
        return state.food_items.eaten.all(-1)
    if "warehouse" in name:
        return state.robots.crushed.any(-1)
    if name == "connector":
        return ~found.theirs[2][..., 1:].any((-1, -2))
    if name == "cleaner":
        return ~(state.grid == 0).any((-1, -2))
    if name == "routing":
        return found.theirs[-1]
    return state.targets.found.all(-1)


@pytest.mark.parametrize("name", ["foraging", "warehouse", "connector", "routing"])
def test_some_episodes_end_truly(name: str) -> None:
    found = side_by_side(name)
    assert found.out.terminated[found.live].any()


def test_metrics(name: str) -> None:
    found = side_by_side(name)
    info, live, state = found.out.info, found.live, found.state
    if "warehouse" in name:
        np.testing.assert_array_equal(info["deliveries"], found.out.reward[..., 0])
        np.testing.assert_array_equal(info["collision_rate"], found.out.terminated)
        return
    share, expected = {
        "level_based_foraging": ("eaten_share", lambda: state.food_items.eaten.mean(-1)),
        "connector": (
            "connected_share",
            lambda: (state.agents.position == state.agents.target).all(-1).mean(-1),
        ),
        "cleaner": (
            "cleaned_share",
            lambda: (state.grid == 1).sum((-1, -2)) / (state.grid < 2).sum((-1, -2)),
        ),
        "search_and_rescue": ("found_share", lambda: state.targets.found.mean(-1)),
        "multi_cvrp": ("served_share", lambda: (state.nodes.demands[..., 1:] == 0).mean(-1)),
    }[PLAYS[name].game]
    np.testing.assert_allclose(info[share][live], expected()[live], rtol=1e-6)
    solved = expected() == 1
    if name == "routing":
        solved &= (state.vehicles.positions == 0).all(-1)  # and all are home
    np.testing.assert_array_equal(info["solved_rate"][live], solved[live])


def test_all_food_of_an_episode_is_worth_one() -> None:
    found = side_by_side("foraging in sight")
    returns = (found.out.reward.sum(-1) * found.live).sum(1)
    solved = (found.out.info["solved_rate"] * found.live).any(1)
    worth = (found.out.info["eaten_share"] * found.live).max(1)
    np.testing.assert_allclose(returns[solved], 1.0, rtol=1e-5)
    assert (returns[~solved & (worth > 0)] < 1).all()
    assert solved.any()
    assert (~solved & (worth > 0)).any()


def test_foragers_hide_what_is_out_of_sight_and_forget_what_is_eaten() -> None:
    found = side_by_side("foraging in sight")
    view, live = found.out.view, found.live
    agents, food = 4, 4
    levels = view.obs.reshape(*view.obs.shape[:2], agents, food + agents, 3)[..., 2]
    hidden, absent = view.entities.hidden, view.entities.absent
    np.testing.assert_array_equal(levels[:, :, :, :food][live] == 0, hidden[..., agents:][live])
    for agent in range(agents):
        others = [other for other in range(agents) if other != agent]
        dark = levels[:, :, agent, food + 1 :] == 0
        np.testing.assert_array_equal(dark[live], hidden[:, :, agent, others][live])
    assert not hidden[..., range(agents), range(agents)].any()
    np.testing.assert_array_equal(absent[..., agents:], found.state.food_items.eaten)
    assert not absent[..., :agents].any()
    gone = view.entities.features[..., agents:, :][found.state.food_items.eaten]
    assert gone.size
    assert not gone.any()


def test_who_cannot_move_in_connector_is_not_alive() -> None:
    found = side_by_side("connector")
    view, live = found.out.view, found.live
    connected = (found.state.agents.position == found.state.agents.target).all(-1)
    facts = view.state[..., :24].reshape(*view.state.shape[:2], 4, 6)
    np.testing.assert_array_equal(view.alive, view.available[..., 1:].any(-1))
    np.testing.assert_array_equal(facts[..., 4] == 1, connected)
    np.testing.assert_array_equal(view.alive, (facts[..., 4:] == 0).all(-1))
    assert (facts[..., 5][live] == 1).any()
    back = view.alive[:, 1:] & ~view.alive[:, :-1] & live[:, 1:, None]
    assert not back.any(), "nobody comes back to life"


def test_searchers_see_entities_where_rays_meet_them() -> None:
    found = side_by_side("search")
    view, live = found.out.view, found.live
    rays = view.obs[..., :-1].reshape(*view.obs.shape[:2], 3, 3, 128)
    no_target = (rays[:, :, :, 1:] < 0).all((-1, -2))
    np.testing.assert_array_equal(view.entities.hidden[..., 3:].all(-1)[live], no_target[live])
    hidden = view.entities.hidden[..., :3] | np.eye(3, dtype=bool)
    np.testing.assert_array_equal(hidden.all(-1)[live], (rays[:, :, :, 0] < 0).all(-1)[live])
    assert (~hidden).any()
    assert not no_target[live].all()


def test_searchers_find_what_is_in_their_cone() -> None:
    """Forty targets all round one searcher, near and at the edges of what it sees, as jumanji's."""
    timed: Any = jmarl_envs.make("jumanji/search_and_rescue")
    peer: Any = jmarl_envs.entry("SearchAndRescue-v0").peer
    game, theirs, action = timed.env, peer.make(), jnp.zeros((2, 2))
    turns, reach = jnp.linspace(-jnp.pi, jnp.pi, 40, endpoint=False), theirs.target_contact_range

    def both(key: Array) -> Any:
        reset_key, turn_key, far_key = jax.random.split(key, 3)
        state, _ = game.reset(reset_key)
        turn = state.searchers.heading[0] + turns + 0.2 * jax.random.uniform(turn_key)
        far = reach * jax.random.uniform(far_key, (40, 1), maxval=1.2)
        pos = state.searchers.pos[0] + far * jnp.stack([jnp.cos(turn), jnp.sin(turn)], 1)
        state = state.replace(targets=state.targets.replace(pos=pos % 1.0))
        after, out = game.step(state, action, key)
        other, told = theirs.step(state, action)
        return after.targets.found, out.reward, other.targets.found, told.reward

    found = jax.jit(jax.vmap(both), compiler_options=HASTE)(jax.random.split(jax.random.key(3), 64))
    ours, reward, jumanjis, their_reward = map(np.asarray, found)
    np.testing.assert_array_equal(ours, jumanjis)
    np.testing.assert_allclose(reward, their_reward, atol=1e-5)
    assert 100 < ours.sum() < 0.9 * ours.size


def test_every_tile_of_an_oblong_maze_can_be_reached() -> None:
    env: Any = jmarl_envs.make("jumanji/cleaner", num_rows=4, num_cols=9, num_agents=1)
    state, view = jax.jit(env.reset)(jax.random.key(1))
    grid, mask = np.asarray(state.inner.grid), np.asarray(view.available)
    open_ways = jax.jit(env.env.library._compute_action_mask)
    reached, waiting = {(0, 0)}, [(0, 0)]
    while waiting:
        spot = waiting.pop()
        mask = np.asarray(open_ways(grid, np.array([spot])))[0]
        for (down, right), may in zip(((-1, 0), (0, 1), (1, 0), (0, -1)), mask, strict=True):
            there = spot[0] + down, spot[1] + right
            if may and there not in reached:
                reached.add(there)
                waiting.append(there)
    assert reached == {tuple(spot) for spot in np.argwhere(grid < 2).tolist()}


def test_walking_into_a_wall_ends_cleaning_for_good() -> None:
    env: Any = jmarl_envs.make("jumanji/cleaner", num_rows=5, num_cols=5, num_agents=1)
    state, _ = env.reset(jax.random.key(0))
    _, out = env.step(state, jnp.array([0]), jax.random.key(0))  # up, out of the maze
    assert out.terminated
    assert not out.truncated
    assert float(out.reward[0]) == -0.5
    assert float(out.info["solved_rate"]) == 0


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("level_based_foraging", {"grid_size": 5, "num_food": 3}, "larger grid"),
        ("level_based_foraging", {"grid_size": 20, "num_food": 10, "num_agents": 41}, "at most 40"),
        ("level_based_foraging", {"max_agent_level": 1}, "at least 2"),
        ("robot_warehouse", {"shelf_columns": 2}, "odd"),
        ("robot_warehouse", {"shelf_rows": 1, "shelf_columns": 1}, "0 shelves"),
        ("robot_warehouse", {"shelf_rows": 1, "column_height": 4, "num_agents": 71}, "7 x 10"),
        ("connector", {"num_agents": 26}, "at most 25"),
        ("cleaner", {"num_rows": 1}, "at least 2"),
        ("multi_cvrp", {"num_customers": 150}, "5 vehicles"),
        ("multi_cvrp", {"num_customers": 7}, "one of"),
    ],
)
def test_sizes_that_cannot_be_are_refused(name: str, options: dict[str, int], said: str) -> None:
    with pytest.raises(BadOption, match=said):
        jmarl_envs.make(f"jumanji/{name}", **options)


def test_a_board_of_as_many_wires_as_fit_has_room_for_all() -> None:
    env: Any = jmarl_envs.make("jumanji/connector", grid_size=4, num_agents=4)
    state, _ = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 64))
    grid = np.asarray(state.inner.grid).reshape(64, -1)
    assert all(sorted(row[row > 0]) == [2, 3, 5, 6, 8, 9, 11, 12] for row in grid)


@pytest.mark.parametrize(
    ("name", "agents", "obs", "limit"),
    [
        ("lbf/2s-8x8-2p-2f-coop", 2, 12, 100),
        ("lbf/15x15-4p-5f", 4, 27, 100),
        ("rware/tiny-2ag", 2, 66, 500),
        ("rware/small-4ag", 4, 66, 500),
    ],
)
def test_the_papers_tasks(name: str, agents: int, obs: int, limit: int) -> None:
    spec = jmarl_envs.make(name).spec
    assert (spec.num_agents, spec.obs_size, spec.episode_limit) == (agents, obs, limit)
    assert spec.name == name


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("LevelBasedForaging-v0", "level_based_foraging"),
        ("RobotWarehouse-v0", "robot_warehouse"),
        ("Connector-v3", "connector"),
        ("Cleaner-v0", "cleaner"),
        ("SearchAndRescue-v0", "search_and_rescue"),
        ("MultiCVRP-v0", "multi_cvrp"),
    ],
)
def test_default_sizes_are_those_of_the_librarys_own_ids(alias: str, name: str) -> None:
    from jumanji.registration import make

    theirs: Any = make(alias)
    entry = jmarl_envs.entry(alias)
    assert entry.name == f"jumanji/{name}"
    assert entry.peer is not None
    ours = entry.peer.make()
    assert repr(sizes(ours)) == repr(sizes(theirs))
    limit = getattr(theirs, "time_limit", 40)
    assert entry.make().spec.episode_limit == getattr(ours, "time_limit", 40) == limit


def sizes(env: Any) -> Any:
    return jax.tree.map(jnp.shape, jax.eval_shape(env.reset, jax.random.key(0)))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("level_based_foraging", {"num_agents": 1, "num_food": 1, "fov": 1}),
        ("robot_warehouse", {"num_agents": 1, "shelf_rows": 1, "column_height": 1}),
        ("cleaner", {"num_rows": 3, "num_cols": 6, "num_agents": 1}),
    ],
)
def test_other_sizes_keep_the_contract(name: str, options: dict[str, int]) -> None:
    if name == "robot_warehouse":
        options = options | {"request_queue_size": 1}
    jmarl_envs.check(jmarl_envs.make(f"jumanji/{name}", **options, episode_limit=15), episodes=2)


@pytest.mark.parametrize("name", PLAYS)
def test_states_can_be_drawn(name: str) -> None:
    from jmarl_envs import raster

    play = PLAYS[name]
    env: Any = jmarl_envs.make(f"jumanji/{play.game}", **play.options)
    found = side_by_side(name)
    scene = env.env.draw(jax.tree.map(lambda leaf: leaf[0, 3], found.state))
    assert scene.caption
    assert raster.array(scene).std() > 1
