"""Which matcher, and how strict. Without torch, so that the command line starts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from traqpoint.errors import ConfigError


@dataclass(frozen=True)
class MatcherConfig:
    """How the descriptors of two images are matched; written beside every result."""

    method: Literal["mutual", "dual-softmax"] = "mutual"
    """Mutual nearest neighbours, or mutual maxima of the dual softmax."""
    max_ratio: float | None = None
    """mutual: nearest distance over second nearest, at most; None for no ratio test."""
    min_similarity: float | None = None
    """mutual: smallest cosine; None for no limit."""
    inverse_temperature: float = 20.0
    """dual-softmax: factor on the cosines."""
    min_probability: float = 0.01
    """dual-softmax: smallest probability."""

    def __post_init__(self) -> None:
        if self.method not in ("mutual", "dual-softmax"):
            raise ConfigError(f"method {self.method!r} is neither mutual nor dual-softmax")
        if self.max_ratio is not None and not 0 < self.max_ratio <= 1:
            raise ConfigError(f"max_ratio must lie in (0, 1], got {self.max_ratio}")
        if self.min_similarity is not None and not -1 <= self.min_similarity <= 1:
            raise ConfigError(f"min_similarity must lie in [-1, 1], got {self.min_similarity}")
        if not self.inverse_temperature > 0:
            raise ConfigError(f"inverse_temperature must be positive, got {self.inverse_temperature}")
        if not 0 <= self.min_probability <= 1:
            raise ConfigError(f"min_probability must lie in [0, 1], got {self.min_probability}")
