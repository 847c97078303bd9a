"""What configs may hold, and what is said about what they may not."""

from dataclasses import dataclass
from typing import Any, Literal

import jax
import pytest
from flax import struct

from jmarl.fields import ConfigError, check, knob, static


class Config(struct.PyTreeNode):
    lr: float = knob(0.1, low=0)
    share: float = knob(0.5, low=0, high=1)
    scale: float = knob(1.0, above=0)
    part: float = knob(0.5, above=0, high=1)
    cap: float = knob(0.5, high=1)
    free: float = knob(-7.0)
    widths: tuple[int, ...] = static((64, 64), low=1)
    size: int = static(8, above=0)
    mode: Literal["one", "two"] = static("one")
    flag: bool = static(False)


@dataclass(frozen=True)
class Plain:
    """Settings that are no pytree, as the run's own are."""

    size: int = static(8, low=1)


def test_defaults_pass() -> None:
    check(Config())
    check(Plain())


@pytest.mark.parametrize(
    "good",
    [
        *(
            {"lr": 0.0},
            {"share": 0.0},
            {"share": 1.0},
            {"scale": 1e-9},
            {"cap": -1e9},
            {"cap": 1.0},
        ),
        *({"part": 1.0}, {"free": 1e9}, {"widths": (1,)}, {"widths": ()}, {"mode": "two"}),
    ],
)
def test_bounds_that_are_included_pass(good: dict[str, Any]) -> None:
    check(Config(**good))


NAN = float("nan")


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        *(("lr", -0.1, "at least 0"), ("lr", NAN, "at least 0")),
        *(("share", v, "between 0 and 1") for v in (-0.1, 1.1, NAN)),
        *(("scale", v, "above 0") for v in (0.0, -1.0, NAN)),
        *(("part", 0.0, "above 0"), ("part", 1.1, "at most 1"), ("part", NAN, "above 0")),
        *(("cap", v, "at most 1") for v in (1.1, NAN)),
        *(("widths", v, "at least 1") for v in ((64, 0), (-1, 64))),
        ("size", 0, "above 0"),
        ("mode", "three", "one of one, two"),
    ],
)
def test_the_message_names_field_value_and_what_is_allowed(
    field: str, value: Any, allowed: str
) -> None:
    with pytest.raises(ConfigError) as error:
        check(Config(**{field: value}))
    assert str(error.value) == f"{field} must be {allowed}, got {value!r}"
    assert isinstance(error.value, ValueError)


def test_plain_dataclasses_are_checked_too() -> None:
    with pytest.raises(ConfigError, match="size must be at least 1, got 0"):
        check(Plain(size=0))


def test_knobs_are_leaves_and_statics_are_the_program() -> None:
    """So numbers vmap in one program, and another choice is another program."""
    assert jax.tree.leaves(Config()) == [0.1, 0.5, 1.0, 0.5, 0.5, -7.0]
    same, other = jax.tree.structure(Config(lr=3.0)), jax.tree.structure(Config(mode="two"))
    assert jax.tree.structure(Config()) == same != other
