"""Visual localization as a benchmark: pose of held-out images in a map of the others' features.

The map is triangulated from the method's own keypoints and matches with the reference model's poses and cameras; the
queries take no part in it. A query is matched with every database image; there is no retrieval to blame or to praise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import ConfigError, DataError
from traqpoint.evaluation.predict import Predictions
from traqpoint.evaluation.result import Result
from traqpoint.geometry.camera import Camera
from traqpoint.geometry.epipolar import angle_between
from traqpoint.geometry.transforms import invert_rigid, rigid
from traqpoint.inference.pairs import Pair
from traqpoint.io.colmap_model import NO_POINT, ColmapModel, shared_points
from traqpoint.progress import Progress
from traqpoint.sfm.config import MappingConfig
from traqpoint.sfm.triangulation import triangulate
from traqpoint.sfm.verification import build_database, true_cameras
from traqpoint.types import Features, Matches

THRESHOLDS = ((0.25, 2.0), (0.5, 5.0), (5.0, 10.0))
"""Metres and degrees, of the Aachen Day-Night benchmark."""


@dataclass(frozen=True, kw_only=True)
class LocalizationConfig:
    """How queries are chosen and localized."""

    every: int = 8
    """Hold out every so-manyth image in order of names; the seed says where to begin."""
    neighbours: int = 20
    """Match each database image with the so many others that share most points of the reference model."""
    candidates: int = 20
    """Localize a query in the so many database images that it has most matches with."""
    max_error_px: float = 12.0
    """Reprojection error of an inlier (PoseLib's and COLMAP's default)."""
    metres_per_unit: float | None = None
    """Scale of the reference model; without it distances and their thresholds are in the model's own unit."""
    seed: int = 0
    """Of the choice of queries, of COLMAP and of PoseLib."""

    def __post_init__(self) -> None:
        if self.every < 2:
            raise ConfigError(f"every must be at least 2, or no image is left for the map; got {self.every}")
        for name in ("neighbours", "candidates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("max_error_px", "metres_per_unit"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"{name} must be positive, got {value}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")


@dataclass(frozen=True)
class Split:
    """Who is in the map and who is asked for. map_pairs: of database images; query_pairs: (query, database image)."""

    database: tuple[str, ...]
    queries: tuple[str, ...]
    map_pairs: tuple[Pair, ...]
    query_pairs: tuple[Pair, ...]


def hold_out(model: ColmapModel, config: LocalizationConfig) -> Split:
    """Every config.every-th image of the reference model becomes a query. Raises DataError for less than 2 + 1."""
    names = list(model.images)
    queries = tuple(names[config.seed % config.every :: config.every])
    database = tuple(name for name in names if name not in set(queries))
    if not queries or len(database) < 2:
        raise DataError(f"{len(names)} images with every = {config.every} leave {len(database)} for the map")
    pairs = _map_pairs(model, database, config.neighbours)
    return Split(database, queries, pairs, tuple((query, name) for query in queries for name in database))


def _map_pairs(model: ColmapModel, database: Sequence[str], neighbours: int) -> tuple[Pair, ...]:
    place = {name: i for i, name in enumerate(model.images)}
    pairs, count = shared_points(model)
    shared = torch.zeros(len(place), len(place), dtype=torch.int64)
    shared[pairs[:, 0], pairs[:, 1]] = shared[pairs[:, 1], pairs[:, 0]] = count
    among = shared[[place[name] for name in database]][:, [place[name] for name in database]]
    best = among.argsort(dim=1, descending=True, stable=True)[:, :neighbours]
    chosen = {(min(i, j), max(i, j)) for i, row in enumerate(best.tolist()) for j in row if among[i, j]}
    return tuple((database[i], database[j]) for i, j in sorted(chosen))


def correspondences(
    query: Features, candidates: Sequence[tuple[Matches, Tensor]], points: ColmapModel
) -> tuple[Tensor, Tensor]:
    """Pixels (M, 2) and 3D points (M, 3), float64, of a query; each keypoint meets each point at most once.

    candidates: matches (query's keypoint, database image's keypoint), and the points (N,) that the latter observe.
    """
    found = [torch.empty(0, 2, dtype=torch.int64)]
    for matches, observed in candidates:
        keypoint, other = matches.indices.cpu().unbind(-1)
        point = observed[other]
        seen = point != NO_POINT
        found.append(torch.stack([keypoint[seen], point[seen]], dim=-1))
    keypoint, point = torch.cat(found).unique(dim=0).unbind(-1)
    return query.keypoints[keypoint].double(), points.xyz[points.rows(point)]


def absolute_pose(
    xy: Tensor, xyz: Tensor, camera: Camera, max_error_px: float, seed: int = 0
) -> tuple[Tensor, int] | None:
    """cam_from_world (4, 4) float64 and its number of inliers, by PoseLib; None if there is none.

    xy (M, 2) pixels, xyz (M, 3) points, with outliers. P3P in LO-RANSAC and a robust refinement.
    """
    if len(xy) < 4:  # three points allow up to four poses
        return None
    width, height = camera.image_size
    description = {"model": camera.model, "width": width, "height": height, "params": camera.params.tolist()}
    options = {"max_reproj_error": max_error_px, "seed": seed}
    pose, info = optional.load("poselib").estimate_absolute_pose(xy.numpy(), xyz.numpy(), description, options, {})
    found = rigid(torch.from_numpy(np.array(pose.R)), torch.from_numpy(np.array(pose.t)))
    if info["num_inliers"] < 4 or not bool(torch.isfinite(found).all()):
        return None
    return found, int(info["num_inliers"])


def recall_stats(position: Tensor, rotation: Tensor, unit: str) -> dict[str, float]:
    """Share of queries within each pair of thresholds, and medians. position, rotation (Q,): inf for a failure."""
    stats = {
        f"recall_{distance:g}{unit}_{angle:g}deg": float(((position <= distance) & (rotation <= angle)).double().mean())
        for distance, angle in THRESHOLDS
    }
    stats[f"position_error_median_{unit}"] = float(np.median(position))
    return {**stats, "rotation_error_median_deg": float(np.median(rotation))}


def evaluate_localization(
    predictions: Predictions,
    images: Mapping[str, Path],
    model: ColmapModel,
    split: Split,
    out: Path,
    dataset: str,
    config: LocalizationConfig,
    progress: Progress | None = None,
) -> Result:
    """Localize the held-out images of the reference model `model` in a map made below `out`.

    predictions: of all images, and of split.map_pairs and split.query_pairs.
    """
    features, matches = predictions.features, predictions.matches
    mapping = MappingConfig(seed=config.seed, num_threads=1)
    cameras = true_cameras(images, model, features)
    mapped = {name: images[name] for name in split.database}
    poses = {name: model.images[name].cam_from_world for name in split.database}
    database = build_database(mapped, features, matches, split.map_pairs, out / "database.db", mapping, cameras, poses)
    points = triangulate(database, poses, out / "map", mapping)
    arrays: dict[str, list[float]] = {key: [] for key in ("position", "rotation_deg", "inliers", "correspondences")}
    for number, query in enumerate(split.queries, start=1):
        candidates = []
        for name in split.database:
            found = predictions.pair(query, name) if name in points.images else None
            if found is not None:
                candidates.append((found[2], points.images[name].point3D))
        candidates.sort(key=lambda candidate: len(candidate[0]), reverse=True)
        position = rotation = math.inf
        xy, inliers = torch.empty(0, 2), 0
        if candidates:
            xy, xyz = correspondences(features.read(query), candidates[: config.candidates], points)
            pose = absolute_pose(xy, xyz, cameras[query], config.max_error_px, config.seed)
            if pose is not None:
                true, inliers = model.images[query].cam_from_world, pose[1]
                centres = torch.stack([invert_rigid(p)[:3, 3] for p in (pose[0], true)])
                position = float((centres[0] - centres[1]).norm()) * (config.metres_per_unit or 1.0)
                rotation = float(angle_between(pose[0][:3, :3], true[:3, :3]))
        for key, value in zip(arrays, (position, rotation, inliers, len(xy)), strict=True):
            arrays[key].append(value)
        if progress is not None:
            progress(number, len(split.queries))
    return _result(predictions, split, points, dataset, config, {k: np.array(v) for k, v in arrays.items()})


def _result(
    predictions: Predictions,
    split: Split,
    points: ColmapModel,
    dataset: str,
    config: LocalizationConfig,
    arrays: dict[str, np.ndarray],
) -> Result:
    unit = "units" if config.metres_per_unit is None else "m"
    position, rotation = (torch.from_numpy(arrays[key]) for key in ("position", "rotation_deg"))
    failed = int(position.isinf().sum())
    stats = {
        "queries": float(len(split.queries)),
        **recall_stats(position, rotation, unit),
        "failed": float(failed),
        "inliers": float(np.mean(arrays["inliers"])),
        "map_points": float(len(points.xyz)),
    }
    notes = list(predictions.failed)
    if failed:
        notes.append(f"{failed} of {len(split.queries)} queries found no pose; they count as failures")
    if config.metres_per_unit is None:
        notes.append("the scale of the reference model is not known: distances are in its own unit, not in metres")
    version = optional.load("poselib").__version__
    protocol = {
        **predictions.protocol,
        "dataset": f"{dataset}, {len(split.queries)} queries, {len(split.database)} database images",
        "estimator": f"PoseLib {version} absolute pose, {config.max_error_px:g} px",
        "map": f"pycolmap {optional.load('pycolmap').__version__}, verified and triangulated with the true poses",
        "retrieval": "every query with every database image, those with most matches are used",
        **asdict(config),
    }
    return Result(
        "localization", predictions.method, stats, {"name": np.array(split.queries), **arrays}, protocol, tuple(notes)
    )
