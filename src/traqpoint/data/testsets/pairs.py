"""Image pairs with a known relative pose: what a relative-pose benchmark is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from traqpoint.errors import ConfigError, DataError, GeometryError
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.transforms import check_rigid

Missing = Literal["error", "skip"]


@dataclass(frozen=True)
class PosePair:
    """Two images of a rigid scene.

    name_a, name_b: keys of PosePairs.images. K_a, K_b: (3, 3) float64, for COLMAP's pixels (the first pixel's centre is
    0.5). b_from_a: (4, 4) float64; the unit of its translation is the data set's own.
    """

    name_a: str
    name_b: str
    K_a: Tensor
    K_b: Tensor
    b_from_a: Tensor


@dataclass(frozen=True)
class PosePairs:
    """A relative-pose data set.

    images: file of every image by name; files may be missing. cameras: those images whose calibration belongs to
    another image size than the file's, or has distortion; the K of their pairs is the one of that camera. notes: what
    was left out, in words with counts. Raises DataError if there is no pair.
    """

    name: str
    images: Mapping[str, Path]
    pairs: tuple[PosePair, ...]
    cameras: Mapping[str, Camera] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.pairs:
            raise DataError(f"{self.name}: no pairs{''.join(f' ({note})' for note in self.notes)}")

    @property
    def names(self) -> list[tuple[str, str]]:
        """The pairs by name."""
        return [(pair.name_a, pair.name_b) for pair in self.pairs]

    def pinhole_pixels(self, name: str, xy: Tensor, image_size: tuple[int, int]) -> Tensor:
        """Pixels xy (N, 2) of image `name` of size (W, H) -> float64 pixels (N, 2) of its K, undistorted."""
        xy, camera = xy.double(), self.cameras.get(name)
        if camera is None:
            return xy
        return camera.undistorted(xy * (xy.new_tensor(camera.image_size) / xy.new_tensor(image_size)))


def pose_pair(name_a: str, name_b: str, K_a: Tensor, K_b: Tensor, b_from_a: Tensor | None) -> PosePair | str:
    """A checked pair, or one line that says what of its ground truth is unknown.

    Raises GeometryError naming the pair if a matrix is finite and yet no calibration or no rigid transform.
    """
    what = f"{name_a} {name_b}"
    if b_from_a is None or not bool(torch.isfinite(b_from_a).all()):
        return f"{what} has no pose"
    for K in (K_a, K_b):
        if not bool(torch.isfinite(K).all()):
            return f"{what} has no calibration"
        if bool((K.diagonal() <= 0).any()) or K[1, 0] != 0 or K[2].tolist() != [0, 0, 1]:
            raise GeometryError(f"{what}: {K.tolist()} is not a calibration matrix")
    return PosePair(name_a, name_b, K_a.double(), K_b.double(), check_rigid(b_from_a.double(), what))


def collect_pairs(
    name: str,
    images: Mapping[str, Path],
    entries: Sequence[PosePair | str],
    missing: Missing,
    cameras: Mapping[str, Camera] | None = None,
) -> PosePairs:
    """The pairs among `entries`; the lines about unknown ground truth are an error, or become a note with their count.

    Raises DataError if missing = "error" and there are some, or if no pair is left.
    """
    unknown = [entry for entry in entries if isinstance(entry, str)]
    notes: tuple[str, ...] = ()
    if unknown:
        line = f"{len(unknown)} of {len(entries)} pairs have no ground truth, the first: {unknown[0]}"
        if missing == "error":
            raise DataError(f"{name}: {line} (missing = skip leaves them out)")
        notes = (f"{line}; left out",)
    pairs = tuple(entry for entry in entries if isinstance(entry, PosePair))
    return PosePairs(name, images, pairs, cameras or {}, notes)


def sampled(dataset: PosePairs, limit: int, seed: int = 0) -> PosePairs:
    """At most `limit` pairs, drawn at random and the same for the same seed, with the images that they need.

    Raises ConfigError for a limit below 1.
    """
    if limit < 1:
        raise ConfigError(f"at least 1 pair is needed, got {limit}")
    if limit >= len(dataset.pairs):
        return dataset
    chosen = torch.randperm(len(dataset.pairs), generator=torch.Generator().manual_seed(seed))[:limit]
    pairs = tuple(dataset.pairs[i] for i in chosen.sort().values.tolist())
    used = {name for pair in pairs for name in (pair.name_a, pair.name_b)}
    images = {name: path for name, path in dataset.images.items() if name in used}
    note = f"{limit} of {len(dataset.pairs)} pairs, drawn with seed {seed}"
    return replace(dataset, images=images, pairs=pairs, notes=(*dataset.notes, note))
