"""Detector and descriptor as one model, and its file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from traqpoint.errors import ConfigError
from traqpoint.image import pad_to_multiple
from traqpoint.models import weights
from traqpoint.models.backbones import BACKBONES
from traqpoint.models.base_descriptor import BaseDescriptor
from traqpoint.models.descriptor import SmallDescriptor
from traqpoint.models.detector import PolicyNetwork
from traqpoint.models.layers import fold_batch_norms

DESCRIPTOR_DIM = {"small": 64, "base": 256}
"""Descriptor networks, and the length of a descriptor unless it is chosen."""


@dataclass(frozen=True)
class ModelConfig:
    """What is needed to build the network before its weights are read."""

    descriptor: str = "small"
    """small: a compact CNN. base: a backbone below a deformable encoder."""
    descriptor_dim: int = 0
    """Length D of a descriptor; 0 takes the network's own, 64 or 256."""
    backbone: str = ""
    """base: name of the backbone; convnext-b (the authors') without one."""
    align_corners: bool = False
    """Upsample from corner to corner, which shifts coarse levels: only to run the authors' checkpoint."""

    def __post_init__(self) -> None:
        if self.descriptor not in DESCRIPTOR_DIM:
            raise ConfigError(f"descriptor {self.descriptor!r} is not one of {', '.join(DESCRIPTOR_DIM)}")
        if self.descriptor_dim < 0:
            raise ConfigError(f"descriptor_dim must be positive, got {self.descriptor_dim}")
        if self.descriptor == "small" and self.backbone:
            raise ConfigError(f"backbone {self.backbone!r}: the small descriptor has none to choose")
        # Resolved here, so that what is written into a weight file does not depend on later defaults.
        object.__setattr__(self, "descriptor_dim", self.descriptor_dim or DESCRIPTOR_DIM[self.descriptor])
        if self.descriptor == "base":
            object.__setattr__(self, "backbone", self.backbone or "convnext-b")
            if self.backbone not in BACKBONES:
                raise ConfigError(f"backbone {self.backbone!r} is not one of {', '.join(BACKBONES)}")


MODELS = {"traqpoint-s": ModelConfig(), "traqpoint-b": ModelConfig("base", align_corners=True)}
"""Networks by name: ours for laptops, and the authors'."""


class DenseOutput(NamedTuple):
    """logits (B, 1, H, W); descriptors (B, D, ⌈H/s⌉, ⌈W/s⌉), not normalised; matchability (B, 1, ⌈H/s⌉, ⌈W/s⌉) or None.

    s is the descriptor's output stride; a map covers the image extended to a multiple of it.
    """

    logits: Tensor
    descriptors: Tensor
    matchability: Tensor | None = None


class TraqPoint(nn.Module):
    """The policy network and the descriptor network, which share no layer."""

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        self.config = config or ModelConfig()
        self.detector = PolicyNetwork(self.config.align_corners)
        self.descriptor: SmallDescriptor | BaseDescriptor
        if self.config.descriptor == "base":
            self.descriptor = BaseDescriptor(
                self.config.descriptor_dim, self.config.backbone, self.config.align_corners
            )
        else:
            self.descriptor = SmallDescriptor(self.config.descriptor_dim)

    @property
    def stride(self) -> int:
        """Image sides must be multiples of this."""
        return max(self.detector.stride, self.descriptor.stride)

    def dense(self, images: Tensor, sizes: Sequence[tuple[int, int]] | None = None) -> DenseOutput:
        """images (B, 3, H, W) RGB in [0, 1] of any size -> logits and descriptors, matchability from the base model.

        sizes: (W, H) of each image's top-left part that is no padding, where it is not all of it. Under autocast only
        the descriptor is computed in the low precision: bfloat16 logits move keypoints.
        """
        H, W = images.shape[-2:]
        right, below = -W % self.stride, -H % self.stride
        if right or below:
            sizes = [(W, H)] * len(images) if sizes is None else sizes
            images = pad_to_multiple(images, self.stride)
        logits, descriptors, matchability = self._dense(images, sizes)
        if right or below:
            s = self.descriptor.output_stride
            h, w = -(-H // s), -(-W // s)
            logits, descriptors = logits[..., :H, :W], descriptors[..., :h, :w]
            matchability = matchability[..., :h, :w] if matchability is not None else None
        return DenseOutput(logits, descriptors, matchability)

    def _dense(self, images: Tensor, sizes: Sequence[tuple[int, int]] | None) -> DenseOutput:
        with torch.autocast(images.device.type, enabled=False):
            logits = self.detector(images)
        if isinstance(self.descriptor, BaseDescriptor):
            return DenseOutput(logits, *self.descriptor.describe(images, sizes))
        return DenseOutput(logits, self.descriptor(images))

    def folded(self) -> TraqPoint:
        """This model for inference, in place: eval mode, BatchNorms folded. It cannot be trained or saved after."""
        fold_batch_norms(self.eval())
        return self.requires_grad_(False)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> TraqPoint:
        """Load weights by packaged name, path, or "org/name" on the Hugging Face hub, in eval mode.

        Raises WeightsError if there is no such name or file, or its content does not fit this network.
        """
        state, metadata = weights.read(name)
        model = cls(weights.parse_config(ModelConfig, metadata, name))
        weights.load_strictly(model, state, str(name))
        return model.eval()

    def save_pretrained(self, path: str | Path, metadata: dict[str, str] | None = None) -> str:
        """Write a .safetensors file with configuration and `metadata`; returns the content hash."""
        return weights.write(path, self.state_dict(), dataclasses.asdict(self.config), metadata or {})
