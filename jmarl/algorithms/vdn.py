"""VDN (Sunehag et al., 2017, arXiv 1706.05296): the joint value is the sum of the agents' values.

The agent and the training are PyMARL's, as in all later comparisons, not the paper's own LSTM with
a duelling head and eligibility traces.
"""

from jax import Array

from jmarl.algorithms import value_decomposition as vd
from jmarl.algorithms.value_decomposition import Config, Mixed
from jmarl.networks.base import Net
from jmarl.types import EnvSpec, Params, View


def add(params: Params, q: Array, view: View, action: Array) -> Mixed:
    """Q_tot = sum_i Q_i."""
    return Mixed(q.sum(-1, keepdims=True))


def make(spec: EnvSpec, cfg: Config) -> vd.ValueDecomposition:
    """VDN for an environment of this spec."""
    mixer = Net(lambda key, *inputs: {}, add)
    return vd.ValueDecomposition(spec, cfg, vd.agents_of(spec, cfg), mixer)


RECIPE = vd.recipe(
    "vdn", "sums the agents' values (Sunehag et al., 2017)", Config(), make, uses_state=False
)
