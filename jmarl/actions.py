"""From network outputs to actions that critics can be differentiated by.

A critic sees every action as a vector [A, W]: for choices the parts' one-hots (or points of the
simplex) one after another, for boxes the numbers themselves. A head turns outputs of W (or 2 W)
numbers per agent into such vectors; `encode` and `decode` go between vectors and what the
environment takes.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmarl.sums import EXACT
from jmarl.types import EnvSpec, Key

Estimator = Literal["relaxed", "straight_through"]


class Head(Protocol):
    """How one algorithm turns outputs into actions. Arrays are [..., A, W] or [..., A, V]."""

    @property
    def width(self) -> int:
        """V, the number of outputs per agent."""
        ...

    def real(self) -> np.ndarray:
        """[A, V] bool: outputs that are not padding."""
        ...

    def noise(self, key: Key, shape: tuple[int, ...]) -> Array:
        """What `sample` needs for a batch of `shape` [..., A, V] outputs."""
        ...

    def sample(self, out: Array, noise: Array, available: Array) -> Array: ...
    def greedy(self, out: Array, available: Array) -> Array: ...
    def squared(self, out: Array) -> Array:
        """What the output penalty averages over real entries: [..., A, V]."""
        ...

    # outputs as densities of actions [..., A]; where a head is deterministic, normal around it
    def log_prob(self, out: Array, vector: Array, available: Array) -> Array: ...
    def entropy(self, out: Array, available: Array) -> Array: ...
    def divergence(self, one: Array, other: Array, available: Array) -> Array:
        """Kullback and Leibler's of `one` from `other`."""
        ...


@dataclass(frozen=True)
class Parts:
    """The layout of multi-part choices in [A, W]: static masks, worked out from the spec."""

    spec: EnvSpec

    @cached_property
    def width(self) -> int:
        return max(sum(parts) for parts in self.spec.action_parts)

    @cached_property
    def masks(self) -> np.ndarray:
        """[P, A, W] bool: entries of the p-th part."""
        most = max(len(parts) for parts in self.spec.action_parts)
        masks = np.zeros((most, self.spec.num_agents, self.width), bool)
        for agent, parts in enumerate(self.spec.action_parts):
            for part, (end, size) in enumerate(zip(np.cumsum(parts), parts, strict=True)):
                masks[part, agent, end - size : end] = True
        return masks

    @cached_property
    def real(self) -> np.ndarray:
        """[A, W] bool."""
        return np.asarray(self.masks.any(0))

    @cached_property
    def place(self) -> np.ndarray:
        """[A, W] int: an entry's place in its part."""
        return ((np.cumsum(self.masks, -1) - 1) * self.masks).sum(0)

    @cached_property
    def size(self) -> np.ndarray:
        """[A, W] int: the size of an entry's part; 1 at padding."""
        return np.maximum((self.masks.sum(-1, keepdims=True) * self.masks).sum(0), 1)

    @cached_property
    def stride(self) -> np.ndarray:
        """[A, W] int: what one place counts in the flat index; the first part runs fastest."""
        sizes = np.maximum(self.masks.sum(-1), 1)  # [P, A]
        strides = np.concatenate([np.ones_like(sizes[:1]), np.cumprod(sizes, 0)[:-1]])
        return (strides[..., None] * self.masks).sum(0)

    def flat(self, vector: Array) -> Array:
        """One-hot parts [..., A, W] to flat indices [..., A]."""
        worth = jnp.asarray(self.place * self.stride)
        return (vector.astype(jnp.int32) * worth).sum(-1)

    def one_hot(self, index: Array) -> Array:
        """Flat indices [..., A] to one-hot parts [..., A, W]."""
        digit = index[..., None] // np.maximum(self.stride, 1) % self.size
        return ((digit == self.place) & self.real).astype(jnp.float32)

    def flat_logits(self, logits: Array) -> Array:
        """Logits of parts [..., A, W] to those of flat choices [..., A, U]: they add up.

        A softmax over the sums is the product of the parts' softmaxes. What stands at choices
        that an agent does not have means nothing.
        """
        if len(self.masks) == 1:
            return logits
        choices = self.one_hot(jnp.arange(self.spec.action_size)[:, None])  # [U, A, W]
        return jnp.einsum("...aw,uaw->...au", logits, choices, precision=EXACT)


@dataclass(frozen=True)
class Choices:
    """Discrete and simplex actions: a softmax over each part, sampled by Gumbel noise.

    relaxed: softmax((logits + g) / temperature), a point inside the simplex (openai/maddpg).
    straight_through: its one-hot argmax, with the gradient of the relaxed sample (maddpg-pytorch).
    Where the environment takes flat indices of several parts, `available` is taken to say
    no more than the spec: each part may be chosen freely.
    """

    spec: EnvSpec
    estimator: Estimator
    temperature: float | Array = 1.0

    @cached_property
    def parts(self) -> Parts:
        return Parts(self.spec)

    @property
    def width(self) -> int:
        return self.parts.width

    def real(self) -> np.ndarray:
        return self.parts.real

    def noise(self, key: Key, shape: tuple[int, ...]) -> Array:
        return jax.random.gumbel(key, shape)

    def masks(self, available: Array) -> Array:
        """[P, ..., A, W] bool: the available entries of each part."""
        masks = self.parts.masks.reshape(
            self.parts.masks.shape[0], *(1,) * (available.ndim - 2), *self.parts.real.shape
        )
        several = self.spec.action_kind == "discrete" and len(masks) > 1
        return jnp.asarray(masks) if several else jnp.asarray(masks) & available

    def soft(self, logits: Array, available: Array) -> Array:
        """A softmax over each part."""
        _, weight, total = self.weights(logits, available)
        return (weight / total).sum(0)

    def log_soft(self, logits: Array, available: Array) -> Array:
        """Its logarithm; 0 at what is not available."""
        less, _, total = self.weights(logits, available)
        return jnp.where(self.masks(available), less - jnp.log(total), 0).sum(0)

    def weights(self, logits: Array, available: Array) -> tuple[Array, Array, Array]:
        """Logits less their part's largest, their exponentials, the exponentials' sums."""
        masks = self.masks(available)
        top = jnp.where(masks, logits, -jnp.inf).max(-1, keepdims=True)
        top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0))
        less = jnp.where(masks, logits - top, 0)
        weight = jnp.where(masks, jnp.exp(less), 0)
        total = weight.sum(-1, keepdims=True)
        return less, weight, jnp.where(total > 0, total, 1)

    def hard(self, logits: Array, available: Array) -> Array:
        """The one-hot of the largest logit of each part."""
        masks = self.masks(available)
        best = jnp.where(masks, logits, -jnp.inf).argmax(-1)
        chosen = jax.nn.one_hot(best, self.width, dtype=logits.dtype)
        return (chosen * masks).sum(0)

    def sample(self, out: Array, noise: Array, available: Array) -> Array:
        noisy = out + noise
        soft = self.soft(noisy / self.temperature, available)
        if self.estimator == "relaxed":
            return soft
        return soft + jax.lax.stop_gradient(self.hard(noisy, available) - soft)

    def greedy(self, out: Array, available: Array) -> Array:
        return self.hard(out, available)

    def squared(self, out: Array) -> Array:
        return out**2

    def log_prob(self, out: Array, vector: Array, available: Array) -> Array:
        """Of one-hots; of points of the simplex, their mean under such weights (soft labels)."""
        return (vector * self.log_soft(out, available)).sum(-1)

    def entropy(self, out: Array, available: Array) -> Array:
        return -self.log_prob(out, self.soft(out, available), available)

    def divergence(self, one: Array, other: Array, available: Array) -> Array:
        likely = self.soft(one, available)
        both = (self.log_prob(out, likely, available) for out in (one, other))
        return next(both) - next(both)


@dataclass(frozen=True)
class Bounded:
    """Box actions, deterministic: tanh of the output (maddpg-pytorch)."""

    spec: EnvSpec

    @property
    def width(self) -> int:
        return self.spec.action_size

    def real(self) -> np.ndarray:
        return self.spec.action_mask()

    def noise(self, key: Key, shape: tuple[int, ...]) -> Array:
        return jnp.zeros(shape)

    def sample(self, out: Array, noise: Array, available: Array) -> Array:
        return jnp.tanh(out) * available

    def greedy(self, out: Array, available: Array) -> Array:
        return jnp.tanh(out) * available

    def squared(self, out: Array) -> Array:
        return jnp.tanh(out) ** 2

    def log_prob(self, out: Array, vector: Array, available: Array) -> Array:
        """Of unit normals around tanh, but for a constant: squared errors."""
        return -((vector - jnp.tanh(out)) ** 2 * available).sum(-1) / 2

    def entropy(self, out: Array, available: Array) -> Array:
        """The same everywhere; 0 stands for it."""
        return jnp.zeros(out.shape[:-1])

    def divergence(self, one: Array, other: Array, available: Array) -> Array:
        return -self.log_prob(other, jnp.tanh(one), available)


@dataclass(frozen=True)
class Gaussian:
    """Box actions, mean + exp(logstd) * noise of two outputs each, unbounded (openai/maddpg)."""

    spec: EnvSpec

    @property
    def width(self) -> int:
        return 2 * self.spec.action_size

    def real(self) -> np.ndarray:
        return np.concatenate([self.spec.action_mask()] * 2, -1)

    def noise(self, key: Key, shape: tuple[int, ...]) -> Array:
        return jax.random.normal(key, shape)

    def sample(self, out: Array, noise: Array, available: Array) -> Array:
        mean, log_std = jnp.split(out, 2, -1)
        return (mean + jnp.exp(log_std) * jnp.split(noise, 2, -1)[0]) * available

    def greedy(self, out: Array, available: Array) -> Array:
        return jnp.split(out, 2, -1)[0] * available

    def squared(self, out: Array) -> Array:
        return out**2

    def log_prob(self, out: Array, vector: Array, available: Array) -> Array:
        mean, log_std = jnp.split(out, 2, -1)
        error = (vector - mean) * jnp.exp(-log_std)
        return -((error**2 / 2 + log_std + np.log(2 * np.pi) / 2) * available).sum(-1)

    def entropy(self, out: Array, available: Array) -> Array:
        log_std = jnp.split(out, 2, -1)[1]
        return ((log_std + np.log(2 * np.pi * np.e) / 2) * available).sum(-1)

    def divergence(self, one: Array, other: Array, available: Array) -> Array:
        """A spread and a shift, both in deviations of `other`."""
        (mean, log_std), (other_mean, other_std) = jnp.split(one, 2, -1), jnp.split(other, 2, -1)
        spread, shift = log_std - other_std, (mean - other_mean) * jnp.exp(-other_std)
        return (((jnp.exp(2 * spread) + shift**2 - 1) / 2 - spread) * available).sum(-1)


def vector_mask(spec: EnvSpec) -> np.ndarray:
    """[A, W] bool: real entries of action vectors."""
    return Parts(spec).real if spec.action_kind == "discrete" else spec.action_mask()


def encode(spec: EnvSpec, action: Array) -> Array:
    """What the environment took, as the vectors [..., A, W] that critics see."""
    return Parts(spec).one_hot(action) if spec.action_kind == "discrete" else action


def decode(spec: EnvSpec, head: Head, vector: Array, available: Array) -> Array:
    """Vectors [..., A, W] as what the environment takes; relaxed ones are rounded if need be."""
    if spec.action_kind != "discrete":
        return vector
    return Parts(spec).flat(head.greedy(vector, available))
