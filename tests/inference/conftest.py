"""A small extractor without a network, and a video whose tracks are known."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch

from traqpoint.geometry.pixels import colmap_from_opencv
from traqpoint.types import Features


@dataclass(frozen=True)
class CornerConfig:
    """What the pipelines write beside the results."""

    weights: str = "opencv-corners"
    max_keypoints: int = 100
    device: str = "cpu"


class CornerExtractor:
    """Shi-Tomasi corners with normalised 11×11 patches as descriptors."""

    def __init__(self, **options) -> None:
        self.config = CornerConfig(**options)
        self.calls = 0

    def __call__(self, image: np.ndarray) -> Features:
        self.calls += 1
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        found = cv2.goodFeaturesToTrack(grey, self.config.max_keypoints, 0.01, 5)
        corners = np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)
        padded = cv2.copyMakeBorder(grey, 5, 5, 5, 5, cv2.BORDER_REFLECT)
        patches = [padded[int(y) : int(y) + 11, int(x) : int(x) + 11].reshape(-1) for x, y in corners]
        vectors = torch.from_numpy(np.array(patches, dtype=np.float32).reshape(-1, 121))
        vectors = torch.nn.functional.normalize(vectors - vectors.mean(1, keepdim=True), dim=-1)
        n = len(corners)
        size = (image.shape[1], image.shape[0])
        return Features(torch.from_numpy(colmap_from_opencv(corners)), torch.linspace(1, 0.1, n), vectors, size)


@pytest.fixture
def corner_extractor():
    return CornerExtractor


@pytest.fixture
def panorama() -> np.ndarray:
    """A textured uint8 (120, 260, 3) picture to move a window over."""
    noise = np.random.default_rng(0).integers(0, 255, (15, 33, 3), dtype=np.uint8)
    return cv2.resize(noise, (260, 120), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def panning_frames(panorama) -> list[np.ndarray]:
    """Ten 160×120 frames; the scene moves 6 px to the left per frame."""
    return [np.ascontiguousarray(panorama[:, 6 * t : 6 * t + 160]) for t in range(10)]
