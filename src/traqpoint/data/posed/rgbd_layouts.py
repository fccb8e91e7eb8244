"""RGB-D recordings in their layouts. Each reader says what the source means by a pixel and what is converted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from traqpoint.data.posed.rgbd import RgbdCamera, RgbdSet, Shot
from traqpoint.data.posed.sequences import PosedConfig, PosedSequences
from traqpoint.errors import ConfigError, DataError, FormatError, GeometryError
from traqpoint.geometry.pixels import colmap_K_from_opencv
from traqpoint.geometry.transforms import check_rigid, invert_rigid, quaternion_from_rotation, rigid
from traqpoint.geometry.transforms import rotation_from_quaternion as rotation
from traqpoint.image import list_images
from traqpoint.io.trajectory import Trajectory, nearest, read_rows, read_tum
from traqpoint.types import Device

TUM_CAMERAS = {
    "1": ((517.306408, 516.469215, 318.643040, 255.313989), (0.262383, -0.953104, -0.005358, 0.002628, 1.163314)),
    "2": ((520.908620, 521.007327, 325.141442, 249.701764), (0.231222, -0.784899, -0.003257, -0.000105, 0.917205)),
    "3": ((535.4, 539.2, 320.1, 247.6), None),
}
"""Freiburg 1, 2, 3: fx fy cx cy (integer centres) and k1 k2 p1 p2 k3, from the data set's page."""
TUM_UNITS_PER_METRE = 5000.0
TUM_MAX_SECONDS = 0.02
"""Between an image and its depth map or the nearest pose; the data set's own tool allows as much."""

SEVEN_SCENES_DEPTH_FOCAL, SEVEN_SCENES_COLOR_FOCAL = 585.0, 525.0
SEVEN_SCENES_COLOR_FROM_DEPTH = (
    (9.9996518012567637e-01, 2.6765126468950343e-03, -7.9041012313000904e-03, -2.5558943178152542e-02),
    (-2.7409311281316700e-03, 9.9996302803027592e-01, -8.1504520778013286e-03, 1.0109636268061706e-04),
    (7.8819942130445332e-03, 8.1718328771890631e-03, 9.9993554558014031e-01, 2.0318321729487039e-03),
    (0.0, 0.0, 0.0, 1.0),
)
"""A Kinect's published calibration (LIRIS, Lyon), which the scene coordinate regression papers use for 7-Scenes."""


@dataclass(frozen=True, kw_only=True)
class RgbdConfig(PosedConfig):
    """Which RGB-D recordings, and how sequences are chosen in them."""

    folders: tuple[Path, ...] = ()
    """One recording each: TUM RGB-D, 7-Scenes (a seq-XX folder), ScanNet as exported, or K.txt with poses.txt."""
    part: tuple[float, float] = (0.0, 1.0)
    """From where to where in each recording; (0, 0.8) leaves the last fifth of the frames for validation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.part[0] < self.part[1] <= 1:
            raise ConfigError(f"part must be an increasing range in [0, 1], got {self.part}")


def rgbd_sequences(config: RgbdConfig, device: Device = "cpu") -> PosedSequences:
    """Sequences from all of config.folders. Raises as read_rgbd."""
    sets = [read_rgbd(folder) for folder in config.folders]
    begin, end = config.part
    return PosedSequences([s[round(begin * len(s)) : round(end * len(s))] for s in sets], config, device)


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

    Its calibrations have integer pixel centres (OpenCV): 0.5 is added to the principal point. Freiburg 1 and 2 are
    undistorted when read. Each image takes the depth map nearest in time and the pose interpolated at its time.
    """
    camera = RgbdCamera(K, TUM_UNITS_PER_METRE) if K is not None else tum_camera(folder)
    image_times, images = read_tum_list(folder / "rgb.txt")
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


def tum_camera(folder: Path) -> RgbdCamera:
    """The published camera of Freiburg 1, 2 or 3, whichever the name of `folder` says."""
    name = folder.resolve().name
    for number, ((fx, fy, cx, cy), distortion) in TUM_CAMERAS.items():
        if f"freiburg{number}" in name or f"fr{number}" in name:
            K = colmap_K_from_opencv(torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]))
            return RgbdCamera(K, TUM_UNITS_PER_METRE, distortion=distortion)
    raise DataError(f"{folder}: which camera? Neither freiburg1, 2 nor 3 is in the folder's name, and no K is given")


def read_tum_list(path: Path) -> tuple[Tensor, list[str]]:
    """Times (N,) float64, ascending, and file names of a list."""
    entries = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            entries.append((float(words[0]), words[1]))
        except (ValueError, IndexError):
            raise FormatError(f"{path}:{number}: expected a time and a file, got {line.strip()[:60]!r}") from None
    if not entries:
        raise FormatError(f"{path}: lists no file")
    entries.sort()
    return torch.tensor([time for time, _ in entries], dtype=torch.float64), [name for _, name in entries]


def interpolate(path: Trajectory, times: Tensor) -> Tensor:
    """cam_from_world (N, 4, 4) at `times` (N,): straight between neighbouring poses, the end poses beyond the ends."""
    world_from_cam = invert_rigid(path.cam_from_world)
    right = torch.searchsorted(path.timestamps, times).clamp(1, max(1, len(path) - 1)).clamp(max=len(path) - 1)
    left = (right - 1).clamp(min=0)
    span = (path.timestamps[right] - path.timestamps[left]).clamp(min=1e-9)
    share = ((times - path.timestamps[left]) / span).clamp(0, 1).unsqueeze(-1)
    q = quaternion_from_rotation(world_from_cam[:, :3, :3])
    a, b = q[left], q[right]
    b = torch.where((a * b).sum(-1, keepdim=True) < 0, -b, b)  # q and -q are one rotation: take the shorter way
    t = torch.lerp(world_from_cam[left, :3, 3], world_from_cam[right, :3, 3], share)
    return invert_rigid(rigid(rotation(torch.lerp(a, b, share)), t))


def read_seven_scenes(folder: Path, K: Tensor | None = None) -> RgbdSet:
    """7-Scenes: frame-XXXXXX.color.png, .depth.png (mm; 0 and 65535 unknown) and .pose.txt (4x4 world_from_cam).

    The files hold the raw cameras: depth is not registered to colour, and the poses are the depth camera's. Depth and
    poses are moved into the colour camera by SEVEN_SCENES_COLOR_FROM_DEPTH. The principal points are the middle of the
    images, which is (W / 2, H / 2) here: nothing is converted.
    """
    color_from_depth = torch.tensor(SEVEN_SCENES_COLOR_FROM_DEPTH, dtype=torch.float64)
    color_K = _centred(SEVEN_SCENES_COLOR_FOCAL) if K is None else K
    depth_K = _centred(SEVEN_SCENES_DEPTH_FOCAL)
    camera = RgbdCamera(color_K, 1000.0, (0, 65535), depth_K=depth_K, color_from_depth=color_from_depth)
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
    depth_K, color_K = (_opencv_K(folder / "intrinsic" / f"intrinsic_{kind}.txt", 4) for kind in ("depth", "color"))
    camera = RgbdCamera(color_K if K is None else K, 1000.0, depth_K=depth_K)
    shots, left_out = [], []
    for image in sorted(list_images(folder / "color"), key=lambda path: (len(path.stem), path.stem)):
        depth, pose = folder / "depth" / f"{image.stem}.png", folder / "pose" / f"{image.stem}.txt"
        missing = [path for path in (depth, pose) if not path.is_file()]
        if missing:
            left_out.append(f"{image.stem}: no {missing[0].name} in {missing[0].parent.name}")
        elif any(word in _text(pose) for word in ("inf", "nan")):
            left_out.append(f"{image.stem}: the tracking was lost")
        else:
            shots.append(Shot(image.stem, image, depth, _cam_from_world(pose)))
    return RgbdSet(str(folder), shots, camera, left_out)


def read_plain_folder(folder: Path, K: Tensor | None = None) -> RgbdSet:
    """K.txt (3x3), poses.txt (one 4x4 world_from_cam per line, row-major), images/, depth/*.png (mm, registered).

    The poses belong to the images in the order of their names. K has integer pixel centres (OpenCV): 0.5 is added.
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
    return RgbdSet(str(folder), shots, RgbdCamera(_opencv_K(folder / "K.txt", 3) if K is None else K), left_out)


LAYOUTS: tuple[tuple[Callable[[Path], bool], Callable[[Path, Tensor | None], RgbdSet]], ...] = (
    (lambda folder: (folder / "rgb.txt").is_file(), read_tum_rgbd),
    (lambda folder: any(folder.glob("*.color.png")), read_seven_scenes),
    (lambda folder: (folder / "intrinsic").is_dir() and (folder / "pose").is_dir(), read_scannet),
    (lambda folder: (folder / "K.txt").is_file() and (folder / "poses.txt").is_file(), read_plain_folder),
)
"""How a layout is recognised, and its reader."""


def _opencv_K(path: Path, columns: int) -> Tensor:
    """(3, 3) float32, ours, from a text file of a square matrix with integer pixel centres."""
    matrix = torch.tensor([values for _, values in read_rows(path, columns)])
    if len(matrix) != columns or not bool((matrix.diagonal()[:2] > 0).all()) or matrix[2, 2] != 1:
        raise GeometryError(f"{path}: not a calibration matrix")
    return colmap_K_from_opencv(matrix[:3, :3])


def _cam_from_world(path: Path) -> Tensor:
    """(4, 4) float64 from a text file with the 4x4 world_from_cam."""
    rows = read_rows(path, 4)
    pose = torch.tensor([values for _, values in rows], dtype=torch.float64)
    return invert_rigid(check_rigid(pose, str(path)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: cannot be read ({error})") from None
