"""The absolute metric of Gorsane et al. (2022): the best teams on ten times the episodes."""

from pathlib import Path
from typing import Any

import numpy as np

from jmarl import folder as folders
from jmarl.config import within
from jmarl.evaluations import ABSOLUTE
from jmarl.files import told
from jmarl.teams import fresh_scores, trained
from jmarl.types import Environment
from jmarl.versions import keep_compiled, versions


def record_absolute(
    run: str | Path,
    episodes: int | None = None,
    seed: int = 0,
    env: Environment[Any] | None = None,
    compile_cache: str | Path = "auto",
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Scores of each seed's best team, by name, [seeds] each; and the random policy's.

    On fresh episodes, by default ten times those of the run's evaluations. They are kept as
    absolute.json in the run's folder, where `compare` finds them. `env` as `load_policy` takes it,
    `compile_cache` as `train` does.
    """
    keep_compiled(compile_cache)
    folder = folders.open_folder(run)
    asked = 10 * folder.experiment().run.eval_episodes if episodes is None else episodes
    episodes = within("episodes", asked, 1, 10**6)
    seed = within("seed", seed, 0, 2**31 - 1)
    program, learners, best = trained(folder, env, "best")
    scores = fresh_scores(program, learners, episodes, seed)
    with told(folder.path / ABSOLUTE):
        folder.write(
            ABSOLUTE,
            {
                "episodes": episodes,
                "seed": seed,
                "best": best,
                "scores": {name: values.tolist() for name, values in scores.items()},
                "versions": versions(),
            },
        )
    return scores, program.random_return()
