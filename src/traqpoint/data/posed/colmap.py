"""COLMAP workspaces as training sequences: with stereo depth where there is some, else by their sparse tracks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from traqpoint.data.config import DataConfig
from traqpoint.data.mixture import Mixture
from traqpoint.data.posed.config import RADIUS_PX, ColmapConfig
from traqpoint.data.posed.frames import PosedSet, stack_cameras, stack_geometry
from traqpoint.data.posed.sequences import PosedSequences
from traqpoint.data.source import needs
from traqpoint.errors import DataError, GeometryError
from traqpoint.geometry.camera import Camera, fit_camera
from traqpoint.geometry.depth import sample_depth
from traqpoint.geometry.pixels import inside
from traqpoint.geometry.sparse import SparseGeometry, nearest_observation
from traqpoint.geometry.transforms import check_rigid
from traqpoint.geometry.undistort import undistort
from traqpoint.image import read_image, to_tensor
from traqpoint.io.colmap_depth import read_depth_map
from traqpoint.io.colmap_model import NO_POINT, ColmapModel, ModelImage, read_model, shared_points
from traqpoint.types import Device, Frame, Geometry, Observations

MODEL_FOLDERS = ("sparse/0", "sparse", ".")
"""Where a workspace keeps its model: automatic reconstruction and mapper, image undistorter, the folder itself."""
DEPTH_SUFFIXES = (".geometric.bin", ".photometric.bin")
"""Of the stereo's depth maps; the first is filtered by consistency between the views."""

MAX_DEPTH_RATIO = 3.0
"""Median factor between an image's depth map and its points beyond which they are of different reconstructions."""


class ColmapSet(PosedSet):
    """One workspace: with stereo depth where it has some, else with the points that its images observe as the truth.

    Frames are pinhole images: distorted ones are resampled with the same K and size. radius_px: see ColmapConfig.
    Raises FormatError for an unreadable model, DataError for one without images or points and if no image is there,
    GeometryError for a broken pose. Images that are missing are left out, with one warning that counts them.
    """

    def __init__(self, workspace: str | Path, images: str | Path | None = None, radius_px: float = RADIUS_PX) -> None:
        workspace = Path(workspace)
        self.radius_px = radius_px
        self.name = str(workspace)
        model = read_model(_model_folder(workspace))
        if not len(model.point_ids):
            raise DataError(f"{workspace}: the model has no 3D points, nothing tells which images see the same")
        self._folder = Path(images) if images is not None else workspace / "images"
        depth_maps = workspace / "stereo" / "depth_maps"
        self._depth_maps = depth_maps if depth_maps.is_dir() and any(depth_maps.rglob("*.bin")) else None
        self._model = self._present(model)
        self._views = list(self._model.images.values())
        self.names = [view.name for view in self._views]
        self._common = common_points(self._model)
        if not self.has_depth:
            self.truth = f"triangulated points within {radius_px} px"

    @property
    def has_depth(self) -> bool:
        """Whether frames come with the stereo's depth."""
        return self._depth_maps is not None

    def shares(self, source: int) -> Tensor:
        """(len(self),) share of the source's points that each frame observes too."""
        common = self._common[source]
        return common / common[source].clamp(min=1)

    def overlap(self, source: int, target: int) -> float:
        return float(self.shares(source)[target])

    def candidates(self, source: int, band: tuple[float, float]) -> list[int]:
        """Those of the overlap asked for: in a large model most frames have nothing in common."""
        shares = self.shares(source)
        return [i for i in super().candidates(source, band) if band[0] <= shares[i] <= band[1]]

    def geometry(self, batch: Sequence[Sequence[Frame]]) -> Geometry:
        return stack_geometry(batch) if self.has_depth else stack_tracks(batch, self.radius_px)

    def frame(self, index: int) -> Frame:
        view = self._views[index]
        path = self._folder / view.name
        image = to_tensor(read_image(path), str(path))
        camera = _camera_of(path, image, view.camera)
        depth = None
        if self._depth_maps is not None:
            depth, camera = self._depth(self._depth_maps, view)
            image = F.interpolate(image[None], size=depth.shape, mode="bilinear", antialias=True)[0]
        else:
            image, _ = undistort(image, camera)
        pose = view.cam_from_world
        rays = view.camera.unproject(view.xy[view.point3D != NO_POINT])
        points = self._model.rows(_observed(view))
        z = self._model.xyz[points] @ pose[2, :3] + pose[2, 3]
        if depth is not None:
            self._check_unit(view.name, depth, (rays @ camera.K.to(rays).T)[:, :2], z)
        return Frame(image, camera.K, pose, depth, Observations(rays, points, z))

    def _depth(self, folder: Path, view: ModelImage) -> tuple[Tensor, Camera]:
        """The image's depth map and the camera at its size: stereo works on images of a limited size."""
        if view.camera.distorted:
            raise GeometryError(
                f"{self.name}: {view.name} has a distorted {view.camera.model} camera, but its depth map belongs to "
                "the undistorted image: give the folder that COLMAP's image_undistorter wrote"
            )
        paths = [folder / f"{view.name}{suffix}" for suffix in DEPTH_SUFFIXES]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise DataError(f"{paths[0]}: no depth map of this image")
        depth = read_depth_map(path)
        return depth, _camera_of(path, depth, view.camera)

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


def colmap_sequences(config: ColmapConfig, device: Device = "cpu") -> Mixture:
    """Sequences from all of config.workspaces, in proportion to their images."""
    sets = [ColmapSet(workspace, config.images, config.radius_px) for workspace in config.workspaces]
    kinds = [s for s in sets if s.has_depth], [s for s in sets if not s.has_depth]
    return Mixture([(PosedSequences(kind, config, device), float(sum(map(len, kind)))) for kind in kinds if kind])


@needs("colmap.workspaces")
def build(data: DataConfig, device: Device) -> Mixture:
    """The source ``colmap`` of a mixture."""
    return colmap_sequences(data.colmap, device)


def stack_tracks(batch: Sequence[Sequence[Frame]], radius: float) -> SparseGeometry:
    """B sequences of T frames of one size -> their SparseGeometry; see ColmapConfig.radius_px.

    Raises GeometryError if a frame does not say what it observes.
    """
    K, poses = stack_cameras(batch)
    height, width = batch[0][0].image.shape[-2:]
    maps, depths, tables = [], [], []
    for frames in batch:
        seen = [frame.observations for frame in frames if frame.observations is not None]
        if len(seen) < len(frames):
            raise GeometryError("a frame observes no triangulated points: it is not of a reconstruction")
        ids, local = torch.cat([o.points for o in seen]).unique(return_inverse=True)
        observed = torch.zeros(len(frames), len(ids), dtype=torch.bool)
        split = local.split([len(o.points) for o in seen])
        for t, (frame, o, points) in enumerate(zip(frames, seen, split, strict=True)):
            observed[t, points] = True
            xy = (o.rays @ frame.K.to(o.rays).T)[:, :2]
            shown = inside(xy, width, height) & (o.z > 0)
            nearest = nearest_observation(xy[shown], radius, height, width)
            # One row more: index -1, a pixel without an observation, reads it.
            maps.append(torch.cat([points[shown], points.new_tensor([-1])])[nearest])
            depths.append(torch.cat([o.z[shown], o.z.new_tensor([torch.nan])])[nearest].float())
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


def _camera_of(path: Path, map: Tensor, camera: Camera) -> Camera:
    """The camera at the size of a file's map (..., H, W). Raises GeometryError if the file shows another picture."""
    return fit_camera(camera, (map.shape[-1], map.shape[-2]), str(path))


def _model_folder(workspace: Path) -> Path:
    if not workspace.is_dir():
        raise DataError(f"{workspace}: no such folder")
    for name in MODEL_FOLDERS:
        if any((workspace / name / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt")):
            return workspace / name
    raise DataError(f"{workspace}: no COLMAP model in sparse/0, sparse or the folder itself")
