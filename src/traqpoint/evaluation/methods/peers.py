"""Other methods behind the Extractor's interface: one protocol of resizing, top-k and pixels for all of them.

An adapter only detects and describes: it maps a float (3, H, W) tensor to `Detections`. Everything else is `Peer`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint import optional
from traqpoint.device import resolve_device
from traqpoint.errors import ConfigError, ImageError, WeightsError
from traqpoint.geometry.pixels import colmap_from_opencv, inside, opencv_from_colmap
from traqpoint.image import pad_to_multiple, resize_long_side
from traqpoint.inference.extractor import Image, load_image, rescaled
from traqpoint.tensors import NOTHING, load_strictly, read_tensors
from traqpoint.types import Features

_MULTIPLE = 32
"""Sides that all networks take: XFeat and ALIKED want multiples of 32, DISK of 16."""


class Detections(NamedTuple):
    """xy (N, 2) with integer pixel centres, scores (N,), descriptors (N, D) of any norm; in any order."""

    xy: Tensor
    scores: Tensor
    descriptors: Tensor


Detect = Callable[[Tensor], Detections]


@dataclass(frozen=True)
class PeerConfig:
    """What identifies a peer's features; written beside every result."""

    name: str
    """As `build_method` takes it."""
    max_keypoints: int
    """Keep this many, best first."""
    long_side: int | None
    """Shrink larger images to this many pixels first."""
    library: str
    """Whose implementation, with its version."""
    device: str = "cpu"
    """Where networks run."""

    def __post_init__(self) -> None:
        if self.max_keypoints < 1:
            raise ConfigError(f"max_keypoints must be at least 1, got {self.max_keypoints}")
        if self.long_side is not None and self.long_side < 32:
            raise ConfigError(f"long_side must be at least 32, got {self.long_side}")


class Peer:
    """Another method as image -> Features, in the original image's pixels, best first, unit descriptors."""

    def __init__(self, config: PeerConfig, detect: Detect, model: torch.nn.Module | None = None) -> None:
        """model: the network behind `detect`, whose weights identify the results."""
        self.config = config
        self._detect = detect
        if model is not None:
            self.model = model

    def __call__(self, image: Image) -> Features:
        original = load_image(image)
        long_side = self.config.long_side
        used = original if long_side is None else resize_long_side(original, long_side)
        width, height = used.shape[-1], used.shape[-2]
        found = Detections(*(part.detach().float().cpu() for part in self._detect(used)))
        xy = colmap_from_opencv(found.xy)
        # Off the image: on the padding. Without a direction, a descriptor matches nothing.
        usable = (inside(xy, width, height) & (found.descriptors.norm(dim=-1) > 0)).nonzero().squeeze(1)
        best = found.scores[usable].argsort(descending=True, stable=True)[: self.config.max_keypoints]
        chosen = usable[best]
        vectors = F.normalize(found.descriptors[chosen], dim=-1)
        features = Features(xy[chosen].contiguous(), found.scores[chosen], vectors, (width, height))
        return rescaled(features, (original.shape[-1], original.shape[-2]))


def _grey(image: Tensor) -> np.ndarray:
    """float (3, H, W) -> uint8 (H, W), weighted as OpenCV does."""
    cv2 = optional.load("cv2")
    pixels = (image.permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)


def _opencv(detector: Any, describe: Callable[[np.ndarray], np.ndarray]) -> Detect:
    """describe: OpenCV's descriptors -> (N, D) float32."""

    def detect(image: Tensor) -> Detections:
        try:
            found, descriptors = detector.detectAndCompute(_grey(image), None)
        except optional.load("cv2").error as error:
            size = f"{image.shape[-1]}x{image.shape[-2]}"
            raise ImageError(f"OpenCV cannot find features in an image of {size} pixels ({error.err})") from None
        if descriptors is None:
            descriptors = np.zeros((0, detector.descriptorSize()), dtype=np.uint8)
        xy = np.array([point.pt for point in found], dtype=np.float32).reshape(-1, 2)
        scores = np.array([point.response for point in found], dtype=np.float32)
        return Detections(torch.from_numpy(xy), torch.from_numpy(scores), torch.from_numpy(describe(descriptors)))

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


_OPENCV: dict[str, tuple[Callable[[int], Any], Callable[[np.ndarray], np.ndarray]]] = {
    "SIFT": (_sift, _floats),
    "RootSIFT": (_sift, _root),
    "ORB": (_orb, _signs),
    "AKAZE": (_akaze, _signs),
}

_KORNIA: dict[str, tuple[str, str, dict[str, Any]]] = {
    "XFeat": ("XFeat", "xfeat_folded.pth", {}),
    "ALIKED-T16": ("ALIKED", "aliked-t16.pth", {"model_name": "aliked-t16", "detection_threshold": 0.0}),
    "ALIKED-N16": ("ALIKED", "aliked-n16.pth", {"model_name": "aliked-n16", "detection_threshold": 0.0}),
    "DISK": ("DISK", "disk_depth_fp16.pth", {}),
}
"""Name -> class of kornia.feature, file of weights, arguments. A threshold of 0 leaves the choice to the top-k."""

_LIMIT = {"XFeat": "top_k", "ALIKED": "max_num_keypoints"}
"""Argument of the constructor that says how many keypoints; local affine features call it num_features."""

NAMES = (*_OPENCV, *_KORNIA)
"""Peers that `build_peer` knows by name."""


def build_peer(
    name: str, max_keypoints: int, long_side: int | None = None, weights: Path | None = None, device: str = "auto"
) -> Peer:
    """One of NAMES, or "kornia:CLASS" for any other local feature of kornia.feature.

    weights: folder with the files of weights (CLASS.pth for "kornia:CLASS"); what is not there is downloaded by
    kornia. Raises ConfigError for an unknown name, WeightsError if weights can neither be read nor downloaded.
    """
    if name in _OPENCV:
        create, describe = _OPENCV[name]
        version = optional.load("cv2").__version__
        config = PeerConfig(name, max_keypoints, long_side, f"OpenCV {version}")
        return Peer(config, _opencv(create(max_keypoints), describe))
    if weights is not None and not weights.is_dir():
        raise WeightsError(f"{weights}: no such folder of weights")
    other = name.removeprefix("kornia:")
    kind, file, arguments = _KORNIA.get(name, (other, f"{other}.pth", {}))
    config = PeerConfig(name, max_keypoints, long_side, f"kornia {optional.load('kornia').__version__}", device)
    on = resolve_device(device)
    model = _kornia_model(kind, arguments, max_keypoints, weights, file).to(on).eval()

    @torch.inference_mode()
    def detect(image: Tensor) -> Detections:
        return _run_kornia(model, pad_to_multiple(image, _MULTIPLE)[None].to(on), max_keypoints)

    return Peer(config, detect, model)


def _kornia_model(kind: str, arguments: dict[str, Any], limit: int, folder: Path | None, file: str) -> torch.nn.Module:
    feature = optional.load("kornia").feature
    cls: Any = getattr(feature, kind, None)
    composed = isinstance(cls, type) and issubclass(cls, feature.LocalFeature) and cls is not feature.LocalFeature
    if not composed and not hasattr(cls, "from_pretrained"):
        raise ConfigError(f"{kind}: kornia.feature has no local feature of this name")
    if composed or kind in _LIMIT:
        arguments = {**arguments, _LIMIT.get(kind, "num_features"): limit}
    if folder is not None and (folder / file).is_file() and not composed:
        model = cls(**arguments)
        net = model.net if kind == "XFeat" else model
        # Buffers that are no weights are missing from some of kornia's files.
        spare = "|".join(rf"^{re.escape(name)}$" for name, _ in net.named_buffers()) or NOTHING
        load_strictly(net, read_tensors(folder / file)[0], folder / file, spare=spare)
        return model
    try:
        return getattr(cls, "from_pretrained", cls)(**arguments)
    except (OSError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        place = "torch's cache" if composed else f"the folder of peers as {file}"
        raise WeightsError(
            f"{kind}: no weights here and none to be downloaded ({reason}); put them into {place}"
        ) from None


def _run_kornia(model: Any, image: Tensor, limit: int) -> Detections:
    """image (1, 3, H, W) through whichever of kornia's interfaces `model` has."""
    kornia, kind = optional.load("kornia"), type(model).__name__
    if isinstance(model, kornia.feature.LocalFeature):
        lafs, responses, descriptors = (part[0] for part in model(kornia.color.rgb_to_grayscale(image)))
        filled = lafs.flatten(1).abs().amax(1) > 0
        return Detections(lafs[filled, :, 2], responses[filled], descriptors[filled])
    if kind == "DeDoDe":  # the only one of kornia's with our pixel centres
        xy, scores, descriptors = (part[0] for part in model(image, n=limit))
        return Detections(opencv_from_colmap(xy), scores, descriptors)
    if kind == "XFeat":
        found = model.detectAndCompute(image)[0]
        return Detections(found["keypoints"], found["scores"], found["descriptors"])
    found = model(image, limit)[0] if kind == "DISK" else model(image)[0]
    scores = found.detection_scores if kind == "DISK" else found.keypoint_scores
    return Detections(found.keypoints, scores, found.descriptors)
