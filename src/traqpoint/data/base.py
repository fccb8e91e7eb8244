"""What the training loop asks of a data set."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from traqpoint.errors import DataError, ImageError
from traqpoint.image import list_images, read_image, resize_long_side, to_tensor
from traqpoint.types import Sequence


class Source(Protocol):
    """An endless, seeded supply of sequences."""

    def sample(self, batch_size: int, generator: torch.Generator) -> Sequence:
        """The next batch; everything random comes from `generator` (on the CPU)."""
        ...


MAX_SIDE = 1280
"""Larger photos are shrunk to this many pixels when loaded: frames are smaller, and memory would fill."""


def load_photos(folder: str | Path, min_side: int = 64, limit: int | None = None) -> list[Tensor]:
    """All images below `folder` as uint8 (3, H, W) tensors of at most MAX_SIDE px, by path; the first `limit` of them.

    Unreadable files and images with a side below `min_side` px are left out, with one warning that counts them.
    Raises DataError if none is left.
    """
    photos: list[Tensor] = []
    skipped: list[str] = []
    for path in list_images(folder)[:limit]:
        try:
            image = read_image(path)
        except ImageError as error:
            skipped.append(str(error))
            continue
        if min(image.shape[:2]) >= min_side:
            photos.append((resize_long_side(to_tensor(image), MAX_SIDE) * 255).round().byte())
        else:
            skipped.append(f"{path}: a side below {min_side} px")
    if skipped:
        warnings.warn(f"{len(skipped)} images left out, the first: {skipped[0]}", stacklevel=2)
    if not photos:
        raise DataError(f"{folder}: no readable image of at least {min_side} px")
    return photos
