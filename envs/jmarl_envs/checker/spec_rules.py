"""Rules on the spec alone: does it agree with itself? Each yields what is wrong, in words."""

from jmarl.types import EnvSpec
from jmarl_envs.checker.words import Findings


def one_entry_per_agent(spec: EnvSpec) -> Findings:
    """Every per-agent field has one entry for each agent, and agents' names differ."""
    count = spec.num_agents
    if count == 0 or len(set(spec.agents)) < count:
        yield f"spec.agents: expected at least one name and no name twice, found {spec.agents}"
    for name in ("obs_sizes", "action_parts", "teams"):
        found = len(getattr(spec, name))
        if found != count:
            yield f"spec.{name}: expected one entry for each of {count} agents, found {found}"


def sizes_are_positive(spec: EnvSpec) -> Findings:
    """Observations, action parts and the episode have at least one entry."""
    if any(size < 1 for size in spec.obs_sizes):
        yield f"spec.obs_sizes: expected positive sizes, found {spec.obs_sizes}"
    if any(not parts or min(parts) < 1 for parts in spec.action_parts):
        yield f"spec.action_parts: expected positive parts, found {spec.action_parts}"
    if spec.episode_limit < 1:
        yield f"spec.episode_limit: expected at least 1, found {spec.episode_limit}"


def action_kind_is_known(spec: EnvSpec) -> Findings:
    """The kind is one of three, and a box has one part."""
    kinds = ("discrete", "simplex", "box")
    if spec.action_kind not in kinds:
        yield f"spec.action_kind: expected one of {kinds}, found {spec.action_kind!r}"
    if spec.action_kind == "box" and any(len(parts) != 1 for parts in spec.action_parts):
        yield f"spec.action_parts: expected one part in a box, found {spec.action_parts}"


def teams_have_names(spec: EnvSpec) -> Findings:
    """`teams` are indices into `team_names`, and every name is used."""
    if set(spec.teams) != set(range(len(spec.team_names))):
        yield f"spec.teams: expected every index of {spec.team_names}, found {spec.teams}"


def team_reward_is_known(spec: EnvSpec) -> Findings:
    rules = ("mean", "sum", "shared", None)
    if spec.team_reward not in rules:
        yield f"spec.team_reward: expected one of {rules}, found {spec.team_reward!r}"


def agent_features_fit(spec: EnvSpec) -> Findings:
    """[A, size] features fill the front of the state."""
    if spec.agent_features is None:
        return
    agents, size = spec.agent_features
    if agents != spec.num_agents or agents * size > spec.state_size:
        yield (
            f"spec.agent_features: expected {spec.num_agents} agents' features within a state of "
            f"{spec.state_size}, found {spec.agent_features}"
        )


def entities_begin_with_agents(spec: EnvSpec) -> Findings:
    """Either there are no entities, or all agents are among them."""
    some = spec.num_entities or spec.entity_size
    if some and (spec.num_entities < spec.num_agents or spec.entity_size < 1):
        yield (
            f"spec.num_entities, entity_size: expected at least {spec.num_agents} entities of at "
            f"least 1 feature, found {spec.num_entities} of {spec.entity_size}"
        )


def info_says_how_to_reduce(spec: EnvSpec) -> Findings:
    for name, how in spec.info:
        if how not in ("sum", "last"):
            yield f"spec.info: expected 'sum' or 'last' for {name!r}, found {how!r}"


def hashable(spec: EnvSpec) -> Findings:
    """A spec serves as a constant of compiled programs."""
    try:
        hash(spec)
    except TypeError as error:
        yield f"spec: expected something hashable (tuples, no lists), found {error}"


RULES = (
    one_entry_per_agent,
    sizes_are_positive,
    action_kind_is_known,
    teams_have_names,
    team_reward_is_known,
    agent_features_fit,
    entities_begin_with_agents,
    info_says_how_to_reduce,
    hashable,
)
