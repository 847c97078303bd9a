"""The agents' value networks: torch's layers, memory within an episode, one network or many."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import Zoo, assert_same, jit, pick, played

from jmarl.networks import recurrent
from jmarl.networks.agents import Agents, Carry, actions_before
from jmarl.networks.base import functional
from jmarl.networks.layers import GruCell, Linear, TwoLayers
from jmarl.networks.recurrent import Cell, Weights, through_time
from jmarl.types import Transition

T, B = 11, 4
ZOO = Zoo()
OBS, ACTIONS = ZOO.spec.obs_size, ZOO.spec.action_size


def agents(
    rnn: int = 3,
    shared: bool = True,
    last_action: bool = True,
    agent_id: bool = True,
    hidden: tuple[int, ...] = (5,),
) -> Agents:
    return Agents(ZOO.spec, hidden, rnn, shared, last_action, agent_id)


@cache
def batch() -> Transition:
    """Each environment's episodes of three or four steps, some terminated, some cut."""
    out = jit(lambda key: played(ZOO, B, T, key))(jax.random.key(2))
    assert out.terminated.any() and out.truncated.any() and out.start.sum() > 2 * B
    return out


@pytest.fixture(scope="module", autouse=True)
def batch_is_played_outside_of_programs() -> None:
    batch()


def drawn(team: Agents, seed: int = 0) -> Any:
    return jit(team.init)(jax.random.key(seed))


def values(team: Agents, params: Any, batch: Transition) -> Array:
    return team.unroll((params,), batch)[0].q


# --- torch's layers -------------------------------------------------------------------------------


def test_linear_by_hand() -> None:
    net = functional(Linear(2))
    params = {"kernel": jnp.array([[1.0, 2], [3, 4]]), "bias": jnp.array([0.5, -1])}
    assert net.apply(params, jnp.array([10.0, 1])).tolist() == [13.5, 23.0]
    assert functional(Linear(2, use_bias=False)).apply(params, jnp.ones(2)).tolist() == [4.0, 6.0]


def test_linear_is_drawn_within_its_real_fan_in() -> None:
    """+-1/sqrt(16) though 30 inputs stand there; what is padding is zero."""
    real_in, real_out = jnp.arange(30) < 16, jnp.arange(50) < 40
    params = functional(Linear(50, True, real_in, real_out)).init(jax.random.key(0), jnp.zeros(30))
    kernel, bias = np.asarray(params["kernel"]), np.asarray(params["bias"])
    assert 0.24 < np.abs(kernel).max() <= 0.25 and 0.2 < np.abs(bias).max() <= 0.25
    assert not kernel[16:].any() and not kernel[:, 40:].any() and not bias[40:].any()
    assert kernel[:16, :40].all() and bias[:40].all()


def test_two_layers_by_hand() -> None:
    """fc1 gives 3 and -1, of which ReLU leaves 3; fc2 makes 2 * 3 + 1 of it."""
    first = {"kernel": jnp.array([[1.0, -1]]), "bias": jnp.array([1.0, 1])}
    second = {"kernel": jnp.array([[2.0], [5]]), "bias": jnp.array([1.0])}
    net = functional(TwoLayers(2, 1))
    assert net.apply({"fc1": first, "fc2": second}, jnp.array([2.0])).tolist() == [7.0]
    bare = functional(TwoLayers(2, 1, use_bias=False)).init(jax.random.key(0), jnp.ones(1))
    assert "bias" in bare["fc1"] and "bias" not in bare["fc2"]


def test_gru_by_hand() -> None:
    """r = 1/2 weighs the state's part of n alone, z = 3/4 is the share that stays:
    n = tanh(0.25 + 0.5 * 0.5), h' = n / 4 + 3/4 * 2."""
    gates = lambda r, z, n: {"kernel": jnp.zeros((1, 3)), "bias": jnp.array([r, z, n])}
    params = {"input": gates(0.0, jnp.log(3.0), 0.25), "state": gates(0.0, 0.0, 0.5)}
    cell = functional(GruCell(1))
    after = cell.apply(params, jnp.array([2.0]), jnp.ones(1))
    np.testing.assert_allclose(after, [np.tanh(0.5) / 4 + 1.5], rtol=1e-6)


def test_gru_is_drawn_within_its_width() -> None:
    """All four tensors within 1/sqrt(16), whatever the input's width; both biases are there."""
    team = agents(rnn=16, hidden=(100,))
    for part in drawn(team)["gru"].values():
        for leaf in (part["kernel"], part["bias"]):
            assert leaf.shape[-1] == 48 and 0.23 < np.abs(leaf).max() <= 0.25


def states_one_by_one(cell: Cell, start: Array) -> Array:
    """[T, B, A, H] by the cell that acts."""
    gru = functional(GruCell(cell.state.kernel.shape[0]))
    params = {"state": cell.state._asdict(), "input": cell.input._asdict()}
    h, states = jnp.zeros((*cell.seen.shape[1:-1], cell.state.kernel.shape[0])), []
    for x, opens in zip(cell.seen, start, strict=True):
        h = gru.apply(params, jnp.where(opens[:, None, None], 0, h), x)
        states.append(h)
    return jnp.stack(states)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_gru_through_time_is_its_cell_step_by_step(
    at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States and all gradients, autodiff's beside ours, in both ways that platforms take."""
    inputs, width, agents = 4, 3, 2
    numbers = lambda nth, *shape: jax.random.normal(jax.random.key(nth), shape)
    cells = [
        Cell(
            Weights(numbers(n, width, 3 * width), numbers(n + 1, 3 * width)),
            Weights(numbers(n + 2, inputs, 3 * width), numbers(n + 3, 3 * width)),
            numbers(n + 4, T, B, agents, inputs),
        )
        for n in (0, 10)
    ]
    start, weight = jnp.asarray(batch().start[:T]), numbers(20, T, B, agents, width)
    monkeypatch.setattr(recurrent, "by_platform", lambda way, *args: way(*args, at_once=at_once))

    def ours(cell: Cell) -> tuple[Array, Any]:
        states, (others,) = through_time(cell, (cells[1],), start)
        return (states * weight).sum(), (states, others)

    def theirs(cell: Cell) -> tuple[Array, Any]:
        states = states_one_by_one(cell, start)
        return (states * weight).sum(), (states, states_one_by_one(cells[1], start))

    found, expected = (jit(jax.grad(f, has_aux=True))(cells[0]) for f in (ours, theirs))
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5)
    jax.tree.map(close, found, expected)


def test_platforms_take_their_ways() -> None:
    """At once, a product has all [T B A] rows; in a scan, as on a CPU, a step's [B A]."""
    team = agents()
    loss = lambda params: (values(team, params, batch()) ** 2).sum()
    program = jax.jit(jax.grad(loss)).trace(drawn(team))
    rows, step = (T + 1) * B * team.spec.num_agents, B * team.spec.num_agents
    cuda, cpu = (program.lower(lowering_platforms=(p,)).as_text() for p in ("cuda", "cpu"))
    projected = lambda text, rows: f"tensor<{rows}x5xf32>, tensor<5x9xf32>" in text
    assert projected(cuda, rows) and not projected(cuda, step)
    assert projected(cpu, step) and not projected(cpu, rows)


# --- memory ---------------------------------------------------------------------------------------


def episodes_of(batch: Transition) -> np.ndarray:
    """[T+1, B] which of its environment's episodes a view belongs to."""
    return np.cumsum(batch.start, 0)


@pytest.mark.parametrize("rnn", [3, 0])
def test_what_a_value_depends_on(rnn: int) -> None:
    """With a GRU: all views of the same episode so far. Without: its own view. Nothing else."""
    team = agents(rnn)
    params = drawn(team)

    def summed(obs: Array) -> Array:
        view = batch().view.replace(obs=obs)
        return values(team, params, batch().replace(view=view)).sum((1, 2, 3))  # of each step

    slopes = jit(jax.jacrev(summed))(batch().view.obs)  # [T+1, T+1, B, A, O]
    depends = np.abs(slopes).sum((-2, -1)) > 0
    episode, time = episodes_of(batch()), np.arange(T + 1)
    same = episode[:, None] == episode
    reaches = time <= time[:, None] if rnn else time == time[:, None]
    np.testing.assert_array_equal(depends, same & reaches[..., None])


@pytest.mark.parametrize("last_action", [True, False])
def test_actions_before_are_seen_within_their_episode(last_action: bool) -> None:
    """By a network without memory: at the next view alone, and never where an episode opens."""
    team = agents(rnn=0, last_action=last_action)
    params = drawn(team)
    act = jit(lambda action: values(team, params, batch().replace(action=action)))
    plain = act(batch().action)
    for t in range(T):
        other = batch().action.at[t].set((batch().action[t] + 1) % 2)
        moved = np.any(act(other) != plain, (2, 3))
        expected = (np.arange(T + 1)[:, None] == t + 1) & ~np.asarray(batch().start) & last_action
        np.testing.assert_array_equal(moved, expected)


@pytest.mark.parametrize(("rnn", "shared"), [(3, True), (3, False), (0, False)])
def test_unrolling_is_acting_step_after_step(rnn: int, shared: bool) -> None:
    """Values, and gradients through time, over all episodes of a rollout; of two teams at once."""
    team = agents(rnn, shared)
    params, other = (drawn(team, i) for i in range(2))
    before = actions_before(batch())
    weights = jax.random.normal(jax.random.key(3), (T + 1, B, 2, ACTIONS))

    def steps(params: Any) -> Array:
        def one(hidden: Array, x: Any) -> tuple[Array, Array]:
            view, last, start = x
            hidden = jnp.where(start[:, None, None], 0, hidden)
            q, hidden = team.step(params, Carry(hidden, last), view)
            return hidden, q

        xs = batch().view, before, batch().start
        return jax.lax.scan(one, team.reset(B).hidden, xs)[1]

    def loss(params: Any, way: Any) -> tuple[Array, Any]:
        q = way(params)
        return (weights * q[0]).sum(), q

    together = lambda params: [net.q for net in team.unroll((params, other), batch())]
    apart = lambda params: [steps(params), steps(other)]
    of = lambda way: jit(jax.grad(lambda params: loss(params, way), has_aux=True))(params)
    assert_same(of(together), of(apart), rtol=1e-4, atol=1e-5)


# --- one network, or one each ---------------------------------------------------------------------


def test_shared_networks_are_one_network_each_with_the_same_parameters() -> None:
    one, many = agents(), agents(shared=False)
    params = drawn(one)
    copies = jax.tree.map(lambda x: jnp.stack([x, x]), params)
    both = [
        jit(lambda p, t=t: values(t, p, batch()))(p) for t, p in ((one, params), (many, copies))
    ]
    np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-6)


def test_agents_with_networks_of_their_own_are_independent() -> None:
    """Each is drawn by its true sizes, and another's parameters are nothing to it."""
    team = agents(shared=False)
    params = drawn(team)
    kernel = np.asarray(params["fc_0"]["kernel"])  # [A, obs 4 + actions 3 + ids 2, 5]
    assert not kernel[1, [3, 6]].any(), "the second agent's padded observation and action"
    assert kernel[0].all() and np.delete(kernel[1], [3, 6], 0).all()
    assert np.abs(kernel[0]).max() <= 9**-0.5 < np.abs(kernel[1]).max() <= 7**-0.5
    assert not np.array_equal(params["last"]["kernel"][0, :, 0], params["last"]["kernel"][1, :, 0])
    other = jax.tree.map(lambda x: x.at[1].add(0.1), params)
    q, moved = (jit(lambda p: values(team, p, batch()))(p) for p in (params, other))
    assert_same(q[:, :, 0], moved[:, :, 0])
    assert not np.isclose(q[:, :, 1], moved[:, :, 1]).any()


@pytest.mark.parametrize("agent_id", [True, False])
def test_agents_know_who_they_are(agent_id: bool) -> None:
    """Or else those who saw and did the same value the same."""
    team = agents(agent_id=agent_id)
    alike = lambda x: jnp.broadcast_to(x[:, :, :1], x.shape)
    view = batch().view.replace(obs=alike(batch().view.obs))
    same = batch().replace(view=view, action=alike(batch().action))
    q = jit(lambda params: values(team, params, same))(drawn(team))
    assert np.array_equal(q[:, :, 0], q[:, :, 1]) != agent_id


def test_inputs_by_hand() -> None:
    """Observation, action before, and identity; nothing was done before the first view."""
    first = pick(batch(), slice(0, 1)).replace(view=pick(batch().view, slice(0, 2)))
    first = first.replace(start=batch().start[:2], action=jnp.full((1, B, 2), 1))
    seen = agents().inputs(first.view, actions_before(first))
    assert seen.shape == (2, B, 2, OBS + ACTIONS + 2)
    np.testing.assert_array_equal(seen[..., :OBS], first.view.obs)
    np.testing.assert_array_equal(seen[0, 0, :, OBS:], [[0, 0, 0, 1, 0], [0, 0, 0, 0, 1]])
    np.testing.assert_array_equal(seen[1, 0, :, OBS:], [[0, 1, 0, 1, 0], [0, 1, 0, 0, 1]])
    plain = agents(last_action=False, agent_id=False).inputs(first.view, actions_before(first))
    np.testing.assert_array_equal(plain, first.view.obs)
