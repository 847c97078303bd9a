"""The official PyTorch MADDPG and MAAC (of their authors) beside ours: a case, and its settings in
each side's own words. How often a gradient step comes is theirs; ours is asked for as many.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from jmarl.config import Experiment, experiment, find
from jmarl.fields import ConfigError

STEPS = 100  # of each environment in one of our rollouts: theirs learns every 100 steps of all
TASKS = {  # their names, and the steps of an episode in their paper
    ("maddpg", "particle/simple_spread"): ("simple_spread", 25),
    ("maac", "particle/treasure_collection"): ("fullobs_collect_treasure", 100),
    ("maac", "particle/rover_tower"): ("multi_speaker_listener", 25),
}
ALGORITHMS = tuple(dict.fromkeys(name for name, _ in TASKS))
PRESETS = {"maddpg": "iqbal", "maac": "official"}
WIDTH = {"maddpg": 64, "maac": 128}
AIMS = {"maddpg": 20.0, "maac": 5.0}  # times their speed, by the project's own aim
FOREVER = 10**9


@dataclass(frozen=True)
class Case:
    """`rollouts` times 100 steps of each of `num_envs` environments, in whole episodes."""

    algorithm: str
    env: str
    num_envs: int
    rollouts: int = 10
    batch: int = 1024  # transitions in a gradient step; MADDPG's agents each draw their own
    width: int = 0  # of all layers
    buffer: int = 100_000  # transitions remembered
    length: int = 1  # steps of a transition
    lots: int = 1  # of which a gradient step learns from one
    seeds: int = 1

    @property
    def label(self) -> str:
        plural = "s" * (self.num_envs > 1)
        return f"{self.algorithm} on {self.env}, {self.num_envs} environment{plural}"

    @property
    def episode(self) -> int:
        return TASKS[self.algorithm, self.env][1]

    @property
    def env_steps(self) -> int:
        return self.rollouts * STEPS * self.num_envs

    @property
    def gradient_steps(self) -> int:
        """As many as their loop takes: at the first step after every 100 of all environments, once
        a batch is remembered; MADDPG as many as environments, MAAC four."""
        due = range(STEPS, self.env_steps + 1, STEPS)
        firsts = (math.ceil(steps / self.num_envs) * self.num_envs for steps in due)
        times = sum(self.batch <= first <= self.env_steps for first in firsts)
        return times * (self.num_envs if self.algorithm == "maddpg" else 4)

    @property
    def warmup(self) -> int:
        """Our rollouts before the one after which a batch is remembered, whence we learn too."""
        return math.ceil(self.batch / (STEPS * self.num_envs)) - 1

    @property
    def updates(self) -> int:
        """Our rollouts that are learned from."""
        return self.rollouts - self.warmup

    @property
    def even(self) -> bool:
        """Whether our rollouts can share out as many gradient steps."""
        return self.updates > 0 and self.gradient_steps > 0 == self.gradient_steps % self.updates

    @property
    def plan(self) -> Experiment:
        return experiment(self.algorithm, PRESETS[self.algorithm], settings=ours(self))


def case(algorithm: str, env: str, num_envs: int, updates: int = 10, **given: Any) -> Case:
    """One with the settings of the official main.py, of at least `updates` rollouts; the next
    number of them with which both sides take equally many gradient steps.

    Raises ConfigError where the official code has no such task.
    """
    envs = [task for name, task in TASKS if name == algorithm]
    find(env, envs, f"environment of both sides for {algorithm}")
    if not 1 <= num_envs <= STEPS:
        raise ConfigError(f"rungs must be from 1 to {STEPS} for {algorithm}, got {num_envs}")
    first = Case(algorithm, env, num_envs, **({"width": WIDTH[algorithm]} | given))
    for rollouts in range(updates, updates + 100):
        made = replace(first, rollouts=rollouts)
        if made.even:
            return made
    raise ConfigError(
        f"updates must be lower for {algorithm} in {num_envs} environments, as no rollouts near it "
        f"share out the official program's gradient steps, got {updates}"
    )


# --- in each side's words -----------------------------------------------------------------------


def ours(made: Case) -> dict[str, Any]:
    """Settings of `jmarl train`; a truncated episode takes one position more than it has steps."""
    positions = STEPS // made.episode * (made.episode + 1)
    widths = {"hidden_dim": (made.width, made.width)}
    each = made.num_envs * positions
    return {
        "env": made.env,
        "num_envs": made.num_envs,
        "rollout_length": positions,
        "total_steps": made.rollouts * each,
        "evaluations": 1,
        "buffer_size": made.buffer,
        "batch_size": made.batch,
        "warmup_steps": made.warmup * each,
        "env_steps_per_update": each * made.updates / made.gradient_steps,
        **(widths if made.algorithm == "maddpg" else {**widths, "critic_dim": made.width}),
    }


def theirs(made: Case, threads: int) -> dict[str, Any]:
    """The arguments of their main.py; what is not the case's is its default."""
    common = {
        "env_id": TASKS[made.algorithm, made.env][0],
        "model_name": "timed",
        "n_rollout_threads": made.num_envs,
        "buffer_length": made.buffer,
        "n_episodes": made.env_steps // made.episode,
        "episode_length": made.episode,
        "steps_per_update": STEPS,
        "batch_size": made.batch,
        "save_interval": FOREVER,
    }
    if made.algorithm == "maddpg":
        return common | {
            "seed": 0,
            "n_training_threads": threads,
            "n_exploration_eps": 25000,
            "init_noise_scale": 0.3,
            "final_noise_scale": 0.0,
            "hidden_dim": made.width,
            "lr": 0.01,
            "tau": 0.01,
            "agent_alg": "MADDPG",
            "adversary_alg": "MADDPG",
            "discrete_action": True,
        }
    return common | {
        "num_updates": 4,
        "pol_hidden_dim": made.width,
        "critic_hidden_dim": made.width,
        "attend_heads": 4,
        "pi_lr": 0.001,
        "q_lr": 0.001,
        "tau": 0.001,
        "gamma": 0.99,
        "reward_scale": 100.0,
        "use_gpu": False,
    }


def both(made: Case, threads: int) -> dict[str, Any]:
    """For the record."""
    sides = {"jmarl": ours(made), "official": theirs(made, threads)}
    return {"case": asdict(made), "aim": AIMS[made.algorithm], **sides}
