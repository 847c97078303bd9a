"""The particle world of the MADDPG and MAAC papers, in three variants."""

from jmarl_envs.catalogue import Entry, Factory, Listing, options_of
from jmarl_envs.particle.adversary import simple_adversary
from jmarl_envs.particle.crypto import simple_crypto
from jmarl_envs.particle.push import simple_push
from jmarl_envs.particle.reference import simple_reference
from jmarl_envs.particle.rover_tower import rover_tower
from jmarl_envs.particle.speaker_listener import simple_speaker_listener
from jmarl_envs.particle.spread import simple_spread
from jmarl_envs.particle.tag import simple_tag
from jmarl_envs.particle.treasure import treasure_collection

LACKS = "true endings (every episode is truncated)", "action masks"
ALIKE = "simple_spread", "treasure_collection"  # where agents see the same, as entities tell it


def _entry(
    factory: Factory, summary: str, reward: str, *names: str, defects: tuple[str, ...] = ()
) -> Entry:
    """Named after its function; `names` are those in the papers."""
    lacks = LACKS if factory.__name__ in ALIKE else (*LACKS, "entities")
    return Entry(
        f"particle/{factory.__name__}",
        factory,
        Listing(summary, reward, lacks, defects),
        options_of(factory),
        aliases=tuple(f"particle/{name}" for name in names),
    )


ENTRIES = (
    _entry(
        simple_spread,
        "agents cover all landmarks without touching each other",
        "all: the sum over agents of minus every landmark's distance to its nearest agent, minus "
        "own contacts (one with oneself); the other variants do not sum: of 3 agents in 25 steps, "
        "a return r is (r + 75) / 6 in pettingzoo's",
        "cooperative_navigation",
    ),
    _entry(
        simple_speaker_listener,
        "a still speaker names the landmark that the listener must reach",
        "both: minus twice the listener's squared distance to the goal; once in the other variants",
        "cooperative_communication",
    ),
    _entry(
        simple_push,
        "an adversary keeps an agent away from its landmark",
        "good: minus own distance to the goal; adversary: the good agents' least distance to "
        "it less its own",
        "keep_away",
    ),
    _entry(
        simple_adversary,
        "good agents reach a landmark without telling the adversary which one it is",
        "good: the adversaries' summed distance to the goal less the nearest good agent's; "
        "adversary: minus own distance, squared (not in pettingzoo)",
        "physical_deception",
    ),
    _entry(
        simple_tag,
        "slow predators chase faster prey between obstacles",
        "adversaries: +10 to all for every contact; prey: -10 per contact, less for leaving; "
        "maac also pays for distance",
        "predator_prey",
    ),
    _entry(
        simple_crypto,
        "Alice sends Bob a colour, encoded with their key; Eve listens",
        "Eve: minus her squared error; Alice and Bob: Eve's squared error less Bob's",
        "covert_communication",
    ),
    _entry(
        simple_reference,
        "two agents each know the other's landmark and must tell it",
        "both: minus the sum of squared distances to the goals; maac: of the agent one guides; "
        "pettingzoo: plain distances, half of the guided one's and half of the mean",
    ),
    _entry(
        treasure_collection,
        "collectors take treasures and bring each to the deposit of its kind",
        "all: +5 for each treasure touched with empty hands or brought; collectors: -5 for each "
        "other touched; all: minus a tenth of the distance to what they should reach next",
        "fullobs_collect_treasure",
        "ctc",
        defects=(
            "as in the original a taken treasure lies at (-999, -999) for a step, also in "
            "observations (mask_dead=True: zeros)",
        ),
    ),
    _entry(
        rover_tower,
        "towers see the goals of the rovers that hear them; who belongs to whom changes",
        "both of a pair: minus the rover's squared distance to its goal, +10 within reach",
        "multi_speaker_listener",
        defects=(
            "as in the original the reach of a goal, 0.1725, is compared with a squared distance: "
            "it is in fact 0.415",
        ),
    ),
)

# The same environment in jaxmarl, to time beside ours with these options. Not simple_crypto: there
# colours are 255.
PEERS = {
    f"particle/{task}": ({"variant": "pettingzoo"}, f"mpe/{task}")
    for task in (
        "simple_spread",
        "simple_speaker_listener",
        "simple_push",
        "simple_adversary",
        "simple_tag",
        "simple_reference",
    )
}
