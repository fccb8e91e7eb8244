"""The matcher that a configuration names."""

from __future__ import annotations

from typing import Protocol

from traqpoint.errors import ConfigError
from traqpoint.matching.config import MATCHERS, MatcherConfig
from traqpoint.types import Features, Matches


class Matcher(Protocol):
    """From the features of two images to their matches, on the features' device."""

    def __call__(self, features_a: Features, features_b: Features, /) -> Matches:
        """Raises FormatError if the two cannot be matched with each other. Called by several threads at once."""
        ...


def build_matcher(config: MatcherConfig | None = None) -> Matcher:
    """The matcher, ready to run; by default mutual nearest neighbours.

    Raises ConfigError if it lacks what it needs or cannot be imported, WeightsError for weights that do not fit.
    """
    config = config or MatcherConfig()
    matcher = MATCHERS[config.method](config)
    if not callable(matcher):
        raise ConfigError(f"matcher {config.method}: what it builds cannot be called with two Features")
    return matcher
