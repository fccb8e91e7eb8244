"""Pose pairs of reconstructed or surveyed scenes: any COLMAP model, and Strecha's scenes."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import torch

from traqpoint.data.testsets.pairs import PosePairs, collect_pairs, pose_pair
from traqpoint.errors import ConfigError, DataError
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.io.colmap_model import read_model, shared_points
from traqpoint.io.strecha import read_strecha_cameras


def read_colmap_pairs(
    model: str | Path, images: str | Path, min_shared: int = 100, max_shared: int | None = None
) -> PosePairs:
    """Pairs of a COLMAP model that share min_shared … max_shared 3D points, in order of names.

    images: folder that the model's image names start from; the files may have another size than the cameras. Pixels:
    COLMAP's own, nothing to convert. Raises FormatError naming the model, DataError if no pair shares enough.
    """
    if min_shared < 1 or (max_shared is not None and max_shared < min_shared):
        raise ConfigError(f"shared points must be a range from at least 1, got {min_shared} to {max_shared}")
    content = read_model(model)
    views = list(content.images.values())
    pairs, count = shared_points(content)
    pairs = pairs[(count >= min_shared) & (count <= (max_shared or torch.inf))]
    if not len(pairs):
        raise DataError(f"{model}: no two images share {min_shared} to {max_shared or 'any number of'} points")
    entries = []
    for a, b in ((views[i], views[j]) for i, j in pairs.tolist()):
        b_from_a = b.cam_from_world @ invert_rigid(a.cam_from_world)
        entries.append(pose_pair(a.name, b.name, a.camera.K, b.camera.K, b_from_a))
    used = [views[i] for i in pairs.unique().tolist()]
    files = {view.name: Path(images) / view.name for view in used}
    cameras = {view.name: view.camera for view in used}
    name = "/".join(Path(model).absolute().parts[-3:])
    return collect_pairs(name, files, entries, "error", cameras)


def read_strecha_pairs(folder: str | Path, images: str | Path | None = None, max_angle: float = 45.0) -> PosePairs:
    """Pairs of a scene of the Strecha benchmark whose viewing directions differ by at most `max_angle` degrees.

    `folder` holds cameras.txt, which knows no overlap: the angle stands for it. images: folder of the images, by
    default ``images`` in there. Raises FormatError naming file and line, DataError if no pair is left.
    """
    cameras = read_strecha_cameras(folder)
    entries = []
    for (name_a, (K_a, pose_a)), (name_b, (K_b, pose_b)) in combinations(cameras.items(), 2):
        if float(pose_a[2, :3] @ pose_b[2, :3]) >= math.cos(math.radians(max_angle)):
            entries.append(pose_pair(name_a, name_b, K_a, K_b, pose_b @ invert_rigid(pose_a)))
    files = {name: Path(images or Path(folder) / "images") / name for name in cameras}
    return collect_pairs(Path(folder).absolute().name, files, entries, "error")
