"""Environments behind jmarl's protocol. jmarl's core never imports this package."""

from jmarl_envs.actions import random_actions as random_actions
from jmarl_envs.catalogue import BadOption as BadOption
from jmarl_envs.catalogue import Listing as Listing
from jmarl_envs.catalogue import MissingPackage as MissingPackage
from jmarl_envs.catalogue import UnknownName as UnknownName
from jmarl_envs.checker import ContractError as ContractError
from jmarl_envs.checker import check as check
from jmarl_envs.measure import random_player as random_player
from jmarl_envs.measure import random_returns as random_returns
from jmarl_envs.registry import entry as entry
from jmarl_envs.registry import listings as listings
from jmarl_envs.registry import make as make
from jmarl_envs.registry import names as names
from jmarl_envs.registry import register as register
from jmarl_envs.time_limit import TimeLimit as TimeLimit
