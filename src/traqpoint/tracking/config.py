"""How tracks are continued. Without torch, so that the command line starts at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from traqpoint.errors import ConfigError
from traqpoint.matching.config import MatcherConfig


@dataclass(frozen=True)
class TrackerConfig:
    """How keypoints of a new frame are joined to live tracks. Impossible values raise ConfigError."""

    max_gap: int = 3
    """A track dies when it was last seen more than this many frames ago; 1 demands every frame."""
    max_displacement: float | None = None
    """Farthest that a point may move, in pixels per frame; None for no limit."""
    min_similarity: float = 0.5
    """Smallest cosine between a keypoint's descriptor and the one that its track was last seen with."""
    verify: bool = True
    """Continue only tracks that agree with one motion of the camera (a fundamental matrix), where there are enough of
    them to tell. What moves by itself is lost with it: switch it off for such films."""
    matcher: MatcherConfig = field(default_factory=MatcherConfig)
    """How a frame is matched with the last sightings of live tracks."""

    def __post_init__(self) -> None:
        if self.max_gap < 1:
            raise ConfigError(f"max_gap must be at least 1 frame, got {self.max_gap}")
        if self.max_displacement is not None and not self.max_displacement > 0:
            raise ConfigError(f"max_displacement must be positive or None, got {self.max_displacement}")
        if not -1 <= self.min_similarity <= 1:
            raise ConfigError(f"min_similarity must lie in [-1, 1], got {self.min_similarity}")

    def described(self) -> dict[str, Any]:
        """For a result's protocol."""
        return {**asdict(self), "matcher": self.matcher.described()}
