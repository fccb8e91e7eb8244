"""A term by its name, with the parameters that the configuration has for it."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import Any

from traqpoint.errors import ConfigError
from traqpoint.policy.reward_config import RewardConfig
from traqpoint.policy.terms import TERMS, Term


@lru_cache(maxsize=64)
def build_term(name: str, config: RewardConfig) -> Term:
    """The term `name`. Raises ConfigError if it cannot be had, is none, or has no such parameter."""
    kind = TERMS[name]
    if not (isinstance(kind, type) and issubclass(kind, Term)):
        raise ConfigError(f"{name} is no reward term: subclass traqpoint.policy.terms.Term")
    own = config.parameters(name)
    try:
        return kind(**(_options(name, kind, config) if own is None else vars(own)))
    except TypeError as error:  # a parameter without a default
        raise ConfigError(f"{name}: {error}; set it in reward.options") from None


def check_terms(config: RewardConfig) -> None:
    """Build all of the reward once. Raises ConfigError for a term that cannot be built, and for an option of none."""
    names = [*dict(config.terms), *config.gates]
    for name in names:
        build_term(name, config)
    known = {_short(name) for name in names}
    for key, _ in config.options:
        if key.partition(".")[0] not in known:
            raise ConfigError(f"reward: option {key} is of no term that is used; these are {', '.join(known)}")


def _short(name: str) -> str:
    """module:Name -> Name."""
    return name.rpartition(":")[2]


def _like(value: float | bool | str, default: Any, key: str) -> Any:
    """The value as the type of the default, if there is one. The command line reads every number as a float."""
    if isinstance(default, int) and isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(default, (bool, int, float, str)) and type(value) is not type(default):
        raise ConfigError(f"reward: option {key} must be {type(default).__name__}, got {value!r}")
    return value


def _options(name: str, kind: type[Term], config: RewardConfig) -> dict[str, Any]:
    """The parameters of a term without a configuration of its own, as the types of its defaults."""
    fields: dict[str, Any] = {}
    if dataclasses.is_dataclass(kind):
        fields = {field.name: field.default for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in config.options:
        term, _, parameter = key.partition(".")
        if term != _short(name):
            continue
        if parameter not in fields:
            raise ConfigError(f"{name} has no parameter {parameter!r}; known are {', '.join(fields) or 'none'}")
        values[parameter] = _like(value, fields[parameter], key)
    return values
