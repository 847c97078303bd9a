"""Pictures of jaxmarl's particle environments: their states as bodies and messages."""

from typing import Any

import numpy as np

from jmarl.types import EnvSpec
from jmarl_envs.particles_drawing import LETTERS, Body, Message, particle_scene
from jmarl_envs.scene import WALL, Scene, colour, faded

FOOD, FOREST = colour(2), faded(colour(2), 0.35)


def mpe_scene(library: Any, spec: EnvSpec, state: Any) -> Scene:
    """Teams by colour, goals ringed in the colour of those who seek them.

    Where agents have goals of their own, each has a colour of its own too.
    """
    count = len(library.agents)
    goals = goals_of(state)
    team = dict(zip(spec.agents, spec.teams, strict=True))
    scripted = len(spec.team_names)  # prey that no policy moves
    own = goals.size > 1
    inks = [colour(i if own else team.get(name, scripted)) for i, name in enumerate(library.agents)]
    seekers = inks if own else inks[-1:]  # else the last agent's side: the listener, the good
    bodies = zip(state.p_pos, np.asarray(library.rad), strict=True)
    discs = [(float(x), float(y), float(radius)) for (x, y), radius in bodies]
    order = {name: agent for agent, name in enumerate(spec.agents)}
    agents = [
        Body(*discs[i], ink, str(i), agent=order.get(name))
        for i, (ink, name) in enumerate(zip(inks, library.agents, strict=True))
    ]
    landmarks = []
    for i, (disc, name) in enumerate(zip(discs[count:], library.landmarks, strict=True)):
        rings = tuple(seekers[nth] for nth, goal in enumerate(goals) if goal == i)
        label = LETTERS[i % len(LETTERS)] * bool(goals.size)
        landmarks.append(Body(*disc, ground(name), label, rings))
    silent = np.asarray(library.silent)
    messages = [
        Message(f"{i} {name}", state.c[i].tolist(), inks[i])
        for i, name in enumerate(library.agents)
        if not silent[i]
    ]
    return particle_scene(agents, landmarks, messages)


def goals_of(state: Any) -> np.ndarray:
    """Landmarks that are goals: none, one, or one for each agent."""
    if getattr(state, "goal_colour", None) is not None:  # crypto: the secret
        return np.array([state.goal_colour.argmax()])
    return np.array([], int) if state.goal is None else np.asarray(state.goal).reshape(-1)


def ground(name: str) -> str:
    """A landmark's colour, by its kind."""
    kinds = {"food": FOOD, "forest": FOREST}
    return kinds.get(name.split()[0], WALL)
