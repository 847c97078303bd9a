"""Writes docs/api/*.md from signatures, docstrings and comments behind fields: `make docs`.

Text is taken from the source as it stands there, so that no version of Python or jax changes it.
"""

import argparse
import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import jmarl
import jmarl_envs
from jmarl.algorithms import ALL
from jmarl.algorithms.recipe import Recipe
from jmarl.config import RunConfig, allowed, help_texts, hints
from jmarl.words import shown
from jmarl_envs import registry
from jmarl_envs.catalogue import Listing

FOLDER = Path(__file__).with_name("api")
PARTS = {  # pages of what own environments and algorithms are built of
    "types.md": ("jmarl.types",),
    "environment_parts.md": ("jmarl_envs.catalogue", "jmarl_envs.scene"),
    "algorithm_parts.md": (
        "jmarl.algorithms.recipe",
        "jmarl.algorithms.value_decomposition",
        "jmarl.fields",
        "jmarl.memory",
        "jmarl.targets",
        "jmarl.exploration",
        "jmarl.optim",
    ),
}
MADE = "<!-- Made by `make docs` from the code: change it there. -->\n\n"


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    made = pages()
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.md"):
        old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text)
        print(f"wrote {name}")


def pages() -> dict[str, str]:
    """Markdown by file name."""
    made = {
        "jmarl.md": page("jmarl", inspect.getdoc(jmarl), offered(jmarl, list(jmarl.OFFERED))),
        "jmarl_envs.md": page(
            "jmarl_envs",
            inspect.getdoc(jmarl_envs),
            offered(jmarl_envs, imported(jmarl_envs)),
        ),
        "algorithms.md": page("Algorithms and their settings", ABOUT_SETTINGS, algorithms()),
        "environments.md": page("Environments and their options", ABOUT_OPTIONS, environments()),
    }
    for name, modules in PARTS.items():
        title = name.removesuffix(".md").replace("_", " ").capitalize()
        parts = [part for module in modules for part in of_module(import_module(module))]
        made[name] = page(title, "", iter(parts))
    return made


def page(title: str, about: str | None, parts: Iterator[str]) -> str:
    text = "\n".join([f"{MADE}# {title}\n", f"{prose(about)}\n" if about else "", *parts])
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


# --- names of modules -----------------------------------------------------------------------------


def offered(module: ModuleType, names: list[str]) -> Iterator[str]:
    """A section for each public name, in alphabetical order."""
    for name in sorted(names, key=str.lower):
        yield section(f"{module.__name__}.{name}", getattr(module, name))


def imported(module: ModuleType) -> list[str]:
    """What `from ... import X as X` makes public."""
    lines = ast.parse(inspect.getsource(module)).body
    aliases = [alias for line in lines if isinstance(line, ast.ImportFrom) for alias in line.names]
    return [alias.name for alias in aliases if alias.name == alias.asname]


def of_module(module: ModuleType) -> Iterator[str]:
    """Its docstring, and all that it defines for others, as it stands there."""
    yield f"## {module.__name__}\n\n{prose(inspect.getdoc(module))}\n"
    for name, thing in vars(module).items():
        ours = getattr(thing, "__module__", "") == module.__name__ and not name.startswith("_")
        known = inspect.isclass(thing) or inspect.isfunction(thing)
        if ours and known and own_doc(thing):
            yield section(name, thing, "###")


def section(name: str, thing: Any, level: str = "##") -> str:
    head, docs = f"{level} {name}\n", prose(own_doc(thing))
    if not inspect.isclass(thing):
        return "\n".join([head, fenced(signature(thing)), f"{docs}\n"])
    return "\n".join([head, f"{docs}\n" if docs else "", *members(thing)])


def own_doc(thing: Any) -> str:
    """What was written, and not what a decorator or a base class made up."""
    node = definition(thing)
    return ast.get_docstring(node) or ""


def members(cls: type) -> Iterator[str]:
    """Fields with types and comments, then public methods."""
    node, source = definition(cls), inspect.getsource(cls).splitlines()
    lines = [x for x in node.body if isinstance(x, ast.AnnAssign)]
    rows = [
        (f"`{ast.unparse(x.target)}`", code(typed(x)), comment(source, x))
        for x in lines
        if isinstance(x.target, ast.Name)
    ]
    if rows:
        yield table(("field", "type", ""), rows)
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
            told = " ".join((ast.get_docstring(method) or "").split())
            yield f"- `{head_of(method)}`" + f": {prose(told)}" * bool(told)
    yield ""


def typed(field: ast.AnnAssign) -> str:
    """Its type, and a default that can be read off."""
    plain = field.value and not isinstance(field.value, ast.Call)
    default = f" = {ast.unparse(field.value)}" if field.value and plain else ""
    return ast.unparse(field.annotation) + default


def comment(source: list[str], node: ast.stmt) -> str:
    """Behind the last line of a statement."""
    _, mark, text = source[(node.end_lineno or 0) - 1].partition("  # ")
    return cell(text) if mark else ""


def definition(thing: Any) -> Any:
    """Of a function or class, parsed."""
    return ast.parse(textwrap.dedent(inspect.getsource(thing))).body[0]


def signature(function: Any) -> str:
    """As it is written, to the colon before the docstring."""
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    node = definition(function)
    return "\n".join(lines[node.lineno - 1 : node.body[0].lineno - 1])


def head_of(node: ast.FunctionDef) -> str:
    return f"{node.name}({ast.unparse(node.args)}){returned(node)}"


def returned(node: ast.FunctionDef) -> str:
    return f" -> {ast.unparse(node.returns)}" if node.returns else ""


# --- settings and options -------------------------------------------------------------------------

ABOUT_SETTINGS = """\
Every setting is a flag of `jmarl train` (`--td-lambda 0.6`) and a keyword of `jmarl.train`
(`td_lambda=0.6`). Settings whose kind is `traced` do not change the compiled program: a sweep
trains all their values side by side."""
ABOUT_OPTIONS = """\
An option is a flag of `jmarl train` (`--env.num_agents 4`) and a keyword of `jmarl.make_env`.
Random return: mean over agents, for each team, of the default options."""


def algorithms() -> Iterator[str]:
    """Settings of all, then a section for each algorithm."""
    yield "## Settings of every algorithm\n"
    yield settings(RunConfig())
    for recipe in ALL.values():
        yield f"## {recipe.name}\n\n{sentence(recipe.summary)}\n"
        yield "\n".join(presets(recipe))
        yield settings(recipe.config, replace(RunConfig(), **recipe.loop))


def presets(recipe: Recipe) -> Iterator[str]:
    for name, preset in recipe.presets.items():
        loop = ", ".join(f"{setting} {value}" for setting, value in preset.loop.items())
        yield f"- `--preset {name}`: {prose(preset.summary)}" + f" ({loop})" * bool(loop)
    if recipe.presets:
        yield ""


def settings(config: Any, run: Any = None) -> str:
    """A row for each field of a config, under those of a run that have other defaults."""
    rows = []
    for name in hints(RunConfig) if run else ():
        if getattr(run, name) != getattr(RunConfig(), name):
            rows.append((f"`{name}`", code(shown(getattr(run, name))), "", "", "as above"))
    texts, types = help_texts(type(config)), hints(type(config))
    for field in fields(config):
        static = field.metadata.get("pytree_node") is False or isinstance(config, RunConfig)
        kind = "static" if static else "traced"
        rule = f"{allowed(types[field.name])}{bounds(field.metadata)}"
        default = code(shown(getattr(config, field.name)))
        rows.append((f"`{field.name}`", default, cell(rule), kind, cell(texts[field.name])))
    return table(("setting", "default", "allowed", "kind", ""), rows)


def bounds(rule: Any) -> str:
    """In words, of a field's metadata."""
    words = {"above": "above", "low": "at least", "high": "at most"}
    told = [f"{word} {rule[key]:g}" for key, word in words.items() if rule.get(key) is not None]
    return f", {' and '.join(told)}" if told else ""


def environments() -> Iterator[str]:
    """A section for each suite; only those that jmarl brings."""
    ours = {x.name: x for suite in registry.SUITES for x in import_module(suite).ENTRIES}
    listings = {name: x for name, x in jmarl_envs.listings().items() if name in ours}
    for suite in dict.fromkeys(name.split("/")[0] for name in listings):
        yield f"## {suite}\n"
        for name, listing in listings.items():
            if name.split("/")[0] == suite:
                extra = ours[name].needs
                yield environment(listing, f"jmarl[{extra.extra}]" if extra else "")


def environment(listing: Listing, extra: str) -> str:
    """What is known of one, and its options."""
    agents = len(listing.agents)
    sizes = f"{counted(agents, 'agent')}, at most {counted(listing.episode_limit, 'step')}"
    returns = ", ".join(f"{team} {mean:.4g}" for team, mean, _ in listing.random_return)
    facts = {
        "": sizes,
        "actions": " or ".join(listing.action_kinds),
        "reward": listing.reward,
        "random return": returns,
        "lacks": ", ".join(listing.lacks),
        "also called": ", ".join(listing.aliases),
        "needs": extra,
        "defects": "; ".join(listing.defects),
    }
    lines = [f"### {listing.name}\n", f"{sentence(listing.summary)}\n"]
    lines += [f"- {what}{': ' * bool(what)}{prose(fact)}" for what, fact in facts.items() if fact]
    lines += [f"- `--env.{n} {default}` ({prose(rule)})" for n, default, rule in listing.options]
    return "\n".join(lines) + "\n"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


# --- Markdown -------------------------------------------------------------------------------------


def fenced(text: str) -> str:
    return f"```python\n{text} ...\n```\n"


def code(text: str) -> str:
    """In a table's cell."""
    return f"`{text}`".replace("|", "\\|") if text else ""


def prose(text: str | None) -> str:
    """Plain words, in which no angle bracket opens a tag and no star a style; code as it is."""
    lines = (text or "").split("\n")
    return "\n".join(x if x.startswith("    ") else tamed(x) for x in lines)


def tamed(line: str) -> str:
    words = line.split("`")  # every second piece is code
    for nth in range(0, len(words), 2):
        words[nth] = words[nth].replace("<", "\\<").replace("*", "\\*")
    return "`".join(words)


def sentence(words: str) -> str:
    return f"{prose(words[:1].upper() + words[1:])}."


def cell(text: str) -> str:
    return prose(text).replace("|", "\\|")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
