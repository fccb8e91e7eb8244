"""How features are extracted and which images are matched. Without torch: the command line's help needs no network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from traqpoint.errors import ConfigError
from traqpoint.registry import Registry

RUNTIMES: Registry[Callable[..., Any]] = Registry(
    "backend",
    {
        "torch": "traqpoint.inference.runtimes.pytorch:build",
        "onnxruntime": "traqpoint.inference.runtimes.onnxruntime:build",
        "openvino": "traqpoint.inference.runtimes.openvino:build",
    },
)
"""Name -> how to build a `runtimes.runtime.Runtime` of a model and an ExtractorConfig."""

PRECISIONS = {
    "torch": ("float32", "bf16"),
    "onnxruntime": ("float32", "int8"),
    "openvino": ("float32", "bf16", "int8"),
}
"""What a runtime computes in."""

CALIBRATIONS: Registry[Callable[[], Any]] = Registry(
    "source of calibration images", {"worlds": "traqpoint.data.worlds.calibration:images"}
)
"""Name -> images (3, H, W) in [0, 1] that int8's scales are taken from."""


@dataclass(frozen=True)
class ExtractorConfig:
    """How features are extracted; written beside every result."""

    weights: str = "traqpoint-s"
    """Packaged name or path of a .safetensors file."""
    max_keypoints: int = 2048
    """Keep this many, best first."""
    nms_radius: int = 2
    """Non-maximum suppression window is (2r+1)² pixels."""
    threshold: float = 0.0
    """Smallest score, in [0, 1)."""
    prominence: float = 0.3
    """How far a keypoint's logit must rise above its window's lowest: flat areas stay below 0.2, corners exceed 1."""
    border: int = 4
    """No keypoints nearer to the image's edge than this: what lies beyond is unknown, and looks like a corner."""
    long_side: int | None = 1600
    """Shrink larger images to this many pixels first, which suits photographs; None takes them as they are. Keypoints
    come back in the original image's pixels, and every result says what size they were found at."""
    rotations: int = 1
    """Look at so many turned copies of an image: 4 are all quarter turns, 2 the image and upside down. max_keypoints is
    for all copies together, equally many of each: ask for more of them. Each copy takes an image's time."""
    scales: tuple[float, ...] = (1.0,)
    """Look at copies of the image in these sizes, as shares of the one that long_side leaves: 0.5 1 2."""
    memory: str | None = None
    """What the whole program may take, as 2GB or 800MB: larger images are worked on in tiles, with the same keypoints.
    By default an image is worked on at once."""
    backend: str = "torch"
    """What runs the network: torch, onnxruntime (extra: export), openvino (extra: openvino), the latter two on the CPU;
    or your own, as module:name."""
    precision: Literal["float32", "bf16", "int8"] = "float32"
    """What it computes in. bf16: torch and openvino, faster on processors that have it. int8: onnxruntime and openvino.
    What either costs: docs/runtimes.md."""
    calibration_images: str = "worlds"
    """int8: a folder of images that the scales are taken from, or worlds, which are rendered."""
    network: str | None = None
    """onnxruntime, openvino: the file to run, which `export onnx --graph network` wrote of the same weights; by default
    one is made and kept in the user's cache."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps …"""

    def __post_init__(self) -> None:
        if self.max_keypoints < 1:
            raise ConfigError(f"max_keypoints must be at least 1, got {self.max_keypoints}")
        if self.nms_radius < 1:
            raise ConfigError(f"nms_radius must be at least 1, got {self.nms_radius}")
        if self.border < 0 or self.prominence < 0:
            raise ConfigError(f"border and prominence must not be negative, got {self.border}, {self.prominence}")
        if not 0 <= self.threshold < 1:
            raise ConfigError(f"threshold must lie in [0, 1), got {self.threshold}")
        RUNTIMES.check(self.backend)
        possible = PRECISIONS.get(self.backend, (self.precision,))
        if self.precision not in possible:
            raise ConfigError(f"precision of {self.backend} must be {' or '.join(possible)}, got {self.precision!r}")
        if self.precision == "int8" and not Path(self.calibration_images).is_dir():
            CALIBRATIONS.check(self.calibration_images)
        if self.network is not None and self.backend == "torch":
            raise ConfigError(f"network {self.network}: the backend torch runs the weights themselves")
        if self.long_side is not None and self.long_side < 32:
            raise ConfigError(f"long_side must be at least 32, got {self.long_side}")
        if self.rotations not in (1, 2, 4):
            raise ConfigError(f"rotations must be 1, 2 or 4, got {self.rotations}")
        if len(set(self.scales)) < len(self.scales) or not self.scales:
            raise ConfigError(f"scales must be different numbers, at least one, got {self.scales}")
        if not all(1 / 8 <= scale <= 8 for scale in self.scales):
            raise ConfigError(f"scales must lie in [0.125, 8], got {self.scales}")
        if self.memory is not None:
            parse_bytes(self.memory)

    @property
    def has_copies(self) -> bool:
        """Whether images are looked at otherwise than as they are."""
        return self.rotations > 1 or self.scales != (1.0,)


def parse_bytes(text: str, name: str = "memory") -> int:
    """``2GB``, ``1.5 GB`` or ``800MB`` as bytes, of 10⁹ and 10⁶ each. Raises ConfigError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([GM])B", text.strip(), re.IGNORECASE)
    if found is None:
        raise ConfigError(f"{name} must be a number with GB or MB, as 2GB, got {text!r}")
    return int(float(found[1]) * (10**9 if found[2].upper() == "G" else 10**6))


@dataclass(frozen=True)
class FlowConfig:
    """How many images are worked on at once; their features do not depend on it."""

    batch: int | None = None
    """At most so many images of about one size share a forward pass; by default one on a CPU, where sharing costs time,
    and as many as fill a GPU."""
    workers: int = 2
    """Threads that decode images ahead of the network."""

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise ConfigError(f"batch must be at least 1 image, got {self.batch}")
        if self.workers < 1:
            raise ConfigError(f"workers must be at least 1 thread, got {self.workers}")


@dataclass(frozen=True)
class MatchFlowConfig:
    """How many pairs are matched at once; their matches do not depend on it."""

    workers: int | None = None
    """Threads that match a pair each; by default one per core, and one on a GPU."""
    cache: str = "1GB"
    """Features that are kept in memory, as 1GB or 500MB, so that each image's are read about once."""

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"workers must be at least 1 thread, got {self.workers}")
        parse_bytes(self.cache, "cache")


PAIRS: Registry[Callable[..., Any]] = Registry(
    "choice of pairs",
    {
        "exhaustive": "traqpoint.inference.pairs:exhaustive",
        "sequential": "traqpoint.inference.pairs:sequential",
        "loop": "traqpoint.inference.pairs:loop",
        "retrieval": "traqpoint.inference.pairs:retrieval",
        "poses": "traqpoint.inference.pairs:poses",
    },
)
"""Name -> a function that makes of an `inference.pairs.Collection` and a PairsConfig a list of pairs."""


@dataclass(frozen=True)
class PairsConfig:
    """Which pairs of images are matched."""

    pairs: str = "exhaustive"
    """exhaustive; sequential (in order of names); loop (sequential, and where the camera comes back); retrieval (images
    that look alike); poses (images that were near each other); a text file with two names per line; or your own, as
    module:name."""
    window: int = 5
    """sequential, loop: match each image with this many next ones."""
    quadratic: bool = False
    """sequential, loop: and with those 2, 4, 8 … images ahead, doubled as often as the window is wide."""
    neighbours: int = 20
    """retrieval, poses: so many pairs for each image, the nearest of all; loop: match an image with this many."""
    loop_every: int = 10
    """loop: look for neighbours of every so manieth image, beyond its window."""
    poses: Path | None = None
    """poses: a COLMAP model, a scene of the Strecha benchmark, or the folder of photographs whose EXIF has GPS; sfm
    looks into its own photographs by default."""

    def __post_init__(self) -> None:
        if self.window < 1:
            raise ConfigError(f"window must be at least 1 image, got {self.window}")
        if self.neighbours < 1:
            raise ConfigError(f"neighbours must be at least 1 image, got {self.neighbours}")
        if self.loop_every < 1:
            raise ConfigError(f"loop_every must be at least 1 image, got {self.loop_every}")
        if self.poses is not None and self.pairs != "poses":
            raise ConfigError(f"poses {self.poses}: only --pairs poses looks at them, not {self.pairs}")
