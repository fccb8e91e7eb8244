"""What is exported and how, without torch: the command line's help stands on this file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from traqpoint.errors import ConfigError
from traqpoint.inference.config import ExtractorConfig


@dataclass(frozen=True)
class ExportConfig:
    """What does not become an input of the graph."""

    image_size: tuple[int, int] | None = None
    """(W, H) if the file is for one size; by default it takes any, and any number of images."""
    precision: Literal["float32", "int8"] = "float32"
    """int8: convolutions in 8 bits."""
    calibration_images: str = "worlds"
    """int8: a folder of images that the scales are taken from, or worlds, which are rendered."""
    nms_radius: int = 2
    """Non-maximum suppression window is (2r+1)² pixels."""
    prominence: float = 0.3
    """How far a keypoint's logit must rise above its window's lowest."""
    border: int = 4
    """No keypoints nearer to the image's edge than this."""

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "int8"):
            raise ConfigError(f"precision must be float32 or int8, got {self.precision!r}")
        self.detection()

    def detection(self) -> ExtractorConfig:
        """How the Extractor finds the same keypoints."""
        return ExtractorConfig(
            max_keypoints=1024,
            nms_radius=self.nms_radius,
            prominence=self.prominence,
            border=self.border,
            long_side=None,
            device="cpu",
        )
