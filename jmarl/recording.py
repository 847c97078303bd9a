"""Episodes on record, the words of `jmarl render`, and where pictures go."""

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jmarl.config import find, parse, within
from jmarl.fields import ConfigError
from jmarl.folder import place
from jmarl.types import Environment, EnvSpec, Key, Policy, Transition, View
from jmarl.words import ALONE, pairs

Player = Literal["auto", "random", "trained"]
Format = Literal["auto", "gif", "mp4", "both"]
Overlay = Literal["auto", "none", "attention", "intrinsic"]
ENDINGS = {"gif": (".gif",), "mp4": (".mp4",), "both": (".gif", ".mp4"), "auto": (".gif", ".mp4")}
HASTE = {"xla_backend_optimization_level": 0}  # an episode compiles far longer than it runs
BOUNDS = {  # of whole numbers, both included
    "seed": (0, 2**31 - 1),
    "episodes": (1, 100),
    "fps": (1, 50),
    "pixels": (64, 2000),
}
HELP = """\
jmarl render ENV|RUN [--FLAG VALUE ...]

Plays episodes of an environment by name, of a trained run's folder or of a policy (jmarl zoo), and
writes them as a GIF and as an MP4.

flags:
  --policy                random or trained [trained for a run, random for an environment]
  --out                   the GIF or MP4 [ENV.gif and ENV.mp4 in this folder, numbered if there are
                          such already]; one that is there is replaced, any other file is not
  --format                gif, mp4 or both [what --out ends in, or else both]
  --overlay               attention, intrinsic or none: whom a team attends to, or what it rewards
                          itself for, over and below the picture [what its algorithm has]
  --seed                  of the episodes [0]
  --episodes              one after the other [1]
  --fps                   frames per second [10]
  --pixels                length of the longer side [400]
  --team-seed             the training seed whose team plays [the one that evaluated best]
  --env.NAME              an option of the environment; see `jmarl envs ENV`
  --compile-cache         where compiled programs are kept between runs, or off [auto]
"""
FLAGS = (
    *("policy", "out", "format", "overlay", "seed", "episodes", "fps", "pixels"),
    *("team-seed", "compile-cache"),
)
OPENINGS = {".gif": (0, b"GIF8"), ".png": (0, b"\x89PNG"), ".mp4": (4, b"ftyp")}  # of files, where
KINDS = {".gif": "a GIF", ".png": "a PNG", ".mp4": "an MP4"}


class Recording(struct.PyTreeNode):
    """N episodes side by side; what lies behind an episode's `length` steps means nothing."""

    state: Any  # [T+1, N, ...]
    view: View  # [T+1, N, ...]
    action: Array  # [T, N, A] or [T, N, A, U]
    reward: Array  # [T, N, A]
    terminated: Array  # [N] else the time ran out
    length: Array  # [N]

    def episode(self, nth: int) -> tuple[Any, View, Array, Array, bool]:
        """State and view [length+1, ...], action and reward [length, ...], terminated."""
        length = int(self.length[nth])
        positions = lambda tree: jax.tree.map(lambda leaf: leaf[: length + 1, nth], tree)
        action, reward = self.action[:length, nth], self.reward[:length, nth]
        terminated = bool(self.terminated[nth])
        return positions(self.state), positions(self.view), action, reward, terminated

    def batch(self) -> Transition:
        """As an update would read them: [T, N], and T+1 views; valid to each episode's end."""
        time = jnp.arange(len(self.reward) + 1)[:, None]
        last = time[:-1] == self.length - 1
        return Transition(
            view=self.view,
            start=jnp.broadcast_to(time == 0, (len(time), *self.length.shape)),
            action=self.action,
            reward=self.reward,
            terminated=last & self.terminated,
            truncated=last & ~self.terminated,
            valid=time[:-1] < self.length,
        )


@dataclass(frozen=True)
class Rendered:
    """Episodes on film."""

    paths: tuple[Path, ...]  # the GIF, the MP4 or both in this order
    spec: EnvSpec
    policy: str  # "random", or "trained, seed 3"
    overlay: str  # "attention", "intrinsic", or "" where nothing is drawn on top
    returns: np.ndarray  # [episodes, A] undiscounted
    steps: np.ndarray  # [episodes]

    @property
    def path(self) -> Path:
        return self.paths[0]


@dataclass(frozen=True)
class Watched:
    """One episode of T steps that a team played."""

    spec: EnvSpec
    algorithm: str
    team_seed: int  # the training seed of the team
    alive: np.ndarray  # [T, A]
    reward: np.ndarray  # [T, A]
    terminated: bool  # else the time ran out


@dataclass(frozen=True)
class Attended(Watched):
    """Whom the team's algorithm attended to."""

    weights: np.ndarray  # [T, heads, A], or [T, A, heads, A] of each agent; see types.Attention
    head_weights: np.ndarray | None  # [T, heads] what each head counts; None: all the same


@dataclass(frozen=True)
class Intrinsic(Watched):
    """What each action would have earned of the learned intrinsic reward, and what was done."""

    rewards: np.ndarray  # [T, A, U]
    action: np.ndarray  # [T, A]

    @property
    def taken(self) -> np.ndarray:
        """Of the actions taken, [T, A]."""
        return np.take_along_axis(self.rewards, self.action[..., None], -1)[..., 0]


@dataclass(frozen=True)
class Settings:
    """How to make a film; numbers may be texts. ConfigError for what cannot be."""

    policy: Player = "auto"
    format: Format = "auto"
    overlay: Overlay = "auto"
    seed: int = 0
    episodes: int = 1
    fps: int = 10
    pixels: int = 400

    def __post_init__(self) -> None:
        find(self.policy, get_args(Player), "policy")
        find(self.format, get_args(Format), "format")
        find(self.overlay, get_args(Overlay), "overlay")
        for name, (low, high) in BOUNDS.items():
            object.__setattr__(self, name, within(name, getattr(self, name), low, high))


@dataclass(frozen=True)
class Order:
    """What the words after `jmarl render` ask for."""

    what: str
    settings: dict[str, Any] = field(default_factory=dict)  # arguments of jmarl.render, as texts
    env_options: dict[str, Any] = field(default_factory=dict)


def read_order(words: list[str]) -> Order | None:
    """None if they ask for help."""
    given, names = pairs(words)
    if "help" in given or "h" in given or not words:
        return None
    if len(names) != 1:
        got = f"got {' '.join(names)!r}" if names else "got none"
        raise ConfigError(f"render takes one environment or run, {got}: jmarl render ENV|RUN")
    order = Order(names[0])
    for flag, value in given.items():
        if value == ALONE:
            raise ConfigError(f"{flag} must have a value, got none")
        if flag.startswith("env."):
            order.env_options[flag.removeprefix("env.").replace("-", "_")] = parse(value)
        else:
            order.settings[find(flag, FLAGS, "flag of render").replace("-", "_")] = value
    return order


def places_of(out: str | Path, kind: str, name: str) -> tuple[Path, ...]:
    """Where films of the `Format` go, in the order of ENDINGS, by default under `name`.

    ConfigError where they cannot or must not.
    """
    endings = ENDINGS[kind]
    if str(out) == "" or place("out", out).is_dir():
        outs = [out] * len(endings)
    else:
        given = Path(out).suffix.lower()
        if given not in endings:
            raise ConfigError(f"out must end in {' or '.join(endings)}, got {str(out)!r}")
        endings = (given,) if kind == "auto" else endings
        outs = [out if e == given else Path(out).with_suffix(e) for e in endings]
    partners = endings[::-1] if len(endings) > 1 else ("",)
    return tuple(
        place_of(where, f"{name}{ending}", partner)
        for where, ending, partner in zip(outs, endings, partners, strict=True)
    )


def place_of(out: str | Path, default: str, beside: str = "") -> Path:
    """Where a picture of `default`'s kind goes; ConfigError where it cannot or must not.

    `beside` is the ending of a file that goes with it.
    """
    named = default.replace("/", "-")
    ending = Path(named).suffix
    path = place("out", out) if str(out) else Path(named).absolute()
    if path.is_dir():
        path, out = path / named, ""
    if path.suffix.lower() != ending:
        raise ConfigError(f"out must end in {ending}, got {str(out)!r}")
    if not path.parent.is_dir():
        raise ConfigError(f"out must lie in a folder that exists, got {str(out)!r}")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"out must lie in a folder that can be written, got {str(path.parent)!r}")
    if str(out) == "":
        return unused(path, beside)
    if path.exists() and not begins(path, OPENINGS[ending]):
        raise ConfigError(
            f"out must be {KINDS[ending]} if it exists, got {str(out)!r}, which is none"
        )
    return path


def unused(path: Path, beside: str = "") -> Path:
    """The path itself, or the first of path-2, path-3, ... that is free, with what goes with it."""
    number, free = 1, path
    while free.exists() or (beside and free.with_suffix(beside).exists()):
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def begins(path: Path, opening: tuple[int, bytes]) -> bool:
    """Whether a file holds these bytes at their place."""
    offset, mark = opening
    with path.open("rb") as file:
        return file.read(offset + len(mark))[offset:] == mark


def record(env: Environment[Any], policy: Policy[Any], key: Key, episodes: int) -> Recording:
    """`episodes` whole episodes under a policy, in one compiled program."""
    run = jax.jit(partial(_record, env, policy, episodes), compiler_options=HASTE)
    return run(key)


def _record(env: Environment[Any], policy: Policy[Any], episodes: int, key: Key) -> Recording:
    """Not `rollout`: without resets it compiles in half the time."""
    open_key, carry_key, act_key = jax.random.split(key, 3)
    state, view = jax.vmap(env.reset)(jax.random.split(open_key, episodes))

    def step(now: tuple[Any, View, Any], key: Key) -> tuple[tuple[Any, View, Any], Any]:
        state, view, carry = now
        choose_key, step_key = jax.random.split(key)
        carry, action, _ = policy.step(carry, view, choose_key)
        step_keys = jax.random.split(step_key, episodes)
        state, out = jax.vmap(env.step)(state, action, step_keys)
        return (state, out.view, carry), (state, action, out)

    opening = state, view, policy.reset(carry_key, episodes)
    keys = jax.random.split(act_key, env.spec.episode_limit)
    _, (states, action, out) = jax.lax.scan(step, opening, keys)
    prepend = lambda first, rest: jnp.concatenate([first[None], rest])
    ended = out.terminated | out.truncated
    last = jnp.where(ended.any(0), ended.argmax(0), len(keys) - 1)
    return Recording(
        state=jax.tree.map(prepend, state, states),
        view=jax.tree.map(prepend, view, out.view),
        action=action,
        reward=out.reward,
        terminated=jnp.take_along_axis(out.terminated, last[None], 0)[0],
        length=last + 1,
    )
