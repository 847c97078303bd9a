"""What was learned of payoff tables, beside what can be worked out:

    python experiments/value_decomposition/tables.py RUNS RESULTS

RUNS holds run folders <game>-<label> of feed-forward teams in matrix games whose players all act at
random; RESULTS gets tables.md, where tables stand as rows (agent 0's actions) with slashes between,
and tables.json with every seed's.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from exact import additive, independent, monotonic
from jax import Array

from jmarl.algorithms.qtran import Qtran
from jmarl.algorithms.value_decomposition import take
from jmarl.config import Experiment
from jmarl.folder import open_folder
from jmarl.networks.agents import Unrolled
from jmarl.teams import trained
from jmarl.types import Environment, View

GAMMA = 0.99
TITLES = {1: ("",), 3: ("1", "2A", "2B")}  # of the states, by their number
HEADING = "| game | algorithm | state | learned, mean over seeds | sd | exact | greedy returns |"


def main(runs: Path, results: Path) -> None:
    rows, raw = [HEADING, "|" + "---|" * (HEADING.count("|") - 1)], []
    for summary in sorted(runs.glob("*/summary.json")):
        more, data = describe(summary.parent)
        rows += more
        raw.append(f"{json.dumps(summary.parent.name)}: {json.dumps(data)}")
    results.mkdir(parents=True, exist_ok=True)
    (results / "tables.md").write_text("\n".join(rows) + "\n")
    (results / "tables.json").write_text("{\n" + ",\n".join(raw) + "\n}\n")
    print("\n".join(rows))


def describe(path: Path) -> tuple[list[str], dict[str, Any]]:
    """A row for each state of a run's game, and the numbers of every seed."""
    program, learners, scores = trained(open_folder(path))
    env, plan = program.env, program.experiment
    algorithm: Any = plan.recipe.make(env.spec, plan.config)
    over_views = jax.vmap(lambda view, params: joint_values(algorithm, params, view), (0, None))
    learned = np.asarray(jax.vmap(over_views, (None, 0))(views(env), learners.params))
    returns = np.round(scores, 1)
    counted = zip(*np.unique_counts(returns), strict=True)
    counts = ", ".join(f"{n} x {value:g}" for value, n in counted)
    game, label = path.name.rsplit("-", 1)
    rows = []
    for state, title in enumerate(TITLES[learned.shape[1]]):
        mean, sd = learned[:, state].mean(0), learned[:, state].std(0).max()
        uniform = plan.config.eps_finish == 1
        exact = words(exact_values(plan, env, state)) if uniform else ""
        cells = game, label, title, words(mean), f"{sd:.2f}", exact, counts
        rows.append("| " + " | ".join(cells) + " |")
    return rows, {**origin(path), "returns": returns.tolist(), "learned": rounded(learned)}


def origin(path: Path) -> dict[str, str]:
    """The command and the versions, but for where the folder lay."""
    known = json.loads((path / "versions.json").read_text())
    told = {name: known[name] for name in ("command", "git", "packages", "python", "device")}
    return told | {"command": known["command"].replace(f"{path.parent}/", "")}


def rounded(learned: np.ndarray) -> list[Any]:
    """[seed, state, U, U, K] to four digits."""
    return np.round(learned.astype(float), 4).tolist()


def views(env: Environment[Any]) -> View:
    """Of the states in which something is decided: the first, and where actions 0, 1 lead."""
    key = jax.random.key(0)
    state, view = env.reset(key)
    later = [env.step(state, jnp.array([choice, 0]), key)[1].view for choice in (0, 1)]
    seen = [view, *later] if env.spec.episode_limit > 1 else [view]
    return jax.tree.map(lambda *x: jnp.stack(x), *seen)


def joint_values(algorithm: Any, params: Any, view: View) -> Array:
    """Of all joint actions in one view, [U, U, K]."""
    agents, actions = algorithm.agents, algorithm.spec.action_size
    pairs = jnp.stack(jnp.meshgrid(*[jnp.arange(actions)] * 2, indexing="ij"), -1).reshape(-1, 2)
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(pairs), *x.shape)), view)
    x = agents.inputs(many, jnp.full_like(pairs, -1))
    hidden = agents.apply("encode", params["agent"], x)
    q = agents.apply("head", params["agent"], hidden)
    if isinstance(algorithm, Qtran):
        joint, _ = algorithm.joint(params, Unrolled(q, hidden), many, pairs)
    else:
        joint = algorithm.mixer.apply(params["mixer"], take(q, pairs), many, pairs).joint
    return joint.reshape(actions, actions, -1)


def exact_values(plan: Experiment, env: Any, state: int) -> np.ndarray:
    """What least squares gives under uniform play, [U, U, K].

    In QMIX's place the best monotonic table; for QTRAN, and Qatten with `nonlinear`, the payoffs.
    """
    tables = [np.array(table, float) for table in getattr(env, "env", env).tables]
    free = plan.algorithm == "qtran" or getattr(plan.config, "nonlinear", False)
    express = {"iql": own, "qmix": monotonic}.get(plan.algorithm, additive)
    express = (lambda table: table) if free else express
    if len(tables) > 1 and state == 0:  # no reward, then the best of the table that comes next
        worth = [float(express(table).max()) for table in tables[1:]]
        tables[0] = GAMMA * np.repeat(np.array(worth)[:, None], 2, 1)
    fit = express(tables[state])
    return fit if fit.ndim == 3 else fit[..., None]


def own(table: np.ndarray) -> np.ndarray:
    """IQL's values of joint actions [U, U, 2]: each agent's of its own action."""
    rows, columns = independent(table)
    return np.stack(np.broadcast_arrays(rows[:, None], columns), -1)


def words(table: np.ndarray) -> str:
    """A joint table's rows with slashes between; or each agent's values of its own actions."""
    if table.shape[-1] > 1:
        return f"{line(table[:, 0, 0])} and {line(table[0, :, 1])}"
    return " / ".join(line(row) for row in table[..., 0])


def line(values: np.ndarray) -> str:
    return " ".join(f"{value:.2f}" for value in np.round(values, 2) + 0.0)  # -0 is 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
