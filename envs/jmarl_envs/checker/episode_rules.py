"""Rules on behaviour, judged from recorded episodes. Each yields what is wrong, in words."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jmarl_envs.checker.episodes import Episodes
from jmarl_envs.checker.words import Findings, first

CLOSE = {"rtol": 1e-4, "atol": 1e-4}  # a batch may be summed in another order


def padding_is_zero(episodes: Episodes) -> Findings:
    """Observations hold nothing beyond an agent's own size."""
    padded = episodes.record.view.obs * ~episodes.spec.obs_mask()
    if padded.any():
        yield f"view.obs: expected zeros in the padding, found some {first(padded != 0)}"


def padding_is_unavailable(episodes: Episodes) -> Findings:
    padded = episodes.record.view.available & ~episodes.spec.action_mask()
    if padded.any():
        yield f"view.available: expected no padded action, found some {first(padded)}"


def the_living_can_act(episodes: Episodes) -> Findings:
    view = episodes.record.view
    stuck = view.alive & ~view.available.any(-1)
    stuck[1:] &= episodes.live[..., None]
    if stuck.any():
        yield f"view.available: expected a choice for each living agent, found none {first(stuck)}"


def all_is_finite(episodes: Episodes) -> Findings:
    """Under random actions and at the extremes."""
    record = episodes.record
    told = {"view": record.view, "reward": record.outcome.reward, "info": record.outcome.info}
    for path, leaf in _leaves(told):
        wild = ~np.isfinite(leaf) if np.issubdtype(leaf.dtype, np.floating) else np.zeros(1, bool)
        if wild.any():
            yield f"{path}: expected finite numbers, found NaN or infinity {first(wild)}"


def cut_at_the_limit_alone(episodes: Episodes) -> Findings:
    """Truncated at `episode_limit` unless it truly ended there, and never before."""
    out, limit = episodes.record.outcome, episodes.spec.episode_limit
    early = (out.truncated & episodes.live)[:-1]
    if early.any():
        yield f"truncated: expected at step {limit} alone, found true {first(early)}"
    missed = (episodes.live & ~episodes.over)[-1]
    if missed.any():
        yield f"truncated: expected true at step {limit}, found false {first(missed[None])}"


def one_ending_at_most(episodes: Episodes) -> Findings:
    both = episodes.record.outcome.terminated & episodes.record.outcome.truncated
    if both.any():
        yield f"terminated and truncated: expected one of them, found both {first(both)}"


def does_not_reset_itself(episodes: Episodes) -> Findings:
    """What is the same at every reset and never comes back in between, does not at the end."""
    ends = episodes.over & episodes.live
    between = episodes.live & ~episodes.over
    record = episodes.record
    if not (ends.any() and between.any()):
        return  # nothing to compare
    for path, leaf in _leaves({"state": record.state, "view": record.view}):
        flat = leaf.reshape(*leaf.shape[:2], -1)
        fresh = (flat[1:] == flat[0, 0]).all(-1)
        always = (flat[0] == flat[0, 0]).all()
        if always and fresh[ends].all() and not fresh[between].any():
            yield (
                f"{path}: expected the episode's true last value, found that of a reset "
                f"{first(ends)}: an environment never resets itself"
            )


def same_key_same_episode(episodes: Episodes) -> Findings:
    for path in _differing(episodes.record, episodes.again, {}):
        yield f"{path}: expected the same episode from the same keys, found another"


def alone_as_in_a_batch(episodes: Episodes) -> Findings:
    """One environment by itself does what it did under vmap, from several states."""
    for path in _differing(episodes.batched, episodes.alone, CLOSE):
        yield f"{path}: expected the same under vmap as alone, found a difference"


def padded_actions_are_ignored(episodes: Episodes) -> Findings:
    """Numbers beyond an agent's own change nothing."""
    for path in _differing(episodes.alone, episodes.padded, {}):
        yield f"{path}: expected padded action entries to change nothing, found a difference"


def shared_rewards_are_equal(episodes: Episodes) -> Findings:
    """What `team_reward` calls shared is one number for all of a team."""
    spec, reward = episodes.spec, episodes.record.outcome.reward
    for team in set(spec.teams) if spec.team_reward == "shared" else ():
        own = reward[..., np.array(spec.teams) == team]
        unequal = own != own[..., :1]
        if unequal.any():
            yield f"reward: expected one reward for all of a team, found several {first(unequal)}"


def _leaves(tree: Any) -> list[tuple[str, np.ndarray]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]


def _differing(one: Any, other: Any, tolerance: dict[str, float]) -> Iterator[str]:
    """The paths of leaves that differ."""
    for (path, left), (_, right) in zip(_leaves(one), _leaves(other), strict=True):
        exact = not tolerance or not np.issubdtype(left.dtype, np.floating)
        bounds = {"rtol": 0.0, "atol": 0.0} if exact else tolerance
        if not np.allclose(left, right, equal_nan=True, **bounds):
            yield path


RULES = (
    padding_is_zero,
    padding_is_unavailable,
    the_living_can_act,
    all_is_finite,
    cut_at_the_limit_alone,
    one_ending_at_most,
    does_not_reset_itself,
    same_key_same_episode,
    alone_as_in_a_batch,
    padded_actions_are_ignored,
    shared_rewards_are_equal,
)
