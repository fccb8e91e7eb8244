"""RGB-D recordings in their layouts. Each reader says what the source means by a pixel and what is converted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from traqpoint.data.config import DataConfig
from traqpoint.data.posed.config import RgbdConfig
from traqpoint.data.posed.rgbd import RgbdCamera, RgbdSet, Shot
from traqpoint.data.posed.sequences import PosedSequences
from traqpoint.data.source import needs
from traqpoint.errors import DataError, FormatError
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.transforms import check_rigid, invert_rigid
from traqpoint.image import first_size, list_images
from traqpoint.io.calibration import read_matrix
from traqpoint.io.text import read_lines, read_rows
from traqpoint.io.trajectory import interpolate, nearest, read_tum
from traqpoint.io.tum import TUM_MAX_SECONDS, TUM_UNITS_PER_METRE, read_tum_list, tum_camera
from traqpoint.types import Device

SEVEN_SCENES_DEPTH_FOCAL, SEVEN_SCENES_COLOR_FOCAL = 585.0, 525.0
SEVEN_SCENES_COLOR_FROM_DEPTH = (
    (9.9996518012567637e-01, 2.6765126468950343e-03, -7.9041012313000904e-03, -2.5558943178152542e-02),
    (-2.7409311281316700e-03, 9.9996302803027592e-01, -8.1504520778013286e-03, 1.0109636268061706e-04),
    (7.8819942130445332e-03, 8.1718328771890631e-03, 9.9993554558014031e-01, 2.0318321729487039e-03),
    (0.0, 0.0, 0.0, 1.0),
)
"""A Kinect's published calibration (LIRIS, Lyon), which the scene coordinate regression papers use for 7-Scenes."""


def rgbd_sequences(config: RgbdConfig, device: Device = "cpu") -> PosedSequences:
    """Sequences from all of config.folders. Raises as read_rgbd."""
    sets = [read_rgbd(folder) for folder in config.folders]
    begin, end = config.part
    return PosedSequences([s[round(begin * len(s)) : round(end * len(s))] for s in sets], config, device)


@needs("rgbd.folders")
def build(data: DataConfig, device: Device) -> PosedSequences:
    """The source ``rgbd`` of a mixture."""
    return rgbd_sequences(data.rgbd, device)


def read_rgbd(folder: str | Path, K: Tensor | None = None) -> RgbdSet:
    """An RGB-D recording of one of the layouts below, recognised by its files.

    K: (3, 3) of undistorted colour images in our pixel convention, instead of the layout's own.
    Raises DataError if the folder is none of them; FormatError or GeometryError naming the file if one is wrong.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    for recognised, read in LAYOUTS:
        if recognised(folder):
            return read(folder, K)
    raise DataError(
        f"{folder}: neither TUM RGB-D (rgb.txt, depth.txt, groundtruth.txt), 7-Scenes (*.color.png), ScanNet (color, "
        "depth, pose, intrinsic), nor a plain folder (K.txt, poses.txt, images, depth)"
    )


def read_tum_rgbd(folder: Path, K: Tensor | None = None) -> RgbdSet:
    """TUM RGB-D: rgb.txt, depth.txt (time and file per line), groundtruth.txt; depth in 1/5000 m, registered to colour.

    Freiburg 1 and 2 are undistorted when read. Each image takes the depth map nearest in time and the pose interpolated
    at its time.
    """
    image_times, images = read_tum_list(folder / "rgb.txt")
    color = tum_camera(folder) if K is None else _of_images(K, [folder / name for name in images])
    camera = RgbdCamera(color, TUM_UNITS_PER_METRE)
    depth_times, depths = read_tum_list(folder / "depth.txt")
    path = read_tum(folder / "groundtruth.txt")
    depth_of, pose_of = nearest(image_times, depth_times), nearest(image_times, path.timestamps)
    depth_gap = (image_times - depth_times[depth_of]).abs()
    pose_gap = (image_times - path.timestamps[pose_of]).abs()
    poses = interpolate(path, image_times)
    shots, left_out = [], []
    for i, name in enumerate(images):
        gap, what = max((float(depth_gap[i]), "depth map"), (float(pose_gap[i]), "pose"))
        if gap > TUM_MAX_SECONDS:
            left_out.append(f"{name}: the nearest {what} is {gap:.3f} s away")
        else:
            shots.append(Shot(name, folder / name, folder / depths[int(depth_of[i])], poses[i]))
    return RgbdSet(str(folder), shots, camera, left_out)


def read_seven_scenes(folder: Path, K: Tensor | None = None) -> RgbdSet:
    """7-Scenes: frame-XXXXXX.color.png, .depth.png (mm; 0 and 65535 unknown) and .pose.txt (4x4 world_from_cam).

    The files hold the raw cameras: depth is not registered to colour, and the poses are the depth camera's. Depth and
    poses are moved into the colour camera by SEVEN_SCENES_COLOR_FROM_DEPTH. The principal points are the middle of the
    images, which is (W / 2, H / 2) here: nothing is converted.
    """
    color_from_depth = torch.tensor(SEVEN_SCENES_COLOR_FROM_DEPTH, dtype=torch.float64)
    color = Camera.from_matrix(_centred(SEVEN_SCENES_COLOR_FOCAL) if K is None else K, (640, 480))
    depth_K = _centred(SEVEN_SCENES_DEPTH_FOCAL)
    camera = RgbdCamera(color, 1000.0, (0, 65535), depth_K=depth_K, color_from_depth=color_from_depth)
    shots, left_out = [], []
    for image in sorted(folder.glob("*.color.png")):
        name = image.name.removesuffix(".color.png")
        depth, pose = folder / f"{name}.depth.png", folder / f"{name}.pose.txt"
        missing = [path.name for path in (depth, pose) if not path.is_file()]
        if missing:
            left_out.append(f"{name}: no {missing[0]}")
        else:
            shots.append(Shot(name, image, depth, color_from_depth @ _cam_from_world(pose)))
    return RgbdSet(str(folder), shots, camera, left_out)


def _centred(focal: float) -> Tensor:
    return torch.tensor([[focal, 0, 320.0], [0, focal, 240.0], [0, 0, 1]])


def read_scannet(folder: Path, K: Tensor | None = None) -> RgbdSet:
    """ScanNet as its tool exports it: color/*.jpg, depth/*.png (mm), pose/*.txt (world_from_cam), intrinsic/.

    intrinsic_color.txt and intrinsic_depth.txt have integer pixel centres: 0.5 is added to both. Depth and colour look
    from one place but differ in size: images are brought to the depth maps' size and the depth is read through both
    calibrations. Frames whose tracking was lost (-inf in the pose) are left out.
    """
    depth_K, color_K = (read_matrix(folder / "intrinsic" / f"intrinsic_{kind}.txt", 4) for kind in ("depth", "color"))
    images = sorted(list_images(folder / "color"), key=lambda path: (len(path.stem), path.stem))
    camera = RgbdCamera(_of_images(color_K if K is None else K, images), 1000.0, depth_K=depth_K)
    shots, left_out = [], []
    for image in images:
        depth, pose = folder / "depth" / f"{image.stem}.png", folder / "pose" / f"{image.stem}.txt"
        missing = [path for path in (depth, pose) if not path.is_file()]
        if missing:
            left_out.append(f"{image.stem}: no {missing[0].name} in {missing[0].parent.name}")
        elif any("inf" in line or "nan" in line for line in read_lines(pose)):
            left_out.append(f"{image.stem}: the tracking was lost")
        else:
            shots.append(Shot(image.stem, image, depth, _cam_from_world(pose)))
    return RgbdSet(str(folder), shots, camera, left_out)


def read_plain_folder(folder: Path, K: Tensor | None = None) -> RgbdSet:
    """K.txt (3x3), poses.txt (one 4x4 world_from_cam per line, row-major), images/, depth/*.png (mm, registered).

    The poses belong to the images in the order of their names. K has integer pixel centres (OpenCV): 0.5 is added.
    Raises FormatError naming the file, and if there are not as many poses as images.
    """
    rows = read_rows(folder / "poses.txt", 16)
    images = list_images(folder / "images")
    if len(rows) != len(images):
        raise FormatError(f"{folder / 'poses.txt'}: {len(rows)} poses for {len(images)} images")
    shots, left_out = [], []
    for image, (line, values) in zip(images, rows, strict=True):
        depth = folder / "depth" / f"{image.stem}.png"
        pose = torch.tensor(values, dtype=torch.float64).reshape(4, 4)
        if depth.is_file():
            pose = invert_rigid(check_rigid(pose, f"{folder / 'poses.txt'}:{line}"))
            shots.append(Shot(image.stem, image, depth, pose))
        else:
            left_out.append(f"{image.stem}: no {depth.name} in depth")
    K = read_matrix(folder / "K.txt") if K is None else K
    return RgbdSet(str(folder), shots, RgbdCamera(_of_images(K, images)), left_out)


LAYOUTS: tuple[tuple[Callable[[Path], bool], Callable[[Path, Tensor | None], RgbdSet]], ...] = (
    (lambda folder: (folder / "rgb.txt").is_file(), read_tum_rgbd),
    (lambda folder: any(folder.glob("*.color.png")), read_seven_scenes),
    (lambda folder: (folder / "intrinsic").is_dir() and (folder / "pose").is_dir(), read_scannet),
    (lambda folder: (folder / "K.txt").is_file() and (folder / "poses.txt").is_file(), read_plain_folder),
)
"""How a layout is recognised, and its reader."""


def _of_images(K: Tensor, images: Sequence[Path]) -> Camera:
    """The camera of undistorted images, all of one size."""
    return Camera.from_matrix(K, first_size(images))


def _cam_from_world(path: Path) -> Tensor:
    """(4, 4) float64 from a text file with the 4x4 world_from_cam."""
    rows = read_rows(path, 4)
    pose = torch.tensor([values for _, values in rows], dtype=torch.float64)
    return invert_rigid(check_rigid(pose, str(path)))
