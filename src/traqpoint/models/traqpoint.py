"""Detector and descriptor as one model, and its file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from traqpoint.image import pad_to_multiple
from traqpoint.models import weights
from traqpoint.models.config import DESCRIPTORS, DETECTORS, ModelConfig
from traqpoint.models.descriptor import DescriptorNetwork
from traqpoint.models.detector import Detector
from traqpoint.models.layers import fold_batch_norms, frozen
from traqpoint.tensors import content_hash, load_strictly


class DenseOutput(NamedTuple):
    """logits (B, 1, H, W); descriptors (B, D, ⌈H/s⌉, ⌈W/s⌉), not normalised; matchability (B, 1, ⌈H/s⌉, ⌈W/s⌉) or None.

    s is the descriptor's output stride; a map covers the image extended to a multiple of it.
    """

    logits: Tensor
    descriptors: Tensor
    matchability: Tensor | None = None


class TraqPoint(nn.Module):
    """The policy network, and the descriptor network, whose maps it may read.

    metadata: what the header of the file says that the weights came from: licence, origin; empty for new ones.
    """

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__()
        self.config = config or ModelConfig()
        self.detector: Detector = DETECTORS[self.config.detector](self.config)
        self.descriptor: DescriptorNetwork = DESCRIPTORS[self.config.descriptor](self.config)
        self.metadata: dict[str, str] = {}
        self._sha256 = ""

    @property
    def stride(self) -> int:
        """Image sides must be multiples of this."""
        return max(self.detector.stride, self.descriptor.stride)

    @property
    def local(self) -> bool:
        """See `DescriptorNetwork.local`."""
        return self.detector.local and self.descriptor.local

    def dense(self, images: Tensor, sizes: Sequence[tuple[int, int]] | None = None) -> DenseOutput:
        """images (B, 3, H, W) RGB in [0, 1] of any size -> logits and descriptors, matchability if it is predicted.

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
        maps = self.descriptor.maps(images, sizes)
        return DenseOutput(self.logits(images, maps), self.descriptor.dense(maps), self.descriptor.matchability(maps))

    def logits(self, images: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """(B, 1, H, W) of images whose sides are multiples of `stride`, and their maps; float32 under autocast too."""
        with torch.autocast(images.device.type, enabled=False):
            return self.detector(images, maps)

    @property
    def sha256(self) -> str:
        """Content hash of the weights, which tells them from others under the same name; folding does not change it."""
        return self._sha256 or content_hash(self.state_dict())

    def folded(self) -> TraqPoint:
        """This model for inference, in place: eval mode, BatchNorms folded. It cannot be trained or saved after."""
        self._sha256 = self.sha256
        return frozen(fold_batch_norms(self.eval()))

    @classmethod
    def from_pretrained(cls, name: str | Path) -> TraqPoint:
        """Load weights by packaged name, path, or "org/name" on the Hugging Face hub, in eval mode.

        Raises WeightsError if there is no such name or file, or its content does not fit this network.
        """
        state, metadata = weights.read(name)
        model = cls(weights.parse_config(ModelConfig, metadata, name))
        load_strictly(model, state, name)
        model.metadata = metadata
        return model.eval()

    def save_pretrained(self, path: str | Path, metadata: dict[str, str] | None = None) -> str:
        """Write a .safetensors file with configuration and `metadata`; returns the content hash."""
        return weights.write(path, self.state_dict(), dataclasses.asdict(self.config), metadata or {})
