"""Pictures of a scenario's states: teams by colour, landmarks by letter, goals ringed."""

from collections.abc import Iterable

import numpy as np

from jmarl_envs.particle.world import Particles, Scenario
from jmarl_envs.particles_drawing import LETTERS, Body, Message, particle_scene
from jmarl_envs.scene import WALL, Scene, colour


def arena(
    task: Scenario,
    state: Particles,
    goals: Iterable[tuple[int, str]] = (),
    caption: str = "",
    inks: tuple[str, ...] = (),
) -> Scene:
    """`goals`: landmarks, each with its seekers' colour; `inks`: the agents' colours."""
    goals = tuple(goals)
    inks = inks or tuple(colour(team) for team in task.teams)
    places = np.concatenate([state.pos, state.landmarks]).tolist()
    discs = [(x, y, float(size)) for (x, y), size in zip(places, task.bodies.radius, strict=True)]
    count = len(task.agents)
    agents = [Body(*discs[i], inks[i], mark(task, i), agent=i) for i in range(count)]
    landmarks = [
        Body(*disc, WALL, landmark(i) if goals else "", tuple(ink for j, ink in goals if i == j))
        for i, disc in enumerate(discs[count:])
    ]
    messages = [
        Message(name, np.asarray(words).tolist(), ink)
        for name, words, ink, speaks in zip(
            task.agents, state.message, inks, task.speaks, strict=True
        )
        if speaks
    ]
    return particle_scene(agents, landmarks, messages, caption)


def landmark(index: int) -> str:
    """A landmark's name in pictures."""
    return LETTERS[index % len(LETTERS)]


def mark(task: Scenario, index: int) -> str:
    """What stands on an agent: its place among all, or its name if that has no number."""
    name = task.agents[index]
    return str(index) if name[-1].isdigit() else name
