"""What recorded updates of COMA and LIIR have in common: configs, learners, episodes as ours."""

from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from golden import Golden
from golden_value import episodes, filled, recorded, spec_from
from jax import Array
from probes import jit

from jmarl.algorithms import ALL
from jmarl.networks.agents import actions_before
from jmarl.types import Clock


def settings(z: Golden) -> dict[str, Any]:
    """In our words; exploration stands still."""
    width, hidden = z.config("rnn_hidden_dim"), z.config("critic_hidden_dim")
    return {
        "lr": z.config("lr"),
        "critic_lr": z.config("critic_lr"),
        "gamma": z.config("gamma"),
        "td_lambda": z.config("td_lambda"),
        "eps_start": z.config("epsilon"),
        "eps_finish": z.config("epsilon"),
        "optimiser": z.config("optimiser").split("(")[0].lower(),
        "rms_decay": z.config("optim_alpha"),
        "optimiser_eps": z.config("optim_eps"),
        "max_grad_norm": z.config("grad_norm_clip"),
        "target_update_interval": z.config("target_update_interval"),
        "hidden_dim": (width,),
        "rnn_dim": width,
        "critic_hidden_dim": (hidden, hidden),
    }


class Case:
    """One file's algorithm and batch, with the official axes [B, T, ...] where it checks."""

    def __init__(self, z: Golden, name: str, **changes: Any) -> None:
        assert not z.config("mask_before_softmax")
        self.z, self.spec = z, spec_from(z)
        cfg = ALL[name].config.replace(**settings(z), **changes)
        self.algorithm: Any = ALL[name].make(self.spec, cfg)
        self.batch = episodes(z)
        stored = recorded(z, "filled") == 1
        # [T+1, B, A]: of last views the choice that was not carried out, -1 behind them
        self.action = jnp.asarray(np.where(stored, recorded(z, "actions")[..., 0], -1))
        self.before = actions_before(self.batch)
        self.valid = np.asarray(self.batch.valid).T[..., None]
        self.clock = Clock(jnp.zeros(()), jnp.zeros(()), jnp.int32(0))
        self.floor = z.config("epsilon")

    def named(self, prefix: str, net: str) -> dict[str, np.ndarray]:
        """Recorded tensors of one network, in the precision of the run."""
        inside = self.z.names(f"{prefix}{net}/")
        return {f"{net}/{name}": self.z[f"{prefix}{net}/{name}"] for name in inside}

    def tree(self, prefix: str, net: str, like: Any) -> Any:
        like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, self.z.dtype), like)
        return filled({net: like}, self.named(prefix, net))[net]

    def check_agents(self) -> None:
        """What they see, and their logits; files leave out the last views."""
        agents = self.algorithm.agents
        self.check("mask", self.batch.valid)
        self.check("agent_inputs", agents.inputs(self.batch.view, self.before)[:-1])
        (unrolled,) = jit(agents.unroll)((self.learner.actor,), self.batch)
        self.check("agent_logits", unrolled.q[:-1])

    @cached_property
    def log_policy(self) -> Array:
        return jit(self.algorithm.policies)(self.learner.actor, self.batch, self.floor)

    @cached_property
    def learner(self) -> Any:
        raise NotImplementedError

    def nets(self) -> tuple[Any, Any, Any]:
        """The recorded policy, critic and target critic."""
        like = jax.eval_shape(self.algorithm.init, jax.random.key(0))
        actor = self.tree("params/", "agent", like.actor)
        critic, target = (
            self.tree(f"{kind}params/", "critic", like.critic) for kind in ("", "target_")
        )
        return actor, critic, target

    @cached_property
    def x(self) -> Array:
        """What the critic sees at every position."""
        return self.algorithm.critic.inputs(self.batch.view, self.action, self.before)

    def check(self, name: str, mine: Any, masked: bool = False) -> None:
        """[T, B, ...] of ours; `masked`: only where a step was taken."""
        shape = self.z.data[f"{self.z.precision}/{name}"].shape
        mine = np.swapaxes(np.asarray(mine), 0, 1).reshape(shape)
        valid = self.valid.reshape(*self.valid.shape[:2], *(1,) * (len(shape) - 2))
        self.z.check(name, mine, where=valid if masked else True)
