"""COLMAP workspaces as training sequences: with stereo depth where there is some, else by their sparse tracks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.data.mixture import Mixture
from traqpoint.data.posed.frames import PosedSet, stack_cameras
from traqpoint.data.posed.sequences import PosedConfig, PosedSequences
from traqpoint.data.source import Source
from traqpoint.errors import ConfigError, DataError, GeometryError
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.depth import sample_depth
from traqpoint.geometry.pixels import inside, pixel_grid
from traqpoint.geometry.sampling import warp_image
from traqpoint.geometry.sparse import SparseGeometry, nearest_observation
from traqpoint.geometry.transforms import check_rigid
from traqpoint.image import read_image, to_tensor
from traqpoint.io.colmap_depth import read_depth_map
from traqpoint.io.colmap_model import NO_POINT, ColmapModel, ModelImage, read_model, shared_points
from traqpoint.types import Device, Frame

MODEL_FOLDERS = ("sparse/0", "sparse", ".")
"""Where a workspace keeps its model: automatic reconstruction and mapper, image undistorter, the folder itself."""
DEPTH_SUFFIXES = (".geometric.bin", ".photometric.bin")
"""Of the stereo's depth maps; the first is filtered by consistency between the views."""

MAX_DEPTH_RATIO = 3.0
"""Median factor between an image's depth map and its points beyond which they are of different reconstructions."""


@dataclass(frozen=True, kw_only=True)
class ColmapConfig(PosedConfig):
    """Which COLMAP workspaces, and how sequences are chosen in them; overlap is the share of common points."""

    workspaces: tuple[Path, ...] = ()
    """Folders with a model in sparse/0, sparse or the folder itself; stereo/depth_maps is used where it exists."""
    images: Path | None = None
    """Folder that the names in the models are relative to; without it the folder images in each workspace."""
    overlap: tuple[float, float] = (0.15, 0.8)
    """Least and most of a frame's points that its neighbour observes too. Tracks have gaps: less than one would see."""
    radius_px: float = 2.5
    """Without depth maps: pixels of the fitted frame this near to an observation of a 3D point can be carried."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.5 <= self.radius_px <= 20:
            raise ConfigError(f"radius_px must be in [0.5, 20], got {self.radius_px}")


@dataclass(frozen=True, kw_only=True)
class TrackFrame(Frame):
    """A frame that observes triangulated points. rays: (N, 3) in the camera, z = 1, so that ``K @ ray`` is the pixel in
    this frame and in every resized crop of it. points: (N,) int64, which points. z: (N,) their z-depths."""

    rays: Tensor
    points: Tensor
    z: Tensor


class ColmapSet:
    """The PosedSet of one workspace. Frames are pinhole images: distorted ones are resampled with the same K and size.

    Raises FormatError for an unreadable model, DataError for one without images or points and if no image is there,
    GeometryError for a broken pose. Images that are missing are left out, with one warning that counts them.
    """

    def __init__(self, workspace: str | Path, images: str | Path | None = None) -> None:
        workspace = Path(workspace)
        self.name = str(workspace)
        model = read_model(_model_folder(workspace))
        if not len(model.point_ids):
            raise DataError(f"{workspace}: the model has no 3D points, nothing tells which images see the same")
        self._folder = Path(images) if images is not None else workspace / "images"
        depth_maps = workspace / "stereo" / "depth_maps"
        self._depth_maps = depth_maps if depth_maps.is_dir() and any(depth_maps.rglob("*.bin")) else None
        self._model = self._present(model)
        self._views = list(self._model.images.values())
        self._common = common_points(self._model)

    @property
    def names(self) -> list[str]:
        return [view.name for view in self._views]

    @property
    def has_depth(self) -> bool:
        """Whether frames come with the stereo's depth."""
        return self._depth_maps is not None

    def __len__(self) -> int:
        return len(self._views)

    def shares(self, source: int) -> Tensor:
        """(len(self),) share of the source's points that each frame observes too."""
        common = self._common[source]
        return common / common[source].clamp(min=1)

    def overlap(self, source: int, target: int) -> float:
        return float(self.shares(source)[target])

    def frame(self, index: int) -> TrackFrame:
        view = self._views[index]
        path = self._folder / view.name
        image = to_tensor(read_image(path), str(path))
        camera = _camera_of(path, image.shape[1:], view.camera)
        depth = None
        if self._depth_maps is not None:
            depth, camera = self._depth(self._depth_maps, view)
            image = F.interpolate(image[None], size=depth.shape, mode="bilinear", antialias=True)[0]
        elif bool(camera.distortion.any()):
            image = undistort(image, camera)
        pose = view.cam_from_world
        rays = view.camera.unproject(view.xy[view.point3D != NO_POINT])
        points = self._model.rows(_observed(view))
        z = self._model.xyz[points] @ pose[2, :3] + pose[2, 3]
        if depth is not None:
            self._check_unit(view.name, depth, (rays @ camera.K.to(rays).T)[:, :2], z)
        return TrackFrame(image, camera.K, pose, depth, rays=rays, points=points, z=z)

    def _depth(self, folder: Path, view: ModelImage) -> tuple[Tensor, Camera]:
        """The image's depth map and the camera at its size: stereo works on images of a limited size."""
        if bool(view.camera.distortion.any()):
            raise GeometryError(
                f"{self.name}: {view.name} has a distorted {view.camera.model} camera, but its depth map belongs to "
                "the undistorted image: give the folder that COLMAP's image_undistorter wrote"
            )
        paths = [folder / f"{view.name}{suffix}" for suffix in DEPTH_SUFFIXES]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise DataError(f"{paths[0]}: no depth map of this image")
        depth = read_depth_map(path)
        return depth, _camera_of(path, depth.shape, view.camera)

    def _check_unit(self, name: str, depth: Tensor, xy: Tensor, z: Tensor) -> None:
        """Raise GeometryError unless the depth map (H, W) fits the z-depths (N,) of the points observed at xy (N, 2).
        Poses and tracks alone would not tell: frames would be carried to wrong places, and called visible there."""
        ratio = float((sample_depth(depth[None], xy[None].float())[0] / z).nanmedian())
        if ratio > MAX_DEPTH_RATIO or ratio < 1 / MAX_DEPTH_RATIO:
            raise GeometryError(
                f"{self.name}: the depth map of {name} is {ratio:.3g} times as deep as the model's points: "
                "another unit, or another reconstruction's stereo?"
            )

    def _present(self, model: ColmapModel) -> ColmapModel:
        """The model without the images that are not in the folder."""
        if not model.images:
            raise DataError(f"{self.name}: the model has no registered image")
        there = {name: view for name, view in model.images.items() if (self._folder / name).is_file()}
        missing = [name for name in model.images if name not in there]
        if not there:
            raise DataError(f"{self._folder}: none of the model's {len(missing)} images is here, such as {missing[0]}")
        if missing:
            warnings.warn(
                f"{self._folder}: {len(missing)} of the model's {len(model.images)} images are missing, the first: "
                f"{missing[0]}; training goes on without them",
                stacklevel=4,
            )
        for name, view in there.items():
            check_rigid(view.cam_from_world, f"{self.name}: {name}")
        return replace(model, images=there)


class ColmapSequences(PosedSequences):
    """Sequences from ColmapSets that all have depth (DepthGeometry), or of which the tracks alone are used."""

    config: ColmapConfig

    def __init__(self, sets: Sequence[PosedSet], config: ColmapConfig | None = None, device: Device = "cpu") -> None:
        super().__init__(sets, config or ColmapConfig(), device)

    def candidates(self, frames: PosedSet, source: int) -> list[int]:
        """Those of the overlap asked for: in a large model most frames have nothing in common."""
        low, high = self.config.overlap
        shares = frames.shares(source)  # type: ignore[attr-defined]
        return [i for i in super().candidates(frames, source) if low <= shares[i] <= high]


class TrackSequences(ColmapSequences):
    """Sequences whose ground truth is the tracks: a SparseGeometry."""

    def geometry(self, batch: list[list[Frame]]) -> SparseGeometry:
        return stack_tracks(batch, self.config.radius_px)  # type: ignore[arg-type]


def colmap_sequences(config: ColmapConfig, device: Device = "cpu") -> Source:
    """Sequences from all of config.workspaces, in proportion to their images."""
    sets = [ColmapSet(workspace, config.images) for workspace in config.workspaces]
    dense, sparse = [s for s in sets if s.has_depth], [s for s in sets if not s.has_depth]
    sources: list[tuple[Source, float]] = []
    if dense:
        sources.append((ColmapSequences(dense, config, device), float(sum(map(len, dense)))))
    if sparse:
        sources.append((TrackSequences(sparse, config, device), float(sum(map(len, sparse)))))
    return Mixture(sources)


def stack_tracks(batch: Sequence[Sequence[TrackFrame]], radius: float) -> SparseGeometry:
    """B sequences of T frames of one size -> their SparseGeometry; see ColmapConfig.radius_px."""
    K, poses = stack_cameras(batch)
    height, width = batch[0][0].image.shape[-2:]
    maps, depths, tables = [], [], []
    for frames in batch:
        ids, local = torch.cat([frame.points for frame in frames]).unique(return_inverse=True)
        observed = torch.zeros(len(frames), len(ids), dtype=torch.bool)
        for t, (frame, points) in enumerate(zip(frames, local.split([len(f.points) for f in frames]), strict=True)):
            observed[t, points] = True
            xy = (frame.rays @ frame.K.to(frame.rays).T)[:, :2]
            shown = inside(xy, width, height) & (frame.z > 0)
            nearest = nearest_observation(xy[shown], radius, height, width)
            # One row more: index -1, a pixel without an observation, reads it.
            maps.append(torch.cat([points[shown], points.new_tensor([-1])])[nearest])
            depths.append(torch.cat([frame.z[shown], frame.z.new_tensor([torch.nan])])[nearest].float())
        tables.append(observed)
    most = max(table.shape[1] for table in tables)
    padded = [F.pad(table, (0, most - table.shape[1])) for table in tables]
    shape = (len(batch), len(batch[0]), height, width)
    return SparseGeometry(
        torch.stack(maps).reshape(shape), torch.stack(depths).reshape(shape), torch.stack(padded), K, poses
    )


def common_points(model: ColmapModel) -> Tensor:
    """How many points two images both observe: (N, N) int64, on the diagonal how many they observe at all."""
    common = torch.diag(torch.tensor([len(_observed(view).unique()) for view in model.images.values()]))
    pairs, count = shared_points(model)
    common[pairs[:, 0], pairs[:, 1]] = common[pairs[:, 1], pairs[:, 0]] = count
    return common


def _observed(view: ModelImage) -> Tensor:
    return view.point3D[view.point3D != NO_POINT]


def undistort(image: Tensor, camera: Camera) -> Tensor:
    """(3, H, W) as a pinhole camera with the same K sees it; what lies beyond the picture repeats its border."""
    height, width = image.shape[-2:]
    pinhole = Camera("PINHOLE", camera.image_size, torch.stack([*camera.K.diagonal()[:2], *camera.K[:2, 2]]))
    xy = camera.project(pinhole.unproject(pixel_grid(height, width).to(camera.params))).float()
    return warp_image(image[None], xy.reshape(1, height, width, 2), padding_mode="border")[0]


def _camera_of(path: Path, shape: tuple[int, ...], camera: Camera) -> Camera:
    """The model's camera at the (H, W) of this file. Raises GeometryError if the file shows another picture."""
    size = (shape[1], shape[0])
    if size == camera.image_size:
        return camera
    sx, sy = size[0] / camera.image_size[0], size[1] / camera.image_size[1]
    if abs(sx / sy - 1) > 1e-2:
        raise GeometryError(
            f"{path}: {size[0]}x{size[1]} px, but the model's camera has {camera.image_size[0]}x{camera.image_size[1]} "
            "(cropped, or turned by its EXIF orientation?)"
        )
    return camera.resized(size)


def _model_folder(workspace: Path) -> Path:
    if not workspace.is_dir():
        raise DataError(f"{workspace}: no such folder")
    for name in MODEL_FOLDERS:
        if any((workspace / name / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt")):
            return workspace / name
    raise DataError(f"{workspace}: no COLMAP model in sparse/0, sparse or the folder itself")
