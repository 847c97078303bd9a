"""Reads a run's folder as training writes it, and tells wandb. A process of its own.

    python -P follower.py FOLDER online|offline SECONDS < pipe

Training never waits for it: whatever the network does, it does here. It ends with its stdin, which
is when training has ended, however that came about. What it tells is what the folder holds; its
last line on stdout says where that went. It needs nothing of jmarl, so that it starts at once.
"""

import json
import os
import secrets
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb

EVERY = 2.0  # seconds between two looks
MEDIA = {".png": wandb.Image, ".gif": wandb.Video, ".mp4": wandb.Video}
SWEEP, RUN = "WANDB_SWEEP_ID", "WANDB_RUN_ID"  # set by `wandb agent`
TRIAL = "trial"
Record = Mapping[str, Any]


class Lines:
    """A file's records, as its lines become whole."""

    def __init__(self, path: Path) -> None:
        self.path, self.at = path, 0
        self.waiting: list[Record] = []

    def look(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.at)
            whole, end, _ = file.read().rpartition(b"\n")
        self.at += len(whole + end)
        self.waiting += [json.loads(line) for line in whole.splitlines()]


class Follower:
    """A wandb run for each seed; for a trial of a sweep one for all, of their means."""

    def __init__(self, folder: Path, mode: str, patience: float) -> None:
        self.folder, self.mode, self.patience = folder, mode, patience
        self.place = folder / "wandb"
        self.words = f"{mode}, in {self.place}"
        self.plan = json.loads((folder / "config.json").read_text())
        first, count = self.plan["run"]["seed"], self.plan["run"]["seeds"]
        self.seeds = [f"seed-{seed}" for seed in range(first, first + count)]
        self.lines = [Lines(folder / "metrics" / f"{name}.jsonl") for name in self.seeds]
        # wandb takes no id from us where it finds the sweep by itself, so that it is handed over
        self.sweep = os.environ.pop(SWEEP, None)
        self.told, self.ids = self.remembered()
        self.runs = [self.opened(name) for name in self.ids]

    def remembered(self) -> tuple[int, dict[str, str]]:
        """How many rounds were told, and each run's id: a resumed run keeps those it began with."""
        path = self.place / "follower.json"
        known = json.loads(path.read_text()) if path.exists() else {"told": 0, "ids": {}}
        given = os.environ.pop(RUN, None)
        if self.sweep:  # an agent waits for the run of this id
            return known["told"], {TRIAL: known["ids"].get(TRIAL) or given or secrets.token_hex(4)}
        ids = {name: known["ids"].get(name) or secrets.token_hex(4) for name in self.seeds}
        return known["told"], ids

    def remember(self) -> None:
        self.place.mkdir(exist_ok=True)
        text = json.dumps({"told": self.told, "ids": self.ids})
        (self.place / "follower.json").write_text(text)

    def opened(self, name: str) -> Any:
        """Offline where no server answers, which the last words tell."""
        if self.mode == "online":
            try:
                return self.init(name, "online")
            except (wandb.Error, OSError) as error:
                reason = str(error).partition("\n")[0] or type(error).__name__
                self.mode, self.ids[name] = "offline", secrets.token_hex(4)  # the other is taken
                self.words = f"no server answered ({reason}); kept in {self.place}"
        return self.init(name, "offline")

    def init(self, name: str, mode: Any) -> Any:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "jmarl"),
            group=self.folder.name,
            name=f"{self.folder.name}/{name}",
            id=self.ids[name],
            resume="allow",
            tags=self.tags,
            config=self.config | ({} if name == TRIAL else {"seed": int(name[5:])}),
            mode=mode,
            dir=self.folder,
            reinit="create_new",
            settings=wandb.Settings(
                init_timeout=self.patience,
                login_timeout=self.patience,
                silent=True,
                console="off",
                sweep_id=self.sweep,
                disable_git=True,
                disable_code=True,
            ),
        )
        run.define_metric("*", step_metric="env_steps")
        return run

    @property
    def tags(self) -> list[str]:
        names = self.plan["algorithm"], self.plan["run"]["env"], self.plan["preset"]
        return [name for name in names if name]

    @property
    def config(self) -> dict[str, Any]:
        plan = self.plan
        options = {f"env.{name}": value for name, value in plan["env_options"].items()}
        about = {"algorithm": plan["algorithm"], "preset": plan["preset"]}
        versions = json.loads((self.folder / "versions.json").read_text())
        return about | plan["run"] | plan["config"] | options | {"versions": versions}

    def follow(self, ended: threading.Event) -> None:
        """Tell until training has ended, and then what is left."""
        last, nth = False, 0
        while not last:
            last = ended.wait(EVERY)
            for records in self.rounds():
                nth += 1
                if nth > self.told:
                    self.tell(records)
                    self.told = nth
            self.remember()
        for path in sorted(p for p in self.folder.iterdir() if p.suffix in MEDIA):
            for run in self.runs:
                run.log({path.stem: MEDIA[path.suffix](str(path))})

    def rounds(self) -> Iterator[Sequence[Record]]:
        """Records of all seeds, one of each, that nobody has read yet."""
        for lines in self.lines:
            lines.look()
        for _ in range(min(len(lines.waiting) for lines in self.lines)):
            yield [lines.waiting.pop(0) for lines in self.lines]

    def tell(self, records: Sequence[Record]) -> None:
        records = [mean(records)] if TRIAL in self.ids else records
        for run, record in zip(self.runs, records, strict=True):
            run.log({name: x for name, x in record.items() if x is not None})

    def close(self) -> None:
        for run in self.runs:
            run.finish()


def mean(records: Sequence[Record]) -> Record:
    """Over seeds, of what all of them know."""
    names = [n for n in records[0] if all(record.get(n) is not None for record in records)]
    return {name: sum(record[name] for record in records) / len(records) for name in names}


def main(folder: str, mode: str, patience: str) -> None:
    """`patience`: seconds for a server to answer when a run opens."""
    ended = threading.Event()

    def listen() -> None:
        while os.read(0, 1024):  # unbuffered: a buffer's lock outlasts a daemon thread
            pass
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    follower = Follower(Path(folder), mode, float(patience))
    follower.follow(ended)
    follower.close()
    print(follower.words)


if __name__ == "__main__":
    main(*sys.argv[1:])
