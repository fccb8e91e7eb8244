"""What is evaluated: anything that maps an image to Features and can say what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from traqpoint.errors import ConfigError
from traqpoint.evaluation.methods.peers import NAMES, build_peer
from traqpoint.evaluation.methods.stored import StoredFeatures
from traqpoint.inference.extractor import Extractor, Image
from traqpoint.models import weights
from traqpoint.types import Features


class Method(Protocol):
    """The Extractor and its peers. An image is a path, a uint8 (H, W, 3) RGB array or a float (3, H, W) tensor."""

    @property
    def config(self) -> Any:
        """A frozen dataclass that identifies the features, with `max_keypoints` and `long_side`."""
        ...

    def __call__(self, image: Image) -> Features: ...


def build_method(
    name: str,
    max_keypoints: int = 2048,
    long_side: int | None = None,
    peers: Path | None = None,
    device: str = "auto",
) -> Method:
    """The method called `name`.

    name: packaged weights or the path of a weight file (ours); SIFT, RootSIFT, ORB, AKAZE (OpenCV); XFeat, ALIKED-T16,
    ALIKED-N16, DISK (kornia, weights from the folder `peers`, or downloaded); "kornia:CLASS", another local feature of
    kornia.feature; "features:PATH", an npz folder or hloc HDF5 file computed elsewhere.
    Raises ConfigError for an unknown name, WeightsError for weights that are missing or damaged.
    """
    if name.startswith("features:"):
        return StoredFeatures(name.removeprefix("features:"), max_keypoints)
    if name in NAMES or name.startswith("kornia:"):
        return build_peer(name, max_keypoints, long_side, peers, device)
    if not Path(name).exists() and name not in weights.available() and "/" not in name:
        known = ", ".join([*weights.available(), *NAMES])
        raise ConfigError(f"{name}: no such method; known are {known}, kornia:CLASS, features:PATH and weight files")
    return Extractor(name, max_keypoints=max_keypoints, long_side=long_side, device=device)


def label(method: Method) -> str:
    """Short name in tables and folders: the weights' name without folders and suffix, or the peer's name."""
    name = getattr(method.config, "weights", None) or method.config.name
    return Path(name.removeprefix("features:").removeprefix("kornia:")).stem
