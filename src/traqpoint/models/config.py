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
class Network:
    """A descriptor network that a configuration can name."""

    build: Callable[[ModelConfig], Any] | str
    """A configuration -> a DescriptorNetwork; or where that is found, as module:name."""
    dim: int
    """Length of a descriptor unless another one is chosen."""
    backbone: str = ""
    """The backbone it stands on unless another one is chosen; empty if there is none to choose."""

    def __call__(self, config: ModelConfig) -> Any:
        return (imported(self.build) if isinstance(self.build, str) else self.build)(config)


DESCRIPTORS: Registry[Network] = Registry(
    "descriptor",
    {
        "small": Network("traqpoint.models.descriptor:SmallDescriptor", 64),
        "base": Network("traqpoint.models.deformable_descriptor:DeformableDescriptor", 256, "convnext-b"),
    },
)


@dataclass(frozen=True)
class ModelConfig:
    """What is needed to build the network before its weights are read."""

    descriptor: str = "small"
    """small: a compact CNN. base: a backbone below a deformable encoder. Or your own, as module:name."""
    descriptor_dim: int = 0
    """Length D of a descriptor; 0 takes the network's own, 64 or 256."""
    backbone: str = ""
    """base: convnext-t, convnext-b (the authors', without a choice), resnet50, small; or your own, as module:name."""
    align_corners: bool = False
    """Upsample from corner to corner, which shifts coarse levels: only to run the authors' checkpoint."""

    def __post_init__(self) -> None:
        network = DESCRIPTORS[self.descriptor]
        if self.descriptor_dim < 0:
            raise ConfigError(f"descriptor_dim must be positive, got {self.descriptor_dim}")
        if self.backbone and not network.backbone:
            raise ConfigError(f"backbone {self.backbone!r}: the {self.descriptor} descriptor has none to choose")
        # Resolved here, so that what is written into a weight file does not depend on later defaults.
        object.__setattr__(self, "descriptor_dim", self.descriptor_dim or network.dim)
        object.__setattr__(self, "backbone", self.backbone or network.backbone)
        if self.backbone:
            BACKBONES.check(self.backbone)


MODELS = {"traqpoint-s": ModelConfig(), "traqpoint-b": ModelConfig("base", align_corners=True)}
"""Networks by name: ours for laptops, and the authors'."""
