"""Visual localization: pose of held-out images in a map of the others' features.

The map is triangulated from the method's own keypoints and matches with the reference model's poses and cameras; the
queries take no part in it. A query is matched with every database image; there is no retrieval to blame or to praise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from traqpoint.errors import ConfigError, DataError
from traqpoint.evaluation.benchmark import Benchmark
from traqpoint.sfm.config import MappingConfig

if TYPE_CHECKING:
    import numpy as np

    from traqpoint.evaluation.predict import Predictions
    from traqpoint.evaluation.result import Result
    from traqpoint.geometry.camera import Camera
    from traqpoint.inference.pairs import Pair
    from traqpoint.io.colmap_model import ColmapModel
    from traqpoint.progress import Progress


@dataclass(frozen=True)
class Reference:
    """Images whose poses count as true. images: file of every image of the model."""

    name: str
    images: Mapping[str, Path]
    model: ColmapModel


@dataclass(frozen=True)
class Split:
    """Who is in the map and who is asked for. map_pairs: of database images; query_pairs: (query, database image)."""

    database: tuple[str, ...]
    queries: tuple[str, ...]
    map_pairs: tuple[Pair, ...]
    query_pairs: tuple[Pair, ...]


@dataclass(frozen=True, kw_only=True)
class LocalizationBenchmark(Benchmark):
    """Pose of held-out images in a map of the others, at the thresholds of Aachen Day-Night."""

    kind: ClassVar[str] = "localization"

    model: Path
    """COLMAP model with the poses that count as true (SIFT's, mostly: good for SIFT)."""
    images: Path
    """Folder that the model's image names start from."""
    every: int = 8
    """Hold out every so-manyth image in order of names; the seed says where to begin."""
    neighbours: int = 20
    """Match each database image with the so many others that share most points of the model."""
    candidates: int = 20
    """Localize a query in the so many database images that it has most matches with."""
    max_error_px: float = 12.0
    """Reprojection error of an inlier (PoseLib's and COLMAP's default)."""
    metres_per_unit: float | None = None
    """Scale of the model; without it distances and their thresholds are in the model's own unit."""
    limit: int | None = None
    """Only so many images: the one that shares most points with others, and those that share most with it."""
    hloc: bool = False
    """Also write what hloc reads (features, matches, pairs, queries with intrinsics) to OUT/METHOD/hloc."""

    def __post_init__(self) -> None:
        super().__post_init__()
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

    @cached_property
    def data(self) -> Reference:
        from traqpoint.io.colmap_model import read_model
        from traqpoint.sfm.truth import neighbourhood

        model = read_model(self.model)
        if self.limit is not None:
            model = neighbourhood(model, self.limit)
        return Reference(self.images.absolute().parent.name, {name: self.images / name for name in model.images}, model)

    def split(self) -> Split:
        """Every so-manyth image of the reference model becomes a query. Raises DataError for less than 2 + 1."""
        names = list(self.data.model.images)
        queries = tuple(names[self.seed % self.every :: self.every])
        database = tuple(name for name in names if name not in set(queries))
        if not queries or len(database) < 2:
            raise DataError(f"{len(names)} images with every = {self.every} leave {len(database)} for the map")
        pairs = _map_pairs(self.data.model, database, self.neighbours)
        return Split(database, queries, pairs, tuple((query, name) for query in queries for name in database))

    def inputs(self) -> tuple[Mapping[str, Path], Sequence[Pair]]:
        split = self.split()
        return self.data.images, [*split.map_pairs, *split.query_pairs]

    def score(
        self, found: Predictions, variant: str = "", out: Path | None = None, progress: Progress | None = None
    ) -> Result:
        """Localize the held-out images in a map of the others. out: gets the map, and what hloc reads."""
        import numpy as np

        from traqpoint.sfm.hloc_export import export_hloc
        from traqpoint.sfm.verification import true_cameras

        split, model = self.split(), self.data.model
        cameras = true_cameras(self.data.images, model, found.features)
        if self.hloc and out is not None:
            asked = {name: cameras[name] for name in split.queries}
            export_hloc(out / "hloc", found.features, found.matches, split.map_pairs, split.query_pairs, asked)
        points = self._map(found, split, cameras, out)
        rows = []
        for number, query in enumerate(split.queries, start=1):
            candidates = []
            for name in split.database:
                matched = found.pair(query, name) if name in points.images else None
                if matched is not None:
                    candidates.append((matched[2], points.images[name].point3D))
            candidates.sort(key=lambda candidate: len(candidate[0]), reverse=True)
            rows.append(self._localized(found, query, candidates[: self.candidates], points, cameras[query]))
            if progress is not None:
                progress(number, len(split.queries))
        names = ("position", "rotation_deg", "inliers", "correspondences")
        arrays = {name: np.array(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
        return self._result(found, split, points, arrays)

    def draw(self, results: Sequence[Result], folder: Path, title: str) -> None:
        from traqpoint.viz.plots import plot_cumulative_errors

        errors = {result.method: result.arrays["rotation_deg"] for result in results}
        plot_cumulative_errors(errors, folder / "plot.png", 5.0, "rotation error in degrees", title)

    def _map(self, found: Predictions, split: Split, cameras: Mapping[str, Camera], out: Path | None) -> ColmapModel:
        """Points of the database images' keypoints, with the true poses and cameras."""
        from traqpoint.sfm.triangulation import triangulate
        from traqpoint.sfm.verification import build_database

        config = MappingConfig(seed=self.seed, num_threads=1)
        images = {name: self.data.images[name] for name in split.database}
        poses = {name: self.data.model.images[name].cam_from_world for name in split.database}
        with found.workplace(out) as (_, own):
            database = own / "database.db"
            build_database(images, found.features, found.matches, split.map_pairs, database, config, cameras, poses)
            return triangulate(database, poses, own / "map", config)

    def _localized(
        self, found: Predictions, query: str, candidates: Sequence, points: ColmapModel, camera: Camera
    ) -> tuple[float, float, int, int]:
        """Errors of position and rotation (inf for a failure), inliers and correspondences of a query."""
        from traqpoint.geometry.epipolar import angle_between
        from traqpoint.geometry.transforms import invert_rigid
        from traqpoint.sfm.absolute_pose import absolute_pose, correspondences

        if not candidates:
            return math.inf, math.inf, 0, 0
        xy, xyz = correspondences(found.features.read(query), candidates, points)
        pose = absolute_pose(xy, xyz, camera, self.max_error_px, self.seed)
        if pose is None:
            return math.inf, math.inf, 0, len(xy)
        (estimate, inliers), true = pose, self.data.model.images[query].cam_from_world
        apart = (invert_rigid(estimate)[:3, 3] - invert_rigid(true)[:3, 3]).norm()
        rotation = float(angle_between(estimate[:3, :3], true[:3, :3]))
        return float(apart) * (self.metres_per_unit or 1.0), rotation, inliers, len(xy)

    def _result(self, found: Predictions, split: Split, points: ColmapModel, arrays: dict[str, np.ndarray]) -> Result:
        import numpy as np

        from traqpoint import optional
        from traqpoint.evaluation.metrics.localization import recall_stats
        from traqpoint.evaluation.result import Result

        unit = "units" if self.metres_per_unit is None else "m"
        failed, count = int(np.isinf(arrays["position"]).sum()), len(split.queries)
        stats = {
            "queries": float(count),
            **recall_stats(arrays["position"], arrays["rotation_deg"], unit),
            "failed": float(failed),
            "inliers": float(np.mean(arrays["inliers"])),
            "map_points": float(len(points.xyz)),
        }
        notes = list(found.failed)
        if failed:
            notes.append(f"{failed} of {count} queries found no pose; they count as failures")
        if self.metres_per_unit is None:
            notes.append("the scale of the reference model is not known: distances are in its own unit, not in metres")
        names = ("every", "neighbours", "candidates", "max_error_px", "metres_per_unit", "seed")
        poselib, pycolmap = (optional.load(name).__version__ for name in ("poselib", "pycolmap"))
        protocol = {
            **found.protocol,
            "dataset": f"{self.data.name}, {count} queries, {len(split.database)} database images",
            "estimator": f"PoseLib {poselib} absolute pose, {self.max_error_px:g} px",
            "map": f"pycolmap {pycolmap}, verified and triangulated with the true poses",
            "retrieval": "every query with every database image, those with most matches are used",
            **{name: getattr(self, name) for name in names},
        }
        arrays = {"name": np.array(split.queries), **arrays}
        return Result(self.kind, found.method, stats, arrays, protocol, tuple(notes))


def _map_pairs(model: ColmapModel, database: Sequence[str], neighbours: int) -> tuple[Pair, ...]:
    """Each database image with those others that share most points with it."""
    import torch

    from traqpoint.io.colmap_model import shared_points

    place = {name: i for i, name in enumerate(model.images)}
    pairs, count = shared_points(model)
    shared = torch.zeros(len(place), len(place), dtype=torch.int64)
    shared[pairs[:, 0], pairs[:, 1]] = shared[pairs[:, 1], pairs[:, 0]] = count
    among = shared[[place[name] for name in database]][:, [place[name] for name in database]]
    best = among.argsort(dim=1, descending=True, stable=True)[:, :neighbours]
    chosen = {(min(i, j), max(i, j)) for i, row in enumerate(best.tolist()) for j in row if among[i, j]}
    return tuple((database[i], database[j]) for i, j in sorted(chosen))
