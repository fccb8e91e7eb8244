"""Features that were computed elsewhere, as a method: looked up by the image's name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from traqpoint.errors import ConfigError, DataError, FormatError
from traqpoint.inference.extractor import Image, load_image
from traqpoint.io.stores import find_features
from traqpoint.types import Features


@dataclass(frozen=True)
class StoredConfig:
    """What identifies features that were computed elsewhere."""

    name: str
    """features:PATH."""
    max_keypoints: int
    """Keep this many, best first."""
    content: str
    """Hash of the files' names, sizes and times."""
    long_side: str = "as computed elsewhere"
    """How images were resized is not known."""


class StoredFeatures:
    """Features in any format of FORMATS as a FeatureSource; has `config` as a Method has."""

    def __init__(self, path: str | Path, max_keypoints: int) -> None:
        """Raises FormatError if the file is missing or of no known format, DataError if it holds no features."""
        format, found = find_features(Path(path))
        self._store = format.features(found, "r")
        if not self._store.names():
            raise DataError(f"{path}: no features in there")
        files = [found] if found.is_file() else sorted(found.rglob("*.npz"))
        self.config = StoredConfig(f"features:{path}", max_keypoints, _fingerprint(files))

    def __call__(self, image: Image) -> Features:
        raise ConfigError(f"{self.config.name}: these features are known by image names, not by pixels")

    def features(self, name: str, image: Image) -> Features:
        """What is stored under `name`. Raises FormatError if there is nothing, or features of another image size."""
        found, pixels = self.read(name), load_image(image)
        width, height = pixels.shape[-1], pixels.shape[-2]
        if found.image_size != (width, height):
            size = "x".join(map(str, found.image_size))
            raise FormatError(f"{name}: is {width}x{height}, and its stored features are of {size} pixels")
        return found

    def read(self, name: str) -> Features:
        """The best max_keypoints features of image `name`. Raises FormatError if there are none or they are damaged."""
        found = self._store.read(name)
        best = found.scores.argsort(descending=True, stable=True)[: self.config.max_keypoints]
        return found.take(best)


def _fingerprint(files: Iterable[Path]) -> str:
    about = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(about).encode()).hexdigest()
