"""Episodes as pictures: each stored state drawn, with the step and the returns beneath."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from jmarl.types import Environment, EnvSpec, View
from jmarl_envs.scene import Scene
from jmarl_envs.view_drawing import scales, view_scene


@dataclass(frozen=True)
class Take:
    """One episode as numpy: T steps, and the T+1 positions around them."""

    state: Any  # [T+1, ...]
    view: View  # [T+1, ...]
    action: np.ndarray  # [T, A] or [T, A, U]
    reward: np.ndarray  # [T, A]
    terminated: bool  # else the time ran out

    @property
    def steps(self) -> int:
        return len(self.reward)


def scenes(env: Environment[Any], take: Take, heading: str = "") -> Iterator[Scene]:
    """One for each position, by the environment's own `draw`, or else from what agents see."""
    own = getattr(env, "draw", None)
    scale = scales(np.asarray(take.view.obs))
    returns = np.concatenate([np.zeros_like(take.reward[:1]), take.reward.cumsum(0)])
    for time in range(take.steps + 1):
        if own is not None:
            scene = own(_at(take.state, time))
        else:
            scene = view_scene(env.spec, _at(take.view, time), scale, labels(env.spec, take, time))
        told = f"{heading}step {time} of {env.spec.episode_limit}{ending(take, time)}"
        told = f"{told}    {in_words(env.spec, returns[time])}"
        yield replace(scene, caption="\n".join(filter(None, (scene.caption, told))))


def _at(tree: Any, time: int) -> Any:
    return jax.tree.map(partial(_pick, time), tree)


def _pick(time: int, leaf: np.ndarray) -> np.ndarray:
    return leaf[time]


def labels(spec: EnvSpec, take: Take, time: int) -> list[str]:
    """Each agent's name, and what it did and got in the step before."""
    if time == 0:
        return list(spec.agents)
    rewards = [f"got {reward:.3g}" for reward in take.reward[time - 1]]
    if spec.action_kind == "discrete":
        rewards = [f"did {a}, {r}" for a, r in zip(take.action[time - 1], rewards, strict=True)]
    return [f"{name}: {told}" for name, told in zip(spec.agents, rewards, strict=True)]


def ending(take: Take, time: int) -> str:
    if time < take.steps:
        return ""
    return ", ended" if take.terminated else ", time is up"


def in_words(spec: EnvSpec, returns: np.ndarray) -> str:
    """The mean return [A] of each team's agents."""
    teams = np.asarray(spec.teams)
    means = [returns[teams == team].mean() for team in range(len(spec.team_names))]
    if len(means) == 1:
        return f"return {means[0]:.2f}"
    both = zip(spec.team_names, means, strict=True)
    return "return of " + ", ".join(f"{name} {mean:.2f}" for name, mean in both)
