"""What two sides are to do alike: a case, and its settings in each side's own words."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from jmarl.config import Experiment, experiment, find
from jmarl.fields import ConfigError
from jmarl.making import env_of

VALUE, PPO = ("qmix", "vdn", "iql"), ("ippo", "mappo")
ALGORITHMS = (*VALUE, *PPO)
SMAX = {"ENV_NAME": "HeuristicEnemySMAX", "ENV_KWARGS": {"attack_mode": "closest"}}
# JaxMARL's names of the environments; its script of each algorithm there
ENVS: dict[str, dict[str, Any]] = {
    "mpe/simple_spread": {"ENV_NAME": "MPE_simple_spread_v3", "ENV_KWARGS": {}},
    "smax/3m": {**SMAX, "MAP_NAME": "3m"},
    "smax/2s3z": {**SMAX, "MAP_NAME": "2s3z"},
}
SCRIPTS = {
    **{name: f"baselines/QLearning/{name}_rnn.py" for name in VALUE},
    "ippo": "baselines/IPPO/ippo_ff_mpe.py",
    "mappo": "baselines/MAPPO/mappo_rnn_mpe.py",
}
PACKAGES = {**dict.fromkeys(VALUE, "flashbax"), **dict.fromkeys(PPO, "distrax")}  # ours has neither
REPLAY = 5000  # rollouts remembered, or more where JaxMARL's would not hold a batch of adds


@dataclass(frozen=True)
class Case:
    """Rollouts of `length` positions in each of `num_envs` environments; after each of them
    `epochs` times gradient steps: one on a batch of whole rollouts, or `lots` of PPO's."""

    algorithm: str
    env: str
    num_envs: int
    length: int
    seeds: int = 1
    updates: int = 100  # rollouts that are followed by learning
    epochs: int = 1
    lots: int = 1
    batch: int = 32
    width: int = 64  # of the agents' layers and GRU
    mixing: int = 32
    hypernet: int = 128

    @property
    def label(self) -> str:
        seeds = f", {self.seeds} seeds" if self.seeds > 1 else ""
        return f"{self.algorithm} on {self.env}, {self.num_envs} environments{seeds}"

    @property
    def warmup(self) -> int:
        """Rollouts before the first gradient step: JaxMARL's replay wants as many adds as a batch
        has rollouts, and learns from then on."""
        return self.batch - 1 if self.algorithm in VALUE else 0

    @property
    def rollouts(self) -> int:
        return self.warmup + self.updates

    @property
    def positions(self) -> int:
        """Of one seed."""
        return self.rollouts * self.num_envs * self.length

    @property
    def gradient_steps(self) -> int:
        """Of one seed."""
        return self.updates * self.epochs * self.lots

    @property
    def plan(self) -> Experiment:
        return experiment(self.algorithm, settings=ours(self))

    @property
    def replay(self) -> int:
        """A whole number of rollouts for each environment."""
        return math.ceil(max(REPLAY, self.batch * self.num_envs) / self.num_envs) * self.num_envs


def case(algorithm: str, env: str, num_envs: int, **given: Any) -> Case:
    """One with JaxMARL's usual settings; ConfigError where there is no such script."""
    find(algorithm, ALGORITHMS, "algorithm with a script to stand beside")
    find(env, ENVS, "environment of both sides")
    if algorithm in VALUE:
        # JaxMARL's own files for SMAX take eight gradient steps after a rollout, for MPE one
        own = {"epochs": 8 if env.startswith("smax/") else 1}
        made = replace(Case(algorithm, env, num_envs, 0), **(own | given))
        return replace(made, length=episode(made))
    if env.startswith("smax/"):
        raise ConfigError(f"env must be mpe/simple_spread for {algorithm}, got {env!r}")
    own = {"epochs": 4, "lots": 4, "width": 64 if algorithm == "ippo" else 128}
    made = replace(Case(algorithm, env, num_envs, 128), **(own | given))
    if num_envs % made.lots:
        raise ConfigError(f"rungs must divide by {made.lots} for {algorithm}, got {num_envs}")
    return made if algorithm == "ippo" else replace(made, length=episode(made))


def episode(made: Case) -> int:
    """Positions of a whole episode with its last view, our recurrent learners' rollout."""
    plan = experiment(made.algorithm, settings={"env": made.env})
    return env_of(plan).spec.episode_limit + 1


# --- in each side's words -----------------------------------------------------------------------


def ours(made: Case) -> dict[str, Any]:
    """Settings of `jmarl train ALGORITHM`."""
    common = {
        "env": made.env,
        "num_envs": made.num_envs,
        "seeds": made.seeds,
        "total_steps": made.positions,
        "evaluations": 1,
        "optimiser": "adam",
        "last_action": False,
    }
    if made.algorithm in PPO:
        return common | ours_ppo(made)
    mixer = {"mixing_dim": made.mixing, "hypernet_dim": made.hypernet}
    return {
        **common,
        "hidden_dim": (made.width,),
        "rnn_dim": made.width,
        "agent_id": True,
        "team_reward": "sum",
        "buffer_size": made.replay,
        "batch_size": made.batch,
        "warmup_episodes": made.warmup * made.num_envs,
        "episodes_per_update": made.num_envs / made.epochs,
        "target_update_interval": 200,
        **(mixer if made.algorithm == "qmix" else {}),
    }


def ours_ppo(made: Case) -> dict[str, Any]:
    """Two layers, or one more before the GRU, where JaxMARL has it behind."""
    shape = {
        "hidden_dim": (made.width, made.width),
        "agent_id": False,
        "epochs": made.epochs,
        "minibatches": made.lots,
    }
    if made.algorithm == "ippo":
        return {**shape, "rnn_dim": 0, "rollout_length": made.length}
    return {**shape, "rnn_dim": made.width}


def theirs(made: Case) -> dict[str, Any]:
    """The config of a JaxMARL script's `make_train`."""
    common = {
        **ENVS[made.env],
        "NUM_ENVS": made.num_envs,
        "NUM_STEPS": made.length,
        "TOTAL_TIMESTEPS": made.positions,
        "GAMMA": 0.99,
        "LR": 5e-4,
        "WANDB_MODE": "disabled",
    }
    if made.algorithm in PPO:
        return common | theirs_ppo(made)
    return {
        **common,
        "BUFFER_SIZE": made.replay,
        "BUFFER_BATCH_SIZE": made.batch,
        "HIDDEN_SIZE": made.width,
        "MIXER_EMBEDDING_DIM": made.mixing,
        "MIXER_HYPERNET_HIDDEN_DIM": made.hypernet,
        "MIXER_INIT_SCALE": 0.001,
        "EPS_START": 1.0,
        "EPS_FINISH": 0.05,
        "EPS_DECAY": 0.1,
        "MAX_GRAD_NORM": 10.0,
        "TARGET_UPDATE_INTERVAL": max(1, 200 // made.epochs),  # counted in rollouts there
        "TAU": 1.0,
        "NUM_EPOCHS": made.epochs,
        "LEARNING_STARTS": 0,
        "LR_LINEAR_DECAY": False,
        "TEST_DURING_TRAINING": False,  # neither side evaluates
        "TEST_NUM_ENVS": 1,
        "TEST_NUM_STEPS": 1,
    }


def theirs_ppo(made: Case) -> dict[str, Any]:
    return {
        "FC_DIM_SIZE": made.width,
        "GRU_HIDDEN_DIM": made.width,
        "UPDATE_EPOCHS": made.epochs,
        "NUM_MINIBATCHES": made.lots,
        "GAE_LAMBDA": 0.95,
        "CLIP_EPS": 0.2,
        "SCALE_CLIP_EPS": False,
        "ENT_COEF": 0.01,
        "VF_COEF": 0.5,
        "MAX_GRAD_NORM": 0.5,
        "ACTIVATION": "relu",
        "ANNEAL_LR": False,
    }


def both(made: Case) -> dict[str, Any]:
    """For the record."""
    return {"case": asdict(made), "jmarl": ours(made), "jaxmarl": theirs(made)}
