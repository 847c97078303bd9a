"""What `jmarl compare` prints: tables, and what one must know to read them."""

import shlex
from collections.abc import Iterator

from rich.table import Table

import jmarl_envs
from jmarl.comparison import Comparison, Measured, iqm
from jmarl.evaluations import is_rate
from jmarl.marl_eval import unlike
from jmarl.statistics import Estimate
from jmarl.variants import Variant

ADVISED_SEEDS = 10  # Gorsane et al., 2022


def tables(found: Comparison) -> Iterator[tuple[str, Table]]:
    """With what to say above each."""
    for measured in found.measures:
        by = f"{measured.name}, {measured.compared}"
        yield measured.name, scores(measured)
        if measured.aggregates and len(measured.tasks) > 1:
            scale = "" if is_rate(measured.name) else ", 0 and 1 the worst and best of each"
            yield f"{by}: {len(measured.tasks)} tasks together{scale}", aggregates(measured)
        if measured.improvements:
            yield f"{by}: probability of improvement", improvements(measured)


def scores(measured: Measured) -> Table:
    """What each variant came to on each task."""
    absolute = any(variant.absolute(measured.name) is not None for variant in measured.variants)
    columns = ["seeds", "steps", "IQM of last", "mean of last", "IQM of best"]
    columns += ["IQM of absolute"] * absolute
    table = Table("task", "algorithm", *columns)
    for variant in measured.variants:
        table.add_row(variant.task, variant.label, *score_row(variant, measured.name, absolute))
    return table


def score_row(variant: Variant, measure: str, absolute: bool) -> Iterator[str]:
    last, recorded = variant.last(measure), variant.absolute(measure)
    yield str(len(last))
    yield f"{variant.env_steps[-1]:,.0f}"
    yield in_words(iqm(last))
    yield f"{last.mean():.3f}"
    yield in_words(iqm(variant.best(measure)))
    if absolute:
        yield "" if recorded is None else in_words(iqm(recorded))


def aggregates(measured: Measured) -> Table:
    table = Table("algorithm", "IQM")
    for label, estimate in measured.aggregates.items():
        table.add_row(label, in_words(estimate))
    return table


def improvements(measured: Measured) -> Table:
    """Pairs down, tasks across."""
    scopes = list(dict.fromkeys(x.task for x in measured.improvements))
    names = [scope or "all tasks" for scope in scopes]
    table = Table("a seed of", "above one of", *names)
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for x in measured.improvements:
        cells.setdefault((x.first, x.second), {})[x.task] = in_words(x.probability)
    for pair, by_scope in cells.items():
        table.add_row(*pair, *(by_scope.get(scope, "") for scope in scopes))
    return table


def in_words(estimate: Estimate) -> str:
    value, low, high = (float(x) for x in estimate)
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def notes(found: Comparison) -> Iterator[str]:
    """What the numbers are, and what environments pay."""
    yield "IQM: interquartile mean; in brackets 95% stratified bootstrap intervals over seeds."
    yield "Best: each seed's evaluation with the highest return, so better than it plays."
    yield "Returns: an episode's sum, mean over agents (some sum over agents: times their number)."
    for task in found.tasks:
        if paid := reward(task):
            yield f"Reward of {paid}"


def reward(task: str) -> str:
    """What a task's environment pays, in words; "" if the registry does not tell."""
    name = task.split(" ")[0]
    try:
        paid = jmarl_envs.entry(name).listing.reward
    except jmarl_envs.UnknownName:
        return ""
    return f"{name}: {paid}" if paid else ""


def cautions(found: Comparison, exported: bool = False) -> Iterator[str]:
    """What makes the numbers weaker than they look, or an export of no use; a line each."""
    counts = sorted({len(variant.seeds) for variant in found.variants})
    if counts[0] < ADVISED_SEEDS:
        seeds = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
        advised = f"{ADVISED_SEEDS} are advised (Gorsane et al., 2022)"
        yield f"seeds of each algorithm: {seeds}; {advised}"
    for run in (run for variant in found.variants for run in variant.runs):
        if run.unfinished:
            done = f"{run.env_steps[-1].mean():,.0f} of {run.total_steps:,}"
            yield f"{run.path} is unfinished: {done} steps"
        if run.stale:
            again = f"jmarl eval {shlex.quote(str(run.path))} --record"
            yield f"{run.path} has better teams than its absolute metric is of: {again}"
    yield from unlike_ends(found)
    for measured in found.measures:
        if measured.missing:
            lacks = ", ".join(f"{label} has no {task}" for label, task in measured.missing)
            yield f"no {measured.name} over all tasks: {lacks}"
    if exported and (faults := unlike(found.variants)):
        yield f"marl-eval draws nothing over tasks from {faults}"


def unlike_ends(found: Comparison) -> Iterator[str]:
    for task in found.tasks:
        ends = [v.env_steps[-1] for v in found.variants if v.task == task]
        if min(ends) < 0.95 * max(ends):
            yield f"runs on {task} end after {min(ends):,.0f} to {max(ends):,.0f} steps"
