# pyright: reportMissingImports=false
"""The official MADDPG or MAAC in a process of its own, under an interpreter that has torch.

    PYTHON benchmarks/torch_rung.py ORDER

ORDER is JSON: the checkout, one of multiagent-particle-envs or "", torch's threads, and the
settings of the checkout's own main.py, whose `run` is what is timed, in a folder that is
forgotten. Events as peer_rung.py's: "about", "ready"; for every line on stdin "repeat"; when stdin
ends "done", with the operations of products as counted in two short runs. Or "failed".
"""

import math
import os
import platform
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch_stand_ins
from telling import Tell, answer
from torch.utils.flop_counter import FlopCounterMode

LEARNERS = ("MADDPG", "AttentionSAC")


class Official:
    """A checkout's main.py, and what its latest run made."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.settings, self.threads = order["settings"], order["threads"]
        torch_stand_ins.install()
        sys.path.insert(0, order["checkout"])
        if order["particles"]:
            sys.path.insert(0, order["particles"])
        else:
            import torch_particles

            sys.modules.update({module.__name__: module for module in torch_particles.package()})
        self.env: Any = None
        self.learner: Any = None
        program = str(Path(order["checkout"], "main.py"))
        self.main: Any = torch_stand_ins.load_source("official", program)
        self.keep(next(getattr(self.main, name) for name in LEARNERS if hasattr(self.main, name)))
        make = self.main.make_env
        self.main.make_env = lambda *args, **options: torch_stand_ins.Rows(make(*args, **options))

    def keep(self, kind: Any) -> None:
        """The learner and the environments that a run makes are looked at when it is over."""
        make = kind.init_from_env

        def kept(env: Any, **options: Any) -> Any:
            self.env, self.learner = env, make(env, **options)
            return self.learner

        kind.init_from_env = kept

    def run(self, **but: Any) -> None:
        """All of main.py's `run`, with the processes of its environments opened and closed."""
        torch.set_num_threads(self.threads)
        with forgotten_folder():
            self.main.run(Namespace(**{**self.settings, **but}))

    def flops(self, facts: dict[str, int]) -> float:
        """Of a run's products: what each step of acting and each of learning takes, as often as
        the facts say. Whole runs are not counted, as that takes gigabytes of memory."""
        settings = self.settings
        batch, envs, length = (
            settings[name] for name in ("batch_size", "n_rollout_threads", "episode_length")
        )
        opens = batch + settings["steps_per_update"] + envs  # steps by which learning has begun
        few = envs * math.ceil(opens / (envs * length))
        played = self.counted(n_episodes=few, batch_size=sys.maxsize)
        both = self.counted(n_episodes=few)
        learned = self.facts()
        learning = (both - played) / learned["gradient_steps"]
        acting = played / learned["env_steps"]
        return acting * facts["env_steps"] + learning * facts["gradient_steps"]

    def counted(self, **but: Any) -> int:
        with FlopCounterMode(display=False) as counter:
            self.run(**but)
        return counter.get_total_flops()

    def facts(self) -> dict[str, int]:
        """Of the latest run: gradient steps as every optimiser counted them, and how many
        parameters they hold; steps that the environments were asked for."""
        optimisers = list(self.optimisers())
        held = [p for tx in optimisers for group in tx.param_groups for p in group["params"]]
        counts = {int(state["step"]) for tx in optimisers for state in tx.state.values()}
        if len(counts) != 1:
            raise ValueError(f"optimisers must agree on one number of steps, got {sorted(counts)}")
        return {
            "gradient_steps": counts.pop(),
            "parameters": sum(p.numel() for p in held),
            "env_steps": self.env.steps,
            "positions": self.env.steps,
        }

    def optimisers(self) -> Iterator[torch.optim.Optimizer]:
        for holder in (self.learner, *self.learner.agents):
            for value in vars(holder).values():
                if isinstance(value, torch.optim.Optimizer):
                    yield value


@contextmanager
def forgotten_folder() -> Iterator[None]:
    """The working folder, where main.py makes its own."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def timed(call: Callable[[], Any]) -> dict[str, float]:
    """Seconds, and those of processors, processes that have ended with it included."""
    began, used = time.perf_counter(), sum(os.times()[:4])
    call()
    return {"seconds": time.perf_counter() - began, "cpu_seconds": sum(os.times()[:4]) - used}


def serve(official: Official, tell: Tell) -> dict[str, Any]:
    """Runs for every line that comes in; the facts of the last one at the end."""
    tell(ready={"version": version(torch, np), "threads": official.threads})
    facts: dict[str, Any] = {}
    for _ in sys.stdin:
        repeat = timed(official.run)
        facts = official.facts()
        tell(repeat=repeat)
    return facts and {**facts, "flops": official.flops(facts)}


def version(*packages: ModuleType) -> str:
    said = ", ".join(f"{package.__name__} {package.__version__}" for package in packages)
    return f"{said}, Python {platform.python_version()}"


def ordered(asked: dict[str, Any], tell: Tell) -> dict[str, Any]:
    tell(about={})
    return serve(Official(asked), tell)


if __name__ == "__main__":
    sys.exit(answer(ordered))
