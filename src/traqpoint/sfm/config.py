"""How photos are mapped. Without torch, so that the command line starts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from traqpoint.errors import ConfigError
from traqpoint.matching.config import MatcherConfig, MutualConfig

MATCHER = MatcherConfig(mutual=MutualConfig(max_ratio=0.9))
"""How photographs are matched for a model. Without a ratio test, pairs that show nothing in common have 750 matches of
2048 keypoints, with it 76 (30 photographs of South Building); 0.85 costs pairs that do overlap."""


@dataclass(frozen=True, kw_only=True)
class MappingConfig:
    """How to reconstruct. Everything else is pycolmap's default."""

    mapper: Literal["incremental", "global"] = "incremental"
    """incremental adds one image after the other; global solves for all of them at once (GLOMAP): faster on many."""
    cameras: Literal["shared", "per-image"] = "shared"
    """shared: images of one size and EXIF focal length are one camera; per-image: each its own (internet photos)."""
    max_trials: int = 1000
    """Samples that the verification of a pair may draw. COLMAP's own 10,000 take ten times as long, nearly all of it
    for pairs that show nothing in common, and verify more of these."""
    min_inlier_ratio: float = 0.1
    """Share of a pair's matches that must agree with one motion. 30 photographs of South Building had 0.06 at most by
    chance; COLMAP's own is 0."""
    seed: int = 0
    """Seed of every random choice of pycolmap."""
    num_threads: int = -1
    """-1: all cores. With 1 a run repeats exactly; with more, models may differ slightly."""

    def __post_init__(self) -> None:
        if self.mapper not in ("incremental", "global"):
            raise ConfigError(f"mapper {self.mapper!r} is not one of incremental, global")
        if self.cameras not in ("shared", "per-image"):
            raise ConfigError(f"cameras {self.cameras!r} is not one of shared, per-image")
        if self.max_trials < 1:
            raise ConfigError(f"max_trials must be at least 1, got {self.max_trials}")
        if not 0 <= self.min_inlier_ratio < 1:
            raise ConfigError(f"min_inlier_ratio must lie in [0, 1), got {self.min_inlier_ratio}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
        if self.num_threads != -1 and self.num_threads < 1:
            raise ConfigError(f"num_threads must be -1 or at least 1, got {self.num_threads}")
