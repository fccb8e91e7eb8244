"""Finds out what kind of pose pairs a file or folder holds."""

from __future__ import annotations

from pathlib import Path

from traqpoint.data.testsets.lists import read_megadepth_pairs, read_scannet_pairs, read_superglue_pairs
from traqpoint.data.testsets.pairs import Missing, PosePairs
from traqpoint.data.testsets.scenes import read_colmap_pairs, read_strecha_pairs
from traqpoint.errors import ConfigError, DataError


def read_pose_pairs(
    truth: str | Path,
    images: str | Path | None = None,
    missing: Missing = "error",
    upright: str | Path | None = None,
    shared: tuple[int, int | None] = (100, None),
    max_angle: float = 45.0,
) -> PosePairs:
    """The pose pairs that `truth` holds, whatever its kind.

    truth: a text list in SuperGlue's format (ScanNet, YFCC), or a folder: MegaDepth's scene_info files, LoFTR's index
    of ScanNet-1500, a COLMAP model, a scene of the Strecha benchmark. images: folder that image names start from,
    needed but for Strecha's scenes. missing: what pairs without ground truth are. The other arguments belong to one
    reader each. Raises DataError if `truth` is none of these, ConfigError if `images` is needed.
    """
    truth = Path(truth)
    if not truth.exists():
        raise DataError(f"{truth}: no such file or folder")
    models = (truth / "images.bin", truth / "images.txt")
    if (truth / "cameras.txt").is_file() and not any(path.is_file() for path in models):
        return read_strecha_pairs(truth, images, max_angle)
    if images is None:
        raise ConfigError(f"{truth}: say which folder its image names start from (images)")
    if truth.is_file():
        return read_superglue_pairs(truth, images, upright, missing)
    if (truth / "test.npz").is_file():
        return read_scannet_pairs(images, truth, missing)
    if any(path.is_file() for path in models):
        return read_colmap_pairs(truth, images, *shared)
    if any(truth.glob("*.npz")):
        return read_megadepth_pairs(images, truth, missing)
    raise DataError(f"{truth}: no scene_info files, ScanNet index, COLMAP model or cameras.txt in this folder")
