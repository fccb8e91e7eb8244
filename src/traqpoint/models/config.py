"""Which network, without loading torch: the command line's help needs none.

A descriptor network joins as one entry of DESCRIPTORS, a backbone as one of BACKBONES; a user's own from outside, by
``module:name`` or ``path/to/file.py:name``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from traqpoint.errors import ConfigError
from traqpoint.registry import Registry, imported

BACKBONES: Registry[Callable[[], Any]] = Registry(
    "backbone",
    {
        "convnext-t": "traqpoint.models.backbones:convnext_t",
        "convnext-b": "traqpoint.models.backbones:convnext_b",
        "resnet50": "traqpoint.models.backbones:ResNet",
        "small": "traqpoint.models.backbones:SmallBackbone",
    },
)
"""Name -> how to build a `backbones.Backbone`, with random weights."""


@dataclass(frozen=True)
class PyramidShape:
    """How wide and deep; benchmarks/network_search.py chose the named ones."""

    widths: tuple[int, int, int, int, int]
    """Channels of the levels at 1/2, 1/4, 1/8, 1/16 and 1/32."""
    depths: tuple[int, int, int, int, int] = (0, 1, 1, 0, 0)
    """Residual blocks after the strided convolution of each level."""
    context: int = 64
    """Channels of the map at 1/8 that gathers the coarser levels."""
    hidden: int = 128
    """Of the perceptron that makes a descriptor of what is sampled at a keypoint."""
    offsets: int = 8
    """Places around a keypoint, chosen by the keypoint's own features, at which the context is sampled besides."""
    around: int = 16
    """Channels that the context is reduced to for them."""
    stem: int = 16
    """Channels of the pyramid detector's stem at 1/2."""
    stem_depth: int = 1
    """Convolutions behind it there."""

    @property
    def maps(self) -> tuple[int, int, int, int]:
        """Channels of the maps that the network gives: the image, and features at 1/2, 1/4 and 1/8."""
        return 3, self.widths[0], self.widths[1], self.context


@dataclass(frozen=True)
class Network:
    """A descriptor network that a configuration can name."""

    build: Callable[[ModelConfig], Any] | str
    """A configuration -> a DescriptorNetwork; or where that is found, as module:name."""
    dim: int
    """Length of a descriptor unless another one is chosen."""
    backbone: str = ""
    """The backbone it stands on unless another one is chosen; empty if there is none to choose."""
    shape: PyramidShape | None = None
    """Of a pyramid."""

    def __call__(self, config: ModelConfig) -> Any:
        return (imported(self.build) if isinstance(self.build, str) else self.build)(config)


_PYRAMID = "traqpoint.models.pyramid:PyramidDescriptor"

DESCRIPTORS: Registry[Network] = Registry(
    "descriptor",
    {
        "small": Network("traqpoint.models.descriptor:SmallDescriptor", 64),
        "pyramid-s": Network(_PYRAMID, 64, shape=PyramidShape((8, 24, 48, 96, 128))),
        "pyramid-t": Network(
            _PYRAMID, 64, shape=PyramidShape((8, 16, 32, 48, 64), context=48, hidden=96, around=8, stem_depth=0)
        ),
        "base": Network("traqpoint.models.deformable_descriptor:DeformableDescriptor", 256, "convnext-b"),
    },
)


DETECTORS: Registry[Callable[[ModelConfig], Any]] = Registry(
    "detector",
    {
        "policy": "traqpoint.models.detector:of_config",
        "pyramid": "traqpoint.models.pyramid_detector:of_config",
    },
)
"""Name -> how to build it for a configuration: (images, maps of the descriptor network) -> logits."""


@dataclass(frozen=True)
class ModelConfig:
    """What is needed to build the network before its weights are read."""

    descriptor: str = "small"
    """small: a compact CNN. pyramid-s, pyramid-t: the second generation, descriptors at keypoints only. base: a
    backbone below a deformable encoder. Or your own, as module:name."""
    descriptor_dim: int = 0
    """Length D of a descriptor; 0 takes the network's own, 64 or 256."""
    backbone: str = ""
    """base: convnext-t, convnext-b (the authors', without a choice), resnet50, small; or your own, as module:name."""
    detector: str = "policy"
    """policy: the paper's network, at full resolution. pyramid: a light branch on the maps of a pyramid descriptor. Or
    your own, as module:name."""
    align_corners: bool = False
    """Upsample from corner to corner, which shifts coarse levels: only to run the authors' checkpoint."""

    def __post_init__(self) -> None:
        network = DESCRIPTORS[self.descriptor]
        DETECTORS.check(self.detector)
        if self.descriptor_dim < 0:
            raise ConfigError(f"descriptor_dim must be positive, got {self.descriptor_dim}")
        if self.backbone and not network.backbone:
            raise ConfigError(f"backbone {self.backbone!r}: the {self.descriptor} descriptor has none to choose")
        # Resolved here, so that what is written into a weight file does not depend on later defaults.
        object.__setattr__(self, "descriptor_dim", self.descriptor_dim or network.dim)
        object.__setattr__(self, "backbone", self.backbone or network.backbone)
        if self.backbone:
            BACKBONES.check(self.backbone)


MODELS = {
    "traqpoint-s": ModelConfig("pyramid-s", detector="pyramid"),
    "traqpoint-t": ModelConfig("pyramid-t", detector="pyramid"),
    "traqpoint-s-v1": ModelConfig(),
    "traqpoint-b": ModelConfig("base", align_corners=True),
}
"""Networks by name: ours for laptops in two sizes, the first generation's, and the authors'."""
