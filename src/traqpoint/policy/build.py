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
    own = getattr(config, name, None)
    return kind(**(vars(own) if dataclasses.is_dataclass(own) else _options(name, kind, config)))


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
        like = type(fields[parameter])
        # The command line reads every number as a float.
        values[parameter] = int(value) if like is int and value == int(value) else value
        if not isinstance(values[parameter], like):
            raise ConfigError(f"reward: option {key} must be {like.__name__}, got {value!r}")
    return values
