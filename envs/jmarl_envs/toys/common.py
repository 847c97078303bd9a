"""What the toys share: cues to name."""

from typing import Annotated

from flax import struct
from jax import Array

from jmarl_envs.catalogue import Range

Cues = Annotated[int, Range(2)]


class Cued(struct.PyTreeNode):
    """What there is to name, and the steps taken."""

    cue: Array  # [] or [A] or [A, parts] int32
    time: Array  # [] int32
