"""The command line, `jmarl COMMAND`. One clear line and exit code 2 for wrong use."""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from jmarl import __version__
from jmarl.compiled import mended
from jmarl.fields import ConfigError
from jmarl.files import Unwritten
from jmarl.nonfinite import NotFinite
from jmarl.peers import leave
from jmarl.signals import Stopped, second_ends
from jmarl.stderr import say

SUMMARY = """\
Multi-agent reinforcement learning in JAX.

  jmarl envs                              what there is to play
  jmarl algos                             what there is to learn with
  jmarl zoo                               trained teams; eval, render and export take their names
  jmarl train maddpg --env mpe/simple_spread --total-steps 2e6 --seeds 4
  jmarl train qmix --env smax/3m          cooperative teams; vdn, qatten, ... likewise
  jmarl train @qmix/smax-3m               settings of a study, from a preset file; or ./mine.yaml
  jmarl train maddpg --help               every setting, its default and meaning
  jmarl config [qmix --env smax/3m ...]   all settings as a preset file; alone, the files there are
  jmarl train --resume RUN                go on with a run
  jmarl eval RUN                          play fresh episodes with its teams
  jmarl export RUN                        its best team for use elsewhere, jax alone too
  jmarl render ENV|RUN                    film an episode: GIF and MP4
  jmarl crossplay RUN RUN ...             let every team of a run meet every team of another
  jmarl compare RUN RUN ...               what several runs come to, with intervals; pictures
  jmarl plot RUN ...                      draw learning curves
  jmarl sweep FILE                        train every trial of a wandb sweep's file, side by side
  jmarl plot attention|intrinsic RUN      draw whom a team attends to, what it rewards itself for

Exit codes: 0; 1 a run's folder, a picture or stdout could not be written; 2 wrong use;
3 NaN or infinity in training; 4 another process of --distributed was lost; 130 after Ctrl-C,
143 after SIGTERM.
"""
COMMANDS = {  # the module that has the function of this name; loaded when asked for
    "train": "jmarl.cli",
    **dict.fromkeys(("config", "export"), "jmarl.cli_files"),
    **dict.fromkeys(("eval", "crossplay", "compare", "render", "plot"), "jmarl.cli_play"),
    "sweep": "jmarl.cli_sweep",
    **dict.fromkeys(("envs", "algos", "zoo"), "jmarl.cli_lists"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0, 1 where a run's folder, a picture or stdout could not be written, 2 for wrong use, 3 where a
    metric of training was NaN or infinite, 128 + n after signal n. A process that another one was
    lost to ends by itself, with 4.
    """
    return leave(told(list(sys.argv[1:] if argv is None else argv)))


def told(words: list[str]) -> int:
    """The exit code of a command, whose output may find no reader and no room."""
    try:
        code = exit_code(lambda: command(words))
        if sys.stdout is not None:  # `>&-`
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # `jmarl envs | head`
        drop_stdout()
        return 0
    except OSError as error:
        if not stdout_fails():
            raise
        drop_stdout()
        say(f"stdout could not be written ({error})")
        return 1


def exit_code(run: Callable[[], int], say: Callable[[str], None] = say, lost: str = "") -> int:
    """That of `run`, whose ends that are no defects are told in a line by `say`: after a signal
    with what is `lost` by it."""
    try:
        with mended():
            return run()
    except ValueError as error:
        if not is_wrong_use(error):
            raise
        say(str(error))
        return 2
    except Stopped as stopped:
        say(f"{stopped}{lost}")
        return 128 + stopped.number
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except Unwritten as error:
        say(str(error))
        return 1
    except NotFinite as error:
        say(str(error))
        return 3


def stdout_fails() -> bool:
    """Whether it takes no more: libraries do not say which file an error is of."""
    try:
        print(flush=True)
    except OSError:
        return True
    return False


def drop_stdout() -> None:
    """What is still buffered would fail again when Python exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def is_wrong_use(error: ValueError) -> bool:
    """Whether the message is meant for the user, as ours and jmarl_envs' are."""
    return isinstance(error, ConfigError) or type(error).__module__.startswith("jmarl_envs.")


def command(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(SUMMARY, end="")
        return 0
    if words[0] in ("-V", "--version"):
        print(f"jmarl {__version__}")
        return 0
    from jmarl.config import find

    module = find(words[0], COMMANDS, "command")
    return getattr(import_module(module), words[0])(words[1:])


def train(words: list[str]) -> int:
    from jmarl.words import read_order

    order = read_order(words)
    if order is None:
        return 0
    from jmarl import hosts, training
    from jmarl.report import report

    settings: dict[str, Any] = dict(order.settings)
    shared: dict[str, Any] = {
        "preset": order.flags.get("preset", ""),
        "env_options": order.env_options,
        "progress": order.flags.get("quiet") != "true",
        "compile_cache": order.flags.get("compile-cache", "auto"),
        "wandb": order.flags.get("wandb", "off"),
        "distributed": order.flags.get("distributed", ""),
    }
    if "resume" in order.flags:
        if "out" in order.flags:
            got = order.flags["out"]
            raise ConfigError(
                f"out must not be given to resume, got {got!r}: a run stays in its own"
            )
        shared |= {"run": order.flags["resume"], "algorithm": order.algorithm}
        go = training.resume
    else:
        shared |= {"out": order.flags.get("out", ""), "algorithm": order.algorithm}
        go = training.train
    with second_ends():
        result = go(**shared, **settings)
    if hosts.leads():
        report(result)
    return 0
