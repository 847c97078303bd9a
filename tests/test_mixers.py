"""How agents' values are joined: monotonicity, Qatten's options, sizes known from PyMARL."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array
from probes import jit, spec_of

from jmarl.algorithms import ALL
from jmarl.types import View

AGENTS, FEATURES, STATE, N = 3, 2, 7, 200
SPEC = spec_of(
    ((3,),) * AGENTS,
    state_size=STATE,
    agent_features=(AGENTS, FEATURES),
    team_reward="shared",
)
SMALL: dict[str, dict[str, Any]] = {
    "qmix": {"mixing_dim": 4, "hypernet_dim": 5},
    "qatten": {"heads": 2, "query_dim": 5, "attention_dim": 3, "weight_dim": 4, "bias_dim": 3},
    "qtran": {"mixing_dim": (4, 4), "rnn_dim": 3},
}


@cache
def made(name: str, **options: Any) -> tuple[Any, Any]:
    """The algorithm, and parameters of a mixer with a will of its own."""
    algorithm: Any = ALL[name].make(
        SPEC, ALL[name].config.replace(**{**SMALL.get(name, {}), **options})
    )
    like = jax.eval_shape(algorithm.init, jax.random.key(0)).params["mixer"]
    rng = np.random.default_rng(0)
    return algorithm, jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), like)


@cache
def situations() -> tuple[Array, View]:
    """N values [N, A] and views; somebody is always alive."""
    rng = np.random.default_rng(1)
    alive = rng.random((N, AGENTS)) < 0.6
    alive[:, 0] = True
    view = View(
        obs=jnp.zeros((N, AGENTS, 3)),
        available=jnp.ones((N, AGENTS, 3), bool),
        alive=jnp.asarray(alive),
        state=jnp.asarray(rng.normal(size=(N, STATE)), jnp.float32),
    )
    return jnp.asarray(2 * rng.normal(size=(N, AGENTS)), jnp.float32), view


def mixed(name: str, q: Array | None = None, params: Any = None, **options: Any) -> Any:
    algorithm, drawn = made(name, **options)
    usual, view = situations()
    q, params = usual if q is None else q, drawn if params is None else params
    run = jit(lambda q: algorithm.mixer.apply(params, q, view, q.astype(jnp.int32)))
    return run(q)


def slopes(name: str, **options: Any) -> np.ndarray:
    """[N, A] of the joint value in each agent's."""
    algorithm, params = made(name, **options)
    q, view = situations()
    joint = lambda q: algorithm.mixer.apply(params, q, view, q.astype(jnp.int32)).joint.sum()
    return np.asarray(jit(jax.grad(joint))(q))


def test_iql_and_vdn_by_hand() -> None:
    q = jnp.broadcast_to(jnp.array([1.0, 2, -5]), (N, AGENTS))
    assert mixed("iql", q).joint[0].tolist() == [1, 2, -5]
    assert mixed("vdn", q).joint[0].tolist() == [-2]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vdn", {}),
        ("qmix", {}),
        ("qmix", {"hypernet_dim": 0}),
        ("qatten", {}),
        ("qatten", {"weighted_heads": False}),
        ("qatten", {"state_bias": False, "attention_bias": False}),
        ("qatten", {"mask_dead": True, "frozen_attention": True}),
    ],
)
def test_the_team_gains_where_an_agent_gains(name: str, options: dict[str, Any]) -> None:
    steep = slopes(name, **options)
    assert steep.min() >= 0 and (steep > 1e-3).any(0).all()


def test_nonlinear_attention_is_not_monotonic() -> None:
    assert (slopes("qatten", nonlinear=True) < -0.1).any()


def test_slopes_of_qatten_are_its_attention() -> None:
    """sum_h w_h lambda_hi; heads that only add up share out their number."""
    look = mixed("qatten")
    np.testing.assert_allclose(look.attention.sum(-1), 1, rtol=1e-5)
    expected = np.einsum("nha,nh->na", look.attention, look.head_weights)
    np.testing.assert_allclose(slopes("qatten"), expected, rtol=1e-4, atol=1e-5)
    plain = slopes("qatten", weighted_heads=False)
    np.testing.assert_allclose(plain.sum(-1), SMALL["qatten"]["heads"], rtol=1e-5)
    assert mixed("qatten", weighted_heads=False).head_weights is None


@pytest.mark.parametrize("mask_dead", [True, False])
def test_dead_agents_get_no_attention(mask_dead: bool) -> None:
    dead = ~np.asarray(situations()[1].alive)
    attention = mixed("qatten", mask_dead=mask_dead).attention
    np.testing.assert_allclose(attention.sum(-1), 1, rtol=1e-5)
    to_dead = np.asarray(attention)[np.broadcast_to(dead[:, None], attention.shape)]
    assert to_dead.any() != mask_dead
    assert slopes("qatten", mask_dead=mask_dead)[dead].any() != mask_dead


def test_state_bias_is_what_values_of_nothing_come_to() -> None:
    nothing = jnp.zeros((N, AGENTS))
    bias = mixed("qatten", nothing).joint
    assert (
        np.all(np.abs(bias) > 1e-6) and not mixed("qatten", nothing, state_bias=False).joint.any()
    )
    params = {k: v for k, v in made("qatten")[1].items() if k != "constraint"}
    without = mixed("qatten", params=params, state_bias=False).joint
    np.testing.assert_allclose(mixed("qatten").joint, without + bias, rtol=1e-4, atol=1e-5)


def test_attention_bias() -> None:
    """A key's bias is the same for all agents, and so nothing to a softmax."""
    params = made("qatten")[1]
    key = params["key"]
    moved = {**params, "key": {**key, "bias": key["bias"] + 1}}
    same, other = mixed("qatten"), mixed("qatten", params=moved)
    np.testing.assert_allclose(same.joint, other.joint, rtol=1e-3, atol=1e-4)
    bare = made("qatten", attention_bias=False)[1]
    assert bare["key"].keys() == bare["query"]["fc2"].keys() == {"kernel"}
    assert "bias" in bare["query"]["fc1"]


@pytest.mark.parametrize(
    ("path", "fan_in"), [(("query", "fc1"), STATE), (("query", "fc2"), 64), (("key",), FEATURES)]
)
def test_heads_are_drawn_as_torch_draws_a_layer(path: tuple[str, ...], fan_in: int) -> None:
    """Each by itself, from U(+-1/sqrt(fan_in))."""
    algorithm: Any = ALL["qatten"].make(SPEC, ALL["qatten"].config)
    layer = jit(algorithm.init)(jax.random.key(0)).params["mixer"]
    for name in path:
        layer = layer[name]
    for drawn in jax.device_get((layer["kernel"], layer["bias"])):
        assert len(drawn) == 4 and len(np.unique(drawn)) > 0.99 * drawn.size
        assert 0.9 < np.abs(drawn).max() * np.sqrt(fan_in) <= 1 + 1e-6


def test_attention_penalty_is_its_formula() -> None:
    """coefficient * sum_h mean_i (e_h . k_hi)^2, of logits that are not scaled."""
    _, params = made("qatten", attention_penalty=0.25)
    query, key = (jax.tree.map(np.asarray, params[name]) for name in ("query", "key"))
    state = np.asarray(situations()[1].state)
    expected = np.zeros(N)
    for h in range(SMALL["qatten"]["heads"]):
        fc1, fc2 = ({k: v[h] for k, v in query[fc].items()} for fc in ("fc1", "fc2"))
        asked = np.maximum(state @ fc1["kernel"] + fc1["bias"], 0) @ fc2["kernel"] + fc2["bias"]
        for i in range(AGENTS):
            own = state[:, i * FEATURES : (i + 1) * FEATURES]
            logit = (asked * (own @ key["kernel"][h] + key["bias"][h])).sum(-1)
            expected += 0.25 * logit**2 / AGENTS
    penalty = mixed("qatten", attention_penalty=0.25).penalty
    np.testing.assert_allclose(penalty, expected, rtol=1e-4)


def test_qtran_values_a_team_whatever_its_order() -> None:
    algorithm, params = made("qtran")
    rng, state = np.random.default_rng(2), situations()[1].state
    hidden = rng.normal(size=(N, AGENTS, algorithm.cfg.rnn_dim)).astype(np.float32)
    actions = np.eye(3, dtype=np.float32)[rng.integers(0, 3, (N, AGENTS))]
    value = jit(lambda *inputs: algorithm.mixer.apply(params, state, *inputs))
    joint, alone = value(hidden, actions)
    turned = value(hidden[:, ::-1], actions[:, ::-1])
    np.testing.assert_allclose(joint, turned[0], rtol=1e-4)
    other = value(hidden, actions[:, ::-1])
    assert not np.isclose(joint, other[0]).all() and np.array_equal(alone, other[1])


@pytest.mark.parametrize(
    ("name", "net", "count"),
    [
        ("vdn", "agent", 28_297),
        ("qmix", "mixer", 17_761),
        ("qatten", "mixer", 26_501),
        ("vdn", "mixer", 0),
    ],
)
def test_sizes_on_smac_3m_are_pymarls(name: str, net: str, count: int) -> None:
    spec = spec_of(((9,),) * 3, obs_sizes=(30,) * 3, state_size=48, agent_features=(3, 4))
    algorithm: Any = ALL[name].make(spec, ALL[name].config)
    params = jax.eval_shape(algorithm.init, jax.random.key(0)).params[net]
    assert sum(x.size for x in jax.tree.leaves(params)) == count
