"""Whether rovers attend to their own towers: `python experiments/maac/own_tower.py RUN [EPISODES]`.

For every checkpoint of a MAAC run on Rover-Tower (keep many: --keep-checkpoints) the weight that
a rover's critic gives to its own tower, by head, over episodes that its team plays as in training;
alike is one over the other agents. Prints a JSON line for each checkpoint and training seed.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.folder import open_folder
from jmarl.program import Program
from jmarl.recording import record
from jmarl.teams import trained


def main(run: Path, episodes: int) -> None:
    """Lines for the checkpoints in the order of training."""
    folder = open_folder(run)
    found = sorted(
        int(path.name) for path in (run / "checkpoints").iterdir() if path.name.isdigit()
    )
    for iteration in found:
        program, learners, _ = trained(folder, checkpoint=iteration)
        for at, seed in enumerate(program.seeds):
            learner = jax.tree.map(lambda x, at=at: x[at], learners)
            heads = own_tower(program, learner, episodes).tolist()
            share = {"mean": sum(heads) / len(heads), "heads": heads}
            print(json.dumps({"env_steps": steps(program, iteration), "seed": seed, **share}))


def own_tower(program: Program, learner: Any, episodes: int) -> Array:
    """[heads] mean weight of a rover's own tower."""
    algorithm: Any = program.loop(program.experiment.config).algorithm
    clock = program.loop(program.experiment.config).clock(0)
    played = record(program.env, algorithm.explore(learner, clock), jax.random.key(0), episodes)
    tower = played.state.inner.extra.tower[:-1]  # [T, N, P] of each rover
    pairs = tower.shape[-1]
    weights = jax.jit(algorithm.attention)(learner, played.batch()).weights[:, :, :pairs]
    at = (pairs + tower)[..., None, None]  # towers come after the rovers
    return jnp.take_along_axis(weights, at, -1)[..., 0].mean((0, 1, 2))


def steps(program: Program, iteration: int) -> int:
    """Of the environments; a position of every episode only resets."""
    shape, limit = program.shape, program.env.spec.episode_limit
    return round(iteration * shape.num_envs * shape.rollout_length * limit / (limit + 1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 64)
