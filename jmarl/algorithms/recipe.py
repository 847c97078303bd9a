"""What the rest of jmarl must know of an algorithm: how to make it, feed it, and preset it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from jmarl.fields import ConfigError
from jmarl.types import ActionKind, Algorithm, EnvSpec, Memory

MOST_UPDATES = 2**31 - 1  # of a rollout; they are counted in 32 bits


@dataclass(frozen=True)
class Preset:
    """A config, and what the loop should be set to with it (num_envs, rollout_length, ...)."""

    config: Any
    loop: Mapping[str, int] = field(default_factory=dict)
    summary: str = ""


@dataclass(frozen=True)
class Plan:
    """How an algorithm wants to be fed: rollouts before learning, updates after each."""

    warmup_rollouts: int = 0
    updates_per_rollout: int = 1
    updates_asked: float = 0.0  # for each rollout, before rounding; 0 where nobody asks
    warmup: str = ""  # the setting that it comes from, in words


def off_policy_plan(config: Any, num_envs: int, rollout_length: int) -> Plan:
    """Keeps `env_steps_per_update` whatever the number of environments; at least one update."""
    steps = num_envs * rollout_length
    asked = updates_asked(config, "env_steps_per_update", steps)
    return Plan(math.ceil(config.warmup_steps / steps), max(1, round(asked)), asked, "warmup_steps")


def updates_asked(config: Any, name: str, collected: int) -> float:
    """Gradient steps for what a rollout collects, when one comes with each `name` of it. Raises
    ConfigError for more than can ever be done."""
    least = collected / MOST_UPDATES
    if getattr(config, name) < least:
        raise ConfigError(
            f"{name} must be at least {least:.3g}, that a rollout has at most {MOST_UPDATES:,} "
            f"gradient steps, got {getattr(config, name)}"
        )
    return collected / getattr(config, name)


def anything(spec: EnvSpec, config: Any) -> None:
    """Refuses no environment."""


def never(config: Any) -> bool:
    return False


def always(config: Any) -> bool:
    return True


def nothing(config: Any) -> str:
    """No warning."""
    return ""


def of_replays(config: Any) -> set[str]:
    """What a batch and a replay hold, of algorithms that have them."""
    return {"batch_size", "buffer_size"} & {field.name for field in fields(config)}


@dataclass(frozen=True)
class Recipe:
    """An entry of `ALL`. The functions take the config, so numbers in it may be traced."""

    name: str
    summary: str
    config: Any  # its defaults; a frozen dataclass of fields.knob and fields.static
    make: Callable[[EnvSpec, Any], Algorithm[Any]]
    memory: Callable[[EnvSpec, Any, int, int], Memory[Any]]  # (..., num_envs, rollout_length)
    plan: Callable[[Any, int, int], Plan]  # (config, num_envs, rollout_length)
    action_kinds: Callable[[Any], tuple[ActionKind, ...]]  # that it can act with, best first
    presets: Mapping[str, Preset] = field(default_factory=dict)
    loop: Mapping[str, Any] = field(default_factory=dict)  # its own defaults of RunConfig
    episodic: Callable[[Any], bool] = never  # rollouts are whole episodes, for recurrent learners
    refuse: Callable[[EnvSpec, Any], None] = anything  # ConfigError for what cannot be learned
    warn: Callable[[Any], str] = nothing  # what a user should know of these settings
    shared_out: Callable[[Any], set[str]] = of_replays  # settings that count over all environments
    entities: bool = False  # it reads them; others' environments show none
    shows: tuple[str, ...] = ()  # methods (learner, batch) of its algorithm for `jmarl plot`

    def suits(self, spec: EnvSpec, config: Any) -> None:
        """Raise ConfigError if the algorithm cannot learn in environments of this spec."""
        kinds = self.action_kinds(config)
        if spec.action_kind not in kinds:
            wanted = " or ".join(kinds)
            raise ConfigError(f"actions of {self.name} must be {wanted}, got {spec.action_kind}")
        self.refuse(spec, config)

    def but(self, name: str, summary: str, **changes: Any) -> "Recipe":
        """The same algorithm with other settings under a name of its own."""
        presets = {
            key: replace(preset, config=preset.config.replace(**changes))
            for key, preset in self.presets.items()
        }
        config = self.config.replace(**changes)
        return replace(self, name=name, summary=summary, config=config, presets=presets)
