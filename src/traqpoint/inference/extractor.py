"""Images to features."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint.errors import ConfigError, ImageError
from traqpoint.image import (
    Picture,
    check_array,
    is_flat,
    picture_size,
    read_image,
    resized,
    shrunk_size,
    to_tensor,
)
from traqpoint.inference.config import ExtractorConfig
from traqpoint.inference.copies import merged, of_copy, turned
from traqpoint.inference.images import MAX_WASTE, in_groups
from traqpoint.inference.runtimes.runtime import build_runtime, device_of
from traqpoint.inference.tiles import Tiles
from traqpoint.models.detect import detect
from traqpoint.models.ends import are_ragged, padded_size, padded_together
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.types import Features

Image = str | Path | np.ndarray | Tensor

_BATCH_PIXELS = 1 << 22
"""Thirteen VGA images. Set by reasoning, to be measured: enough to fill a GPU, and larger images fill it alone."""
_AT_ONCE = 4
"""Images that threads of a CPU work on at once, with the cores shared among them: beside each other they lose less than
together at one. More would take more memory, half a gigabyte for each of 1600 px."""


class Extractor:
    """Detects and describes keypoints.

    An image is a path, a numpy (H, W, 3) RGB uint8 array or a torch (3, H, W) float tensor in [0, 1], of any size.
    The same image gives the same features alone, in any batch and in tiles, up to the rounding of float32 sums.
    batch_pixels: how many pixels of images of about one size `extract_folder` gives to `batch` at once. at_once: how
    many threads of it call `batch`.
    """

    def __init__(self, weights: str | Path | TraqPoint = "traqpoint-s", **options) -> None:
        """weights: packaged name, path, or a model, which stays as it is. options: ExtractorConfig.

        Raises ConfigError for unknown or impossible options, WeightsError for weights that are missing or damaged.
        """
        unknown = set(options) - set(ExtractorConfig.__dataclass_fields__)
        if unknown:
            raise ConfigError(f"unknown option {', '.join(sorted(unknown))}")
        name = type(weights).__name__ if isinstance(weights, TraqPoint) else str(weights)
        self.config = ExtractorConfig(weights=name, **options)
        self.device = device_of(self.config)
        model = copy.deepcopy(weights) if isinstance(weights, TraqPoint) else TraqPoint.from_pretrained(weights)
        if model.metadata.get("stage") == "descriptor":
            warnings.warn(
                f"{name}: weights of stage 1, whose detector was never trained: train policy next", stacklevel=2
            )
        self.model = model.folded().to(self.device)
        self.runtime = build_runtime(self.model, self.config)
        self._tiles = None if self.config.memory is None else Tiles(self.model, self.runtime, self.config, self.device)
        # On one core of a CPU, eight VGA images take 1.7 times as long together as one by one.
        self.batch_pixels = 0 if self.device.type == "cpu" else int(_BATCH_PIXELS / max(self.config.scales) ** 2)
        alone = self.device.type != "cpu" or self.config.backend != "torch" or self.config.memory is not None
        self.at_once = 1 if alone else min(_AT_ONCE, torch.get_num_threads())

    def __call__(self, image: Image) -> Features:
        return self.batch([image])[0]

    def input_size(self, image_size: tuple[int, int]) -> tuple[int, int]:
        """(W, H) at which the features of an image of `image_size` are looked for."""
        return image_size if self.config.long_side is None else shrunk_size(image_size, self.config.long_side)

    def batch(self, images: Sequence[Image]) -> list[Features]:
        """Features of images of any sizes, in order; images of about one size share a forward pass."""
        several, c = len(images) > 1, self.config
        pictures = [load_picture(image, f"image {i}" if several else "image") for i, image in enumerate(images)]
        sizes = [picture_size(picture) for picture in pictures]
        found: list[list[Features]] = []
        for scale in c.scales:
            shown = [resized(p, self._long_side(size, scale)) for p, size in zip(pictures, sizes, strict=True)]
            if not c.has_copies:
                return [rescaled(f, size) for f, size in zip(self._features(shown), sizes, strict=True)]
            for quarters in range(0, 4, 4 // c.rotations):
                copies = self._features([turned(picture, quarters) for picture in shown])
                found.append([rescaled(of_copy(f, quarters), size) for f, size in zip(copies, sizes, strict=True)])
        every = zip(zip(*found, strict=True), sizes, strict=True)
        return [replace(merged(of_one, c.max_keypoints), found_at=self.input_size(size)) for of_one, size in every]

    def _long_side(self, image_size: tuple[int, int], scale: float) -> int:
        """Of the copy that is `scale` times as large as what is looked at by default."""
        return max(1, round(scale * max(self.input_size(image_size))))

    def _features(self, pictures: Sequence[Picture]) -> list[Features]:
        """Of each picture as it is, in order."""
        sizes = [picture_size(picture) for picture in pictures]
        out: dict[int, Features] = {}
        together: dict[int, Tensor] = {}
        for i, shown in enumerate(pictures):
            if is_flat(shown):
                out[i] = self._nothing(sizes[i])
            elif self._tiles is not None and not self._tiles.at_once(sizes[i]):
                out[i] = self._tiles(shown)
            else:
                together[i] = to_tensor(shown)
        # Beyond PyTorch, and for networks that look anywhere, an image must be as large as its batch.
        ragged = self.config.backend == "torch" and self.model.local
        ends = {i: padded_size(sizes[i], self.model.stride) for i in together}
        for group in in_groups(ends, ends.__getitem__, waste=MAX_WASTE if ragged else 0.0):
            with memory_named([sizes[i] for i in group]):
                out |= zip(group, self._forward([together[i] for i in group]), strict=True)
        return [out[i] for i in range(len(pictures))]

    def _nothing(self, size: tuple[int, int]) -> Features:
        """Of an image of one colour, in which a network may see its own padding."""
        vectors = torch.zeros(0, self.model.config.descriptor_dim)
        return Features(torch.zeros(0, 2), torch.zeros(0), vectors, size, size)

    @torch.inference_mode()
    def _forward(self, images: list[Tensor]) -> list[Features]:
        """images: (3, H, W) each, which are padded to the largest one's size."""
        used = [picture_size(image) for image in images]
        ends = [padded_size(size, self.model.stride) for size in used]
        batch = padded_together(images, self.model.stride).to(self.device)
        maps, logits = self.runtime(batch, used)
        width, height = batch.shape[-1], batch.shape[-2]
        if not are_ragged(ends, (width, height)):
            return self._found(maps, logits, used)
        out = []
        for i, (w, h) in enumerate(ends):
            own = [m[i : i + 1, :, : h * m.shape[-2] // height, : w * m.shape[-1] // width] for m in maps]
            out += self._found(own, logits[i : i + 1, :, :h, :w], used[i : i + 1])
        return out

    def _found(self, maps: Sequence[Tensor], logits: Tensor, used: list[tuple[int, int]]) -> list[Features]:
        """Features of images of which the top-left used[i] = (W, H) pixels are image, and the rest is padding."""
        batch, _, height, width = logits.shape
        valid = torch.zeros(batch, height, width, dtype=torch.bool, device=self.device)
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
    return to_tensor(load_picture(image))


def load_picture(image: Image, name: str = "image") -> Picture:
    """uint8 (H, W, 3), or float32 (3, H, W) in [0, 1]. Raises ImageError naming the file or what is wrong with it."""
    if isinstance(image, (str, Path)):
        return read_image(image)
    if isinstance(image, np.ndarray):
        check_array(image, name)
        return image
    return to_tensor(image, name)


@contextmanager
def memory_named(sizes: Sequence[tuple[int, int]]) -> Iterator[None]:
    """Turn what PyTorch says where there is too little memory into an ImageError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "allocate memory" not in str(error):
            raise
        pixels = ", ".join(f"{w} x {h}" for w, h in sizes)
        raise ImageError(f"not enough memory for {pixels} pixels at once: set memory, or a smaller long_side") from None


def rescaled(features: Features, image_size: tuple[int, int]) -> Features:
    """The features in the pixels of the image that was resized to theirs; each axis has its own exact scale."""
    if features.image_size == image_size:
        return features
    scale = features.keypoints.new_tensor(image_size) / features.keypoints.new_tensor(features.image_size)
    scales = None if features.scales is None else features.scales * scale.prod().sqrt()
    return replace(features, keypoints=features.keypoints * scale, image_size=image_size, scales=scales)
