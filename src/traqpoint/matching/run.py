"""The matcher that a configuration names."""

from __future__ import annotations

from traqpoint.matching.config import MatcherConfig
from traqpoint.matching.dual_softmax import match_dual_softmax
from traqpoint.matching.mutual import match
from traqpoint.types import Features, Matches


def match_with(features_a: Features, features_b: Features, config: MatcherConfig) -> Matches:
    """Match two images as `config` says. Raises FormatError if the descriptor dimensions differ."""
    if config.method == "dual-softmax":
        return match_dual_softmax(features_a, features_b, config.inverse_temperature, config.min_probability)
    return match(features_a, features_b, max_ratio=config.max_ratio, min_similarity=config.min_similarity)
