"""Images to features."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint.errors import ConfigError
from traqpoint.image import pad_to_multiple, read_image, resize_long_side, shrunk_size, to_tensor
from traqpoint.inference.config import ExtractorConfig
from traqpoint.inference.runtimes.runtime import build_runtime, device_of
from traqpoint.models.detect import detect
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.types import Features

Image = str | Path | np.ndarray | Tensor

_BATCH_PIXELS = 1 << 22
"""Thirteen VGA images. Set by reasoning, to be measured: enough to fill a GPU, and larger images fill it alone."""


class Extractor:
    """Detects and describes keypoints.

    An image is a path, a numpy (H, W, 3) RGB uint8 array or a torch (3, H, W) float tensor in [0, 1], of any size.
    The same image gives the same features alone and in any batch, up to the rounding of float32 sums. batch_pixels: how
    many pixels of images of equal size `extract_folder` gives to `batch` at once.
    """

    def __init__(self, weights: str | Path | TraqPoint = "traqpoint-s", **options) -> None:
        """weights: packaged name, path, or a model, which stays as it is. options: ExtractorConfig."""
        unknown = set(options) - set(ExtractorConfig.__dataclass_fields__)
        if unknown:
            raise ConfigError(f"unknown option {', '.join(sorted(unknown))}")
        name = type(weights).__name__ if isinstance(weights, TraqPoint) else str(weights)
        self.config = ExtractorConfig(weights=name, **options)
        self.device = device_of(self.config)
        model = copy.deepcopy(weights) if isinstance(weights, TraqPoint) else TraqPoint.from_pretrained(weights)
        self.model = model.folded().to(self.device)
        self.runtime = build_runtime(self.model, self.config)
        # On one core of a CPU, eight VGA images take 1.7 times as long together as one by one.
        self.batch_pixels = 0 if self.device.type == "cpu" else _BATCH_PIXELS

    def __call__(self, image: Image) -> Features:
        return self.batch([image])[0]

    def input_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """(W, H) at which the features of an image of `image_size` are looked for."""
        return image_size if self.config.long_side is None else shrunk_size(image_size, self.config.long_side)

    def batch(self, images: Sequence[Image]) -> list[Features]:
        """Features of images of any sizes, in order; images that are padded to the same size share a forward pass."""
        tensors = [load_image(image) for image in images]
        sizes = [(t.shape[-1], t.shape[-2]) for t in tensors]
        if self.config.long_side is not None:
            tensors = [resize_long_side(t, self.config.long_side) for t in tensors]
        padded = [pad_to_multiple(t, self.model.stride) for t in tensors]
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, tensor in enumerate(padded):
            groups.setdefault(tuple(tensor.shape), []).append(i)
        out: dict[int, Features] = {}
        for members in groups.values():
            stack = padded[members[0]][None] if len(members) == 1 else torch.stack([padded[i] for i in members])
            used = [(tensors[i].shape[-1], tensors[i].shape[-2]) for i in members]
            for i, features in zip(members, self._forward(stack, used), strict=True):
                out[i] = rescaled(features, sizes[i])
        return [out[i] for i in range(len(images))]

    @torch.inference_mode()
    def _forward(self, images: Tensor, used: list[tuple[int, int]]) -> list[Features]:
        """images (B, 3, H, W), of which the top-left used[i] = (W, H) pixels are image."""
        height, width = images.shape[-2:]
        maps, logits = self.runtime(images.to(self.device), used)
        valid = torch.zeros(images.shape[0], height, width, dtype=torch.bool, device=self.device)
        for i, (w, h) in enumerate(used):
            margin = self.config.border
            valid[i, margin : max(margin, h - margin), margin : max(margin, w - margin)] = True
        c = self.config
        found = detect(logits, c.max_keypoints, c.nms_radius, c.threshold, c.prominence, valid)
        out = []
        for i, (xy, scores) in enumerate(found):
            own = [level[i : i + 1] for level in maps]
            vectors = self.model.descriptor.at(own, xy.unsqueeze(0), (width, height))[0]
            # Refinement may step half a pixel over the image's last row: stay inside 0 <= x < W.
            limit = torch.nextafter(xy.new_tensor(used[i]), xy.new_zeros(2))
            out.append(Features(xy.clamp(min=0).minimum(limit).cpu(), scores.cpu(), vectors.cpu(), used[i], used[i]))
        return out


def load_image(image: Image) -> Tensor:
    """float32 (3, H, W) in [0, 1]. Raises ImageError naming the file or what is wrong with the array."""
    if isinstance(image, (str, Path)):
        return to_tensor(read_image(image), str(image))
    return to_tensor(image)


def rescaled(features: Features, image_size: tuple[int, int]) -> Features:
    """The features in the pixels of the image that was resized to theirs; each axis has its own exact scale."""
    if features.image_size == image_size:
        return features
    scale = features.keypoints.new_tensor(image_size) / features.keypoints.new_tensor(features.image_size)
    return Features(features.keypoints * scale, features.scores, features.descriptors, image_size, features.found_at)
