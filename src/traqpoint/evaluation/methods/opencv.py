"""OpenCV's local features as peers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import ConfigError, ImageError
from traqpoint.evaluation.methods.peer import Detect, Peer, PeerConfig, Raw


def _grey(image: Tensor) -> np.ndarray:
    """float (3, H, W) -> uint8 (H, W), weighted as OpenCV does."""
    cv2 = optional.load("cv2")
    pixels = (image.permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def _opencv(detector: Any, describe: Callable[[np.ndarray], np.ndarray]) -> Detect:
    """describe: OpenCV's descriptors -> (N, D) float32."""

    def detect(image: Tensor) -> Raw:
        try:
            found, descriptors = detector.detectAndCompute(_grey(image), None)
        except optional.load("cv2").error as error:
            size = f"{image.shape[-1]}x{image.shape[-2]}"
            raise ImageError(f"OpenCV cannot find features in an image of {size} pixels ({error.err})") from None
        if descriptors is None:
            descriptors = np.zeros((0, detector.descriptorSize()), dtype=np.uint8)
        xy = np.array([point.pt for point in found], dtype=np.float32).reshape(-1, 2)
        scores = np.array([point.response for point in found], dtype=np.float32)
        return Raw(torch.from_numpy(xy), torch.from_numpy(scores), torch.from_numpy(describe(descriptors)))

    return detect


def _floats(descriptors: np.ndarray) -> np.ndarray:
    return descriptors.astype(np.float32)


def _root(descriptors: np.ndarray) -> np.ndarray:
    """Hellinger kernel: square roots of L1-normalised histograms (Arandjelović and Zisserman, 2012)."""
    return np.sqrt(descriptors / np.maximum(descriptors.sum(axis=-1, keepdims=True), 1e-9)).astype(np.float32)


def _signs(descriptors: np.ndarray) -> np.ndarray:
    """Bits as ±1: their cosine orders as the Hamming distance does."""
    return np.unpackbits(descriptors, axis=1).astype(np.float32) * 2 - 1


def _sift(max_keypoints: int) -> Any:
    # Without precise upscaling, OpenCV's keypoints are off by a quarter of a pixel.
    return optional.load("cv2").SIFT_create(nfeatures=max_keypoints, enable_precise_upscale=True)


def _orb(max_keypoints: int) -> Any:
    return optional.load("cv2").ORB_create(nfeatures=max_keypoints)


def _akaze(max_keypoints: int) -> Any:
    cv2 = optional.load("cv2")
    home = cv2 if hasattr(cv2, "AKAZE_create") else getattr(cv2, "xfeatures2d", None)
    if home is not None and hasattr(home, "AKAZE_create"):
        return home.AKAZE_create()
    raise ConfigError(
        f"AKAZE is not in this OpenCV ({cv2.__version__}): version 5 moved it to opencv-contrib-python-headless, "
        "install that one instead of opencv-python-headless, or version 4"
    )


_FEATURES: dict[str, tuple[Callable[[int], Any], Callable[[np.ndarray], np.ndarray]]] = {
    "SIFT": (_sift, _floats),
    "RootSIFT": (_sift, _root),
    "ORB": (_orb, _signs),
    "AKAZE": (_akaze, _signs),
}


def build(
    name: str, max_keypoints: int, long_side: int | None = None, device: str = "auto", peers: Path | None = None
) -> Peer:
    """One of the table; there are no weights, and the CPU is the only device."""
    create, describe = _FEATURES[name]
    config = PeerConfig(name, max_keypoints, long_side, f"OpenCV {optional.load('cv2').__version__}")
    return Peer(config, _opencv(create(max_keypoints), describe))


PEERS = {name: partial(build, name) for name in _FEATURES}
"""Name -> what builds it, for the registry."""
