"""Runs of seconds, their records, and what resuming must leave as it was."""

import json
from pathlib import Path
from typing import Any

TINY: dict[str, Any] = {
    "num_envs": 4,
    "rollout_length": 5,
    "seeds": 2,
    "evaluations": 3,
    "eval_episodes": 4,
    "total_steps": 1200,
    "buffer_size": 400,
    "batch_size": 16,
    "hidden_dim": (8, 8),
    "warmup_steps": 40,
    "compile_cache": "auto",
    "progress": False,
}


def lines(run: Path, seed: int) -> list[dict[str, Any]]:
    return [
        json.loads(x) for x in (run / "metrics" / f"seed-{seed}.jsonl").read_text().splitlines()
    ]


def untimed(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {k: v for k, v in record.items() if k not in ("seconds", "steps_per_second")}
        for record in records
    ]
