"""jmarl: multi-agent reinforcement learning in JAX.

    result = jmarl.train("maddpg", "mpe/simple_spread", total_steps=200_000, seeds=4)
    team = jmarl.load_policy(result.path)

Importing jmarl is quick; what it offers is loaded when first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jmarl.absolute import record_absolute as record_absolute
    from jmarl.algorithms import register_algorithm as register_algorithm
    from jmarl.comparison import Comparison as Comparison
    from jmarl.comparison import compare as compare
    from jmarl.contest import crossplay as crossplay
    from jmarl.exporting import Exported as Exported
    from jmarl.exporting import export_policy as export_policy
    from jmarl.fields import ConfigError as ConfigError
    from jmarl.insight import attention as attention
    from jmarl.insight import intrinsic as intrinsic
    from jmarl.insight import plot as plot
    from jmarl.making import make_algorithm as make_algorithm
    from jmarl.making import make_env as make_env
    from jmarl.pairings import Crossplay as Crossplay
    from jmarl.recording import Attended as Attended
    from jmarl.recording import Intrinsic as Intrinsic
    from jmarl.recording import Rendered as Rendered
    from jmarl.rendering import render as render
    from jmarl.teams import Team as Team
    from jmarl.teams import evaluate as evaluate
    from jmarl.teams import load_policy as load_policy
    from jmarl.training import Result as Result
    from jmarl.training import resume as resume
    from jmarl.training import train as train

OFFERED = {
    "ConfigError": "jmarl.fields",
    **dict.fromkeys(("Attended", "Intrinsic"), "jmarl.recording"),
    **dict.fromkeys(("Comparison", "compare"), "jmarl.comparison"),
    "Crossplay": "jmarl.pairings",
    "crossplay": "jmarl.contest",
    **dict.fromkeys(("Exported", "export_policy"), "jmarl.exporting"),
    "Rendered": "jmarl.recording",
    "record_absolute": "jmarl.absolute",
    "register_algorithm": "jmarl.algorithms",
    **dict.fromkeys(("attention", "intrinsic", "plot"), "jmarl.insight"),
    **dict.fromkeys(("make_algorithm", "make_env"), "jmarl.making"),
    **dict.fromkeys(("Result", "resume", "train"), "jmarl.training"),
    **dict.fromkeys(("Team", "evaluate", "load_policy"), "jmarl.teams"),
    "render": "jmarl.rendering",
}


def __getattr__(name: str) -> Any:
    if name not in OFFERED:
        raise AttributeError(f"module 'jmarl' has no attribute {name!r}")
    return getattr(import_module(OFFERED[name]), name)
