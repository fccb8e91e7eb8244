"""What an exported file computes: the dense network, features of images, or those in COLMAP's terms."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from traqpoint.inference.config import ExtractorConfig
from traqpoint.models.detect import sliding_max, vertex
from traqpoint.models.traqpoint import TraqPoint


class Dense(nn.Module):
    """images (B, 3, H, W) -> logits (B, 1, H, W), descriptors (B, D, H/s, W/s) of any norm."""

    def __init__(self, model: TraqPoint) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.model.descriptor.maps(images)
        return self.model.logits(images, maps), self.model.descriptor.dense(maps)


class Found(NamedTuple):
    """Best first. K: as many as the image with most of them has; where another one has fewer, the rest is NaN, score 0.

    keypoints (B, K, 2) pixels, descriptors (B, K, D) of unit norm, scores (B, K) in (0, 1).
    """

    keypoints: Tensor
    descriptors: Tensor
    scores: Tensor


class Full(nn.Module):
    """images (B, 3, H, W) of any size, max_keypoints int64, min_score float -> `Found`, as the Extractor finds it."""

    def __init__(self, model: TraqPoint, config: ExtractorConfig) -> None:
        super().__init__()
        self.model, self.config = model, config

    def forward(self, images: Tensor, max_keypoints: Tensor, min_score: Tensor) -> Found:
        height, width = images.shape[-2:]
        stride = self.model.stride
        padded = F.pad(images, (0, -width % stride, 0, -height % stride), mode="replicate")
        return self.features(padded, _size(images), max_keypoints, min_score)

    def features(self, padded: Tensor, size: Tensor, max_keypoints: Tensor, min_score: Tensor) -> Found:
        """padded: sides are multiples of the stride. size: (2,) int64 (W, H) of what is no padding, in each."""
        maps = self.model.descriptor.maps(padded, size.expand(padded.shape[0], 2))  # type: ignore[arg-type]
        logits = self.model.logits(padded, maps)
        # As in the Extractor: in an image of one colour a network may see its own padding.
        shows = (padded != padded[..., :1, :1]).flatten(1).any(1).view(-1, 1, 1, 1)
        xy, scores = self._detected(logits, shows, size, max_keypoints, min_score)
        descriptors = self.model.descriptor.at(maps, xy, (padded.shape[-1], padded.shape[-2]))
        # As in the Extractor: refinement may step over the last row, and inside is 0 <= x < W.
        last = size.to(xy) * (1 - torch.finfo(torch.float32).eps)
        xy = torch.where(scores.unsqueeze(-1) > 0, torch.minimum(xy.clamp(min=0), last), torch.full_like(xy, torch.nan))
        return Found(xy, descriptors.reshape(xy.shape[0], -1, self.model.descriptor.dim), scores)

    def _detected(
        self, logits: Tensor, shows: Tensor, size: Tensor, max_keypoints: Tensor, min_score: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`models.detect.detect` for a graph: without lists, and with ties settled at every pixel; none where `shows`
        (B, 1, 1, 1) is false."""
        height, width = logits.shape[-2:]
        config, radius = self.config, self.config.nms_radius
        highest = _window(logits, radius)
        mask = (logits == highest) & (highest + _window(-logits, radius) > config.prominence)
        rows, columns = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
        place = (rows * width + columns).int().expand_as(mask)
        earliest = -_window(torch.where(mask, -place, torch.full_like(place, torch.iinfo(torch.int32).min + 1)), radius)
        mask = shows & mask & (place == earliest) & (logits >= torch.logit(min_score))
        for centre, limit in ((rows, size[1]), (columns, size[0])):
            mask = mask & (centre >= config.border) & (centre < limit - config.border)
        most = mask.flatten(1).sum(1).max()
        values, index = (
            torch.where(mask, logits, torch.full_like(logits, -1e30))
            .flatten(1)
            .topk(
                torch.minimum(max_keypoints, most)  # type: ignore[arg-type]
            )
        )
        x, y = index % width, torch.div(index, width, rounding_mode="floor")
        around = F.pad(logits, (1, 1, 1, 1), mode="replicate").flatten(1)
        offset = vertex(lambda dy, dx: around.gather(1, (y + 1 + dy) * (width + 2) + x + 1 + dx))
        return torch.stack([x, y], dim=-1) + 0.5 + offset, values.sigmoid()


class Colmap(Full):
    """COLMAP's contract (its aliked.cc): image (1, 3, H, W), padded by its last row and column to multiples of 32 ->
    `Found`, with keypoints n such that a pixel is (n + 1)(W - 1) / 2 + 0.5."""

    def forward(self, image: Tensor, max_keypoints: Tensor, min_score: Tensor) -> Found:
        found = self.features(image, _unpadded(image, 32), max_keypoints, min_score)
        normalised = 2 * (found.keypoints - 0.5) / (_size(image) - 1) - 1
        return found._replace(keypoints=normalised)


def _window(x: Tensor, radius: int) -> Tensor:
    """Maximum over (2r+1)² pixels."""
    return sliding_max(sliding_max(x, radius, 3), radius, 2)


def _size(images: Tensor) -> Tensor:
    """(2,) int64 (W, H), followed when a graph is traced."""
    return torch.stack([torch.as_tensor(images.shape[-1]), torch.as_tensor(images.shape[-2])])


def _unpadded(image: Tensor, multiple: int) -> Tensor:
    """(2,) int64 (W, H) of what is no copy of the last column or row: whoever calls does not tell the size before.

    A photograph that ends in equal columns of its own loses some of them, at most 31, of one colour from top to bottom.
    """
    sides = []
    for dim, other in ((3, 2), (2, 3)):
        differs = (image != image.narrow(dim, image.shape[dim] - 1, 1)).any(1, keepdim=True).any(other).flatten()
        length = torch.as_tensor(image.shape[dim])
        last = torch.where(differs, torch.arange(image.shape[dim]), torch.full_like(differs, -1, dtype=torch.int64))
        sides.append(torch.maximum(last.max() + 2, length - multiple + 1))
    return torch.stack(sides)
