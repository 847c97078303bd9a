"""The particle scenarios of jaxmarl 0.2.0: ids, options, and what one should know of each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jmarl_envs.catalogue import Option

LACKS = (
    "true endings (every episode is truncated)",
    "entities",
    "action masks",
    "the papers' order of integration (here an action moves its agent one step later)",
)


def _count(default: int, least: int = 1) -> Option:
    return Option(default, least=least)


_RATIO = Option(0.5, least=0.0, most=1.0)
_PREY_DEFECTS = (
    "not a benchmark: the scripted prey looks ahead from the wrong entity and takes blocked "
    "places for free ones, so it barely moves",
    "view_radius is compared with all landmarks' (or agents') offsets as one vector: an agent "
    "sees either all of them or none",
)
_PREY = "predators share +10 for every contact with a prey"


@dataclass(frozen=True)
class Scenario:
    """One library environment. `fixed` arguments are ours, `options` are the user's."""

    library_id: str
    summary: str
    reward: str
    options: Mapping[str, Option] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()  # beside what all of them lack
    defects: tuple[str, ...] = ()
    shared: bool = False  # every agent of the one team gets the same reward, always
    scripted_prey: bool = False  # the library moves its good agents itself
    alias: str = ""  # the id to accept, where it is not the one to make


def _facmac(predators: int, prey: int, landmarks: int) -> Scenario:
    return Scenario(
        "MPE_simple_facmac_v1",
        f"{predators} predators chase {prey} scripted prey, seen within a radius",
        _PREY,
        fixed={
            "num_adversaries": predators,
            "num_good_agents": prey,
            "num_landmarks": landmarks,
            "score_function": "min",
        },
        defects=_PREY_DEFECTS,
        shared=True,
        scripted_prey=True,
        alias=f"MPE_simple_facmac_{predators}a_v1",
    )


SCENARIOS: Mapping[str, Scenario] = {
    "simple": Scenario(
        "MPE_simple_v3",
        "one agent goes to a landmark",
        "each: minus the squared distances to all landmarks",
        options={"num_agents": _count(1), "num_landmarks": _count(1)},
    ),
    "simple_tag": Scenario(
        "MPE_simple_tag_v3",
        "slow predators chase faster prey between obstacles",
        "adversaries: +10 to all for every contact; prey: -10 per contact, less for leaving",
        options={
            "num_adversaries": _count(3),
            "num_good_agents": _count(1),
            "num_obs": _count(2),
        },
        lacks=("the original's obstacles within 0.9 of the centre (here 1)",),
    ),
    "simple_world_comm": Scenario(
        "MPE_simple_world_comm_v3",
        "tag with forests to hide in, food, and a predator who sees all and speaks",
        "adversaries: 5 per contact to all, -0.1 x own distance to the nearest prey; prey: -5 "
        "per contact, +2 per food, -0.05 x distance to food, less for leaving",
        options={
            "num_adversaries": _count(4, least=2),
            "num_good_agents": _count(2),
            "num_obs": _count(1),
            "num_food": _count(2),
            "num_forests": _count(2),
        },
    ),
    "simple_spread": Scenario(
        "MPE_simple_spread_v3",
        "agents cover all landmarks without touching each other",
        "each: (1 - local_ratio) x minus every landmark's distance to its nearest agent, "
        "local_ratio x minus its own contacts; of 3 agents in 25 steps, a return r is 3 r where "
        "agents are summed (JaxMARL), 6 r - 75 in EPyMARL's paper, 18 r - 225 in the first MPE",
        options={"num_agents": _count(3), "num_landmarks": _count(3), "local_ratio": _RATIO},
        lacks=("the papers' rewards (summed over agents, counting contact with oneself)",),
    ),
    "simple_crypto": Scenario(
        "MPE_simple_crypto_v3",
        "Alice sends Bob a colour, encoded with their key; Eve listens",
        "Eve: minus her squared error; Alice and Bob: Eve's squared error less Bob's",
        defects=(
            "colours are 255 where messages are at most 1: rewards are 65,000 times too large "
            "and no message can come near its goal",
        ),
    ),
    "simple_speaker_listener": Scenario(
        "MPE_simple_speaker_listener_v4",
        "a still speaker names the landmark that the listener must reach",
        "both: minus the listener's squared distance to the goal",
        shared=True,
    ),
    "simple_push": Scenario(
        "MPE_simple_push_v3",
        "an adversary keeps an agent away from its landmark",
        "good: minus own distance to the goal; adversary: the good agents' least distance to "
        "it less its own",
        options={"num_adversaries": _count(1), "num_good_agents": _count(1)},
    ),
    "simple_adversary": Scenario(
        "MPE_simple_adversary_v3",
        "good agents reach a landmark without telling the adversary which one it is",
        "good: the adversaries' summed distance to the goal less the nearest good agent's; "
        "adversary: minus own distance",
        options={
            "num_adversaries": _count(1),
            "num_good_agents": _count(2),
            "num_obs": _count(2, least=2),
        },
        lacks=("the papers' squared distance in the adversary's reward",),
    ),
    "simple_reference": Scenario(
        "MPE_simple_reference_v3",
        "two agents each know the other's landmark and must tell it",
        "each: minus the distance to its goal of the agent it guides, mixed with the mean of "
        "both by local_ratio",
        options={"local_ratio": _RATIO},
        lacks=("the papers' squared distances in the rewards",),
    ),
    "simple_facmac": Scenario(
        "MPE_simple_facmac_v1",
        "predators chase scripted prey, seen within a radius",
        _PREY,
        options={
            "num_adversaries": _count(3),
            "num_good_agents": _count(1),
            "num_landmarks": _count(2),
            "view_radius": Option(1.5, least=0.0),
            "score_function": Option("sum", choices=("sum", "min")),
        },
        defects=_PREY_DEFECTS,
        shared=True,
        scripted_prey=True,
    ),
    "simple_facmac_3a": _facmac(3, 1, 2),
    "simple_facmac_6a": _facmac(6, 2, 4),
    "simple_facmac_9a": _facmac(9, 3, 6),
}
