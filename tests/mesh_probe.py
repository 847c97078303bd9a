"""Trains on eight simulated devices and on one, and tells how they compare, as JSON.

python tests/mesh_probe.py ALGORITHM_OR_MORE ENV
python tests/mesh_probe.py resume FOLDER
"""

import json
import os
import re
import sys
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import numpy as np

import jmarl
from jmarl.config import experiment
from jmarl.mesh import Mesh
from jmarl.program import Program

SETTINGS = {
    "mesh": "seed=2,env=4",
    "seeds": 2,
    "num_envs": 8,
    "total_steps": 2000,
    "evaluations": 400,  # many, so that a chunk is one rollout
    "eval_episodes": 4,
}
SMALL = {
    "warmup_steps": 100,
    "env_steps_per_update": 20,
    "batch_size": 16,
    "buffer_size": 2000,
    "actor_lr": 1e-3,  # a step of Adam is as large where a gradient is rounding alone
    "critic_lr": 1e-3,
}
LATEST = {"infer_policies": True, "infer_batch": 12}
MORE: dict[str, dict[str, Any]] = {
    "mappo": {"minibatches": 2},  # of an environment a device each
    "maddpg": SMALL,  # each agent's own batches
    "maddpg, inferring": SMALL | LATEST,
    "maddpg, ensemble": SMALL | {"ensemble": 2, "total_steps": 4000},
}
KINDS = "all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter|collective-broadcast"
COLLECTIVE = re.compile(rf"= (\(.*?\)|\S+) ({KINDS})(?:-start)?\((.*)")


class OneDevice(Mesh):
    """The same program, placed nowhere in particular."""

    size = 1  # pyright: ignore
    everywhere = by_seed = by_env = run = None  # pyright: ignore


def numbers(tree: Any) -> list[np.ndarray]:
    raw = lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    return [np.asarray(raw(x), float) for x in jax.tree.leaves(tree)]


def drift(a: Any, b: Any) -> float:
    pairs = zip(numbers(a), numbers(b), strict=True)
    return max(float(np.abs(x - y).max(initial=0)) for x, y in pairs)


def bytes_of(shape: str) -> int:
    """Of the arrays that an HLO shape lists."""
    width = lambda name: int(re.sub(r"\D", "", name) or 8) // 8
    found = re.findall(r"([a-z]+\d*)\[([\d,]*)\]", shape)
    return sum(width(n) * int(np.prod([int(d) for d in dims.split(",") if d])) for n, dims in found)


def groups(text: str) -> list[list[int]]:
    """Which devices speak with each other: HLO lists them, counts them through, or names axes of a
    mesh."""
    whole = lambda text: [int(x) for x in re.findall(r"\d+", text)]
    if found := re.search(r"replica_groups=\{(\{.*?\})\}", text):
        return [whole(part) for part in found[1].split("},{")]
    if found := re.search(r"replica_groups=(\[[\d,]+\]<=\S+?), ", text):
        return counted(found[1]).tolist()
    found = re.search(r"replica_groups=mesh\[(.*?)\](?:, device_ids=\((.*?)\))? \{(.*?)\}", text)
    assert found, f"unknown replica groups: {text[:300]}"
    sizes = dict(re.findall(r"'(\w+)'=(\d+)", found[1]))
    shape, axes = [int(n) for n in sizes.values()], re.findall(r"'(\w+)'", found[3])
    ids = counted(found[2]) if found[2] else np.arange(np.prod(shape))
    at = [list(sizes).index(axis) for axis in axes]
    last = np.moveaxis(ids.reshape(shape), at, range(-len(at), 0))
    return last.reshape(-1, int(np.prod([shape[i] for i in at]))).tolist()


def counted(text: str) -> np.ndarray:
    """`[2,4]<=[8]`, `[2,4]<=[4,2]T(1,0)` or `[2,4]T(1,0)`: 0, 1, ... laid out, turned."""
    whole = lambda text: [int(x) for x in text.split(",")]
    found = re.fullmatch(r"\[([\d,]+)\](?:<=\[([\d,]+)\])?(?:T\(([\d,]+)\))?", text)
    assert found, text
    shape, source, turn = found.groups()
    ids = np.arange(np.prod(whole(shape))).reshape(whole(source or shape))
    ids = ids.transpose(whole(turn)) if turn else ids
    return ids.reshape(whole(shape)) if source else ids


def compare(which: str, env: str) -> dict[str, Any]:
    algorithm, more = which.split(",")[0], MORE.get(which, {})
    plan = experiment(algorithm, "", {}, {**SETTINGS, "env": env, **more})
    programs = [Program(jmarl.make_env(env), plan) for _ in range(2)]
    programs[1].mesh = OneDevice(programs[0].mesh.seed, programs[0].mesh.env)
    texts = record_texts()
    runs = [program.start()[0] for program in programs]
    told: dict[str, Any] = {"start": drift(*runs)}
    first = programs[0].shape.warmup_rollouts
    told["devices"] = len(jax.tree.leaves(runs[0].memory)[0].sharding.device_set)
    for nth in range(2):
        nth += first
        steps = zip(programs, runs, strict=True)
        out = [program.chunk(run, nth) for program, run in steps]
        runs = [run for run, _ in out]
        told[f"metrics_{nth - first}"] = drift(out[0][1], out[1][1])
    told["learner"] = drift(runs[0].learner, runs[1].learner)
    told["size"] = bytes_of_learner(runs[0].learner)
    told["memory"] = sum(x.nbytes for x in jax.tree.leaves(runs[0].memory))
    told["collectives"] = collectives(texts, "_chunk")
    return told


def collectives(texts: list[str], function: str) -> list[dict[str, Any]]:
    """Of the first compiled program of this name in which devices speak."""
    text = next(text for text in texts if "all-reduce" in text and f"jit_{function}" in text)
    return [
        {"kind": kind, "bytes": bytes_of(shape), "groups": groups(rest)}
        for shape, kind, rest in COLLECTIVE.findall(text)
    ]


def bytes_of_learner(learner: Any) -> int:
    return sum(x.nbytes for x in jax.tree.leaves(learner)) // SETTINGS["seeds"]


def record_texts() -> list[str]:
    """The HLO of what is compiled from here on."""
    texts: list[str] = []
    compile_ = jax.stages.Lowered.compile

    def spied(self: Any, *args: Any, **options: Any) -> Any:
        compiled = compile_(self, *args, **options)
        texts.append(compiled.as_text() or "")
        return compiled

    jax.stages.Lowered.compile = spied  # pyright: ignore
    return texts


def resume(folder: str) -> dict[str, Any]:
    """A run unbroken, and one that stopped half-way and went on."""
    settings = {
        **SETTINGS,
        "evaluations": 4,
        "hidden_dim": (8,),
        "batch_size": 4,
        "progress": False,
    }
    train = lambda out, steps: jmarl.train(
        "vdn", "matrix/two_step", out=f"{folder}/{out}", **{**settings, "total_steps": steps}
    )
    texts = record_texts()
    whole = train("whole", 960)
    train("half", 480)
    again = jmarl.resume(f"{folder}/half", total_steps=960, progress=False)
    alone = jmarl.evaluate(f"{folder}/whole", episodes=8)[0]
    return {
        "whole": whole.returns[-1].tolist(),
        "again": again.returns[-1].tolist(),
        "elsewhere": elsewhere(folder, settings | {"mesh": "", "seeds": 1}),
        "evaluated": [float(x) for x in alone["episode_return"]],
        "collectives": collectives(texts, "_evaluate"),
    }


def elsewhere(folder: str, settings: dict[str, Any]) -> list[list[float]]:
    """Returns of a run on the second device, unbroken and resumed."""
    train = lambda out, steps: jmarl.train(
        "vdn", "matrix/two_step", out=f"{folder}/{out}", **{**settings, "total_steps": steps}
    )
    with jax.default_device(jax.devices()[1]):
        whole = train("whole elsewhere", 960)
        train("half elsewhere", 480)
        again = jmarl.resume(f"{folder}/half elsewhere", total_steps=960, progress=False)
    return [run.returns[-1].tolist() for run in (whole, again)]


if __name__ == "__main__":
    found = resume(sys.argv[2]) if sys.argv[1] == "resume" else compare(*sys.argv[1:3])
    print(json.dumps(found))
