"""Published lists of pose pairs: MegaDepth-1500, ScanNet-1500 and the text format of SuperGlue."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint.data.testsets.pairs import Missing, PosePair, PosePairs, collect_pairs, pose_pair
from traqpoint.data.testsets.upright import turned_camera, upright_image
from traqpoint.errors import DataError, FormatError
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.pixels import colmap_K_from_opencv
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.io.scene_info import read_scene_info
from traqpoint.io.text import read_lines

_SCANNET_SIZE = (640, 480)
_SCANNET_RECORDED = (1296, 968)


def read_megadepth_pairs(root: str | Path, index: str | Path, missing: Missing = "error") -> PosePairs:
    """The pairs of all scene_info files (*.npz) in the folder `index`; MegaDepth-1500 has five files of 300 pairs.

    root: folder that the index's image paths (``Undistorted_SfM/0015/images/…``) start from. Pixels: the calibrations
    are COLMAP's, in its own convention, and are taken as they are. Raises FormatError naming a file.
    """
    files = sorted(Path(index).glob("*.npz"))
    if not files:
        raise DataError(f"{index}: no scene_info files (*.npz) in this folder")
    images: dict[str, Path] = {}
    entries: list[PosePair | str] = []
    for file in files:
        info = read_scene_info(file, ("image_paths", "intrinsics", "poses", "pair_infos"))
        try:
            for pair_info in info["pair_infos"]:
                a, b = (int(i) for i in pair_info[0])
                names = [info["image_paths"][i] for i in (a, b)]
                if None in names:
                    entries.append(f"{file.name}: images {a} and {b} have no path")
                    continue
                images |= {name: Path(root) / name for name in names}
                K_a, K_b, pose_a, pose_b = (_matrix(info[key][i]) for key in ("intrinsics", "poses") for i in (a, b))
                if K_a is None or K_b is None or pose_a is None or pose_b is None:
                    entries.append(f"{names[0]} {names[1]} has no pose or calibration")
                else:
                    entries.append(pose_pair(names[0], names[1], K_a, K_b, pose_b @ invert_rigid(pose_a)))
        except (IndexError, TypeError, ValueError) as error:
            raise FormatError(f"{file}: pair_infos and the images do not fit each other ({error})") from None
    return collect_pairs("MegaDepth", images, entries, missing)


def _matrix(value: np.ndarray | None) -> Tensor | None:
    return None if value is None else torch.from_numpy(np.array(value, dtype=np.float64))


def read_scannet_pairs(root: str | Path, index: str | Path, missing: Missing = "error") -> PosePairs:
    """ScanNet-1500 as LoFTR publishes it: test.npz and intrinsics.npz in the folder `index`.

    root: folder of the images, ``scene0707_00/color/15.jpg``, of any size. Pixels: the calibrations belong to 640x480
    images. They are ScanNet's (1296x968, integer centres) times the ratio of the sizes, so the half pixel that is
    missing in them has been shrunk, too. Raises FormatError naming the file that does not fit.
    """
    pairs = _arrays(Path(index) / "test.npz", ("name", "rel_pose"))
    scale = torch.tensor(_SCANNET_SIZE, dtype=torch.float64) / torch.tensor(_SCANNET_RECORDED, dtype=torch.float64)
    intrinsics_file = Path(index) / "intrinsics.npz"
    intrinsics = _arrays(intrinsics_file)
    images: dict[str, Path] = {}
    cameras: dict[str, Camera] = {}
    entries: list[PosePair | str] = []
    for (scene_number, scan, *frames), rel_pose in zip(pairs["name"].tolist(), pairs["rel_pose"], strict=True):
        scene = f"scene{scene_number:04d}_{scan:02d}"
        names = [f"{scene}/color/{frame}.jpg" for frame in frames]
        images |= {name: Path(root) / name for name in names}
        if scene not in intrinsics:
            raise FormatError(f"{intrinsics_file}: key {scene!r} is missing")
        K = torch.from_numpy(intrinsics[scene].astype(np.float64).reshape(3, 3))
        K[:2, 2] += 0.5 * scale
        cameras |= dict.fromkeys(names, Camera.from_matrix(K, _SCANNET_SIZE))
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3] = torch.from_numpy(rel_pose.astype(np.float64).reshape(3, 4))
        entries.append(pose_pair(names[0], names[1], K, K, pose))
    return collect_pairs("ScanNet", images, entries, missing, cameras)


def _arrays(path: Path, keys: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in keys or archive.files}
    except (OSError, ValueError, EOFError, KeyError, AttributeError) as error:
        raise FormatError(f"{path}: not a readable index ({error})") from None


def read_superglue_pairs(
    path: str | Path, images: str | Path, upright: str | Path | None = None, missing: Missing = "error"
) -> PosePairs:
    """A text list ``name_a name_b rotation_a rotation_b K_a(9) K_b(9) b_from_a(16)``: ScanNet-1500, YFCC.

    images: folder that the names start from. The EXIF rotations count quarter turns counter-clockwise (np.rot90) that
    put the stored image upright, while the ground truth belongs to the image as stored. upright: folder for upright
    copies, to which K and pose are carried over; it is needed only where a rotation is not 0. Pixels: integer centres
    (the format's reference code mirrors at W - 1); half a pixel is added. Raises FormatError naming file and line.
    """
    files: dict[str, Path] = {}
    turned: dict[str, tuple[int, tuple[int, int] | None]] = {}
    entries: list[PosePair | str] = []
    for number, words in enumerate(map(str.split, read_lines(path)), start=1):
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}:{number}"
        if len(words) in (2, 4):
            entries.append(f"{words[0]} {words[1]} has no pose")
            continue
        if len(words) != 38:
            raise FormatError(f"{where}: a pair has 38 words (names, rotations, two K, pose), got {len(words)}")
        try:
            rotations = [int(word) for word in words[2:4]]
            values = torch.tensor([float(word) for word in words[4:]], dtype=torch.float64)
        except ValueError as error:
            raise FormatError(f"{where}: {error}") from None
        Ks = [colmap_K_from_opencv(K) for K in values[:18].reshape(2, 3, 3)]
        turns = [torch.eye(4, dtype=torch.float64)] * 2
        for i, (name, rotation) in enumerate(zip(words[:2], rotations, strict=True)):
            if not 0 <= rotation <= 3:
                raise FormatError(f"{where}: EXIF rotation {rotation} of {name} is not one of 0, 1, 2, 3")
            if rotation and upright is None:
                raise FormatError(f"{where}: {name} has EXIF rotation {rotation}: choose a folder for upright copies")
            if name not in turned:
                files[name], size = upright_image(Path(images) / name, rotation, upright)
                turned[name] = rotation, size
            if turned[name][0] != rotation:
                raise FormatError(f"{where}: {name} has EXIF rotation {rotation} here and {turned[name][0]} before")
            if (size := turned[name][1]) is not None:
                Ks[i], turns[i] = turned_camera(Ks[i], rotation, size)
        b_from_a = turns[1] @ values[18:].reshape(4, 4) @ invert_rigid(turns[0])
        entries.append(pose_pair(words[0], words[1], Ks[0], Ks[1], b_from_a))
    return collect_pairs(Path(path).stem, files, entries, missing)
