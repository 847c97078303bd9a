"""Rules on the drawing, for environments that have one. Each yields what is wrong, in words."""

import math
from dataclasses import asdict
from typing import Any

import jax

from jmarl.types import Environment
from jmarl_envs.checker.words import Findings
from jmarl_envs.plain import plain
from jmarl_envs.scene import Scene


def an_opening_can_be_drawn(env: Environment[Any]) -> Findings:
    """From a state as numpy: a Scene of finite numbers with a window of some size."""
    draw = getattr(env, "draw", None)
    if draw is None:
        return
    state, _ = jax.jit(env.reset)(jax.random.key(0))
    scene = draw(plain(state))
    if not isinstance(scene, Scene):
        yield f"draw: expected a Scene, found {type(scene).__name__}"
        return
    if not (scene.width > 0 and scene.height > 0):
        yield f"draw: expected a window of some size, found {scene.width} x {scene.height}"
    for shape in scene.shapes:
        told = asdict(shape)
        agent = told.pop("agent", None)
        if agent is not None and not 0 <= agent < env.spec.num_agents:
            yield f"draw: expected one of {env.spec.num_agents} agents, found {shape}"
            return
        numbers = [float(x) for x in told.values() if not isinstance(x, str)]
        if not all(map(math.isfinite, numbers)):
            yield f"draw: expected finite numbers, found {shape}"
            return


RULES = (an_opening_can_be_drawn,)
