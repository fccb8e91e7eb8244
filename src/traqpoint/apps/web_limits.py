"""What the web page takes: how many images, and how large. Without torch: options of a verb."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from traqpoint.errors import ConfigError, DataError


@dataclass(frozen=True)
class WebLimits:
    """What an upload may be. What exceeds it is refused in one line."""

    max_images: int = 40
    """Of a reconstruction, sharp frames of a film included."""
    max_frames: int = 300
    """Of a film that are tracked."""
    max_megabytes: float = 100.0
    """Of an uploaded file, of 10⁶ bytes each."""

    def __post_init__(self) -> None:
        if self.max_images < 2 or self.max_frames < 2 or not self.max_megabytes > 0:
            raise ConfigError("max_images and max_frames must be at least 2, and max_megabytes positive")

    def check(self, files: Sequence[Path]) -> None:
        """Raises DataError for too many files, or one that is too large."""
        if len(files) > self.max_images:
            raise DataError(f"{len(files)} files, and {self.max_images} are the most (--max-images)")
        for file in files:
            megabytes = file.stat().st_size / 1e6
            if megabytes > self.max_megabytes:
                limit = f"{self.max_megabytes:g} MB are the most (--max-megabytes)"
                raise DataError(f"{file.name}: {megabytes:.0f} MB, and {limit}")
