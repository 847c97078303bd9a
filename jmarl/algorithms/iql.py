"""Independent Q-learning (Tan, 1993): every agent learns the team's return by itself."""

from jax import Array

from jmarl.algorithms import value_decomposition as vd
from jmarl.algorithms.value_decomposition import Config, Mixed
from jmarl.networks.base import Net
from jmarl.types import EnvSpec, Params, View


def apart(params: Params, q: Array, view: View, action: Array) -> Mixed:
    """A value, and so an error, for each agent."""
    return Mixed(q)


def make(spec: EnvSpec, cfg: Config) -> vd.ValueDecomposition:
    """IQL for an environment of this spec."""
    mixer = Net(lambda key, *inputs: {}, apart)
    return vd.ValueDecomposition(spec, cfg, vd.agents_of(spec, cfg), mixer)


RECIPE = vd.recipe(
    "iql",
    "independent Q-learners of the team reward (Tan, 1993)",
    Config(),
    make,
    uses_state=False,
    lr=5e-4,
    td_lambda=0.0,
    batch_size=32,
    warmup_episodes=32,
)
