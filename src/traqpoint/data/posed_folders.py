"""Pose pairs of reconstructed or surveyed scenes: any COLMAP model, and Strecha's scenes."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from traqpoint.data.pose_pairs import PosePairs, collect_pairs, pose_pair
from traqpoint.errors import ConfigError, DataError, FormatError
from traqpoint.geometry.pixels import colmap_K_from_opencv
from traqpoint.geometry.transforms import check_rigid, invert_rigid, rigid
from traqpoint.io.colmap_model import NO_POINT, ColmapModel, read_model


def read_colmap_pairs(
    model: str | Path,
    images: str | Path,
    min_shared: int = 100,
    max_shared: int | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> PosePairs:
    """Pairs of a COLMAP model that share min_shared … max_shared 3D points, in order of names.

    limit: a random choice of so many of them, the same for the same seed. images: folder that the model's image names
    start from; the files may have another size than the cameras. Pixels: COLMAP's own, nothing to convert. Raises
    FormatError naming the model, DataError if no pair shares enough.
    """
    if min_shared < 1 or (max_shared is not None and max_shared < min_shared):
        raise ConfigError(f"shared points must be a range from at least 1, got {min_shared} to {max_shared}")
    content = read_model(model)
    views = list(content.images.values())
    pairs, count = shared_points(content)
    pairs = pairs[(count >= min_shared) & (count <= (max_shared or torch.inf))]
    if not len(pairs):
        raise DataError(f"{model}: no two images share {min_shared} to {max_shared or 'any number of'} points")
    if limit is not None and limit < len(pairs):
        chosen = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(seed))[:limit]
        pairs = pairs[chosen.sort().values]
    entries = []
    for a, b in ((views[i], views[j]) for i, j in pairs.tolist()):
        b_from_a = b.cam_from_world @ invert_rigid(a.cam_from_world)
        entries.append(pose_pair(a.name, b.name, a.camera.K, b.camera.K, b_from_a))
    used = [views[i] for i in pairs.unique().tolist()]
    files = {view.name: Path(images) / view.name for view in used}
    cameras = {view.name: view.camera for view in used}
    name = "/".join(Path(model).absolute().parts[-3:])
    return collect_pairs(name, files, entries, "error", cameras)


def shared_points(model: ColmapModel) -> tuple[Tensor, Tensor]:
    """Pairs (M, 2) int64 of images (by their place in model.images, first < second) that see a common point, and the
    number (M,) of common points."""
    views = model.images.values()
    size = len(views)
    codes = [view.point3D[view.point3D != NO_POINT] * size + i for i, view in enumerate(views)]
    # Sorted by point and then by image, an image once per point: a pair is two entries of one point.
    sorted_codes = torch.cat([*codes, torch.empty(0, dtype=torch.int64)]).unique()
    point, image = sorted_codes // max(size, 1), sorted_codes % max(size, 1)
    found = [torch.empty(0, dtype=torch.int64)]
    for step in range(1, size):
        same = point[step:] == point[:-step]
        if not bool(same.any()):
            break
        found.append(image[:-step][same] * size + image[step:][same])
    pair, count = torch.cat(found).unique(return_counts=True)
    return torch.stack([pair // max(size, 1), pair % max(size, 1)], dim=-1), count


def read_strecha_pairs(folder: str | Path, max_angle: float = 45.0) -> PosePairs:
    """Pairs of a scene of the Strecha benchmark whose viewing directions differ by at most `max_angle` degrees.

    `folder` holds ``images/`` and cameras.txt with lines ``name fx fy cx cy R(9) t(3)``, cam_from_world, metres. The
    file knows no overlap; the angle stands for it. Pixels: its principal points count from the first pixel's centre;
    half a pixel is added. Raises FormatError naming file and line.
    """
    path = Path(folder) / "cameras.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read as a list of cameras ({error})") from None
    cameras: dict[str, tuple[Tensor, Tensor]] = {}
    for number, words in enumerate(map(str.split, lines), start=1):
        if not words or words[0].startswith("#"):
            continue
        try:
            values = torch.tensor([float(word) for word in words[1:]], dtype=torch.float64)
        except ValueError as error:
            raise FormatError(f"{path}:{number}: {error}") from None
        if len(values) != 16:
            raise FormatError(f"{path}:{number}: a camera is a name and 16 numbers, got {len(values)}")
        K = torch.eye(3, dtype=torch.float64)
        K[[0, 1, 0, 1], [0, 1, 2, 2]] = values[:4]
        where = f"{path}:{number}"
        cameras[words[0]] = colmap_K_from_opencv(K), check_rigid(rigid(values[4:13].reshape(3, 3), values[13:]), where)
    entries = []
    for (name_a, (K_a, pose_a)), (name_b, (K_b, pose_b)) in combinations(cameras.items(), 2):
        if float(pose_a[2, :3] @ pose_b[2, :3]) >= math.cos(math.radians(max_angle)):
            entries.append(pose_pair(name_a, name_b, K_a, K_b, pose_b @ invert_rigid(pose_a)))
    files = {name: Path(folder) / "images" / name for name in cameras}
    return collect_pairs(Path(folder).absolute().name, files, entries, "error")
