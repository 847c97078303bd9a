"""SMAX behind the protocol: jaxmarl's rules and random numbers, on arrays of our own."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from jmarl.types import Entities, EnvSpec, Key, Outcome, View
from jmarl_envs.scene import Scene
from jmarl_envs.smax import drawing, views
from jmarl_envs.smax.enemy import enemy_actions
from jmarl_envs.smax.noise import Words, nth, words_of
from jmarl_envs.smax.physics import advance, team_reward
from jmarl_envs.smax.rules import MOVES, Battle, Rules, vmapped_last


class Smax:
    """Allies against the scripted enemy. `openings` draws an episode's first battle."""

    def __init__(
        self,
        name: str,
        rules: Rules,
        openings: Callable[[Key], Battle],
        episode_limit: int,
        reward_scale: float,
        entities: bool,
    ) -> None:
        self.rules, self.openings, self.reward_scale = rules, openings, reward_scale
        n, m, e = rules.num_allies, rules.num_enemies, rules.num_units
        own = views.OWN + rules.num_kinds
        obs_size = (e - 1) * (views.SEEN + rules.num_kinds) + own
        entity_size = e + m + 1 + rules.num_kinds + 6
        self.spec = EnvSpec(
            name=name,
            agents=tuple(f"ally_{index}" for index in range(n)),
            obs_sizes=(obs_size,) * n,
            action_kind="discrete",
            action_parts=((MOVES + m,),) * n,
            state_size=e * own,
            episode_limit=episode_limit,
            teams=(0,) * n,
            team_names=("allies",),
            team_reward="shared",
            num_entities=e * entities,
            entity_size=entity_size * entities,
            agent_features=(n, own),
            info=(("win_rate", "last"),),
        )
        self._step, self.view = vmapped_last(self.outcome), vmapped_last(self.view_of)

    def reset(self, key: Key) -> tuple[Battle, View]:
        battle = self.openings(key)
        return battle, self.view(battle)

    def step(self, state: Battle, action: Array, key: Key) -> tuple[Battle, Outcome]:
        return self._step(state, action, words_of(key))

    def outcome(self, before: Battle, action: Array, words: Words) -> tuple[Battle, Outcome]:
        """One step; axes after the units are free, and come back last."""
        rules = self.rules
        enemies, victim = enemy_actions(rules, before, nth(words, 1))
        everybody = jnp.concatenate([action.astype(jnp.int32), enemies])
        after = advance(rules, before.replace(victim=victim), everybody, nth(words, 0))
        reward, won, over = team_reward(rules, before, after, self.reward_scale)
        rewards = jnp.broadcast_to(reward, (rules.num_allies, *reward.shape))
        info = {"win_rate": won.astype(jnp.float32)}
        return after, Outcome(self.view_of(after), rewards, over, jnp.zeros_like(over), info)

    def view_of(self, battle: Battle) -> View:
        rules, sight = self.rules, views.sight_of(self.rules, battle)
        rows = views.unit_rows(rules, battle)
        entities = None
        if self.spec.num_entities:
            features = views.entity_features(rules, battle, sight)
            entities = Entities(features, ~battle.present, views.hidden(rules, battle, sight))
        return View(
            obs=views.observations(rules, battle, sight),
            available=views.available(rules, battle, sight),
            alive=battle.alive[: rules.num_allies],
            state=rows.reshape(-1, *rows.shape[2:]),
            entities=entities,
        )

    def draw(self, state: Battle) -> Scene:
        return drawing.scene(self.rules, state)
