"""What is drawn on films of trained teams: attention and intrinsic rewards, worked by hand."""

from typing import Any

import jax
import numpy as np
import pytest

import jmarl_envs
from jmarl.overlay import CLEAR, HALO, LINK, MINUS, NAMES, PLUS, overlaid
from jmarl.recording import Attended, Intrinsic
from jmarl.types import EnvSpec
from jmarl_envs.common import agent_names
from jmarl_envs.plain import plain
from jmarl_envs.scene import (
    FAINT,
    INK,
    PAPER,
    WALL,
    Box,
    Circle,
    Line,
    Scene,
    Text,
    faded,
    ink_on,
    paled,
)

BODIES = (Circle(0, 0, 1, "#000001", agent=0), Circle(8, 0, 2, "#000002", agent=1))
GOAL = Circle(4, 4, 1, "#000003")
PICTURE = Scene(-10, -10, 20, 20, (GOAL, *BODIES))


def told(agents: int, steps: int) -> dict[str, Any]:
    """What every episode tells; the last agent dies after step 0."""
    spec = EnvSpec(
        name="mine/drawn",
        agents=agent_names(agents),
        obs_sizes=(1,) * agents,
        action_kind="discrete",
        action_parts=((2,),) * agents,
        state_size=1,
        episode_limit=steps,
        teams=(0,) * agents,
    )
    alive = np.ones((steps, agents), bool)
    alive[1:, -1] = False
    reward = np.ones((steps, agents), np.float32)
    common = {"algorithm": "x", "team_seed": 0, "terminated": False}
    return {"spec": spec, "alive": alive, "reward": reward, **common}


def drawn(seen: Attended | Intrinsic, scene: Scene = PICTURE) -> list[Scene]:
    return list(overlaid([scene] * (len(seen.reward) + 1), seen))


def of(scene: Scene | None, kind: type) -> list[Any]:
    assert scene is not None
    return [shape for shape in scene.shapes if isinstance(shape, kind)]


def each_other() -> Attended:
    """Two agents with two heads, steps 0 and 1: means over heads 0.6 and 0.4, then 0.3 and 1."""
    weights = np.zeros((2, 2, 2, 2))
    weights[0, 0, :, 1], weights[0, 1, :, 0] = (0.8, 0.4), (0.3, 0.5)
    weights[1, 0, :, 1], weights[1, 1, :, 0] = (0.2, 0.4), (1.0, 1.0)
    return Attended(**told(2, 2), weights=weights, head_weights=None)


def test_agents_attention_is_a_line_halfway_to_whom_it_goes() -> None:
    first, second, last = drawn(each_other())
    lines = of(first, Line)
    assert [(line.x, line.y, line.to_x, line.to_y) for line in lines] == [
        (0, 0, 4, 0),
        (8, 0, 4, 0),
    ]
    assert [line.width for line in lines] == pytest.approx([0.6 * LINK, 0.4 * LINK * 2])
    assert [line.colour for line in lines] == [faded(INK, CLEAR * 0.6), faded(INK, CLEAR * 0.4)]
    assert first.shapes[0] == GOAL and first.shapes[-2:] == BODIES, "lines lie behind the agents"
    assert [line.width for line in of(second, Line)] == pytest.approx([0.3 * LINK, 0]), "dead"
    assert last == second, "the last step's attention stays"


def test_a_map_for_each_head_has_the_weights_as_colours() -> None:
    first, second, _ = drawn(each_other())
    cells = of(first.panel, Box)
    # head by head, column by column, row by row; nobody attends to oneself
    shades = [FAINT, 0.3, 0.8, FAINT, FAINT, 0.5, 0.4, FAINT]
    assert [cell.fill for cell in cells] == [
        shade if isinstance(shade, str) else paled(PLUS, shade) for shade in shades
    ]
    assert len(of(second.panel, Box)) == 4, "the dead attend to nobody"
    words = {text.words: text for text in of(second.panel, Text)}
    assert {"head 1", "head 2", "0 agent_0", "1 agent_1", "0", "1"} <= set(words)
    assert words["0 agent_0"].colour == INK and words["1 agent_1"].colour == WALL


def team_attention() -> Attended:
    weights = np.array([[[0.25, 0.75], [0.5, 0.5]]])
    return Attended(**told(2, 1), weights=weights, head_weights=np.array([[2.0, 1.0]]))


def test_a_teams_attention_is_a_halo_by_what_its_heads_count() -> None:
    """2 * 0.25 + 0.5 = 1 of agent 0, and 2 * 0.75 + 0.5 = 2 of agent 1, who has the full halo."""
    scene, _ = drawn(team_attention())
    goal, halo, first, wide, second = of(scene, Circle)
    assert (goal, first, second) == (GOAL, *BODIES), "each behind its agent"
    assert (halo.radius, wide.radius) == pytest.approx((1 + HALO / 2, 2 * (1 + HALO)))
    assert halo.fill == wide.fill == faded(PLUS, CLEAR)


def test_a_bar_for_each_agent_and_head() -> None:
    scene, _ = drawn(team_attention())
    bars = [bar for bar in of(scene.panel, Box) if bar.fill == PLUS]
    full = {bar.width for bar in of(scene.panel, Box) if bar.fill == FAINT}
    assert len(full) == 1  # 2 / 2: where all are alike, bars are half full
    assert [bar.width / full.copy().pop() for bar in bars] == pytest.approx([0.25, 0.75, 0.5, 0.5])
    words = [text.words for text in of(scene.panel, Text)]
    assert "head 1 x2" in words and "a full bar is 1.00" in words[0]


def rewards() -> Intrinsic:
    """Of the actions taken: 0.5 and -1, then 0 and (of a dead agent) 9."""
    rewards, action = np.zeros((2, 2, 2)), np.array([[1, 0], [0, 1]])
    rewards[0, 0, 1], rewards[0, 1, 0], rewards[1, 1, 1] = 0.5, -1.0, 9.0
    return Intrinsic(**told(2, 2), rewards=rewards, action=action)


def test_intrinsic_rewards_are_halos_of_two_colours() -> None:
    opening, after, last = drawn(rewards())
    assert opening.shapes == PICTURE.shapes
    _, plus, _, minus, _ = of(after, Circle)
    assert (plus.radius, minus.radius) == pytest.approx((1 + HALO / 2, 2 * (1 + HALO)))
    assert (plus.fill, minus.fill) == (faded(PLUS, CLEAR), faded(MINUS, CLEAR))
    assert last.shapes == PICTURE.shapes, "nothing was earned"


def test_intrinsic_rewards_fill_a_row_step_by_step() -> None:
    opening, after, last = (scene.panel for scene in drawn(rewards()))
    filled = lambda panel: [box.fill for box in of(panel, Box) if box.fill]
    assert filled(opening) == []
    assert filled(after) == [paled(PLUS, 0.5), paled(MINUS, 1.0)]
    assert len(filled(last)) == 3, "the dead earn nothing"
    marks = [line.x for panel in (opening, after, last) for line in of(panel, Line)]
    assert marks[1] - NAMES == pytest.approx(marks[2] - marks[1]) and marks[1] > marks[0] == NAMES
    assert {"+0.500", "-1.000"} < {text.words for text in of(after, Text)}


def test_colours_on_paper() -> None:
    assert paled("#0072B2", 1) == "#0072b2" and paled("#0072B2", 0) == "#ffffff"
    assert paled("#000064", 0.5) == "#8080b2"
    assert [ink_on(fill) for fill in ("#0072B2", "#F0E442", "#FFFFFF")] == [PAPER, INK, INK]


@pytest.mark.parametrize(("agents", "named"), [(2, 2), (27, 27), (60, 30)])
def test_panels_hold_all_that_they_show(agents: int, named: int) -> None:
    """And of many agents as many names as there is room for."""
    rng = np.random.default_rng(0)
    odd = rng.random((3, agents, 4, agents))
    team = Attended(**told(agents, 3), weights=odd[:, 0], head_weights=None)
    each = Attended(**told(agents, 3), weights=odd, head_weights=None)
    action = np.zeros((3, agents), int)
    own = Intrinsic(**told(agents, 3), rewards=odd[:, :, 0] - 0.5, action=action)
    for seen in (team, each, own):
        panel = drawn(seen)[1].panel
        assert panel is not None and panel.width == 400 and panel.height < 360
        for box in of(panel, Box):
            assert box.x >= NAMES and box.x + box.width <= 400
            assert box.y >= 0 and box.y + box.height <= panel.height
        names = [
            text for text in of(panel, Text) if text.x < NAMES / 2 + 1 and "agent" in text.words
        ]
        assert len(names) == named
        gaps = -np.diff([text.y for text in names])
        assert all(gap > 0.6 * names[0].size for gap in gaps)


@pytest.mark.parametrize(
    "name",
    [
        "particle/rover_tower",
        "grid/checkers",
        "pursuit/line",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in (
                *("mpe/simple_tag", "particle/simple_spread", "particle/treasure_collection"),
                *(
                    "smax/3m",
                    "grid/switch4",
                    "grid/fetch",
                    "grid/switch_paper",
                    "lbf/8x8-2p-2f-coop",
                ),
                *("refil/group_matching", "rware/tiny-2ag", "overcooked/cramped_room"),
            )
        ),
    ],
)
def test_drawings_tell_where_the_agents_are(name: str) -> None:
    env: Any = jmarl_envs.make(name)
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    scene = env.draw(plain(state))
    agents = [circle.agent for circle in of(scene, Circle) if circle.agent is not None]
    assert sorted(agents) == list(range(env.spec.num_agents))
