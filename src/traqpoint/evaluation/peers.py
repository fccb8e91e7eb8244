"""Other methods as functions image -> Features, for comparisons in one run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import WeightsError
from traqpoint.evaluation.tracks import Method
from traqpoint.geometry.pixels import colmap_from_opencv
from traqpoint.types import Features


def _features(xy: np.ndarray | Tensor, scores, descriptors, image: Tensor) -> Features:
    """From integer pixel centres; descriptors of any norm."""
    keypoints = colmap_from_opencv(torch.as_tensor(xy, dtype=torch.float32).reshape(-1, 2))
    vectors = torch.nn.functional.normalize(torch.as_tensor(descriptors, dtype=torch.float32), dim=-1)
    size = (image.shape[-1], image.shape[-2])
    return Features(keypoints, torch.as_tensor(scores, dtype=torch.float32).reshape(-1), vectors, size)


def _opencv(detector, length: int, binary: bool, limit: int) -> Method:
    def extract(image: Tensor) -> Features:
        pixels = (image.permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()
        grey = optional.load("cv2").cvtColor(pixels, optional.load("cv2").COLOR_RGB2GRAY)
        found, descriptors = detector.detectAndCompute(grey, None)
        order = sorted(range(len(found)), key=lambda i: -found[i].response)[:limit]
        if not order:
            return _features(np.zeros((0, 2)), np.zeros(0), np.zeros((0, length)), image)
        descriptors = descriptors[order]
        if binary:  # signs: their cosine orders as the Hamming distance does
            descriptors = np.unpackbits(descriptors, axis=1).astype(np.float32) * 2 - 1
        xy = np.array([found[i].pt for i in order])
        return _features(xy, [found[i].response for i in order], descriptors, image)

    return extract


def sift(max_keypoints: int) -> Method:
    """OpenCV's SIFT without its quarter-pixel shift."""
    detector = optional.load("cv2").SIFT_create(nfeatures=max_keypoints, enable_precise_upscale=True)
    return _opencv(detector, 128, binary=False, limit=max_keypoints)


def orb(max_keypoints: int) -> Method:
    """OpenCV's ORB."""
    return _opencv(optional.load("cv2").ORB_create(nfeatures=max_keypoints), 256, binary=True, limit=max_keypoints)


def _state(folder: Path, name: str) -> dict[str, Tensor]:
    path = folder / name
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file")
    return torch.load(path, map_location="cpu", weights_only=True)


def xfeat(max_keypoints: int, weights: Path) -> Method:
    """kornia's XFeat with xfeat_folded.pth of the folder `weights`."""
    model = optional.load("kornia").feature.XFeat(top_k=max_keypoints).eval()
    model.net.load_state_dict(_state(weights, "xfeat_folded.pth"))

    @torch.inference_mode()
    def extract(image: Tensor) -> Features:
        out = model.detectAndCompute(image[None])[0]
        return _features(*_parts(out), image)

    return extract


def aliked(max_keypoints: int, weights: Path, variant: str = "aliked-t16") -> Method:
    """kornia's ALIKED with <variant>.pth of the folder `weights`."""
    model = optional.load("kornia").feature.ALIKED(variant, max_num_keypoints=max_keypoints, detection_threshold=0.0)
    model.load_state_dict(_state(weights, f"{variant}.pth"), strict=False)
    model.eval()

    @torch.inference_mode()
    def extract(image: Tensor) -> Features:
        return _features(*_parts(model(image[None])[0]), image)

    return extract


def _parts(out) -> tuple[Tensor, Tensor, Tensor]:
    """keypoints, scores, descriptors of kornia's outputs, which are dictionaries or objects with various names."""

    def get(*names: str) -> Tensor:
        for name in names:
            value = out.get(name) if isinstance(out, dict) else getattr(out, name, None)
            if value is not None:
                return value
        raise KeyError(names[0])

    return get("keypoints"), get("scores", "detection_scores", "keypoint_scores"), get("descriptors")


CLASSICAL: dict[str, Callable[[int], Method]] = {"SIFT": sift, "ORB": orb}
"""Methods that need no weights."""
