"""Rewards and returns from one implementation's convention to another's.

Exact for the same sequence of states. The implementations also move bodies differently, so that a
policy meets other states in each: a converted return tells what its convention would have paid for
the states that were seen.

Conventions are the environments' variants; jaxmarl and mpe2 pay as "pettingzoo" does (but for
jaxmarl's simple_crypto). Rewards are [..., A], agents in our order.

| task | openai | maac | pettingzoo |
|---|---|---|---|
| simple_spread, N agents | sum of all own, to all | own: G - C - 1 | 0.5 G - 0.5 C |
| simple_speaker_listener | 2 x | 1 x | 1 x |
| simple_adversary, the adversaries' | squared distance | squared distance | distance |
| simple_reference | sum of squares, to both | own square | own and mean distance, half each |
| simple_tag | contacts | contacts and distances | contacts |
| simple_push, simple_crypto | the same everywhere | | |

G: minus all landmarks' distances to their nearest agents; C: an agent's contacts with others. In
openai and maac each agent also counts as touching itself.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.types import EnvSpec
from jmarl_envs.particle.physics import Variant

SAME = ("simple_push", "simple_crypto")
AFFINE = ("simple_spread", "simple_speaker_listener", "simple_tag", *SAME)


def convert(spec: EnvSpec, rewards: Array, source: Variant, target: Variant) -> Array:
    """Each step's rewards [..., A] of the scenario `spec.name`, as `target` would have paid them.

    Raises ValueError where `source` does not tell enough: what is summed cannot be told apart, and
    maac's shaping of simple_tag depends on distances.
    """
    task = spec.name.split("/")[-1]
    if source == target or task in SAME:
        return rewards
    known = {
        "simple_spread": _spread,
        "simple_speaker_listener": _speaker_listener,
        "simple_adversary": _adversary,
        "simple_reference": _reference,
        "simple_tag": _tag,
    }
    if task not in known:
        raise ValueError(f"no conversions are known for {spec.name}")
    return known[task](spec, rewards, source, target)


def convert_returns(
    spec: EnvSpec, returns: Array, source: Variant, target: Variant, steps: int
) -> Array:
    """The same for sums of rewards [..., A] over `steps` steps, where a sum tells enough."""
    task = spec.name.split("/")[-1]
    if source != target and task not in AFFINE:
        raise ValueError(f"{task}'s returns do not tell {target} returns: convert each reward")
    return steps * convert(spec, returns / steps, source, target)


def spread_scales(mean_return: float, num_agents: int = 3, steps: int = 25) -> dict[str, float]:
    """What papers and programs report of one and the same play of simple_spread.

    `mean_return` is the pettingzoo return r, the mean over agents. With N agents and T steps:
    - "agent": r (PettingZoo, XuanCe); "team": N r (JaxMARL logs it, over a step more);
    - "openai agent": 2 N r - N T, what one agent receives (the EPyMARL paper's tables);
    - "openai team": N times that (openai's training script, EPyMARL's team return);
    - "maac agent": 2 r - T.
    """
    n, own = num_agents, 2 * mean_return - steps
    return {
        "agent": mean_return,
        "team": n * mean_return,
        "maac agent": own,
        "openai agent": n * own,
        "openai team": n * n * own,
    }


def _spread(spec: EnvSpec, rewards: Array, source: Variant, target: Variant) -> Array:
    """Through the own reward G - C - 1 = 2 r - 1; openai pays the sum over N agents."""
    if source == "openai" and spec.num_agents > 1:
        raise _told_too_little(spec, source)
    own = rewards if source != "pettingzoo" else 2 * rewards - 1
    if target == "openai":
        return _summed(own)
    return own if target == "maac" else (own + 1) / 2


def _speaker_listener(spec: EnvSpec, rewards: Array, source: Variant, target: Variant) -> Array:
    times = {"openai": 2.0, "maac": 1.0, "pettingzoo": 1.0}
    return rewards * (times[target] / times[source])


def _adversary(spec: EnvSpec, rewards: Array, source: Variant, target: Variant) -> Array:
    """Only the adversaries' own differ: minus a distance, or its square."""
    if "pettingzoo" not in (source, target):
        return rewards
    squared = -jnp.square(rewards) if source == "pettingzoo" else -jnp.sqrt(-rewards)
    adversary = np.array(spec.teams) == spec.team_names.index("adversaries")
    return jnp.where(adversary, squared, rewards)


def _reference(spec: EnvSpec, rewards: Array, source: Variant, target: Variant) -> Array:
    """pettingzoo's r = (own + mean) / 2 has the mean of `own`: own = 2 r - mean(r)."""
    if source == "openai":
        raise _told_too_little(spec, source)
    mean = rewards.mean(-1, keepdims=True)
    own = -jnp.sqrt(-rewards) if source == "maac" else 2 * rewards - mean
    if target == "pettingzoo":
        return (own + own.mean(-1, keepdims=True)) / 2
    return -jnp.square(own) if target == "maac" else _summed(-jnp.square(own))


def _tag(spec: EnvSpec, rewards: Array, source: Variant, target: Variant) -> Array:
    if "maac" in (source, target):
        raise _told_too_little(spec, source)
    return rewards


def _summed(own: Array) -> Array:
    """To everybody the sum over agents."""
    return jnp.broadcast_to(own.sum(-1, keepdims=True), own.shape)


def _told_too_little(spec: EnvSpec, source: str) -> ValueError:
    return ValueError(f"{spec.name}: the rewards that {source} pays do not tell the others'")
