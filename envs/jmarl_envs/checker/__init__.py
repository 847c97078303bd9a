"""Does an environment keep the contract of `jmarl.types`? `check` tells all that it does not."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax

from jmarl.types import Environment, EnvSpec, Key
from jmarl_envs.checker import draw_rules, entity_rules, episode_rules, shape_rules, spec_rules
from jmarl_envs.checker.episodes import Episodes, Trial

E = TypeVar("E")  # what a rule looks at
BEHAVIOUR: tuple[Callable[[Episodes], Iterator[str]], ...] = (
    *episode_rules.RULES,
    *entity_rules.RULES,
)


class ContractError(ValueError):
    """An environment breaks its contract; `findings` lists every point."""

    def __init__(self, name: str, findings: list[str]) -> None:
        self.findings = findings
        points = "point" if len(findings) == 1 else "points"
        lines = "".join(f"\n- {finding}" for finding in findings)
        super().__init__(
            f"{name} breaks the environment contract in {len(findings)} {points}:{lines}"
        )


def check(
    env: Environment[Any], episodes: int = 6, key: Key | None = None, trial: Trial | None = None
) -> None:
    """Raise one ContractError with all that is wrong, or return after a few seconds.

    Looks at the spec, at shapes and types, at `episodes` random episodes, at two of extreme
    actions, and at the drawing if there is one. Costs three compilations: a batch of episodes, one
    reset and one step by themselves; a `trial` of the same environment may have them ready.
    """
    spec = env.spec
    if not isinstance(spec, EnvSpec):
        raise ContractError(type(env).__name__, [f"spec: expected an EnvSpec, found {spec!r}"])
    key = jax.random.key(0) if key is None else key
    findings = _look(spec_rules.RULES, lambda: spec, "the spec cannot be read", [])
    findings += _look(
        shape_rules.RULES, lambda: shape_rules.trace(env), "reset or step fails", findings
    )
    findings += _look(
        BEHAVIOUR,
        lambda: (trial or Trial(env, episodes)).record(key),
        "episodes cannot be run",
        findings,
    )
    findings += _look(draw_rules.RULES, lambda: env, "draw fails", findings)
    if findings:
        raise ContractError(spec.name, findings)


def behaviour(episodes: Episodes) -> list[str]:
    """What is wrong with recorded episodes, in words; empty where nothing is."""
    return [finding for rule in BEHAVIOUR for finding in rule(episodes)]


def _look(
    rules: tuple[Callable[[E], Iterator[str]], ...],
    evidence: Callable[[], E],
    trouble: str,
    known: list[str],
) -> list[str]:
    """All findings of `rules`. Evidence that cannot be had is a finding, unless some explain it."""
    try:
        seen = evidence()
        return [finding for rule in rules for finding in rule(seen)]
    except Exception as error:
        return [] if known else [f"{trouble}: {type(error).__name__}: {error}"]
