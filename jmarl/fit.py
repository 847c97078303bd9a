"""The host side of training: compile, run chunk after chunk, evaluate, record, save, restore."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import jax
import numpy as np

from jmarl import checkpoint, forecast, heap, hosts
from jmarl.best import Best
from jmarl.fields import ConfigError
from jmarl.folder import Folder
from jmarl.nonfinite import NotFinite, nonfinite
from jmarl.program import Program
from jmarl.signals import Stop, Stopped
from jmarl.sinks import Records, Sink
from jmarl.versions import versions


@dataclass
class Fit:
    """A run under way: its state, where it stands, and where its records go."""

    program: Program
    folder: Folder | None
    sinks: Sequence[Sink] = ()
    chunks_done: int = 0
    env_steps: list[int] = field(default_factory=list)  # [S]
    seconds: float = 0.0  # of training and evaluation, compiling left out
    saved_at: float = 0.0
    saved_chunk: int = -1
    lines: Sink | None = None  # the folder's, which keep some records only
    records: int = 0  # that they keep
    evaluations: list[dict[str, Any]] = field(default_factory=list)  # one entry per evaluation
    best: Best | None = None
    memory: str = ""  # what the run takes of it, in words
    nonfinite: str = ""  # which metric is NaN or infinite, in words

    def run(self, stop: Stop) -> None:
        """Train to the end of the schedule, from the start or from where `resume` left off.

        Raises Stopped, after a checkpoint, at the end of the chunk during which `stop` was asked,
        and NotFinite likewise where a metric was no number.
        """
        program, schedule = self.program, self.program.schedule
        heap.large_blocks_apart()
        self.require_finite()
        allocated = self.chunks_done > 0
        _ = program.advance, program.evaluate, allocated or program.start  # before the clock starts
        heap.give_back()
        forecast.require_working_space(program, allocated)
        if not allocated:
            self.state, score = program.start()
            self.env_steps = counts(score.env_steps)
            if number := hosts.agreed(stop.number)[0]:
                raise Stopped(number)
            self.saved_at = time.monotonic()
            self.evaluate()
        while self.chunks_done < schedule.chunks:
            self.train()
            if self.chunks_done % schedule.chunks_per_evaluation == 0:
                self.evaluate()
            number, due = hosts.agreed(stop.number, self.is_due)
            if due or number:
                self.save()
            self.require_finite()
            if number:
                raise Stopped(number, self.folder.go_on if self.folder else "")
        self.save()

    def train(self) -> None:
        began = time.monotonic()
        self.state, (metrics, score) = self.program.chunk(self.state, self.iteration)
        metrics, score = jax.device_get((metrics, score))
        seconds = time.monotonic() - began
        self.seconds += seconds
        self.chunks_done += 1
        new = counts(score.env_steps)
        self.env_steps = [old + more for old, more in zip(self.env_steps, new, strict=True)]
        told = {f"train/{name}": x for name, x in metrics.items()} | episode_means(score)
        if found := nonfinite(told, self.program.seeds):
            self.nonfinite = f"{found} at {min(self.env_steps):,} environment steps"
        self.emit(
            {
                **told,
                "updates_per_env_step": [self.updates_per_chunk / n if n else None for n in new],
                "steps_per_second": [sum(new) / seconds] * len(new),
            }
        )

    def evaluate(self) -> None:
        began = time.monotonic()
        index = self.chunks_done // self.program.schedule.chunks_per_evaluation
        keys = jax.vmap(jax.random.fold_in, (0, None))(self.program.keys[1], index)
        metrics = jax.device_get(self.program.evaluate(self.state, keys))
        self.seconds += time.monotonic() - began
        self.emit({f"eval/{name}": x for name, x in metrics.items()})
        scores = {name: [float(x) for x in values] for name, values in metrics.items()}
        self.evaluations.append({"env_steps": list(self.env_steps), **scores})
        new = Best(self.state.learner, scores["episode_return"], list(self.env_steps))
        self.best = new.chosen(self.best)

    def require_finite(self) -> None:
        """Raise NotFinite, after a checkpoint, if a metric was not and that is to end training."""
        if not self.nonfinite or self.program.experiment.run.nonfinite == "go_on":
            return
        self.save()
        if self.folder is None:
            raise NotFinite(f"{self.nonfinite}; nonfinite=go_on trains on all the same")
        kept = self.folder.checkpoints / str(self.iteration)
        raise NotFinite(
            f"{self.nonfinite}; its checkpoint is {kept}; {self.folder.go_on} --nonfinite go_on"
        )

    @property
    def iteration(self) -> int:
        """Rollouts finished."""
        done = self.chunks_done * self.program.schedule.rollouts_per_chunk
        return self.program.shape.warmup_rollouts + done

    @property
    def updates(self) -> int:
        shape = self.program.shape
        return (self.iteration - shape.warmup_rollouts) * shape.updates_per_rollout

    @property
    def updates_per_chunk(self) -> int:
        program = self.program
        return program.schedule.rollouts_per_chunk * program.shape.updates_per_rollout

    @property
    def replay_ratio(self) -> float:
        """Gradient steps per environment step since learning began."""
        warm, now = (
            np.mean(entry["env_steps"]) for entry in (self.evaluations[0], self.evaluations[-1])
        )
        return float(self.updates / (now - warm))

    def emit(self, metrics: dict[str, Any]) -> None:
        """One record for each seed; a metric that no episode told of is left out."""
        records = [
            {
                "env_steps": self.env_steps[i],
                "updates": self.updates,
                "seconds": round(self.seconds, 3),
                **{name: float(x[i]) for name, x in metrics.items() if x[i] is not None},
            }
            for i in range(len(self.program.seeds))
        ]
        for sink in self.sinks:
            sink.write(records)
        if self.program.schedule.keeps(self.chunks_done):
            self.keep(records)

    def keep(self, records: Records) -> None:
        if self.lines is not None:
            self.lines.write(records)
        self.records += 1

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint was written long enough ago."""
        minutes = self.program.experiment.run.checkpoint_minutes
        return time.monotonic() - self.saved_at >= minutes * 60

    def save(self) -> None:
        """A checkpoint, if none has been written since the last chunk."""
        if self.folder is None or self.saved_chunk == self.chunks_done:
            return
        assert self.best is not None  # nothing is saved before the first evaluation
        meta = {
            "config": self.program.experiment.as_json(),
            "versions": versions(),
            "schedule": asdict(self.program.schedule),
            "best": {"episode_return": self.best.score, "env_steps": self.best.env_steps},
            **{name: getattr(self, name) for name in COUNTS},
        }
        parts = {**parts_of(self.state), "best": self.best.learner}
        keep = self.program.experiment.run.keep_checkpoints
        with self.folder.writing(), heap.giving_back():
            self.folder.settle_metrics()
            checkpoint.save(self.folder.checkpoints, self.iteration, parts, meta, keep)
        self.saved_at, self.saved_chunk = time.monotonic(), self.chunks_done

    def restore(self, found: checkpoint.Found) -> None:
        """Stand where a checkpoint of this program stood."""
        state = self.program.mesh.like(self.program.state, self.program.mesh.run)
        parts = checkpoint.restore(found, {**parts_of(state), "best": state.learner})
        whole = parts["rest"].replace(learner=parts["learner"])
        self.state = self.program.mesh.put(whole, self.program.mesh.run)
        for name in COUNTS:
            setattr(self, name, found.meta[name])
        best = found.meta["best"]
        self.best = Best(parts["best"], best["episode_return"], best["env_steps"])
        if self.iteration != found.iteration:
            raise ConfigError(
                f"checkpoint must be of this schedule, which counts {self.iteration} rollouts "
                f"after {self.chunks_done} chunks, got one after {found.iteration}"
            )
        self.saved_at, self.saved_chunk = time.monotonic(), self.chunks_done


COUNTS = ("chunks_done", "env_steps", "seconds", "records", "evaluations", "nonfinite")


def parts_of(state: Any) -> dict[str, Any]:
    """A run's state as a checkpoint holds it: the learner loads alone."""
    return {"learner": state.learner, "rest": state.replace(learner=None)}


def counts(x: Any) -> list[int]:
    return [int(n) for n in np.asarray(x)]


def episode_means(score: Any) -> dict[str, Any]:
    """Means over the episodes that finished, [S]; None for seeds where none did."""
    episodes = np.asarray(score.episodes)
    mean = lambda total: [t / n if n else None for t, n in zip(total, episodes, strict=True)]
    return {
        "train/episode_return": mean(np.asarray(score.returns).mean(-1)),
        "train/episode_length": mean(np.asarray(score.length)),
        **{f"train/{name}": mean(np.asarray(x)) for name, x in score.info.items()},
    }
