"""Mixers of teams whose agents come and go (shariqiqbal2810/REFIL ffe23a1): attention over all
entities makes the weights, a row for each agent that is there.

Beside the agents' values they mix imagined factors: the same actions valued once more in groups.
Those have first weights of their own, under the groups' masks; all else is that of the whole team.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from jmarl.algorithms import vdn
from jmarl.algorithms.value_decomposition import Mixed
from jmarl.networks.entities import Attention, Seen
from jmarl.networks.layers import Linear
from jmarl.sums import softmax
from jmarl.types import View


@dataclass(frozen=True)
class Sizes:
    """Of a mixer's networks."""

    agents: int
    heads: int
    hidden: int
    width: int


class Hypernet(nn.Module):
    """A row for each agent, zeros for the absent: fc2 of its attention, [..., R, width].

    `over_agents`: the rows' mean over all agents' slots, [..., width]. `over_units`: the mean over
    units, so that the width is 1. Both may hold.
    """

    sizes: Sizes
    over_agents: bool = False
    over_units: bool = False

    def setup(self) -> None:
        sizes = self.sizes
        self.attn = Attention(sizes.agents, sizes.heads, sizes.hidden)
        self.fc2 = Linear(sizes.width)

    def __call__(self, seen: Seen) -> Array:
        kernel, bias = self.fc2.matrix(self.sizes.hidden)
        assert bias is not None, "fc2 has a bias"
        if self.over_units:
            kernel, bias = kernel.mean(-1, keepdims=True), bias.mean(keepdims=True)
        return (self.attn.mean if self.over_agents else self.attn.linear)(seen, kernel, bias)


class Mixer(nn.Module):
    """Values to joint values. A mixer says how it mixes several kinds of factors at once."""

    def __call__(self, q: Array, view: View, action: Array) -> Mixed:
        """q [..., A] to the joint value [..., 1]."""
        (mixed,) = self.mix([q], view, ())
        return mixed

    def mix(self, q: Sequence[Array], view: View, imagined: Sequence[Array]) -> list[Mixed]:
        """Of the agents' values [..., A]; and, where masks `imagined` [..., A, E] are given, of the
        factors under them [..., 2 A]."""
        raise NotImplementedError


class Sum(Mixer):
    """Q_tot is the sum of all factors."""

    def mix(self, q: Sequence[Array], view: View, imagined: Sequence[Array]) -> list[Mixed]:
        add = lambda x: vdn.add({}, x, view, x)
        return [add(x)._replace(slopes=jnp.ones_like(x)) for x in q]


class Flex(Mixer):
    """QMIX's form: Q_tot = elu(q W1 + b1) . w2 + V, with W1, w2 >= 0.

    W1 has a row for each factor; b1 and w2 are means over all agents' slots, V over units too.
    """

    sizes: Sizes
    weights: Literal["softmax", "abs"]  # softmax: over the units

    @nn.compact
    def mix(self, q: Sequence[Array], view: View, imagined: Sequence[Array]) -> list[Mixed]:
        seen = everything(view, self.sizes.agents)
        mean = lambda name, units=False: Hypernet(
            self.sizes, over_agents=True, over_units=units, name=name
        )(seen)
        positive = softmax if self.weights == "softmax" else jnp.abs
        w1 = positive(Hypernet(self.sizes, name="hyper_w_1")(also(seen, imagined)))
        b1, w2, value = mean("hyper_b_1"), positive(mean("hyper_w_final")), mean("V", units=True)
        return [self.joined(*pair, b1, w2, value) for pair in zip(q, apart(w1, q), strict=True)]

    def joined(self, q: Array, w1: Array, b1: Array, w2: Array, value: Array) -> Mixed:
        """[..., F] under [..., F, U] to [..., 1]."""
        units = jnp.einsum("...f,...fu->...u", q, w1) + b1
        joint = (nn.elu(units) * w2).sum(-1, keepdims=True) + value
        steep = jnp.where(units > 0, 1, jnp.exp(jnp.minimum(units, 0)))
        return Mixed(joint, slopes=jnp.einsum("...fu,...u->...f", w1, steep * w2))


class LinearFlex(Mixer):
    """Q_tot = sum_i w_i q_i + V. w_i is the mean of a row over its units."""

    sizes: Sizes
    weights: Literal["softmax", "abs"]  # softmax: over the factors

    @nn.compact
    def mix(self, q: Sequence[Array], view: View, imagined: Sequence[Array]) -> list[Mixed]:
        seen = everything(view, self.sizes.agents)
        rows = Hypernet(self.sizes, over_units=True, name="hyper_w_1")(also(seen, imagined))
        value = Hypernet(self.sizes, over_agents=True, over_units=True, name="V")(seen)
        positive = softmax if self.weights == "softmax" else jnp.abs
        weights = [positive(w[..., 0]) for w in apart(rows, q)]
        joint = [(x * w).sum(-1, keepdims=True) + value for x, w in zip(q, weights, strict=True)]
        return [Mixed(x, slopes=w) for x, w in zip(joint, weights, strict=True)]


def everything(view: View, agents: int) -> Seen:
    """All that is there: a mixer hides nothing."""
    entities = view.entities
    assert entities is not None, "a memory that keeps entities"
    absent = entities.absent
    blocked = absent[..., :agents, None] | absent[..., None, :]
    return Seen(entities.features, absent, blocked)


def also(seen: Seen, masks: Sequence[Array]) -> Seen:
    """With further rows for the agents, under further masks alone."""
    return seen._replace(blocked=jnp.concatenate([seen.blocked, *masks], -2))


def apart(rows: Array, factors: Sequence[Array]) -> list[Array]:
    """Rows [..., R, U] for each kind of factors."""
    cuts = list(accumulate(x.shape[-1] for x in factors))[:-1]
    return jnp.split(rows, cuts, -2)
