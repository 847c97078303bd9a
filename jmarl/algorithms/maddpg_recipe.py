"""MADDPG and what it comes with: its extensions, its presets, and independent DDPG."""

from dataclasses import replace

from jmarl.algorithms import maddpg
from jmarl.algorithms.ensemble import Ensemble
from jmarl.algorithms.inference import Inferring
from jmarl.algorithms.maddpg import IQBAL, OPENAI, Config, Maddpg
from jmarl.algorithms.recipe import Plan, Preset, Recipe, of_replays, off_policy_plan
from jmarl.algorithms.sides import local_agents
from jmarl.fields import ConfigError
from jmarl.types import EnvSpec


def make(spec: EnvSpec, cfg: Config) -> Maddpg:
    """As the config says."""
    if cfg.ensemble > 1:
        return maddpg.make(spec, cfg, Ensemble)
    return maddpg.make(spec, cfg, Inferring if cfg.infer_policies else Maddpg)


def plan(cfg: Config, num_envs: int, rollout_length: int) -> Plan:
    """A sub-policy of an ensemble counts the steps that are its own, one in `ensemble`."""
    own = cfg.replace(
        warmup_steps=cfg.warmup_steps * cfg.ensemble,
        env_steps_per_update=cfg.env_steps_per_update * cfg.ensemble,
    )
    found = off_policy_plan(own, num_envs, rollout_length)
    return replace(found, warmup=found.warmup + " x ensemble" * (cfg.ensemble > 1))


def shared_out(cfg: Config) -> set[str]:
    """The latest steps that approximated policies are fitted to, too."""
    return of_replays(cfg) | ({"infer_batch"} if cfg.infer_policies else set())


def refuse(spec: EnvSpec, cfg: Config) -> None:
    """Teams that are not there, and settings that change nothing or mean nothing together."""
    local = local_agents(spec, cfg.local_critic, cfg.team_algorithms)
    if cfg.infer_policies and local.all():
        raise ConfigError("infer_policies must be false for critics that see their agent alone")
    for name, wanted in (("infer_policies", False), ("norm_input", False), ("own_batches", True)):
        if cfg.ensemble > 1 and getattr(cfg, name) != wanted:
            raise ConfigError(f"{name} must be {str(wanted).lower()} for ensembles")


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
    plan=plan,
    action_kinds=maddpg.action_kinds,
    refuse=refuse,
    shared_out=shared_out,
)
DDPG = RECIPE.but(
    name="ddpg",
    summary="independent DDPG: MADDPG whose critics see their own agent alone",
    local_critic=True,
)
