"""MADDPG and what it comes with: its extensions, its presets, and independent DDPG."""

from jmarl.algorithms import maddpg
from jmarl.algorithms.inference import Inferring
from jmarl.algorithms.maddpg import IQBAL, OPENAI, Config, Maddpg
from jmarl.algorithms.recipe import Preset, Recipe, off_policy_plan
from jmarl.algorithms.sides import local_agents
from jmarl.fields import ConfigError
from jmarl.types import EnvSpec


def make(spec: EnvSpec, cfg: Config) -> Maddpg:
    """As the config says."""
    return maddpg.make(spec, cfg, Inferring if cfg.infer_policies else Maddpg)


def refuse(spec: EnvSpec, cfg: Config) -> None:
    """Teams that are not there, and settings that would change nothing."""
    local = local_agents(spec, cfg.local_critic, cfg.team_algorithms)
    if cfg.infer_policies and local.all():
        raise ConfigError("infer_policies must be false for critics that see their agent alone")


ONE_ENV = {"num_envs": 1, "rollout_length": 100}
RECIPE = Recipe(
    name="maddpg",
    summary="multi-agent DDPG with a centralised critic per agent (Lowe et al., 2017)",
    config=Config(),
    presets={
        "openai": Preset(OPENAI, ONE_ENV, "as openai/maddpg"),
        "iqbal": Preset(IQBAL, ONE_ENV, "as shariqiqbal2810/maddpg-pytorch"),
    },
    make=make,
    memory=maddpg.memory,
    plan=off_policy_plan,
    action_kinds=maddpg.action_kinds,
    refuse=refuse,
)
DDPG = RECIPE.but(
    name="ddpg",
    summary="independent DDPG: MADDPG whose critics see their own agent alone",
    local_critic=True,
)
