"""Names to environments; a suite's library is imported when one of its environments is made."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module, resources
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from jmarl.types import Environment, EnvSpec
from jmarl_envs.catalogue import Entry, Factory, Listing, UnknownName, did_you_mean, options_of

SUITES = (  # modules with ENTRIES, cheap to import
    "jmarl_envs.toys",
    "jmarl_envs.matrix",
    "jmarl_envs.grid",
    "jmarl_envs.pursuit",
    "jmarl_envs.group_matching",
    "jmarl_envs.mpe",
    "jmarl_envs.jaxmarl_suite",
    "jmarl_envs.particle",
    "jmarl_envs.jumanji_suite",
    "jmarl_envs.smax",
)
GROUP = "jmarl.environments"  # entry points: a name `suite/task` and its factory
_OUTSIDE: dict[str, Entry] = {}


def make(name: str, **options: Any) -> Environment[Any]:
    """The environment called `name` (`suite/task`, or a library's own id)."""
    return _find(name).make(**options)


def register(name: str, factory: Factory, listing: Listing | None = None) -> None:
    """Make `factory(**options)` known as `name`; its signature says which options it takes."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ValueError(f"an environment is named suite/task, not {name!r}")
    if name in _by_name():
        raise ValueError(f"there is an environment named {name!r} already")
    _OUTSIDE[name] = Entry(name, factory, listing or Listing(), options_of(factory))


def names() -> tuple[str, ...]:
    """Every environment's name, those whose packages are missing too."""
    return tuple(entry.name for entry in _entries())


def entry(name: str) -> Entry:
    """What the registry holds of the environment called `name`."""
    return _find(name)


def listings() -> dict[str, Listing]:
    """What there is to know of every environment; only those without recorded facts are made."""
    return {entry.name: _listing(entry) for entry in _entries()}


def spec_facts(spec: EnvSpec) -> dict[str, Any]:
    """The part of a listing that a made environment tells."""
    return {
        "agents": spec.agents,
        "obs_sizes": spec.obs_sizes,
        "action_parts": spec.action_parts,
        "state_size": spec.state_size,
        "num_entities": spec.num_entities,
        "entity_size": spec.entity_size,
        "episode_limit": spec.episode_limit,
        "teams": spec.teams,
        "team_names": spec.team_names,
        "team_reward": spec.team_reward,
        "action_kinds": (spec.action_kind,),
    }


def _entries() -> Iterator[Entry]:
    for suite in SUITES:
        yield from import_module(suite).ENTRIES
    yield from _installed()
    yield from _OUTSIDE.values()


@cache
def _installed() -> tuple[Entry, ...]:
    """What other packages offer; their code is loaded when it is asked for."""
    return tuple(Entry(point.name, _Loaded(point)) for point in entry_points(group=GROUP))


class _Loaded:
    """An entry point's factory, loaded at its first call."""

    def __init__(self, point: EntryPoint) -> None:
        self.point = point

    def __call__(self, **options: Any) -> Environment[Any]:
        factory = self.point.load()
        return Entry(self.point.name, factory, options=options_of(factory)).make(**options)


def _by_name() -> dict[str, Entry]:
    return {name: entry for entry in _entries() for name in (entry.name, *entry.aliases)}


def _find(name: str) -> Entry:
    known = _by_name()
    if name not in known:
        if any(other.startswith(f"{name}/") for other in known):
            told = f"`jmarl envs {name}` lists that suite's"
            raise UnknownName(f"environment must be a name with its task, got {name!r}; {told}")
        hint = did_you_mean(str(name), known)
        raise UnknownName(f"no environment is named {name!r}{hint} (`jmarl envs` lists them all)")
    return known[name]


def _listing(entry: Entry) -> Listing:
    options = entry.options or {}
    listing = replace(
        entry.listing,
        name=entry.name,
        missing=entry.missing,
        aliases=entry.aliases,
        options=tuple((name, repr(o.default), o.allowed()) for name, o in options.items()),
    )
    facts = _recorded().get(entry.name) or ({} if entry.missing else _asked(entry))
    listing = replace(listing, **facts)
    kinds = options["actions"].choices if "actions" in options else listing.action_kinds
    return replace(listing, action_kinds=kinds)


def _asked(entry: Entry) -> dict[str, Any]:
    """Facts from making the environment; one that cannot be made must not hide the others."""
    try:
        return spec_facts(entry.make().spec)
    except Exception as error:
        return {"defects": (*entry.listing.defects, f"cannot be made: {error}")}


@cache
def _recorded() -> dict[str, dict[str, Any]]:
    """Facts by name, as experiments/random_returns.py wrote them."""
    text = resources.files("jmarl_envs").joinpath("facts.json").read_text("utf-8")
    return {name: _as_tuples(facts) for name, facts in json.loads(text).items()}


def _as_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_tuples(item) for key, item in value.items()}
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value
