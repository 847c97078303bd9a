"""Puts trained runs into the zoo: python experiments/zoo/ship.py [RUN ...]

Of each run the team that ever evaluated best becomes policies/ALGORITHM-SUITE-TASK.safetensors,
with what it earns on EPISODES fresh episodes. The table of README.md is made anew of all files.
"""

import re
import sys
from pathlib import Path
from typing import Any

from jmarl import exporting, teams, weights, zoo
from jmarl.checkpoint import iterations
from jmarl.files import write_whole
from jmarl.folder import Folder, open_folder
from jmarl.versions import versions

EPISODES, SEED = 1024, 1
HERE = Path(__file__).parent
OWN = ("out", "quiet", "checkpoint-minutes", "keep-checkpoints")  # the business of whoever trains
HEADING = "| policy | return | random | wins | steps | seed | trained by |"


def main(runs: list[str]) -> None:
    (HERE / "policies").mkdir(exist_ok=True)
    for run in runs:
        print(shipped(open_folder(run)), flush=True)
    readme = HERE / "README.md"
    before, mark, _ = readme.read_text().partition(HEADING)
    assert mark, f"{readme} has no table"
    rows = [row(entry) for entry in zoo.entries().values()]
    readme.write_text("\n".join([before + HEADING, "|" + "---|" * 7, *rows]) + "\n")


def shipped(folder: Folder) -> Path:
    """The policy's file; its scores are those of what it holds."""
    program, learners, scores = teams.trained(folder, checkpoint="best")
    seed, learner = teams.team_of(program, learners, scores, None)
    plan, spec = program.experiment, program.env.spec
    algorithm = plan.recipe.make(spec, plan.config)
    nth = program.seeds.index(seed)
    told = {
        "format": exporting.FORMAT,
        "algorithm": plan.algorithm,
        "seed": seed,
        "checkpoint": "best",
        "episode_return": scores[nth],
        **exporting.sizes(spec),
        "trained": origin(folder, nth),
        "experiment": plan.as_json(),
        "versions": {name: versions()[name] for name in ("packages", "git")},
    }
    path = HERE / "policies" / f"{plan.algorithm}-{plan.run.env.replace('/', '-')}.safetensors"
    write_whole(path, weights.packed(algorithm, spec, learner, told))
    measured = {"evaluated": evaluated(path)}
    write_whole(path, weights.packed(algorithm, spec, learner, told | measured))
    return path


def origin(folder: Folder, nth: int) -> dict[str, Any]:
    """Where its `nth` seed's best comes from, but for where the folder lay."""
    known, newest = folder.read("versions.json"), iterations(folder.checkpoints)[0]
    best = folder.read(f"checkpoints/{newest}/meta.json")["best"]
    command = re.sub(rf" --({'|'.join(OWN)})(?:[ =](?!--)\S+)?", "", known["command"])
    told = {name: known[name] for name in ("packages", "git", "python", "device")}
    return {"command": command, "env_steps": best["env_steps"][nth], **told}


def evaluated(path: Path) -> dict[str, Any]:
    scores, random_scores = teams.evaluate(path, EPISODES, SEED)
    scores = {name: float(x[0]) for name, x in scores.items()}
    return {"episodes": EPISODES, "seed": SEED, "scores": scores, "random_scores": random_scores}


def row(entry: zoo.Entry) -> str:
    wins, trained = entry.scores.get("win_rate"), entry.about["trained"]
    cells = (
        f"`{entry.name}`",
        f"{entry.scores['episode_return']:.4g}",
        f"{entry.random_scores['episode_return']:.3g}",
        "" if wins is None else f"{wins:.2f}",
        f"{entry.steps:,}",
        str(entry.about["seed"]),
        f"`{trained['command']}`",
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main(sys.argv[1:])
