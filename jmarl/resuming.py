"""Going on with a run: what may change, where it stood, what to tell."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from jmarl import checkpoint, forecast, hosts
from jmarl.config import Experiment, experiment, hints
from jmarl.fields import ConfigError
from jmarl.fit import Fit
from jmarl.folder import Folder
from jmarl.program import Program, Schedule
from jmarl.sinks import told
from jmarl.stderr import say
from jmarl.types import Environment

# settings that leave the program alone
FREE = ("total_steps", "checkpoint_minutes", "keep_checkpoints", "nonfinite")


def altered(plan: Experiment, settings: Mapping[str, Any], named: Mapping[str, Any]) -> Experiment:
    """The run's experiment with other settings, of which only the FREE ones may differ.

    `named` are the algorithm, preset and environment's options, as far as they were given.
    Raises ConfigError telling all that differ.
    """
    rule = "resume must leave the program as it is"
    refuse_changes(rule, flat(plan), flat(plan) | dict(named))
    given = experiment(plan.algorithm, settings=settings)
    run, config = (taken(getattr(plan, x), getattr(given, x), settings) for x in ("run", "config"))
    new = replace(plan, run=run, config=config)
    refuse_changes(rule, flat(plan), flat(new))
    return new


def taken(old: Any, new: Any, names: Mapping[str, Any]) -> Any:
    """`old` with those fields of `names` that it has as they are in `new`."""
    mine = names.keys() & hints(type(old)).keys()
    return replace(old, **{name: getattr(new, name) for name in mine})


def flat(plan: Experiment) -> dict[str, Any]:
    data = plan.as_json()
    options = {f"env.{name}": value for name, value in data.pop("env_options").items()}
    return {**data.pop("run"), **data.pop("config"), **data, **options}


def refuse_changes(rule: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """ConfigError naming every setting but the FREE ones that differs."""
    changes = [
        f"{name} was {old.get(name)!r}, got {new.get(name)!r}"
        for name in sorted(old.keys() | new.keys())
        if name not in FREE and old.get(name) != new.get(name)
    ]
    if changes:
        raise ConfigError(f"{rule} ({', '.join(FREE)} may change): {'; '.join(changes)}")


def resumed(
    folder: Folder, plan: Experiment, make_env: Callable[[Experiment], Environment[Any]]
) -> Fit:
    """A run as its newest whole checkpoint left it, or at its start if it wrote none.

    `plan` becomes its config.json. Raises ConfigError, before anything is changed.
    """
    found = newest(folder)
    if found is None:
        refuse_lost(folder)
        program = Program(make_env(plan), plan)
        fit = Fit(program, folder, memory=forecast.foreseen(program))
        program.refuse_impossible()
        require_sound_metrics(fit)
        say(f"{folder.path} has no checkpoint yet; it begins again")
    else:
        then = Experiment.from_json(found.meta["config"])
        refuse_changes("run must have the config.json that it began with", flat(then), flat(plan))
        program = Program(make_env(plan), plan, Schedule(**found.meta["schedule"]))
        refuse_shorter(program, found.meta)
        fit = Fit(program, folder, memory=forecast.foreseen(program))
        fit.restore(found)
        require_sound_metrics(fit)
        hosts.told(lambda: pass_over(folder, found))
    hosts.told(lambda: keep_settings(folder, plan))
    return fit


def newest(folder: Folder) -> checkpoint.Found | None:
    """The checkpoint to go on from, which the first of several processes finds for all."""
    mine: list[checkpoint.Found | None] = []

    def look() -> int | None:
        mine.append(checkpoint.find(folder.checkpoints))
        return mine[0].iteration if mine[0] else None

    at = hosts.told(look)
    return mine[0] if mine or at is None else checkpoint.known(folder.checkpoints, at)


def keep_settings(folder: Folder, plan: Experiment) -> None:
    if plan != folder.experiment():
        with folder.writing():
            folder.write("config.json", plan.as_json())


def refuse_lost(folder: Folder) -> None:
    """A run without checkpoints begins again, which one that had some must not do unasked."""
    if (folder.path / "summary.json").exists() or not folder.checkpoints.is_dir():
        raise ConfigError(f"run must have its checkpoints, got none in {folder.checkpoints}")


def require_sound_metrics(fit: Fit) -> None:
    """ConfigError for a file that cannot be continued."""
    assert fit.folder is not None
    with fit.folder.writing():
        for seed in fit.program.seeds if hosts.leads() else ():
            told(fit.folder.metrics(seed))


def refuse_shorter(program: Program, meta: Mapping[str, Any]) -> None:
    """ConfigError for fewer steps than are done; as many as before are no fewer, though the last
    rollout and evaluation went beyond them."""
    asked, done = program.experiment.run.total_steps, min(meta["env_steps"])
    same = asked == meta["config"]["run"]["total_steps"]
    if program.schedule.chunks < meta["chunks_done"] or (asked < done and not same):
        raise ConfigError(f"total_steps must be at least the {done:,} that are done, got {asked:,}")


def pass_over(folder: Folder, found: checkpoint.Found) -> None:
    """Set damaged checkpoints aside, and say so."""
    with folder.writing():
        for at in found.damaged:
            checkpoint.set_aside(found.folder, at)
    tell(found)


def tell(found: checkpoint.Found) -> None:
    """Warn of damage on stderr."""
    if found.notice:
        say(found.notice)
