"""The words that end a training."""

from collections.abc import Mapping, Sequence
from typing import Any

from jmarl.statistics import interval
from jmarl.training import Result


def report(result: Result) -> None:
    """The summary that ends a run: what was learned, beside what chance gives."""
    data, plan = result.as_json(), result.experiment
    scores, chance = data["scores"], result.random_scores
    print(f"{plan.algorithm} on {plan.run.env}, {data['env_steps']:,.0f} environment steps")
    print(f"  return        {spread(scores['episode_return'])}, mean over agents")
    for name, values in sorted(scores.items()):
        if name.startswith("episode_return_"):
            team = name.removeprefix("episode_return_")
            mean = sum(values) / len(values)
            print(f"    of {team:<10} {mean:.2f} (random policy {chance[name]:.2f})")
    print(f"  random policy {data['random_return']:.2f}")
    for name in measures(scores):
        print(f"  {name:<13} {spread(scores[name])}, random policy {chance[name]:.2f}")
    compiling = sum(data["compile_seconds"].values())
    print(f"  time          {data['seconds']:,.0f} s and {compiling:,.0f} s of compiling")
    print(f"  updates       {data['updates_per_env_step']:.4g} per environment step")
    if result.path:
        print(f"  folder        {result.path}")


def spread(values: Sequence[float]) -> str:
    """The mean over seeds, with its interval where there are several."""
    mean, low, high = (float(x) for x in interval(values))
    seeds = len(values)
    return f"{mean:.2f}" + f" (95% interval of {seeds} seeds: {low:.2f} to {high:.2f})" * (
        seeds > 1
    )


def measures(scores: Mapping[str, Any]) -> list[str]:
    """What an environment tells of its episodes beside returns and length: win_rate, ..."""
    ours = ("episode_return", "agent_return/", "episode_length")
    return [name for name in scores if not name.startswith(ours)]
