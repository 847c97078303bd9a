"""Reading recorded runs of PyMARL's learners and of REFIL: configs, parameters and episodes as
ours."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from golden import Golden
from jax import Array
from probes import jit

from jmarl.algorithms import ALL
from jmarl.algorithms.value_decomposition import Learner
from jmarl.networks.agents import Unrolled
from jmarl.types import Clock, Entities, EnvSpec, Transition, View

SIDES = {"i": "input", "h": "state"}  # of a GRU
LAYERS = {  # of the networks that we build of one class
    "agent": {"fc1": "fc_0", "fc2": "last", "fc3": "last"},
    "critic": {"fc1": "fc_0", "fc2": "fc_1", "fc3": "last"},
}
MIXERS = {"flex_qmix": "flex", "lin_flex_qmix": "linear", "vdn": "sum"}  # REFIL's


def spec_from(z: Golden) -> EnvSpec:
    agents = z.config("n_agents")
    has = lambda name: f"cfg/{name}" in z.data
    own = z.config("agent_own_state_size") if has("agent_own_state_size") else None
    return EnvSpec(
        name="golden",
        agents=tuple(map(str, range(agents))),
        obs_sizes=(z.config("obs_dim") if has("obs_dim") else 0,) * agents,
        action_kind="discrete",
        action_parts=((z.config("n_actions"),),) * agents,
        state_size=z["batch/state"].shape[-1] if "batch/state" in z.data else 0,
        episode_limit=z.config("seq_len") - 1,
        teams=(0,) * agents,
        team_reward="shared",
        agent_features=None if own is None else (agents, own),
        num_entities=z.config("n_entities") if has("n_entities") else 0,
        entity_size=z.config("entity_dim") if has("entity_dim") else 0,
    )


def settings(z: Golden) -> dict[str, Any]:
    """What all files say, in our words. The target is copied after the first update already."""
    return {
        "lr": z.config("lr"),
        "gamma": z.config("gamma"),
        "optimiser": z.config("optimiser").split("(")[0].lower(),
        "rms_decay": z.config("optim_alpha"),
        "rms_eps": z.config("optim_eps"),
        "max_grad_norm": z.config("grad_norm_clip"),
        "double_q": bool(z.config("double_q")),
        "rnn_dim": z.config("rnn_hidden_dim"),
        "target_update_interval": 1,
    }


def mixing(z: Golden, mixer: str) -> dict[str, Any]:
    """What only files of this mixer say."""
    if mixer == "refil":
        return entity_settings(z)
    return {"hidden_dim": (z.config("rnn_hidden_dim"),), **of_state(z, mixer)}


def entity_settings(z: Golden) -> dict[str, Any]:
    seen = z["params/agent/fc1/kernel"].shape[0]
    mixer = MIXERS[z.config("mixer")]
    sizes = (
        {}
        if mixer == "sum"
        else {
            "mixing_dim": z.config("mixing_embed_dim"),
            "hypernet_dim": z.config("hypernet_embed"),
            "mixing_weights": "softmax" if z.config("softmax_mixing_weights") else "abs",
        }
    )
    return sizes | {
        "lmbda": z.config("lmbda"),
        "mixer": mixer,
        "entity_dim": z.config("attn_embed_dim"),
        "heads": z.config("attn_n_heads"),
        "weight_decay": z.config("weight_decay"),
        "last_action": seen > z.config("entity_dim"),
    }


def of_state(z: Golden, mixer: str) -> dict[str, Any]:
    if mixer == "qmix":
        deep = z.config("hypernet_layers") == 2
        return {
            "mixing_dim": z.config("mixing_embed_dim"),
            "hypernet_dim": z.config("hypernet_embed") if deep else 0,
        }
    if mixer == "qatten":
        assert z.config("n_query_embedding_layer2") == z.config("n_key_embedding_layer1")
        assert z.config("n_head_embedding_layer2") == z.config("n_attention_head")
        return {
            "heads": z.config("n_attention_head"),
            "query_dim": z.config("n_query_embedding_layer1"),
            "attention_dim": z.config("n_query_embedding_layer2"),
            "weight_dim": z.config("n_head_embedding_layer1"),
            "bias_dim": z.config("n_constrant_value"),
            "weighted_heads": z.config("type") == "weighted",
            "frozen_attention": bool(z.names("f64/grad_untrained/")),
        }
    if mixer == "qtran":
        hidden = len([name for name in z.names("params/mixer/V/") if "kernel" in name]) - 1
        return {
            "opt_weight": z.config("opt_loss"),
            "nopt_weight": z.config("nopt_min_loss"),
            "mixing_dim": (z.config("mixing_embed_dim"),) * hidden,
        }
    return {}


def part(tree: Any, name: str) -> np.ndarray:
    """The official tensor `name` in a tree of ours (numpy): a view of the leaf that holds it.

    Our GRU keeps its gates r, z, n side by side, and Qatten's heads are one axis.
    """
    net, *path, leaf = name.split("/")
    branch = tree[net]
    match path:
        case ["rnn", gate]:
            gates = branch["gru"][SIDES[gate[0]]][leaf]
            return gates.reshape(*gates.shape[:-1], 3, -1)[..., "rzn".index(gate[1]), :]
        case [("query" | "key") as kind, head, *layer]:
            for key in [kind, *layer]:
                branch = branch[key]
            return branch[leaf][int(head)]
        case [value, layer] if f"{value}_{layer}" in branch:
            return branch[f"{value}_{layer}"][leaf]
        case [*above, "fc1"] | [*above, "attn", _] if "attn" in tree_at(branch, above):
            attention = tree_at(branch, above)["attn"]
            inner = path[-1]
            return attention["in_trans"] if inner == "in_trans" else attention[inner][leaf]
        case [layer] if layer not in branch and LAYERS.get(net, {}).get(layer) in branch:
            return branch[LAYERS[net][layer]][leaf]
    return tree_at(branch, path)[leaf]


def tree_at(tree: Any, path: Sequence[str]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def filled(like: Any, named: dict[str, np.ndarray]) -> Any:
    """A tree shaped `like` ours from official tensors, which must fill it exactly."""
    tree = jax.tree.map(lambda x: np.full(x.shape, np.nan, x.dtype), like)
    for name, value in named.items():
        view = part(tree, name)
        assert view.shape == value.shape and np.isnan(view).all(), name
        view[...] = value
    assert not any(np.isnan(x).any() for x in jax.tree.leaves(tree)), "tensors are missing"
    return jax.tree.map(jnp.asarray, tree)


def check_tree(z: Golden, prefix: str, mine: Any, where: Any = lambda name: True) -> None:
    """Every recorded tensor below `prefix`. A softmax does not hear of its keys' bias: the
    gradient there is rounding alone."""
    mine = jax.tree.map(np.asarray, mine)
    names = z.names(f"{z.precision}/{prefix}")
    assert names, f"nothing is recorded below {prefix}"
    for name in names:
        silent = "/key/" in name and name.endswith("bias")
        atol = 1e-6 if silent else 1e-7
        z.check(f"{prefix}{name}", part(mine, name), atol=atol, where=where(name))


def episodes(z: Golden | Mapping[str, np.ndarray]) -> Transition:
    """The recorded episodes [B, T] as a rollout of one episode each; positions behind its last
    view are padding, whose agents saw no action before."""
    stored, ended = recorded(z, "filled")[..., 0] == 1, recorded(z, "terminated")[:-1, :, 0] == 1
    available, has = recorded(z, "avail_actions") == 1, lambda name: name in inputs(z)
    obs: Any = recorded(z, "obs") if has("obs") else np.zeros((*available.shape[:-1], 0))
    state = recorded(z, "state") if has("state") else None
    entities = entities_of(z) if has("entities") else None
    view = View(obs, available, available[..., 1:].any(-1), state, entities)
    action = np.where(stored[:-1, :, None], recorded(z, "actions")[:-1, ..., 0], -1)
    valid = stored[:-1].copy()
    valid[1:] &= ~ended[:-1]
    late = np.arange(len(valid))[:, None] == len(valid) - 1
    opens = np.arange(len(stored))[:, None] == 0
    rest: dict[str, Any] = {
        "start": np.broadcast_to(opens, stored.shape),
        "action": action,
        "reward": np.broadcast_to(recorded(z, "reward")[:-1], action.shape),
        "terminated": ended,
        "truncated": valid & ~ended & late,
        "valid": valid,
    }
    return jax.tree.map(jnp.asarray, Transition(view=view, **rest))


def entities_of(z: Golden | Mapping[str, np.ndarray]) -> Entities:
    absent, hidden = recorded(z, "entity_mask") == 1, recorded(z, "obs_mask") == 1
    agents = recorded(z, "avail_actions").shape[-2]
    return Entities(recorded(z, "entities"), absent, hidden[..., :agents, :])


def inputs(z: Golden | Mapping[str, np.ndarray]) -> list[str]:
    """Names of what there is in a batch."""
    names = z.data if isinstance(z, Golden) else z
    return [name.removeprefix("batch/") for name in names if name.startswith("batch/")]


def recorded(z: Golden | Mapping[str, np.ndarray], name: str) -> Any:
    """[T, B, ...]."""
    return np.swapaxes(z[f"batch/{name}"], 0, 1)


class Case:
    """One file's algorithm, learner and batch, and what they come to."""

    def __init__(self, z: Golden, mixer: str) -> None:
        self.z, self.spec = z, spec_from(z)
        cfg = ALL[mixer].config.replace(**settings(z), **mixing(z, mixer))
        self.algorithm: Any = ALL[mixer].make(self.spec, cfg)
        self.batch = episodes(z)
        self.valid = np.asarray(self.batch.valid).T[..., None]  # [B, T, 1], as files lay it out
        self.params, self.target = (self.tree(f"{kind}params/") for kind in ("", "target_"))

    def tree(self, prefix: str) -> Any:
        names = self.z.names(prefix)
        like = jax.eval_shape(self.algorithm.init, jax.random.key(0)).params
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, self.z.dtype), like)
        return filled(like, {name: self.z[f"{prefix}{name}"] for name in names})

    @cached_property
    def unrolled(self) -> list[Unrolled]:
        """Of the online and the target agents."""
        teams = self.params["agent"], self.target["agent"]
        return jit(self.algorithm.agents.unroll)(teams, self.batch)

    @cached_property
    def gradient(self) -> tuple[tuple[Array, dict[str, Array]], Any]:
        """The loss, its metrics, and all gradients, of what is never trained too."""
        loss = jit(jax.value_and_grad(self.algorithm.loss, has_aux=True))
        return loss(self.params, self.target, self.batch)

    @cached_property
    def updates(self) -> list[tuple[Learner, dict[str, Array]]]:
        """Two updates on the same batch."""
        update = jit(self.algorithm.update)
        learner = Learner(self.params, self.target, self.algorithm.tx.init(self.params))
        out = []
        for done in range(2):
            clock = Clock(jnp.zeros(()), jnp.zeros(()), jnp.int32(done))
            learner, metrics = update(learner, self.batch, jax.random.key(0), clock)
            out.append((learner, metrics))
        return out

    def check(self, name: str, mine: Any, masked: bool = False) -> None:
        """[T, B, ...] of ours against [B, T, ...]; `masked`: only where a step was taken.

        Files keep some axes of one that we do not.
        """
        shape = self.z.data[f"{self.z.precision}/{name}"].shape
        valid = self.valid.reshape(*self.valid.shape[:2], *(1,) * (len(shape) - 2))
        mine = np.swapaxes(np.asarray(mine), 0, 1).reshape(shape)
        self.z.check(name, mine, where=valid if masked else True)

    def told_from_zero(self, name: str) -> Any:
        """Where this precision knows a gradient well, for RMSprop's first step is nearly signs
        alone: not where it is tiny beside the largest of all."""
        if self.z.precision == "f64" or f"f64/grad/{name}" not in self.z.data:
            return True
        grads = (self.z.data[f"f64/grad/{name}"] for name in self.z.names("f64/grad/"))
        exact = np.abs(self.z.data[f"f64/grad/{name}"])
        return (exact > 1e-4 * max(np.abs(grad).max() for grad in grads)) | (exact == 0)
