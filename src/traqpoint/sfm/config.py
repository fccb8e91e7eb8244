"""How photos are mapped. Without torch, so that the command line starts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from traqpoint.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class MappingConfig:
    """How to reconstruct. Everything else is pycolmap's default."""

    mapper: Literal["incremental", "global"] = "incremental"
    """incremental adds one image after the other; global solves for all of them at once (GLOMAP): faster on many."""
    cameras: Literal["shared", "per-image"] = "shared"
    """shared: images of one size and EXIF focal length are one camera; per-image: each its own (internet photos)."""
    seed: int = 0
    """Seed of every random choice of pycolmap."""
    num_threads: int = -1
    """-1: all cores. With 1 a run repeats exactly; with more, models may differ slightly."""

    def __post_init__(self) -> None:
        if self.mapper not in ("incremental", "global"):
            raise ConfigError(f"mapper {self.mapper!r} is not one of incremental, global")
        if self.cameras not in ("shared", "per-image"):
            raise ConfigError(f"cameras {self.cameras!r} is not one of shared, per-image")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
        if self.num_threads != -1 and self.num_threads < 1:
            raise ConfigError(f"num_threads must be -1 or at least 1, got {self.num_threads}")
