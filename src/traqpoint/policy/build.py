"""A term by its name, with the parameters that the configuration has for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from traqpoint.errors import ConfigError
from traqpoint.policy.reward_config import RewardConfig
from traqpoint.policy.terms import TERMS, Term

Options = Iterable[tuple[str, float | bool | str]]
"""Name.parameter and its value."""


@lru_cache(maxsize=64)
def build_term(name: str, config: RewardConfig) -> Term:
    """The term `name`. Raises ConfigError if it cannot be had, is none, or has no such parameter."""
    kind = TERMS[name]
    if not (isinstance(kind, type) and issubclass(kind, Term)):
        raise ConfigError(f"{name} is no reward term: subclass traqpoint.policy.terms.Term")
    own = config.parameters(name)
    try:
        return kind(**(parameters(name, kind, config.options) if own is None else vars(own)))
    except TypeError as error:  # a parameter without a default
        raise ConfigError(f"{name}: {error}; set it in reward.options") from None


def check_terms(config: RewardConfig) -> None:
    """Build all of the reward once. Raises ConfigError for a term that cannot be built, and for an option of none."""
    names = [*dict(config.terms), *config.gates]
    for name in names:
        build_term(name, config)
    check_owners(names, config.options, "reward", "term")


def check_owners(names: Iterable[str], options: Options, where: str, what: str) -> None:
    """Raise ConfigError for an option that belongs to none of `names`. where, what: for the message."""
    known = {_short(name) for name in names}
    for key, _ in options:
        if key.partition(".")[0] not in known:
            raise ConfigError(f"{where}: option {key} is of no {what} that is used; these are {', '.join(known)}")


def _short(name: str) -> str:
    """module:Name -> Name."""
    return name.rpartition(":")[2]


def _like(value: float | bool | str, default: Any, key: str) -> Any:
    """The value as the type of the default, if there is one. The command line reads every number as a float."""
    if isinstance(default, int) and isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(default, (bool, int, float, str)) and type(value) is not type(default):
        raise ConfigError(f"option {key} must be {type(default).__name__}, got {value!r}")
    return value


def parameters(name: str, kind: type, options: Options) -> dict[str, Any]:
    """The parameters of what has no configuration of its own, as the types of its defaults. name: as it was given.

    Raises ConfigError for a parameter that there is not.
    """
    fields: dict[str, Any] = {}
    if dataclasses.is_dataclass(kind):
        fields = {field.name: field.default for field in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for key, value in options:
        term, _, parameter = key.partition(".")
        if term != _short(name):
            continue
        if parameter not in fields:
            raise ConfigError(f"{name} has no parameter {parameter!r}; known are {', '.join(fields) or 'none'}")
        values[parameter] = _like(value, fields[parameter], key)
    return values
