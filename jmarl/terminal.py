"""What commands share: a parser that speaks in one line, tables, texts."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from jmarl.fields import ConfigError

CHECKPOINT = "newest, best (of each seed) or an iteration that is there [newest]"
COMPILE_CACHE = "where compiled programs are kept between runs, or off [auto]"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see {self.prog} --help")


def show(table: Table) -> None:
    """As wide as the terminal; uncut where nobody watches."""
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def listed(names: str) -> list[str]:
    """Of texts with commas between."""
    return [name for name in names.split(",") if name]


def env_options(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Options of an environment, `--env.NAME VALUE` or `--env.NAME=VALUE`; and all other words."""
    from jmarl.config import parse
    from jmarl.words import is_flag

    options, others, rest = {}, [], iter(words)
    for word in rest:
        if not word.startswith("--env."):
            others.append(word)
            continue
        flag, equals, value = word.partition("=")
        value = value if equals else next(rest, "")
        if not value or is_flag(value):
            raise ConfigError(f"{flag} must have a value, got none")
        options[flag.removeprefix("--env.").replace("-", "_")] = parse(value)
    return options, others
