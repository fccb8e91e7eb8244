"""Detector and descriptor as one model, and its file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from traqpoint.errors import ConfigError
from traqpoint.models import weights
from traqpoint.models.descriptor import SmallDescriptor
from traqpoint.models.detector import PolicyNetwork
from traqpoint.models.layers import fold_batch_norms

DESCRIPTORS = {"small": SmallDescriptor}


@dataclass(frozen=True)
class ModelConfig:
    """What is needed to build the network before its weights are read."""

    descriptor: str = "small"
    """Name of the descriptor network."""
    descriptor_dim: int = 64
    """Length D of a descriptor."""

    def __post_init__(self) -> None:
        if self.descriptor not in DESCRIPTORS:
            raise ConfigError(f"descriptor {self.descriptor!r} is not one of {', '.join(DESCRIPTORS)}")
        if self.descriptor_dim < 1:
            raise ConfigError(f"descriptor_dim must be positive, got {self.descriptor_dim}")


class DenseOutput(NamedTuple):
    """logits (B, 1, H, W); descriptors (B, D, H/s, W/s), not normalised."""

    logits: Tensor
    descriptors: Tensor


class TraqPoint(nn.Module):
    """The policy network and the descriptor network, which share no layer."""

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        self.config = config or ModelConfig()
        self.detector = PolicyNetwork()
        self.descriptor = DESCRIPTORS[self.config.descriptor](self.config.descriptor_dim)

    @property
    def stride(self) -> int:
        """Image sides must be multiples of this."""
        return max(self.detector.stride, self.descriptor.stride)

    def dense(self, images: Tensor) -> DenseOutput:
        """images (B, 3, H, W) RGB in [0, 1], sides multiples of `stride` -> logits and descriptors."""
        return DenseOutput(self.detector(images), self.descriptor(images))

    def folded(self) -> TraqPoint:
        """This model for inference, in place: eval mode, BatchNorms folded. It cannot be trained or saved after."""
        fold_batch_norms(self.eval())
        return self.requires_grad_(False)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> TraqPoint:
        """Load weights that ship with the package (by name) or from a .safetensors file, in eval mode.

        Raises WeightsError if there is no such name or file, or its content does not fit this network.
        """
        state, metadata = weights.read(name)
        model = cls(weights.parse_config(ModelConfig, metadata, name))
        weights.load_strictly(model, state, str(name))
        return model.eval()

    def save_pretrained(self, path: str | Path, metadata: dict[str, str] | None = None) -> str:
        """Write a .safetensors file with configuration and `metadata`; returns the content hash."""
        return weights.write(path, self.state_dict(), dataclasses.asdict(self.config), metadata or {})
