"""A run's team for use elsewhere: weights for jmarl, functions for jax alone, JSON for people.

policy.safetensors  what the team acts by; `jmarl.load_policy` reads it
reset.stablehlo     of one agent: what it remembers as an episode opens
act.stablehlo       of one agent: its action, from its own view and memory
policy.json         what the functions take and give, sizes, settings, versions
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jmarl import files, weights
from jmarl import folder as folders
from jmarl.config import Experiment
from jmarl.fields import ConfigError
from jmarl.portable import WORDS, Agent, described
from jmarl.recording import unused
from jmarl.teams import team_of, teams_of
from jmarl.types import Environment, EnvSpec
from jmarl.versions import versions

FORMAT, ABOUT = "jmarl policy 1", "policy.json"
USE = """\
# pip install jax flatbuffers
from pathlib import Path
from jax import export
read = lambda name: bytearray(Path("{folder}", f"{{name}}.stablehlo").read_bytes())
reset, act = (export.deserialize(read(name)).call for name in ("reset", "act"))
carry = reset(agent, keys)  # of b agents, as an episode opens
carry, action = act(agent, carry, view, keys)  # each from its own view
"""


@dataclass(frozen=True)
class Exported:
    """A folder that holds a team's policy."""

    path: Path
    about: Mapping[str, Any]  # what policy.json says

    @property
    def use(self) -> str:
        """How jax alone runs it, in lines of Python."""
        return USE.format(folder=self.path)


def export_policy(
    run: str | Path,
    seed: int | None = None,
    checkpoint: str | int = "newest",
    out: str | Path = "",
    env: Environment[Any] | None = None,
) -> Exported:
    """Write a run's team of training seed `seed` (the best, if None), as it plays in evaluations.

    `out` is a new or empty folder, by default <algorithm>-<environment>-seed-<seed>; `checkpoint`
    and `env` as `load_policy` takes them. Raises ConfigError, or Unwritten and then has written
    nothing.
    """
    program, learners, scores = teams_of(run, env, checkpoint)
    seed, learner = team_of(program, learners, scores, seed)
    plan, spec = program.experiment, program.env.spec
    name = f"{plan.algorithm}-{plan.run.env}-seed-{seed}".replace("/", "-")
    path = destination(out, name)
    score = folders.sound(scores[program.seeds.index(seed)])
    about = {"seed": seed, "checkpoint": checkpoint, "episode_return": score}
    contents = packed(plan, spec, learner, about)
    with files.told(path):
        files.write_folder(path, contents)
    return Exported(path, json.loads(contents[ABOUT]))


def packed(
    plan: Experiment, spec: EnvSpec, learner: Any, about: Mapping[str, Any]
) -> dict[str, bytes]:
    """The files by name."""
    algorithm, entities = plan.recipe.make(spec, plan.config), plan.recipe.entities
    sees_last = entities and plan.config.last_action
    functions = Agent(spec, algorithm.exploit(learner), entities, sees_last).exported()
    told = {
        "format": FORMAT,
        "algorithm": plan.algorithm,
        **about,
        **sizes(spec),
        "functions": described(functions),
        "words": WORDS,
        "experiment": plan.as_json(),
        "versions": {name: versions()[name] for name in ("packages", "git")},
    }
    return {
        **{f"{name}.stablehlo": bytes(x.serialize()) for name, x in functions.items()},
        weights.NAME: weights.packed(algorithm, spec, learner, told),
        ABOUT: (json.dumps(told, indent=2) + "\n").encode(),
    }


def sizes(spec: EnvSpec) -> dict[str, Any]:
    """What a view and an action look like, of each agent."""
    return {
        "env": spec.name,
        "agents": spec.agents,
        "obs_size": spec.obs_sizes,
        "action_kind": spec.action_kind,
        "action_size": spec.action_sizes,
        "action_parts": spec.action_parts,
    }


def destination(out: str | Path, name: str) -> Path:
    """A folder that is new or empty; ConfigError if `out` is not."""
    if not str(out):
        return unused(Path(name).absolute())
    path = folders.place("out", out)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"out must be a new or empty folder, got {str(out)!r}")
    return path
