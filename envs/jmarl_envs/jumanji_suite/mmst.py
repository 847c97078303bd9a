"""Spanning trees (MMST): each agent joins its own nodes of one graph, sharing no others.

An agent walks along edges and keeps every node that it visits; nodes that belong to nobody are
closed to the others from then on. For every step an agent adds 10 to the team's reward if it comes
to a new node of its own, -1 if it does not, -2 if it chooses no neighbour, and 0 if it loses its
choice to another one by lot, or has finished. An episode ends for good when all have finished.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import View
from jmarl_envs.catalogue import BadOption, Count, Range
from jmarl_envs.jumanji_suite.base import Adapter, build, flat, team_spec
from jmarl_envs.scene import PAPER, Circle, Line, Scene, Shape, Text, colour
from jmarl_envs.time_limit import TimeLimit

NODES, EDGES, DEGREE = 36, 72, 5  # of jumanji's graphs; others might never come to an end
NONE = -1  # in the library's lists of nodes


class SpanningTrees(Adapter):
    """`library` is jumanji's MMST, with a limit beyond ours."""

    def __init__(self, library: Any, name: str, episode_limit: int) -> None:
        agents, turns = library.num_agents, np.arange(library.num_agents)
        self.others = (turns[:, None] + turns) % agents  # [A, A], oneself first
        self.pairs = np.triu_indices(NODES, 1)
        size = 3 * NODES * agents + len(self.pairs[0])
        spec = team_spec(
            name,
            num_agents=agents,
            obs_size=size,
            num_actions=NODES,
            state_size=size,
            episode_limit=episode_limit,
            team_reward="shared",
            agent_features=(agents, 3 * NODES),
            info=(("solved_rate", "last"), ("connected_share", "last")),
        )
        super().__init__(library, spec)

    def over(self, state: Any, timestep: Any) -> Array:
        return state.finished_agents.all()

    def view(self, state: Any, seen: Any) -> View:
        """Observed, of oneself and then of each other agent: the nodes it has, the nodes it still
        wants, the node it is on; and for every pair of nodes whether they are neighbours. In the
        state agents stand in order.

        Alive is who has not finished. Who is shut in may only stay where it is.
        """
        agents = self.spec.num_agents
        owned = state.connected_nodes_index != NONE  # [A, nodes]
        wanted = (state.node_types == jnp.arange(agents)[:, None]) & ~owned
        here = jax.nn.one_hot(state.positions, NODES, dtype=bool)
        facts = jnp.concatenate([owned, wanted, here], 1)
        edges = state.adj_matrix[self.pairs]
        rows = jnp.broadcast_to(edges, (agents, len(edges)))
        stuck = ~state.action_mask.any(-1, keepdims=True)
        return View(
            obs=jnp.concatenate([facts[self.others].reshape(agents, -1), rows], 1).astype(
                jnp.float32
            ),
            available=state.action_mask | (stuck & here),
            alive=~state.finished_agents,
            state=flat(facts, edges),
        )

    def info(self, state: Any, timestep: Any, over: Array) -> Mapping[str, Array]:
        own = jnp.take_along_axis(state.connected_nodes_index, state.nodes_to_connect, 1)
        share = (own != NONE).mean(dtype=jnp.float32)
        return {"solved_rate": over.astype(jnp.float32), "connected_share": share}

    def draw(self, state: Any) -> Scene:
        """Nodes in a circle: an agent's own have its colour's frame, those it has are filled."""
        turn = 2 * np.pi * np.arange(NODES) / NODES
        x, y = np.cos(turn).tolist(), np.sin(turn).tolist()
        shapes: list[Shape] = [
            Line(x[a], y[a], x[b], y[b], "#DDDDDD")
            for a, b in zip(*self.pairs, strict=True)
            if state.adj_matrix[a, b]
        ]
        for index, way in enumerate(state.connected_nodes):
            way = way[way != NONE]
            for a, b in pairwise(way):
                if state.adj_matrix[a, b]:
                    shapes.append(Line(x[a], y[a], x[b], y[b], colour(index), 0.02))
        has = state.connected_nodes_index != NONE
        for node, owner in enumerate(state.node_types):
            fill = colour(int(has[:, node].argmax())) if has[:, node].any() else PAPER
            frame = colour(int(owner)) if owner != NONE else "#BBBBBB"
            shapes += [Circle(x[node], y[node], 0.065, frame), Circle(x[node], y[node], 0.05, fill)]
        for index, node in enumerate(state.positions):
            shapes.append(Text(x[node], y[node], str(index + 1), 0.07, PAPER))
        left = ~np.take_along_axis(has, state.nodes_to_connect, 1)
        caption = f"{int(left.sum())} nodes to connect, step {state.step_count}"
        return Scene(-1.15, -1.15, 2.3, 2.3, tuple(shapes), caption)


def library(num_agents: int = 3, num_nodes_per_agent: int = 4, time_limit: int = 70) -> Any:
    """jumanji's environment itself."""

    def make(environments: Any) -> Any:
        generator = environments.routing.mmst.generator.SplitRandomGenerator(
            NODES, EDGES, DEGREE, num_agents, num_nodes_per_agent, time_limit
        )
        return environments.MMST(generator, time_limit=time_limit)

    return build(make)


def mmst(
    name: str,
    num_agents: Annotated[int, Range(2, 4)] = 3,
    num_nodes_per_agent: Annotated[int, Range(2)] = 4,
    episode_limit: Count = 70,
) -> TimeLimit[Any]:
    """Graphs of 36 nodes and 72 edges; at most four fifths of the nodes may be agents' own."""
    most = int(0.8 * NODES) // num_agents
    if num_nodes_per_agent > most:
        raise BadOption(f"{name}: {num_agents} agents may have at most {most} nodes each")
    made = library(num_agents, num_nodes_per_agent, episode_limit + 1)
    return TimeLimit(SpanningTrees(made, name, episode_limit))
