"""Masks: where an image shows what does not belong to the scene, as people, cars, sky or the camera's own bonnet."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from traqpoint import optional
from traqpoint.errors import DataError, FormatError
from traqpoint.geometry.orientation import upright_image
from traqpoint.image import read_image, read_orientation
from traqpoint.inference.extractor import Image
from traqpoint.inference.settings import describe_extractor
from traqpoint.inference.stored import in_file_pixels
from traqpoint.types import Features

MARGIN = 1 / 200
"""Of the image's longer side: so near to a mask no keypoint is kept, for it may be the mask's own edge."""


@dataclass(frozen=True)
class MaskedIdentity:
    """What features with masks were made by."""

    extractor: dict[str, Any]
    """As `describe_extractor` has it."""
    masks: str
    """Hash of the masks' content."""


class Masked:
    """An extractor whose keypoints lie where masks are not black; a FeatureSource.

    What is masked is painted grey first, so that no keypoint of the budget is spent there.
    """

    def __init__(self, extractor: Any, masks: Path, images: Mapping[str, Path]) -> None:
        """masks: one image for all, or a folder with ``NAME.png`` (COLMAP's way, as a.jpg.png) or the same name with
        the suffix .png; an image without a mask counts as a whole. images: name -> file.

        Raises DataError if there is no mask of any image.
        """
        self._extract, self._images = extractor, images
        self._masks = {name: path for name in images if (path := _mask_of(masks, name)) is not None}
        if not self._masks:
            name = next(iter(images), "a.jpg")
            raise DataError(f"{masks}: no mask of any image in there; that of {name} would be called {name}.png")
        digest = hashlib.sha256()
        for name, path in self._masks.items():
            digest.update(name.encode() + path.read_bytes())
        self.config = MaskedIdentity(describe_extractor(extractor), digest.hexdigest())

    def features(self, name: str, image: Image) -> Features:
        """Features of the upright `image`, uint8 (H, W, 3), in the pixels of its file.

        Raises FormatError for a mask of another size, ImageError for one that cannot be read.
        """
        file, mask = self._images[name], self._masks.get(name)
        if mask is None:
            return in_file_pixels(self._extract(image), file)
        pixels = np.array(image)
        shown = upright_image(read_image(mask).max(axis=2) > 0, read_orientation(file))
        if shown.shape != pixels.shape[:2]:
            raise FormatError(f"{mask}: the mask is {_size(shown)} upright, and its image {name} {_size(pixels)}")
        pixels[~shown] = pixels.mean(axis=(0, 1)).astype(np.uint8)
        found = self._extract(pixels)
        x, y = found.keypoints.long().unbind(-1)
        return in_file_pixels(found.take(torch.from_numpy(_without_margin(shown))[y, x]), file)


def _mask_of(masks: Path, name: str) -> Path | None:
    if masks.is_file():
        return masks
    candidates = (masks / f"{name}.png", (masks / name).with_suffix(".png"))
    return next((path for path in candidates if path.is_file()), None)


def _without_margin(shown: np.ndarray) -> np.ndarray:
    """(H, W) bool without what is near to the masked part."""
    side = 2 * max(3, round(MARGIN * max(shown.shape))) + 1
    # Beyond the image nothing is masked.
    return optional.load("cv2").erode(shown.astype(np.uint8), np.ones((side, side), np.uint8)).astype(bool)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
