"""REFIL (Iqbal et al., 2021, arXiv 2006.04222): value decomposition over entities, and over groups
of them that are imagined.

Agents attend to the entities that they see, a flexible mixer to all of them, so that teams of any
make-up share one network. Learning splits the entities of each episode in two at random, values
every action among one's own group and among the others, and mixes these 2 A factors to the same
target: L = (1 - lmbda) L(Q_tot) + lmbda L(Q_imagined). Acting and targets imagine nothing. Exact to
the released code (REFIL ffe23a1), also where that mixes by a softmax instead of absolute values.
"""

from dataclasses import replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmarl.algorithms import value_decomposition as vd
from jmarl.algorithms.batch import mean, take
from jmarl.algorithms.flex_mixers import Flex, LinearFlex, Mixer, Sizes, Sum
from jmarl.algorithms.recipe import Preset
from jmarl.algorithms.value_decomposition import Learner, Mixed
from jmarl.fields import ConfigError, knob, static
from jmarl.networks.agents import Unrolled, actions_before
from jmarl.networks.base import functional
from jmarl.networks.entities import EntityAgents
from jmarl.optim import clip_global
from jmarl.types import (
    Attention,
    Clock,
    Entities,
    EnvSpec,
    Key,
    Memory,
    Metrics,
    Params,
    Transition,
    View,
)

Groups = Literal["random", "true", "random_true", "none"]
Known = Literal["always", "opening"]
Masks = tuple[Array, ...]  # [T+1, B, A, E] bool each, true is blocked; of no pass or of two


class Config(vd.Training):
    """Defaults are the released settings for StarCraft, but for how many environments play."""

    lmbda: float = knob(0.5, low=0, high=1)  # share of the imagined groups in the loss
    weight_decay: float = knob(0.0, low=0)  # times the parameters, is added to their gradients
    groups: Groups = static("random")  # imagined; true: the environment's; both; or none
    groups_known: Known = static("always")  # opening: true ones at first steps alone, as released
    mixer: Literal["flex", "linear", "sum"] = static("flex")  # like QMIX, a weighted sum, like VDN
    mixing_weights: Literal["softmax", "abs"] = static("softmax")  # how they become positive
    entity_dim: int = static(128, low=1)  # width of the agents' attention; a multiple of heads
    hypernet_dim: int = static(128, low=1)  # width of the mixer's attention; a multiple of heads
    mixing_dim: int = static(32, low=1)  # width of the mixer's hidden layer
    heads: int = static(4, low=1)  # of all attention


class Refil(vd.ValueDecomposition):
    """The learner with a second loss. The `extras` of a batch are the sides [T+1, B, E] that its
    entities were drawn to."""

    cfg: Config
    agents: EntityAgents

    def mixer_inputs(self, q: Array) -> tuple[Any, ...]:
        q, view, action = super().mixer_inputs(q)
        return q, view.replace(entities=self.agents.entities(view, action)), action

    @property
    def tx(self) -> optax.GradientTransformation:
        decay = optax.add_decayed_weights(self.cfg.weight_decay)
        return optax.chain(clip_global(self.cfg.max_grad_norm), decay, self.step)

    def update(
        self, learner: Learner, batch: Transition, key: Key, clock: Clock
    ) -> tuple[Learner, Metrics]:
        """One gradient step, with groups drawn anew for each episode."""
        if self.cfg.groups != "none":
            batch = batch.replace(extras=drawn(key, batch.start, self.spec.num_entities))
        return super().update(learner, batch, key, clock)

    def loss(self, params: Params, target: Params, batch: Transition) -> tuple[Array, Metrics]:
        """Of the joint value, and of the imagined one."""
        of_agents, of_mixer = self.imagined(batch) if self.cfg.groups != "none" else ((), ())
        teams = params["agent"], target["agent"]
        online, old = self.agents.unroll(teams, batch, of_agents)
        batch = self.told(batch)
        whole, *parts = self.mixed(params, online, batch, of_mixer)
        goal = self.goal(target, self.whole(online), old, batch)
        loss, metrics = self.error(whole, goal, batch)
        if not parts:
            return loss, metrics
        imagined, told = self.error(parts[0], goal, batch)
        both = (1 - self.cfg.lmbda) * loss + self.cfg.lmbda * imagined
        share = self.ingroup_share(parts[0], batch)
        return both, {**metrics, "imagined_loss": told["loss"], "ingroup_prop": share}

    def imagined(self, batch: Transition) -> tuple[Masks, Masks]:
        """Of the agents' and of the mixer's imagined passes: within groups, and between them.

        Agents do not see who is absent anyway; the mixer's masks say so too.
        """
        assert batch.view.entities is not None, "a memory that keeps entities"
        cfg, start = self.cfg, batch.start
        around = batch.view.entities
        together, there = groups(batch.extras, around, start, cfg.groups, cfg.groups_known)
        return (~together, together), (~together, together | ~there)

    def told(self, batch: Transition) -> Transition:
        """With the actions before in the entities' features, as agents and mixers read them."""
        entities = self.agents.entities(batch.view, actions_before(batch))
        return batch.replace(view=batch.view.replace(entities=entities))

    def mixed(
        self, params: Params, online: Unrolled, batch: Transition, masks: Masks
    ) -> list[Mixed]:
        """The joint value of the actions taken, [T, B, 1], and of the imagined factors."""
        agents = self.spec.num_agents
        action = jnp.concatenate([batch.action] * (1 + len(masks)), -1)
        chosen = take(online.q[:-1], action)
        q = [chosen[..., :agents], chosen[..., agents:]][: 1 + bool(masks)]
        view, masks = jax.tree.map(lambda x: x[:-1], (batch.view, masks))
        return self.mixer.apply(params["mixer"], q, view, masks, method="mix")

    def whole(self, online: Unrolled) -> Unrolled:
        """Without what is imagined."""
        return Unrolled(*(x[..., : self.spec.num_agents, :] for x in online))

    def ingroup_share(self, imagined: Mixed, batch: Transition) -> Array:
        """How much of the imagined value's slope belongs to factors among one's own group."""
        assert imagined.slopes is not None
        total = jnp.maximum(imagined.slopes.sum(-1), jnp.finfo(imagined.slopes.dtype).tiny)
        own = imagined.slopes[..., : self.spec.num_agents].sum(-1) / total
        return mean(own, batch.valid.astype(own.dtype))

    def attention(self, learner: Learner, batch: Transition) -> Attention:
        """What agents give to agents of their networks' attention, [T, B, A, heads, A]; the rest
        goes to other entities."""
        agents = self.spec.num_agents
        seen = self.agents.inputs(batch.view, actions_before(batch))
        weights = self.agents.apply("attention", learner.params["agent"], seen)[:-1]
        alive = batch.view.alive[:-1, :, :, None, None]
        return Attention(alive * jnp.moveaxis(weights, -3, -2)[..., :agents])


# --- groups ---------------------------------------------------------------------------------------


def drawn(key: Key, start: Array, entities: int) -> Array:
    """[T+1, B, E] bool: each episode's entities on one of two sides, for all of its steps.

    A side's share is uniform, one for each episode; every entity takes sides by itself.
    """
    share_key, side_key = jax.random.split(key)
    share = jax.random.uniform(share_key, (*start.shape, 1))
    sides = jax.random.uniform(side_key, (*start.shape, entities)) < share
    return of_opening(sides, start)


def of_opening(x: Array, start: Array) -> Array:
    """What x [T+1, B, ...] was where each position's episode opened."""
    at = jnp.where(start, jnp.arange(len(start))[:, None], 0)
    opened = jax.lax.cummax(at)
    return jnp.take_along_axis(x, opened[..., None], 0)


def groups(
    sides: Array, entities: Entities, start: Array, rule: Groups, known: Known = "always"
) -> tuple[Array, Array]:
    """[T+1, B, A, E] bool: who is in one group with whom; and who was there at all as the episode
    opened. Agents are in their own groups.

    The released code's parallel runner stores the true groups of an episode's opening alone:
    afterwards, all entities are in one.
    """
    agents = entities.hidden.shape[-2]
    there = of_opening(~entities.absent, start)
    both = there[..., :agents, None] & there[..., None, :]
    together = sides[..., :agents, None] == sides[..., None, :]
    if rule != "random":
        assert entities.outside is not None, "`refuse` says so to users"
        outside = entities.outside & (start[..., None, None] | (known == "always"))
        together = ~outside & (together | (rule == "true"))
    return both & together, both


# --- the recipe -----------------------------------------------------------------------------------


def make(spec: EnvSpec, cfg: Config) -> Refil:
    """REFIL for an environment of this spec."""
    agents = EntityAgents(spec, cfg.heads, cfg.entity_dim, cfg.rnn_dim, cfg.last_action)
    return Refil(spec, cfg, agents, functional(mixer_of(spec, cfg)))


def mixer_of(spec: EnvSpec, cfg: Config) -> Mixer:
    """As the settings say."""
    if cfg.mixer == "sum":
        return Sum()
    sizes = Sizes(spec.num_agents, cfg.heads, cfg.hypernet_dim, cfg.mixing_dim)
    return (Flex if cfg.mixer == "flex" else LinearFlex)(sizes, cfg.mixing_weights)


def memory(spec: EnvSpec, cfg: Config, num_envs: int, rollout_length: int) -> Memory[Any]:
    """Of entities alone: observations and states, which tell the same, take more room."""
    oracle = cfg.groups not in ("random", "none")

    def kept(view: View) -> View:
        entities = view.entities
        assert entities is not None, "`refuse` says so to users"
        entities = entities if oracle else entities.replace(outside=None)
        return view.replace(obs=view.obs[..., :0], state=None, entities=entities)

    keep = lambda rollout: rollout.replace(view=kept(rollout.view))
    return vd.whole_rollouts(cfg, num_envs, rollout_length, keep)


def refuse(spec: EnvSpec, cfg: Config) -> None:
    """ConfigError for environments without entities, or without the groups that are asked for."""
    if not spec.num_entities:
        raise ConfigError(
            f"env must offer entities for refil, got {spec.name}, which does not; "
            f"refil/group_matching, smax/..., lbf/..., particle/simple_spread and others do"
        )
    vd.refuse(spec, cfg)
    if cfg.groups in ("true", "random_true") and not spec.true_groups:
        raise ConfigError(
            f"groups must be random or none where the environment knows of no true groups, as in "
            f"{spec.name}, got {cfg.groups!r}"
        )
    if cfg.groups_known != "always" and cfg.groups in ("random", "none"):
        raise ConfigError(
            f"groups_known must be always where groups is random or none, got {cfg.groups_known!r} "
            f"with groups {cfg.groups!r}"
        )
    for name in ("entity_dim", "hypernet_dim"):
        if getattr(cfg, name) % cfg.heads:
            raise ConfigError(
                f"{name} must be a multiple of heads={cfg.heads}, got {getattr(cfg, name)}"
            )


STARCRAFT = Config(eps_decay=500_000.0)
MATCHING = STARCRAFT.replace(
    mixer="linear",
    entity_dim=64,
    hypernet_dim=64,
    rnn_dim=0,
    last_action=False,
    buffer_size=2000,
    eps_decay=5_000.0,
)
FAST = STARCRAFT.replace(
    td_lambda=0.6,
    eps_decay=200_000.0,
    optimiser="adam",
    entity_dim=64,
    hypernet_dim=64,
    warmup_episodes=128,
    episodes_per_update=4.0,
    target_update_interval=100,
)

RECIPE = replace(
    vd.recipe(
        "refil",
        "entities, and groups of them imagined (Iqbal et al., 2021)",
        STARCRAFT,
        make,
        refuse=refuse,
    ),
    memory=memory,
    presets={
        "starcraft": Preset(STARCRAFT, {"num_envs": 8}, "as released for StarCraft II"),
        "group_matching": Preset(MATCHING, {"num_envs": 8}, "as released for Group Matching"),
        "fast": Preset(FAST, {"num_envs": 128}, "for hundreds of parallel environments"),
    },
    loop={"env": "refil/group_matching"},
    entities=True,
    shows=("attention",),
)
