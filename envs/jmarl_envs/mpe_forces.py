"""jaxmarl's particle steps without what they compute for nothing, the same to rounding.

The library draws noise for every action and message of every agent and multiplies it by a scale of
zero; and it works out a contact force for every ordered pair of all that there is, of which it
keeps those between bodies that collide. Together that is most of the time of a step.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array


def lighten(library: Any) -> None:
    """Give this one of the library's environments its own forces, and take its noise away."""
    library._apply_environment_force = Contacts(library)
    if not np.any(library.u_noise):
        library._apply_action_force = pushed
    if not np.any(library.c_noise):
        library._apply_comm_action = heard


def pushed(keys: Array, force: Array, push: Array, noise: Array, movable: Array) -> Array:
    """[A, 2] the force of an agent's action on itself."""
    return jnp.where(movable[:, None], push, force)


def heard(keys: Array, said: Array, noise: Array, silent: Array) -> Array:
    """[A, C] what others hear of each agent's message."""
    return jnp.where(jnp.asarray(silent, bool)[:, None], 0, said)


class Contacts:
    """Soft springs between bodies that collide, added to the forces on all bodies [N+L, 2]."""

    def __init__(self, library: Any) -> None:
        self.colliding = np.flatnonzero(library.collide)  # [K]
        self.radius, self.movable = (np.asarray(x) for x in (library.rad, library.moveable))
        self.strength, self.margin = library.contact_force, library.contact_margin

    def __call__(self, force: Array, state: Any) -> Array:
        """Bodies meet those `shift` places further on, round and round: each pair once."""
        index, count = self.colliding, len(self.colliding)
        if count < 2:
            return force
        pos = jnp.stack([state.p_pos[i] for i in index])
        total = jnp.zeros_like(pos)
        for shift in range(1, count // 2 + 1):
            other = np.roll(index, -shift)
            push = self.spring(pos - jnp.roll(pos, -shift, 0), index, other)
            total += push * self.movable[index][:, None]
            if 2 * shift < count:  # else the other meets this one too, at the same shift
                total -= jnp.roll(push * self.movable[other][:, None], shift, 0)
        by_body = dict(zip(index.tolist(), total, strict=True))
        rest = jnp.zeros_like(total[0])
        return jnp.stack([by_body.get(i, rest) for i in range(len(force))]) + force

    def spring(self, offset: Array, ours: np.ndarray, theirs: np.ndarray) -> Array:
        """[K, 2] the force on us at `offset` [K, 2] from them, as the library writes it."""
        distance = jnp.sqrt(jnp.sum(jnp.square(offset), -1))
        depth = -(distance - (self.radius[ours] + self.radius[theirs])) / self.margin
        inside = jnp.logaddexp(0, depth) * self.margin
        return self.strength * offset / distance[:, None] * inside[:, None]
