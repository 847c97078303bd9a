"""The game of MADDPG's Proposition 1 (Lowe et al. 2017, section 4.1 and appendix)."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import EnvSpec, Key, Outcome, View
from jmarl_envs.catalogue import Count
from jmarl_envs.common import agent_names, open_view, outcome
from jmarl_envs.scene import INK, PAPER, Circle, Scene, Shape, Text, colour
from jmarl_envs.time_limit import TimeLimit

Target = Literal["ones", "equal"]


class Proposition1:
    """One step, binary actions, nothing to see but a constant 1.

    All earn 1 if all choose 1 (`ones`: what the proof uses), or if all choose the same (`equal`:
    what the statement says). Under uniform play the reward's mean is 0.5^N, or twice that, and a
    single sample's policy gradient points the right way with probability 0.5^N (`ones`).
    """

    def __init__(self, num_agents: int, target: Target) -> None:
        self.target: Target = target
        self.spec = EnvSpec(
            name="matrix/proposition1",
            agents=agent_names(num_agents),
            obs_sizes=(1,) * num_agents,
            action_kind="discrete",
            action_parts=((2,),) * num_agents,
            state_size=num_agents,
            episode_limit=1,
            teams=(0,) * num_agents,
            team_reward="shared",
            agent_features=(num_agents, 1),
        )

    def reset(self, key: Key) -> tuple[Array, View]:
        """The state [A] int32 holds what was chosen: -1 before the step."""
        return jnp.full(self.spec.num_agents, -1, jnp.int32), self.view()

    def step(self, state: Array, action: Array, key: Key) -> tuple[Array, Outcome]:
        wanted = 1 if self.target == "ones" else action[0]
        won = (action == wanted).all()
        reward = jnp.full(self.spec.num_agents, won, jnp.float32)
        return action.astype(jnp.int32), outcome(self.view(), reward, terminated=True)

    def view(self) -> View:
        ones = jnp.ones(self.spec.num_agents)
        return open_view(self.spec, ones[:, None], ones)

    def draw(self, state: Array) -> Scene:
        """The agents in a row with their choices: 1 in one colour, 0 in another."""
        shapes: list[Shape] = []
        for agent, choice in enumerate(np.asarray(state).tolist()):
            paint = PAPER if choice < 0 else colour(choice)
            words = "?" if choice < 0 else str(choice)
            shapes.append(Circle(agent + 0.5, 0.6, 0.36, paint, INK, agent))
            shapes.append(Text(agent + 0.5, 0.6, words, 0.4, INK if choice < 0 else PAPER))
        wanted = "all 1" if self.target == "ones" else "all equal"
        return Scene(0, 0, max(self.spec.num_agents, 4), 1.2, tuple(shapes), f"pays for {wanted}")


def proposition1(num_agents: Count = 2, target: Target = "ones") -> TimeLimit[Array]:
    """Ends truly after its one step."""
    return TimeLimit(Proposition1(num_agents, target))
