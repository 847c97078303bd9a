"""`jmarl envs`, `jmarl algos` and `jmarl zoo`: what there is."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from jmarl.terminal import Parser, show


def envs(words: list[str]) -> int:
    parser = Parser(prog="jmarl envs", description="The environments there are.")
    parser.add_argument("env", nargs="?", help="tell all of this one, or list this suite alone")
    args = parser.parse_args(words)
    import jmarl_envs
    from jmarl.config import find
    from jmarl.making import own_name

    listings = jmarl_envs.listings()
    suites = dict.fromkeys(name.split("/")[0] for name in listings)
    wanted = str(args.env or "").rstrip("/")
    if wanted and wanted not in suites:
        find(
            name := own_name(wanted), (*listings, *suites), "environment", "`jmarl envs` lists all"
        )
        describe(listings[name])
        return 0
    chosen = {n: entry for n, entry in listings.items() if not wanted or n.split("/")[0] == wanted}
    columns = ("agents", "obs", "actions", "kinds", "limit", "random return", "notes")
    table = Table("environment", *columns)
    for name, entry in chosen.items():
        table.add_row(name, *env_row(entry))
    show(table)
    print("Random return: sum over an episode, mean over a team's agents, for each team.")
    print("jmarl envs ENV tells an environment's options, reward convention, defects and lacks.")
    for missing in dict.fromkeys(entry.missing for entry in chosen.values() if entry.missing):
        names = [name for name, entry in chosen.items() if entry.missing == missing]
        print(f"{', '.join(names)}: {missing}")
    return 0


def env_row(entry: Any) -> tuple[str, ...]:
    returns = [f"{mean:.4g}" for _, mean, _ in entry.random_return]
    notes = (
        "not installed" * bool(entry.missing),
        f"entities {entry.num_entities}x{entry.entity_size}" * bool(entry.num_entities),
        "defects" * bool(entry.defects),
    )
    return (
        str(len(entry.agents)),
        ranged(entry.obs_sizes),
        ranged(sizes(entry.action_parts)),
        " ".join(entry.action_kinds),
        str(entry.episode_limit),
        " / ".join(returns) or "not measured",
        ", ".join(filter(None, notes)),
    )


def sizes(action_parts: Sequence[Sequence[int]]) -> list[str]:
    """Of each agent's actions: 5, or 5x10 where it moves and talks."""
    return ["x".join(map(str, parts)) for parts in action_parts]


def ranged(sizes: Sequence[Any]) -> str:
    """Each once, in order."""
    return ",".join(map(str, dict.fromkeys(sizes)))


def describe(entry: Any) -> None:
    """All that a listing tells."""
    print(entry.name, f"({', '.join(entry.aliases)})" if entry.aliases else "")
    facts: Mapping[str, Any] = {
        "what": entry.summary,
        "agents": f"{len(entry.agents)}: {', '.join(entry.agents)}" * bool(entry.agents),
        "teams": ", ".join(entry.team_names),
        "observations": ranged(entry.obs_sizes),
        "actions": f"{ranged(sizes(entry.action_parts))} ({' or '.join(entry.action_kinds)})",
        "state": entry.state_size,
        "entities": f"{entry.num_entities} of {entry.entity_size}" * bool(entry.num_entities),
        "limit": entry.episode_limit,
        "reward": entry.reward,
        "random": "; ".join(f"{t} {m:.4g} +- {e:.2g}" for t, m, e in entry.random_return),
        "measured": entry.measured,
        "missing": entry.missing,
        "lacks": "; ".join(entry.lacks),
        "defects": "; ".join(entry.defects),
    }
    for name, fact in facts.items():
        if fact not in ("", None, 0, " ()"):
            print(f"  {name:<14}{fact}")
    for name, default, allowed in entry.options:
        print(f"  --env.{name} {default}  ({allowed})")


def algos(words: list[str]) -> int:
    Parser(prog="jmarl algos", description="The algorithms there are.").parse_args(words)
    from jmarl.algorithms import ALL

    table = Table("algorithm", "what", "presets")
    for recipe in ALL.values():
        presets = [preset_line(name, preset) for name, preset in recipe.presets.items()]
        table.add_row(recipe.name, recipe.summary, escape("\n".join(presets)))
    show(table)
    return 0


def preset_line(name: str, preset: Any) -> str:
    """With what it sets of the run: num_envs 1."""
    loop = ", ".join(f"{setting} {value}" for setting, value in preset.loop.items())
    return f"{name}: {preset.summary}" + f" ({loop})" * bool(loop)


def zoo(words: list[str]) -> int:
    about = (
        "Trained teams that come with jmarl. jmarl render, eval and export take their names, as "
        "does jmarl.load_policy."
    )
    Parser(prog="jmarl zoo", description=about).parse_args(words)
    from jmarl.zoo import entries

    columns = ("algorithm", "environment", "steps", "return", "random", "win rate", "episodes")
    table = Table("policy", *columns)
    for entry in entries().values():
        table.add_row(entry.name, *zoo_row(entry))
    show(table)
    print("Return: sum over an episode, mean over agents and over fresh episodes.")
    return 0


def zoo_row(entry: Any) -> tuple[str, ...]:
    wins = entry.scores.get("win_rate")
    return (
        entry.algorithm,
        entry.env,
        f"{entry.steps:,}",
        f"{entry.scores['episode_return']:.4g}",
        f"{entry.random_scores['episode_return']:.4g}",
        "" if wins is None else f"{wins:.3f}",
        f"{entry.episodes:,}",
    )
