"""Does an environment keep the contract of `jmarl.types`? `check` tells all that it does not."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax

from jmarl.types import Environment, EnvSpec, Key
from jmarl_envs.checker import episode_rules, shape_rules, spec_rules
from jmarl_envs.checker.episodes import record_episodes

E = TypeVar("E")  # what a rule looks at


class ContractError(ValueError):
    """An environment breaks its contract; `findings` lists every point."""

    def __init__(self, name: str, findings: list[str]) -> None:
        self.findings = findings
        points = "point" if len(findings) == 1 else "points"
        lines = "".join(f"\n- {finding}" for finding in findings)
        super().__init__(
            f"{name} breaks the environment contract in {len(findings)} {points}:{lines}"
        )


def check(env: Environment[Any], episodes: int = 6, key: Key | None = None) -> None:
    """Raise one ContractError with all that is wrong, or return after a few seconds.

    Looks at the spec, at shapes and types, at `episodes` random episodes, and at two of extreme
    actions. Costs two compilations: a batch of episodes, and one step by itself.
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
        episode_rules.RULES,
        lambda: record_episodes(env, max(episodes, 2), key),
        "episodes cannot be run",
        findings,
    )
    if findings:
        raise ContractError(spec.name, findings)


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
