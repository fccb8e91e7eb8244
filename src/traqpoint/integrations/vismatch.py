"""A matcher as those of vismatch (formerly image-matching-models): ``matcher(img0, img1)`` -> one dictionary.

Shapes, keys and pixels are those of its ``BaseMatcher`` of August 2026.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from traqpoint.errors import ImageError
from traqpoint.geometry.pixels import colmap_from_opencv, opencv_from_colmap
from traqpoint.inference.extractor import Extractor, load_image
from traqpoint.matching.config import MatcherConfig, RobustConfig
from traqpoint.matching.run import build_matcher
from traqpoint.matching.verify import verify
from traqpoint.types import Features, Matches

Image = str | Path | np.ndarray | Tensor | Any
"""A path, a (3, H, W) array or tensor in [0, 1], or a PIL image."""
RANSAC = RobustConfig("opencv-magsac", threshold_px=3.0, max_iterations=2000, confidence=0.995)
"""What vismatch estimates its homography by."""


class TraqPointMatcher:
    """Matches two images, and estimates the homography between them.

    extractor, matcher, ransac: by default traqpoint-s, mutual nearest neighbours, and vismatch's own estimator.
    """

    name = "traqpoint"

    def __init__(
        self,
        extractor: Extractor | None = None,
        matcher: MatcherConfig | None = None,
        ransac: RobustConfig = RANSAC,
    ) -> None:
        self.extractor, self.matcher, self.ransac = extractor or Extractor(), build_matcher(matcher), ransac

    def __call__(self, img0: Image, img1: Image) -> dict[str, Any]:
        """Arrays in pixels of the images, with integer centres: all_kpts0/1 (N, 2), all_desc0/1 (N, D),
        matched_kpts0/1 (K, 2), matched_confidences (K,), inlier_kpts0/1 (I, 2), and num_inliers = I; H (3, 3) from img0
        to img1, None if no plane or turn explains four matches. Raises ImageError for what is no image."""
        a, b = (self.extractor(tensor_of(image)) for image in (img0, img1))
        matches = self.matcher(a, b)
        verified = verify(matches, a, b, "homography", config=self.ransac)
        return {
            "num_inliers": len(verified.matches),
            "H": None if verified.matrix is None else _between_centres(verified.matrix.numpy()),
            **_pair("all_kpts", _pixels(a), _pixels(b)),
            **_pair("all_desc", a.descriptors.numpy(), b.descriptors.numpy()),
            **_pair("matched_kpts", *_matched(matches, a, b)),
            **_pair("inlier_kpts", *_matched(verified.matches, a, b)),
            "matched_confidences": matches.scores.numpy(),
        }

    forward = __call__

    def extract(self, img: Image) -> dict[str, np.ndarray]:
        """all_kpts0 (N, 2) and all_desc0 (N, D) of one image."""
        found = self.extractor(tensor_of(img))
        return {"all_kpts0": _pixels(found), "all_desc0": found.descriptors.numpy()}

    @staticmethod
    def load_image(path: str | Path, resize: int | tuple[int, int] | None = None) -> Tensor:
        """An image file as float32 (3, H, W) in [0, 1]. resize: (H, W), or one number for both, as in vismatch."""
        image = load_image(path)
        if resize is None:
            return image
        size = (resize, resize) if isinstance(resize, int) else tuple(resize)
        shown = torch.nn.functional.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)
        return shown[0].clamp(0, 1)


def tensor_of(image: Image) -> Tensor:
    """float32 (3, H, W) in [0, 1] of a path, an array, a tensor, or a PIL image. Raises ImageError otherwise."""
    if isinstance(image, (str, Path)):
        return load_image(image)
    if hasattr(image, "convert"):  # PIL's
        return load_image(np.array(image.convert("RGB")))
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))
    if not isinstance(image, Tensor) or image.ndim != 3 or image.shape[0] != 3:
        shape = tuple(getattr(image, "shape", ()))
        raise ImageError(f"an image must be a path, (3, H, W) in [0, 1], or PIL's, got {type(image).__name__} {shape}")
    return load_image(image)


def _pixels(features: Features) -> np.ndarray:
    return opencv_from_colmap(features.keypoints).numpy()


def _matched(matches: Matches, a: Features, b: Features) -> tuple[np.ndarray, np.ndarray]:
    i, j = matches.indices.numpy().T
    return _pixels(a)[i], _pixels(b)[j]


def _pair(key: str, first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{key}0": first, f"{key}1": second}


def _between_centres(H: np.ndarray) -> np.ndarray:
    """A homography between COLMAP's pixels as one between pixels with integer centres."""
    half = float(colmap_from_opencv(np.zeros(1))[0])
    shift = np.array([[1, 0, half], [0, 1, half], [0, 0, 1]])
    moved = np.linalg.inv(shift) @ H @ shift
    return moved / moved[2, 2]
