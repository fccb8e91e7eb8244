"""The dictionaries that LightGlue's package, glue-factory and kornia's LightGlue take."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from traqpoint.errors import FormatError
from traqpoint.geometry.pixels import colmap_from_opencv, opencv_from_colmap
from traqpoint.inference.extractor import Extractor, rescaled
from traqpoint.types import Features, Matches


def input_of(features: Features) -> dict[str, Tensor]:
    """A batch of one image: keypoints (1, N, 2) in pixels with integer centres, keypoint_scores (1, N), descriptors
    (1, N, D), image_size (1, 2) = W, H; of resized and turned copies also scales and oris (1, N), in radians. Two of
    these, as image0 and image1, are LightGlue's input."""
    known = {}
    if features.scales is not None and features.angles_deg is not None:
        known = {"scales": features.scales[None], "oris": features.angles_deg.deg2rad()[None]}
    return {
        "keypoints": opencv_from_colmap(features.keypoints)[None],
        "keypoint_scores": features.scores[None],
        "descriptors": features.descriptors[None],
        "image_size": features.keypoints.new_tensor([features.image_size]),
        **known,
    }


def features_from(data: Mapping[str, Tensor]) -> Features:
    """What such a dictionary of one image holds, on its device. Raises FormatError if a key is missing."""
    missing = {"keypoints", "descriptors", "image_size"} - set(data)
    if missing:
        raise FormatError(f"no {', '.join(sorted(missing))} in the dictionary, which has {', '.join(sorted(data))}")
    xy = colmap_from_opencv(data["keypoints"][0])
    scores = data["keypoint_scores"][0] if "keypoint_scores" in data else torch.full_like(xy[:, 0], torch.nan)
    width, height = data["image_size"].reshape(-1, 2)[0].long().tolist()
    return Features(xy, scores, data["descriptors"][0], (width, height))


def matches_from(output: Mapping[str, Tensor]) -> Matches:
    """LightGlue's ``matches0`` (1, N), with -1 for none, and ``matching_scores0`` (1, N) -> the matches."""
    partner = output["matches0"][0]
    index = (partner >= 0).nonzero().flatten()
    return Matches(torch.stack([index, partner[index].long()], dim=-1), output["matching_scores0"][0][index].float())


class TraqPointExtractor(nn.Module):
    """In the place of an extractor of LightGlue's package: ``extractor.extract(image)`` or ``extractor(data)``.

    data: a dictionary with image (B, 3, H, W) or (B, 1, H, W) in [0, 1]. All images of a batch get as many keypoints as
    the poorest one has, the best, since LightGlue's batches have no padding. Options: `ExtractorConfig`.
    """

    def __init__(self, weights: str = "traqpoint-s", **options) -> None:
        super().__init__()
        self.extractor = Extractor(weights, **options)

    @torch.no_grad()
    def forward(self, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
        image = data["image"]
        found = self.extractor.batch(list(image.expand(-1, 3, -1, -1).float()))
        least = min(map(len, found))
        parts = [{key: v if key == "image_size" else v[:, :least] for key, v in input_of(f).items()} for f in found]
        return {key: torch.cat([part[key] for part in parts]).to(image.device) for key in parts[0]}

    def extract(self, image: Tensor, resize: int | None = None) -> dict[str, Tensor]:
        """`input_of` the features of one image (3, H, W) or (1, 3, H, W), in its pixels.

        resize: its longer side for this call, as in LightGlue's package; by default the extractor's long_side.
        """
        alone = image if image.ndim == 3 else image[0]
        if resize is None:
            return input_of(self.extractor(alone.expand(3, -1, -1)).to(image.device))
        height, width = alone.shape[-2:]
        scale = resize / max(width, height)
        size = max(1, round(height * scale)), max(1, round(width * scale))
        smaller = nn.functional.interpolate(alone[None], size, mode="bilinear", antialias=True, align_corners=False)
        found = self.extractor(smaller[0].clamp(0, 1).expand(3, -1, -1))
        return input_of(rescaled(found, (width, height)).to(image.device))
