"""Fields of configs: a default, what it may be, and whether it shapes the program.

A `knob` is a number that stays a traced leaf, so that a grid of values vmaps in one program;
a `static` is part of the program. Comments behind fields are their help text.
"""

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from flax import struct


class ConfigError(ValueError):
    """A setting that cannot be: the message names the field, its value and what is allowed."""


def knob(default: float, above: float | None = None, **bounds: float) -> Any:
    """A traced number. Bounds: `above` (excluded), `low`, `high` (included)."""
    return struct.field(default=default, metadata={"above": above, **bounds})


def static(default: Any, above: float | None = None, **bounds: float) -> Any:
    """A setting that shapes the program; bounds as `knob`'s, for each entry of a tuple, which has
    at least `entries`."""
    metadata = {"above": above, **bounds}
    return struct.field(pytree_node=False, default=default, metadata=metadata)


def check(config: Any) -> None:
    """Raise ConfigError for the first field of a dataclass that is out of its bounds or choices."""
    hints = get_type_hints(type(config))
    for field in fields(config):
        value = getattr(config, field.name)
        allowed = unlisted(value, hints[field.name]) or out_of_bounds(value, field.metadata)
        if allowed:
            raise ConfigError(f"{field.name} must be {allowed}, got {value!r}")


def unlisted(value: Any, hint: Any) -> str:
    """The choices there are, if the type lists them and `value` is none of them."""
    choices = get_args(hint) if get_origin(hint) is Literal else (value,)
    return "" if value in choices else f"one of {', '.join(map(str, choices))}"


def out_of_bounds(value: Any, rule: Any) -> str:
    """The bound that `value`, or an entry of it, breaks. NaN breaks every bound.

    Counts must fit the 32 bits that programs count with, unless `below` says otherwise.
    """
    above, low, high = (rule.get(name) for name in ("above", "low", "high"))
    if isinstance(value, tuple) and len(value) < rule.get("entries", 0):
        return "one number or more"
    for entry in value if isinstance(value, tuple) else (value,):
        if type(entry) is int and entry >= (below := rule.get("below", 2**31)):
            return "below 2**31" if below == 2**31 else f"below {below:,}"
        if above is not None and not entry > above:
            return f"above {above:g}"
        if low is not None and high is not None and not low <= entry <= high:
            return f"between {low:g} and {high:g}"
        if low is not None and not entry >= low:
            return f"at least {low:g}"
        if high is not None and not entry <= high:
            return f"at most {high:g}"
    return ""
