"""Games whose rules are a table: every value can be worked out by hand."""

from jmarl_envs.catalogue import Entry, Factory, Listing, options_of
from jmarl_envs.matrix.proposition1 import proposition1
from jmarl_envs.matrix.tables import mild_penalty, one_step, penalty, safe_choice, two_step


def _entry(
    factory: Factory, summary: str, reward: str, *lacks: str, defects: tuple[str, ...] = ()
) -> Entry:
    listing = Listing(summary, reward, ("entities", *lacks), defects)
    return Entry(f"matrix/{factory.__name__}", factory, listing, options_of(factory))


ENTRIES = (
    _entry(
        two_step,
        "QMIX's game: a safe second step worth 7, or a table with 8 that VDN cannot represent",
        "shared, at the second step: 7, or by the joint action 0, 1, 1 or 8",
    ),
    _entry(
        mild_penalty,
        "one joint choice: 12 if both choose the first action, -0.1 if one does; QMIX can solve it",
        "shared, once: the table's entry",
    ),
    _entry(
        penalty,
        "one joint choice: 12 if both choose the first action, -12 if one does; QMIX cannot",
        "shared, once: the table's entry",
        defects=("PyMARL2's table: the QTRAN paper's has 8 where this one has 12",),
    ),
    _entry(
        safe_choice,
        "one joint choice: 12 if both choose the first action, 10 if either chooses the third",
        "shared, once: the table's entry",
    ),
    _entry(
        one_step,
        "one joint choice from a table of your own, as the option `payoff`",
        "shared, once: the table's entry",
    ),
    _entry(
        proposition1,
        "MADDPG's Proposition 1: guess together, the rarer to be right the more agents there are",
        "shared, once: 1 if all choose 1 (or, with target='equal', if all choose the same)",
        "anything to observe",
        defects=("with target='equal' the policy gradient at P(1) = 0.5 is exactly zero",),
    ),
)
