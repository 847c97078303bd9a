"""The zoo: small trained teams that come with jmarl, by name, zoo/ALGORITHM-SUITE-TASK.

Files of `jmarl export`, whose metadata tells what each was measured to earn. They lie in
experiments/zoo/policies, beside the README that says how they were made; a wheel holds them beside
this file, as policies/.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jmarl import files, weights
from jmarl.fields import ConfigError

HOME = "zoo/"


@dataclass(frozen=True)
class Entry:
    """A team of the zoo, and what its file tells of it."""

    name: str
    path: Path

    @cached_property
    def about(self) -> Mapping[str, Any]:
        return weights.about(self.path)

    @property
    def algorithm(self) -> str:
        return self.about["algorithm"]

    @property
    def env(self) -> str:
        return self.about["experiment"]["run"]["env"]

    @property
    def steps(self) -> int:
        """Environment steps that it was trained for."""
        return self.about["trained"]["env_steps"]

    @property
    def episodes(self) -> int:
        """Fresh ones, that `scores` are means over."""
        return self.about["evaluated"]["episodes"]

    @property
    def scores(self) -> Mapping[str, float]:
        return self.about["evaluated"]["scores"]

    @property
    def random_scores(self) -> Mapping[str, float]:
        """Of the uniform policy."""
        return self.about["evaluated"]["random_scores"]


def entries() -> dict[str, Entry]:
    """All there are, by name."""
    folder = files.brought("policies", "zoo/policies")
    paths = sorted(folder.glob("*.safetensors"))
    return {name: Entry(name, path) for path in paths for name in (HOME + path.stem,)}


def found(run: str | Path) -> Path | None:
    """The file of a policy that a name of the zoo or a path means; None for a run's folder.

    Names go first. Raises ConfigError for what looks like one and is neither that nor a path.
    """
    word, known = str(run), entries()
    if word in known:
        return known[word].path
    file = weights.found(run)
    if file is None and word.startswith(HOME) and not Path(word).exists():
        near = difflib.get_close_matches(word, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"no policy is named {word!r}{hint}; `jmarl zoo` lists them")
    return file
