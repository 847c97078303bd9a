"""The one training loop: collect, remember, learn; scanned, for every algorithm.

All here is pure and traced. The host (program.py) jits `open`, `chunk` and `evaluate`, vmapped
over seeds, and fit.py calls them in turn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array

from jmarl.rollout import (
    Actors,
    Episode,
    Tally,
    first_episodes,
    open_actors,
    rollout,
    tally,
    transition,
)
from jmarl.types import (
    Algorithm,
    Clock,
    Environment,
    EnvSpec,
    Key,
    Memory,
    Metrics,
    Policy,
    Step,
    Transition,
)


@dataclass(frozen=True)
class LoopConfig:
    """What shapes the loop's program."""

    num_envs: int = 8
    rollout_length: int = 25
    updates_per_rollout: int = 1
    warmup_rollouts: int = 0  # collected before the first update
    rollouts_per_chunk: int = 10  # between two looks from the host
    eval_episodes: int = 32
    episodic: bool = False  # restart every environment at each rollout, for recurrent learners
    spread: bool = False  # the environments lie on several devices


class Run(struct.PyTreeNode):
    """Everything that training carries: saving it is being able to resume."""

    learner: Any
    memory: Any
    actors: Actors
    key: Key


@dataclass(frozen=True)
class Loop:
    """An environment, an algorithm and its memory, joined."""

    env: Environment[Any]
    algorithm: Algorithm[Any]
    memory: Memory[Any]
    cfg: LoopConfig
    shared: Callable[[Any], Any] = lambda actors: actors  # out among devices, before an evaluation

    def start(self, key: Key) -> tuple[Run, Tally]:
        """A new run, its memory warmed up, and what that took."""
        run, _ = self.open(key)
        run, (_, score) = self.chunk(run, jnp.int32(0), self.cfg.warmup_rollouts)
        return run, score

    def chunk(
        self, run: Run, first: Array, rollouts: int | Array | None = None
    ) -> tuple[Run, tuple[Metrics, Tally]]:
        """`rollouts` iterations (`rollouts_per_chunk`) from iteration `first` on; those of the
        warm-up, `warmup_rollouts`, come first and only collect.

        Metrics are means over the chunk's updates (zeros if there are none), tallies sums over its
        rollouts. With a traced number of rollouts one program both warms up and learns.
        """
        rollouts = self.cfg.rollouts_per_chunk if rollouts is None else rollouts

        @jax.jit  # traced once, though its shapes are asked for first
        def one(run: Run, i: Array) -> tuple[Run, tuple[Metrics, Tally]]:
            run, (metrics, score) = self.iteration(run, i)
            return run, (jax.tree.map(jnp.mean, metrics), score)

        def body(nth: Array, carry: tuple[Run, Any]) -> tuple[Run, Any]:
            run, told = one(carry[0], first + nth)
            return run, jax.tree.map(jnp.add, carry[1], told)

        shapes = jax.eval_shape(one, run, first)[1]
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        run, (metrics, score) = jax.lax.fori_loop(0, rollouts, body, (run, zeros))
        learned = jnp.minimum(first + rollouts - self.cfg.warmup_rollouts, rollouts)
        return run, (jax.tree.map(lambda x: x / jnp.maximum(learned, 1), metrics), score)

    def evaluate(self, run: Run, key: Key) -> Metrics:
        """Fresh episodes of the exploiting policy; see `scores`."""
        return self.play(self.algorithm.exploit(run.learner), key)

    # --- parts ----------------------------------------------------------------------------------

    def open(self, key: Key) -> tuple[Run, Transition]:
        """A new run that remembers nothing, and a rollout's worth of zeros."""
        learn_key, act_key, key = jax.random.split(key, 3)
        learner = self.algorithm.init(learn_key)
        policy = self.algorithm.explore(learner, self.clock(0))
        actors = open_actors(self.env, policy, self.cfg.num_envs, act_key)
        example = self.example(learner, actors)
        return Run(learner, self.memory.init(example), actors, key), example

    def clock(self, iteration: Any) -> Clock:
        learned = jnp.maximum(iteration - self.cfg.warmup_rollouts, 0)
        positions = float(self.cfg.num_envs * self.cfg.rollout_length)
        return Clock(
            iteration=jnp.asarray(iteration),
            env_steps=jnp.asarray(iteration, jnp.float32) * positions,
            updates=learned * self.cfg.updates_per_rollout,
        )

    def example(self, learner: Any, actors: Actors) -> Transition:
        """A rollout's worth of zeros, for the memory to size itself by."""

        def one(learner: Any, actors: Actors) -> Transition:
            policy = self.algorithm.explore(learner, self.clock(0))
            key = jax.random.key(0)
            actors, (steps, _) = self.acted(policy, actors, key, self.cfg.rollout_length)
            return transition(steps, actors)

        shapes = jax.eval_shape(one, learner, actors)
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def acted(
        self, policy: Policy[Any], actors: Actors, key: Key, length: int
    ) -> tuple[Actors, tuple[Step, Episode]]:
        return rollout(self.env, policy, actors, key, length, self.cfg.spread)

    def collect(self, run: Run, iteration: Array) -> tuple[Run, Tally]:
        """One rollout into the memory."""
        cfg, clock = self.cfg, self.clock(iteration)
        open_key, act_key, key = jax.random.split(run.key, 3)
        policy = self.algorithm.explore(run.learner, clock)
        actors = run.actors
        if cfg.episodic:
            actors = open_actors(self.env, policy, cfg.num_envs, open_key)
        actors, (steps, episodes) = self.acted(policy, actors, act_key, cfg.rollout_length)
        memory = self.memory.add(run.memory, transition(steps, actors), clock)
        return Run(run.learner, memory, actors, key), tally(steps, episodes, first=cfg.episodic)

    def learn(self, run: Run, clock: Clock) -> tuple[Run, Metrics]:
        """`updates_per_rollout` gradient steps; metrics stacked."""

        def one_update(learner: Any, x: tuple[Key, Array]) -> tuple[Any, Metrics]:
            key, nth = x
            sample_key, update_key = jax.random.split(key)
            batch = self.memory.sample(run.memory, sample_key, clock)
            now = clock.replace(updates=clock.updates + nth)
            return self.algorithm.update(learner, batch, update_key, now)

        updates = self.cfg.updates_per_rollout
        key, learn_key = jax.random.split(run.key)
        xs = jax.random.split(learn_key, updates), jnp.arange(updates)
        learner, metrics = jax.lax.scan(one_update, run.learner, xs)
        return run.replace(learner=learner, key=key), metrics

    def iteration(self, run: Run, i: Array) -> tuple[Run, tuple[Metrics, Tally]]:
        run, score = self.collect(run, i)
        # the memory holds i + 1 rollouts now; the updates done before are those of iteration i
        clock = self.clock(i).replace(iteration=i + 1)
        if self.cfg.warmup_rollouts == 0:
            run, metrics = self.learn(run, clock)
            return run, (metrics, score)
        learn = jax.jit(lambda run, clock: self.learn(run, clock))  # traced once
        shapes = jax.eval_shape(learn, run, clock)[1]
        none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        idle = lambda run, clock: (run, none)
        run, metrics = jax.lax.cond(i >= self.cfg.warmup_rollouts, learn, idle, run, clock)
        return run, (metrics, score)

    def play(self, policy: Any, key: Key) -> Metrics:
        """The first episode of each of `eval_episodes` environments under a policy."""
        return means(self.env.spec, self.first(policy, key))

    def first(self, policy: Any, key: Key) -> Episode:
        """These episodes, [eval_episodes, ...]; zeros for one that has no end within the limit."""
        reset_key, act_key = jax.random.split(key)
        actors = self.shared(open_actors(self.env, policy, self.cfg.eval_episodes, reset_key))
        limit = self.env.spec.episode_limit
        _, (steps, episodes) = self.acted(policy, actors, act_key, limit)
        return first_episodes(steps, episodes)


def means(spec: EnvSpec, episodes: Episode) -> Metrics:
    """Named scores of episodes [B, ...]."""
    return {
        **scores(spec, episodes.returns.mean(0)),
        "episode_length": episodes.length.astype(jnp.float32).mean(),
        **{name: value.mean() for name, value in episodes.info.items()},
    }


def scores(spec: EnvSpec, returns: Array) -> Metrics:
    """Named returns from per-agent returns [A].

    `episode_return` is the mean over all agents; where there are several teams, or agents
    whose rewards differ, each team's mean and each agent's return have names of their own.
    """
    named = {"episode_return": returns.mean()}
    if len(spec.team_names) > 1:
        for index, team in enumerate(spec.team_names):
            members = jnp.array([t == index for t in spec.teams])
            named[f"episode_return_{team}"] = (returns * members).sum() / members.sum()
    if spec.team_reward != "shared":
        named |= {f"agent_return/{name}": returns[i] for i, name in enumerate(spec.agents)}
    return named
