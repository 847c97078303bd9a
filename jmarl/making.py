"""Environments and algorithms by name, and the experiment that a call to train asks for."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jmarl_envs
from jmarl.algorithms import ALL
from jmarl.config import Experiment, experiment, find, hints
from jmarl.fields import ConfigError
from jmarl.preset_files import planned
from jmarl.types import Algorithm, Environment, EnvSpec


def make_env(name: str, **options: Any) -> Environment[Any]:
    """An environment by name, `suite/task` (`jmarl envs` lists them), with options of its own.

    Raises jmarl_envs.UnknownName or BadOption (both ValueErrors), saying what there is.
    """
    return jmarl_envs.make(name, **options)


def make_algorithm(name: str, spec: EnvSpec, preset: str = "", **settings: Any) -> Algorithm[Any]:
    """An algorithm for environments of this spec: four pure functions (jmarl.types.Algorithm).

    Raises ConfigError for unknown names and settings out of bounds.
    """
    if not isinstance(spec, EnvSpec):
        raise ConfigError(f"spec must be an environment's EnvSpec, got {spec!r}")
    known = hints(type(find(name, ALL, "algorithm").config))
    for setting in settings:
        find(setting, known, f"setting of {name} itself")
    made = experiment(name, preset, settings=settings)
    made.recipe.suits(spec, made.config)
    return made.recipe.make(spec, made.config)


def plan_of(
    algorithm: str,
    env: str | Environment[Any],
    preset: str,
    env_options: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Experiment:
    """What to train; an environment has jmarl's name. Raises ConfigError."""
    if isinstance(env, str):
        given = {**settings, "env": own_name(env)} if env else settings
        plan = planned(algorithm, preset, env_options, given)
        return replace(plan, run=replace(plan.run, env=own_name(plan.run.env)))
    require_env(env)
    if env_options:
        raise ConfigError(f"env_options are for environments by name, got {dict(env_options)}")
    plan = planned(algorithm, preset, settings={**settings, "env": env.spec.name})
    return replace(plan, env_options={}, own_env=True)


def require_env(env: Any) -> Environment[Any]:
    """`env`; ConfigError for what is none: a class or function that makes one, say."""
    if isinstance(env, type) or not all(hasattr(env, x) for x in ("spec", "reset", "step")):
        raise ConfigError(
            f"env must be a name, or an environment with spec, reset and step, got {env!r}"
        )
    return env


def own_name(name: str) -> str:
    """jmarl's name of an environment that a library's own id stands for; others as they are."""
    aliases = {
        alias: name for name, entry in jmarl_envs.listings().items() for alias in entry.aliases
    }
    return aliases.get(name, name)


def env_of(plan: Experiment) -> Environment[Any]:
    """The experiment's environment, taking the kind of actions that suits the algorithm best.

    Raises ConfigError if it was an environment of the caller's own.
    """
    if plan.own_env:
        raise ConfigError(f"env must be given, as it was to train: {plan.run.env!r} was your own")
    options, wanted = dict(plan.env_options), plan.run.actions
    listing = jmarl_envs.listings().get(plan.run.env)
    offered = listing.action_kinds if listing else ()
    if wanted != "auto" and offered and wanted not in offered:
        raise ConfigError(f"actions of {plan.run.env} must be {' or '.join(offered)}, got {wanted}")
    if wanted != "auto" and (len(offered) > 1 or not offered):
        options["actions"] = wanted
    elif len(offered) > 1 and "actions" not in options:
        liked = [kind for kind in plan.recipe.action_kinds(plan.config) if kind in offered]
        options |= {"actions": liked[0]} if liked else {}
    return make_env(plan.run.env, **options)


def env_again(plan: Experiment, env: str | Environment[Any]) -> Environment[Any]:
    """The environment to go on in: the one handed over, if it has the name of the run's."""
    if isinstance(env, str):
        return env_of(plan)
    require_env(env)
    if env.spec.name != plan.run.env:
        raise ConfigError(f"env must be the run's, {plan.run.env!r}, got {env.spec.name!r}")
    return env
