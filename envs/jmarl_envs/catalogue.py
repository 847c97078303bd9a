"""What the registry holds: entries, their options, and what is told without making anything."""

import difflib
import importlib.util
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from numbers import Integral, Real
from typing import Annotated, Any, Literal, NamedTuple, cast, get_args, get_origin

from jmarl.types import ActionKind, Environment

Factory = Callable[..., Environment[Any]]


class UnknownName(ValueError):
    """No environment, or no option of it, has this name."""


class BadOption(ValueError):
    """An option's value is not one of those allowed."""


class MissingPackage(ValueError):
    """An environment needs a package that is not installed; the message says how to install it."""


class Range(NamedTuple):
    """The bounds of a number, to annotate a factory's parameter with."""

    least: float | None = None
    most: float | None = None


Count = Annotated[int, Range(1)]


@dataclass(frozen=True)
class Option:
    """One keyword of a factory: its default and what it may be. None as default: anything."""

    default: Any = None
    choices: tuple[Any, ...] = ()
    least: float | None = None
    most: float | None = None

    def accepts(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if isinstance(value, bool) and isinstance(self.default, Real):
            return isinstance(self.default, bool)  # True is no number here
        if not isinstance(value, self._kind()):
            return False
        return not isinstance(value, Real) or self._within(cast(float, value))

    def _within(self, number: float) -> bool:
        if not isinstance(number, Integral) and not isfinite(number):
            return False
        above = self.least is None or number >= self.least
        return above and (self.most is None or number <= self.most)

    def allowed(self) -> str:
        """In words, for messages and listings."""
        if self.choices:
            return "one of " + ", ".join(repr(choice) for choice in self.choices)
        nouns = {bool: "True or False", Integral: "an integer", Real: "a number", str: "a text"}
        words = nouns.get(self._kind(), "any value")
        if self.least is not None and self.most is not None:
            return f"{words} from {self.least:.12g} to {self.most:.12g}"
        return words if self.least is None else f"{words} of at least {self.least:.12g}"

    def _kind(self) -> type:
        kinds = {bool: bool, int: Integral, float: Real, str: str}
        return kinds.get(type(self.default), object)


@dataclass(frozen=True)
class Listing:
    """What is told of an environment with its default options, without making it.

    The first four fields are written by hand; `jmarl_envs.listings` fills in the others.
    """

    summary: str = ""
    reward: str = ""  # the convention, in words
    lacks: tuple[str, ...] = ()
    defects: tuple[str, ...] = ()
    name: str = ""
    missing: str = ""  # why it cannot be made here, and the command that mends it
    aliases: tuple[str, ...] = ()
    options: tuple[tuple[str, str, str], ...] = ()  # name, default, what is allowed
    action_kinds: tuple[ActionKind, ...] = ()
    agents: tuple[str, ...] = ()
    obs_sizes: tuple[int, ...] = ()
    action_parts: tuple[tuple[int, ...], ...] = ()
    state_size: int = 0
    num_entities: int = 0
    entity_size: int = 0
    episode_limit: int = 0
    teams: tuple[int, ...] = ()
    team_names: tuple[str, ...] = ()
    team_reward: str | None = None
    random_return: tuple[tuple[str, float, float], ...] = ()  # team, mean over agents, std. error
    measured: str = ""  # how random_return was found; empty if it was not


class Needs(NamedTuple):
    """A package beyond jmarl's own requirements, and the extra that brings it."""

    package: str
    extra: str

    def missing(self) -> str:
        """Why nothing can be made here, in words; empty where the package is installed."""
        if importlib.util.find_spec(self.package) is not None:
            return ""
        return f"needs {self.package}, which is not installed: pip install 'jmarl[{self.extra}]'"


class Peer(NamedTuple):
    """The same environment, as its library makes it: what we are compared and timed beside."""

    library: Literal["jaxmarl", "jumanji"]
    make: Callable[[], Any]  # with the library's own limit


@dataclass(frozen=True)
class Entry:
    """A name and the way to make what it stands for. `options` None: any are handed on."""

    name: str
    factory: Factory
    listing: Listing = field(default_factory=Listing)
    options: Mapping[str, Option] | None = None
    aliases: tuple[str, ...] = ()
    needs: Needs | None = None
    peer: Peer | None = None

    @property
    def missing(self) -> str:
        """Why it cannot be made on this machine; empty where it can."""
        return self.needs.missing() if self.needs else ""

    def make(self, **given: Any) -> Environment[Any]:
        if self.missing:
            raise MissingPackage(f"{self.name} {self.missing}")
        for name, value in given.items() if self.options is not None else ():
            self._check(name, value)
        return self.factory(**given)

    def _check(self, name: str, value: Any) -> None:
        options = self.options or {}
        if name not in options:
            allowed = ", ".join(options) or "none"
            hint = did_you_mean(name, options)
            raise UnknownName(f"{self.name} has no option {name!r}{hint} (allowed: {allowed})")
        if not options[name].accepts(value):
            allowed = options[name].allowed()
            raise BadOption(f"{self.name}: {name} must be {allowed}, not {value!r}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'; did you mean ...?' with the nearest of `known`, or nothing."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    near = near or [other for other in known if len(name) > 2 and name in other]
    near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def options_of(factory: Factory) -> Mapping[str, Option] | None:
    """A factory's options, read off its signature: defaults, Literal choices and Range bounds."""
    parameters = inspect.signature(factory, eval_str=True).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return {parameter.name: _option(parameter) for parameter in parameters}


def _option(parameter: inspect.Parameter) -> Option:
    default = None if parameter.default is parameter.empty else parameter.default
    if get_origin(parameter.annotation) is Literal:
        return Option(default, choices=get_args(parameter.annotation))
    marks = getattr(parameter.annotation, "__metadata__", ())
    bounds = next((mark for mark in marks if isinstance(mark, Range)), Range())
    return Option(default, least=bounds.least, most=bounds.most)
