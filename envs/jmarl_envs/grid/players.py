"""The VDN paper's worlds: two players that face a way, have 8 actions and see 5x5 colours."""

from typing import Any, Literal, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jmarl.types import EnvSpec, Key, Outcome, View, tree_where
from jmarl_envs.common import agent_names, open_view
from jmarl_envs.grid.cells import Plan, picture, places, square, token, words
from jmarl_envs.scene import PAPER, Line, Scene, Shape, colour

FACINGS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, right, down, left, in (row, column)
RIGHT, LEFT = 1, 3  # indices into FACINGS
WALKS = (0, 2, 3, 1)  # forward, back, left, right: quarter turns to the right from where one faces
TURNS = (3, 1)  # left, right: the same
ACTIONS = len(WALKS) + len(TURNS) + 2  # besides: beam, stand still
AHEAD, ASIDE = 4, 2  # how far one sees
WINDOW = (AHEAD + 1) * (2 * ASIDE + 1)
SELF = AHEAD * (2 * ASIDE + 1) + ASIDE  # where in its window a player stands
GREY, GREEN, ORANGE = (0.5, 0.5, 0.5), (0.0, 0.8, 0.0), (1.0, 0.6, 0.0)  # bare floor is black

Rule = Literal["mean", "sum", "shared"]
Counts = tuple[tuple[str, Literal["sum", "last"]], ...]


class World(struct.PyTreeNode):
    """Where the players are, and what a game remembers."""

    pose: Array  # [2] int32: 4 * cell + facing
    marked: Array  # [2] bool: as the game means it (carries, has arrived)
    left: Array  # [cells] bool: things that lie about
    time: Array  # [] int32


class Turn(NamedTuple):
    """What a game makes of the cells that players came to."""

    marked: Array  # [2] bool
    left: Array  # [cells] bool
    reward: Array  # [2]
    again: Array  # [] bool: all goes back to where it was at first
    info: dict[str, Array]


class Game(Protocol):
    """The rules of one world, for players on cells."""

    name: str
    plan: Plan
    starts: tuple[tuple[int, int], ...]  # cell and facing
    things: np.ndarray  # [cells] bool: what lies about at first
    colours: np.ndarray  # [cells, 3] of what lies there
    ground: np.ndarray  # [cells, 3] of what is there otherwise
    team_reward: Rule
    info: Counts

    def settle(self, cell: Array, goal: Array) -> Array:
        """[2] cells of players who went from `cell` to `goal`."""
        ...

    def play(self, cell: Array, marked: Array, left: Array) -> Turn: ...


class Players:
    """A game of the VDN paper in its own guise, as far as its facts are known.

    Actions: forward, back, left, right, turn left, turn right, beam, stand still; the beam does
    nothing here. Observed [75]: 5x5 cells with two to either side and four ahead, the farthest row
    first, each red, green and blue; walls and what lies outside are grey, oneself is blue, the
    other red, both mixed with green if marked (the colours are ours). Episodes have a fixed length:
    where the paper resets a game within them, all goes back to the start and the episode goes on.
    """

    def __init__(self, game: Game, episode_limit: int) -> None:
        self.game, plan = game, game.plan
        self.starts = np.array([4 * cell + facing for cell, facing in game.starts], np.int32)
        self.moves, self.windows = poses(plan), windows(plan)
        self.coordinates = plan.coordinates(plan.rows - 1, plan.columns - 1)
        grey = np.array([GREY])
        self.ground = np.concatenate([game.ground, grey]).astype(np.float32)
        self.colours = np.concatenate([game.colours, grey]).astype(np.float32)
        self.things = np.flatnonzero(game.things)
        self.spec = EnvSpec(
            name=f"grid/{game.name}",
            agents=agent_names(2),
            obs_sizes=(3 * WINDOW,) * 2,
            action_kind="discrete",
            action_parts=((ACTIONS,),) * 2,
            state_size=2 * 7 + len(self.things),
            episode_limit=episode_limit,
            teams=(0, 0),
            team_reward=game.team_reward,
            agent_features=(2, 7),
            info=game.info,
        )

    def reset(self, key: Key) -> tuple[World, View]:
        state = self.opening(jnp.zeros((), jnp.int32))
        return state, self.view(state)

    def opening(self, time: Array) -> World:
        nobody = jnp.zeros(2, bool)
        return World(jnp.asarray(self.starts), nobody, jnp.asarray(self.game.things), time)

    def step(self, state: World, action: Array, key: Key) -> tuple[World, Outcome]:
        wanted = jnp.asarray(self.moves)[state.pose, action]
        goal = wanted // 4
        cell = self.game.settle(state.pose // 4, goal)
        pose = jnp.where(cell == goal, wanted, state.pose)
        turn = self.game.play(cell, state.marked, state.left)
        time = state.time + 1
        state = World(pose, turn.marked, turn.left, time)
        state = tree_where(turn.again, self.opening(time), state)
        never = jnp.zeros((), bool)
        return state, Outcome(self.view(state), turn.reward, never, never, turn.info)

    def view(self, state: World) -> View:
        """The state [S]: each one's row, column, facing (one-hot), mark; which things lie there."""
        cell = state.pose // 4
        facing = state.pose[:, None] % 4 == np.arange(4)
        rows = [jnp.asarray(self.coordinates)[cell], facing, state.marked[:, None]]
        agents = jnp.concatenate(rows, -1).reshape(-1)
        whole = jnp.append(agents, state.left[self.things])
        return open_view(self.spec, self.seen(state, cell), whole)

    def seen(self, state: World, cell: Array) -> Array:
        """Observations [2, 75]."""
        near = jnp.asarray(self.windows)[state.pose]  # [2, 25]
        lies = jnp.append(state.left, False)[near]
        ground, thing = (jnp.asarray(table)[near] for table in (self.ground, self.colours))
        colours = jnp.where(lies[..., None], thing, ground)
        green = state.marked.astype(jnp.float32)
        none, full = jnp.zeros(2), jnp.ones(2)
        other = jnp.stack([full, green[::-1], none], -1)[:, None]
        own = jnp.stack([none, green, full], -1)[:, None]
        colours = jnp.where((near == cell[::-1, None])[..., None], other, colours)
        colours = jnp.where((np.arange(WINDOW) == SELF)[:, None], own, colours)
        return colours.reshape(2, 3 * WINDOW)

    def draw(self, state: Any) -> Scene:
        """Players have a nose where they face; a marked one has a white belly."""
        plan, shapes = self.game.plan, []
        for place in places(self.game.ground.any(-1) & ~plan.find("#")):
            shapes.append(square(plan, place, html(self.game.ground[place]), margin=0.08))
        for place in places(state.left):
            shapes += token(plan, place, html(self.game.colours[place]), radius=0.25)
        for agent, pose in enumerate(state.pose):
            shapes += player(plan, pose, agent, state.marked[agent])
        caption = f"step {int(state.time)} of {self.spec.episode_limit}"
        return picture(plan, tuple(shapes), caption)


def poses(plan: Plan) -> np.ndarray:
    """[4 * cells, 8] int32: where each action leads, if nobody stands there."""
    wall = np.append(plan.find("#"), True)
    table = np.tile(np.arange(4 * plan.cells, dtype=np.int32)[:, None], ACTIONS)
    for pose, row in enumerate(table):
        cell, facing = divmod(pose, 4)
        for action, turn in enumerate(WALKS):
            end = plan.beside(cell, *FACINGS[(facing + turn) % 4])
            row[action] = pose if wall[end] else 4 * end + facing
        for action, turn in enumerate(TURNS, len(WALKS)):
            row[action] = 4 * cell + (facing + turn) % 4
    return table


def windows(plan: Plan) -> np.ndarray:
    """[4 * cells, 25] int32: the cells seen from each pose; `cells` is outside."""
    table = []
    for pose in range(4 * plan.cells):
        ahead, aside = (np.array(FACINGS[(pose + turn) % 4]) for turn in (0, 1))
        offsets = [
            far * ahead + wide * aside
            for far in range(AHEAD, -1, -1)
            for wide in range(-ASIDE, ASIDE + 1)
        ]
        table.append([plan.beside(pose // 4, *offset) for offset in offsets])
    return np.array(table, np.int32)


def ground(plan: Plan, **signs: tuple[float, float, float]) -> np.ndarray:
    """[cells, 3]: grey walls, the colours of some signs, black floor."""
    colours = {"#": GREY, **signs}
    return np.array([colours.get(sign, (0.0, 0.0, 0.0)) for sign in "".join(plan.lines)])


def player(plan: Plan, pose: int, agent: int, marked: bool) -> tuple[Shape, ...]:
    """A disc with its nose, and a white belly if marked."""
    row, column = plan.place(pose // 4)
    down, right = FACINGS[pose % 4]
    x, y = column + 0.5, plan.rows - row - 0.5
    nose = Line(x, y, x + 0.5 * right, y - 0.5 * down, colour(agent), 0.2)
    body = token(plan, pose // 4, colour(agent), str(agent), 0.4, agent)
    belly = (*token(plan, pose // 4, PAPER, radius=0.28), words(plan, pose // 4, str(agent)))
    return (nose, *body, *belly) if marked else (nose, *body)


def html(rgb: np.ndarray) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)
