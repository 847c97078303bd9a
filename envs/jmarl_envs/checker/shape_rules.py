"""Rules on shapes and types: found by tracing alone, nothing is compiled or run."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jmarl.types import Environment, EnvSpec, Key, Outcome, View
from jmarl_envs.checker.words import Findings


@dataclass(frozen=True)
class Traced:
    """The abstract values of a reset, a step from it, and a step from there."""

    spec: EnvSpec
    opening: tuple[Any, View]
    first: tuple[Any, Outcome]
    second: tuple[Any, Outcome]
    step_traces: int  # how often the two steps were traced


def trace(env: Environment[Any]) -> Traced:
    spec, key = env.spec, jax.random.key(0)
    dtype = jnp.int32 if spec.action_kind == "discrete" else jnp.float32
    width = () if spec.action_kind == "discrete" else (spec.action_size,)
    action = jax.ShapeDtypeStruct((spec.num_agents, *width), dtype)
    traces = []

    def step(state: Any, action: Array, key: Key) -> tuple[Any, Outcome]:
        traces.append(state)
        return env.step(state, action, key)

    jitted = jax.jit(step)
    opening = jax.eval_shape(env.reset, key)
    first = jitted.eval_shape(opening[0], action, key)
    second = jitted.eval_shape(first[0], action, key)
    return Traced(spec, opening, first, second, len(traces))


def reset_view_is_as_specified(traced: Traced) -> Findings:
    yield from compare("reset's view", expected_view(traced.spec), traced.opening[1])


def step_view_is_as_specified(traced: Traced) -> Findings:
    yield from compare("step's view", expected_view(traced.spec), traced.first[1].view)


def rewards_and_flags(traced: Traced) -> Findings:
    """reward [A] float32, terminated and truncated [] bool."""
    flag = jax.ShapeDtypeStruct((), jnp.bool_)
    reward = jax.ShapeDtypeStruct((traced.spec.num_agents,), jnp.float32)
    out = traced.first[1]
    yield from compare("step's reward", reward, out.reward)
    yield from compare("step's terminated", flag, out.terminated)
    yield from compare("step's truncated", flag, out.truncated)


def info_is_as_specified(traced: Traced) -> Findings:
    """The spec's keys, each a single number."""
    listed, found = {name for name, _ in traced.spec.info}, traced.first[1].info
    if listed != set(found):
        yield f"step's info: expected the spec's keys {sorted(listed)}, found {sorted(found)}"
    for name, value in found.items():
        if value.shape != ():
            yield f"step's info[{name!r}]: expected a single number, found shape {value.shape}"
        elif value.dtype != jnp.float32:
            yield f"step's info[{name!r}]: expected float32, found {value.dtype}"


def state_keeps_its_type(traced: Traced) -> Findings:
    """Else every program is traced twice, and no scan can carry the state."""
    yield from compare("state after a step", traced.opening[0], traced.first[0], weak=True)
    yield from compare("state after two steps", traced.first[0], traced.second[0], weak=True)


def view_keeps_its_type(traced: Traced) -> Findings:
    opening, later = traced.opening[1], traced.first[1].view
    yield from compare("step's view beside reset's", opening, later, weak=True)


def step_is_traced_once(traced: Traced) -> Findings:
    if traced.step_traces > 1:
        yield f"step: expected one trace for all steps, found {traced.step_traces}"


def expected_view(spec: EnvSpec) -> View:
    return jax.eval_shape(spec.example_view)


def compare(where: str, expected: Any, found: Any, weak: bool = False) -> Findings:
    """Leaf by leaf; `weak` says whether weak types count."""
    wanted, given = _leaves(expected), _leaves(found)
    for path in [path for path in wanted if path not in given]:
        yield f"{where}{path}: expected {_words(wanted[path])}, found nothing"
    for path in [path for path in given if path not in wanted]:
        yield f"{where}{path}: expected nothing, found {_words(given[path])}"
    for path in [path for path in given if path in wanted]:
        one, other = wanted[path], given[path]
        if (one.shape, one.dtype) != (other.shape, other.dtype):
            yield f"{where}{path}: expected {_words(one)}, found {_words(other)}"
        elif weak and one.weak_type != other.weak_type:
            weakness = "weak type (a Python number)", "firm type"
            said = weakness if one.weak_type else weakness[::-1]
            yield f"{where}{path}: expected {said[0]}, found {said[1]}, so all is traced twice"
    if wanted.keys() == given.keys() and jax.tree.structure(expected) != jax.tree.structure(found):
        yield f"{where}: expected the same static fields, found others, so all is traced twice"


def _leaves(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def _words(leaf: Any) -> str:
    return f"{leaf.dtype} {list(leaf.shape)}"


RULES = (
    reset_view_is_as_specified,
    step_view_is_as_specified,
    rewards_and_flags,
    info_is_as_specified,
    state_keeps_its_type,
    view_keeps_its_type,
    step_is_traced_once,
)
