"""What a team earns together, for learners that need one reward."""

from typing import Literal

from jax import Array

from jmarl.fields import ConfigError
from jmarl.types import EnvSpec

SharedReward = Literal["auto", "sum", "mean"]
TeamReward = Literal["own", SharedReward]


def earned(spec: EnvSpec, rule: TeamReward, reward: Array) -> Array:
    """Rewards [..., A] as they are (own), or the team's, [..., 1]; auto: as the spec says."""
    if rule == "own":
        return reward
    total = (spec.team_reward if rule == "auto" else rule) == "sum"
    return (reward.sum if total else reward.mean)(-1, keepdims=True)


def refuse_stateless(spec: EnvSpec, method: str) -> None:
    """ConfigError for environments without a state."""
    if not spec.state_size:
        raise ConfigError(f"env must have a state for {method}, got {spec.name}, which has none")


def refuse_apart(spec: EnvSpec, rule: TeamReward, method: str) -> None:
    """ConfigError for environments without one team that shares a reward, unless agents earn
    their own."""
    if rule == "own":
        return
    if len(spec.team_names) > 1:
        teams = ", ".join(spec.team_names)
        raise ConfigError(f"env must have one team for {method}, got {teams}")
    if rule == "auto" and spec.team_reward is None:
        raise ConfigError(
            f"team_reward must be sum or mean where agents are rewarded apart, as in {spec.name}, "
            f"got 'auto': add --team-reward sum or --team-reward mean"
        )
