"""Image pairs of planes with a known homography, in the layout of HPatches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint.errors import DataError, FormatError
from traqpoint.geometry.homography import check_homography
from traqpoint.geometry.transforms import translation
from traqpoint.image import IMAGE_SUFFIXES

TOO_LARGE = frozenset(
    {"i_contruction", "i_crownnight", "i_dc", "i_pencils", "i_whitebuilding", "v_artisans", "v_astronautis", "v_talent"}
)
"""Sequences of more than 1600 x 1200 pixels: left out of D2-Net's protocol, which most published numbers follow."""


@dataclass(frozen=True)
class HomographyPair:
    """Two images of a plane. kind: "viewpoint", "illumination", or "" where the name does not tell.

    name_a, name_b: keys of HomographyPairs.images. b_from_a: (3, 3) float64, for COLMAP's pixels.
    """

    name_a: str
    name_b: str
    b_from_a: Tensor
    kind: str


@dataclass(frozen=True)
class HomographyPairs:
    """A homography data set. images: file of every image by name."""

    name: str
    images: Mapping[str, Path]
    pairs: tuple[HomographyPair, ...]

    @property
    def names(self) -> list[tuple[str, str]]:
        """The pairs by name."""
        return [(pair.name_a, pair.name_b) for pair in self.pairs]


def read_hpatches(folder: str | Path, skip_large: bool = False) -> HomographyPairs:
    """The sequences in `folder`, or the one that it is: images ``1.ppm`` … ``6.ppm`` (or .png, …) and ``H_1_k``.

    ``v_…`` is a change of viewpoint, ``i_…`` of illumination. skip_large: without TOO_LARGE, so that 108 of the 116
    sequences are left. Pixels: the files map integer pixel centres; they are carried over by half a pixel on both
    sides. Raises DataError if there is no sequence, FormatError naming a damaged file or a missing image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    sequences = [path for path in [folder, *sorted(folder.iterdir())] if path.is_dir() and _matrices(path)]
    sequences = [path for path in sequences if not (skip_large and path.name in TOO_LARGE)]
    if not sequences:
        raise DataError(f"{folder}: no HPatches sequences (folders with 1.ppm, 2.ppm, H_1_2, …)")
    images: dict[str, Path] = {}
    pairs = []
    for sequence in sequences:
        prefix = sequence.absolute().name
        kind = {"v": "viewpoint", "i": "illumination"}.get(prefix.split("_")[0], "")
        files = {k: _image(sequence, k) for k in [1, *_matrices(sequence)]}
        images |= {f"{prefix}/{file.name}": file for file in files.values()}
        for k, path in _matrices(sequence).items():
            name_a, name_b = (f"{prefix}/{files[i].name}" for i in (1, k))
            pairs.append(HomographyPair(name_a, name_b, _read_homography(path), kind))
    return HomographyPairs(folder.absolute().name, images, tuple(pairs))


def _matrices(sequence: Path) -> dict[int, Path]:
    """Files H_1_k by k, ascending."""
    found = {path.name.removeprefix("H_1_"): path for path in sequence.glob("H_1_*")}
    return {k: found[str(k)] for k in sorted(int(name) for name in found if name.isdigit() and name != "1")}


def _image(sequence: Path, k: int) -> Path:
    found = [path for path in sorted(sequence.glob(f"{k}.*")) if path.suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        raise FormatError(f"{sequence}: image {k} ({k}.ppm, {k}.png, …) is missing")
    return found[0]


def _read_homography(path: Path) -> Tensor:
    try:
        values = np.array(path.read_text(encoding="utf-8").split(), dtype=np.float64)
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: not a homography ({error})") from None
    if values.size != 9:
        raise FormatError(f"{path}: a homography has 9 numbers, this file {values.size}")
    shift = translation(0.5, 0.5).double()
    return shift @ check_homography(torch.from_numpy(values.reshape(3, 3)), str(path)) @ torch.linalg.inv(shift)
