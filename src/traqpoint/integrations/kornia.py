"""kornia's local affine frames, and a module in the place of its ``LocalFeature``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from traqpoint import optional
from traqpoint.errors import ConfigError, ImageError
from traqpoint.geometry.pixels import opencv_from_colmap
from traqpoint.inference.extractor import Extractor
from traqpoint.types import Features


def lafs_of(features: Features, scale_px: float = 8.0, orientation_deg: float = 0.0) -> Tensor:
    """Local affine frames (1, N, 2, 3) at the keypoints, for patches, drawing, and matchers that want frames.

    scale_px, orientation_deg: of a keypoint that was found in the image as it is; one of a resized or turned copy has
    that copy's beside. kornia's conventions, as of its ``laf_from_center_scale_ori``: pixels have integer centres, and
    angles are counted counter-clockwise.
    """
    n, make = len(features), optional.load("kornia.feature").laf_from_center_scale_ori
    centres = opencv_from_colmap(features.keypoints)[None]
    sizes, angles = centres.new_full((1, n, 1, 1), scale_px), centres.new_full((1, n, 1), orientation_deg)
    if features.scales is not None and features.angles_deg is not None:
        sizes, angles = sizes * features.scales.view(1, n, 1, 1), angles - features.angles_deg.view(1, n, 1)
    return make(centres, sizes, angles)


class TraqPointFeature(nn.Module):
    """In the place of ``kornia.feature.LocalFeature``, as in ``LocalFeatureMatcher(TraqPointFeature(), matcher)``.

    forward: images (B, 3, H, W), or grey ones (B, 1, H, W), in [0, 1], and a mask (B, 1, H, W) whose zeros allow no
    keypoint -> frames (B, N, 2, 3), scores (B, N) and descriptors (B, N, D) of unit norm, where N is what the image
    with the most has; the others are filled up with zeros, which kornia calls unfilled slots. Raises ImageError for
    images of another shape.
    """

    def __init__(self, extractor: Extractor | None = None, scale_px: float = 8.0) -> None:
        """scale_px: of the frames. Raises ConfigError unless it is positive."""
        super().__init__()
        if not scale_px > 0:
            raise ConfigError(f"scale_px must be positive, got {scale_px}")
        self.extractor, self.scale_px = extractor or Extractor(), scale_px

    @torch.no_grad()
    def forward(self, img: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        if img.ndim != 4 or img.shape[1] not in (1, 3):
            raise ImageError(f"images must be (B, 3, H, W) or (B, 1, H, W), got {tuple(img.shape)}")
        found = self.extractor.batch(list(img.expand(-1, 3, -1, -1).float()))
        if mask is not None:
            found = [_allowed(features, of_image[0]) for features, of_image in zip(found, mask, strict=True)]
        parts = [(lafs_of(f, self.scale_px)[0], f.scores, f.descriptors) for f in found]
        lafs, scores, descriptors = (
            nn.utils.rnn.pad_sequence(list(part), batch_first=True) for part in zip(*parts, strict=True)
        )
        return lafs.to(img), scores.to(img), descriptors.to(img)


def _allowed(features: Features, mask: Tensor) -> Features:
    """Those whose pixel of the mask (H, W) is not zero."""
    column, row = features.keypoints.long().unbind(-1)
    return features.take(mask.cpu()[row, column] > 0)
