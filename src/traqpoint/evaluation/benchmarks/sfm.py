"""Structure from motion as a benchmark: what COLMAP makes of a method's features, and how far from the truth it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import DataError
from traqpoint.evaluation.benchmarks.pose import auc, translation_angle_deg
from traqpoint.evaluation.metrics.trajectory import absolute_errors, align
from traqpoint.evaluation.predict import Predictions
from traqpoint.evaluation.result import Result
from traqpoint.geometry.epipolar import angle_between
from traqpoint.geometry.transforms import invert_rigid, quaternion_from_rotation, rotation_from_quaternion
from traqpoint.inference.pairs import Pair
from traqpoint.io.colmap_model import ColmapModel, read_model
from traqpoint.io.strecha import read_strecha
from traqpoint.io.trajectory import Trajectory
from traqpoint.progress import Progress
from traqpoint.sfm.config import MappingConfig
from traqpoint.sfm.mapping import map_database
from traqpoint.sfm.verification import build_database, true_cameras

AUC_DEG = (1, 5, 10)
"""Degrees up to which errors of pairs count."""


@dataclass(frozen=True)
class PoseErrors:
    """Errors per image that both models have.

    names: N. centre: (N,) in the truth's unit, after the similarity that fits the centres best (Umeyama). rotation:
    (N,) degrees, after the rotation of the world that fits the rotations best: cameras in a row, as most are, leave the
    turn about that row nearly open to the similarity, and a few centimetres would read as degrees.
    """

    names: tuple[str, ...]
    centre: Tensor
    rotation: Tensor


def read_truth(folder: str | Path) -> ColmapModel:
    """Known poses: a COLMAP model, or a scene of the Strecha benchmark. Raises FormatError naming what is wrong."""
    folder = Path(folder)
    is_model = any((folder / name).is_file() for name in ("images.bin", "images.txt"))
    return read_model(folder) if is_model or not (folder / "cameras.txt").is_file() else read_strecha(folder)


def pose_errors(model: ColmapModel, truth: ColmapModel) -> PoseErrors | None:
    """How far the images of `model` are from their true places; None if fewer than 3 are in both: nothing to align."""
    names = tuple(name for name in model.images if name in truth.images)
    if len(names) < 3:
        return None
    estimate, reference = (_trajectory(m, names) for m in (model, truth))
    centre = absolute_errors(align(estimate, reference, "sim3"), reference)
    R, R_true = (path.cam_from_world[:, :3, :3] for path in (estimate, reference))
    return PoseErrors(names, centre, angle_between(R @ _world_rotation(R, R_true), R_true))


def _world_rotation(R: Tensor, R_true: Tensor) -> Tensor:
    """The rotation X (3, 3) for which R @ X is nearest to R_true, both (N, 3, 3), in the sum of squared differences."""
    return rotation_from_quaternion(quaternion_from_rotation((R.transpose(-1, -2) @ R_true).sum(0)))


def pair_errors_deg(model: ColmapModel | None, truth: ColmapModel, names: Sequence[str]) -> Tensor:
    """(M,) the larger of rotation and translation-direction error of every two of the images, without alignment.

    inf if one of them is not registered; pairs without a baseline are left out.
    """
    lost = torch.full((4, 4), torch.nan, dtype=torch.float64)
    known = {} if model is None else model.images
    poses = torch.stack([known[name].cam_from_world if name in known else lost for name in names])
    true = torch.stack([truth.images[name].cam_from_world for name in names])
    first, second = torch.triu_indices(len(true), len(true), offset=1)
    found, right = (x[second] @ invert_rigid(x[first]) for x in (poses, true))
    rotation = angle_between(found[:, :3, :3], right[:, :3, :3])
    errors = torch.maximum(rotation, translation_angle_deg(found[:, :3, 3], right[:, :3, 3]))
    return errors.nan_to_num(nan=math.inf)[right[:, :3, 3].norm(dim=-1) > 0]


def _trajectory(model: ColmapModel, names: Sequence[str]) -> Trajectory:
    poses = torch.stack([model.images[name].cam_from_world for name in names])
    return Trajectory(torch.arange(len(names), dtype=torch.float64), poses)


def evaluate_sfm(
    predictions: Predictions,
    images: Mapping[str, Path],
    pairs: Sequence[Pair],
    out: Path,
    dataset: str,
    database: Path,
    config: MappingConfig | None = None,
    truth: ColmapModel | None = None,
    known_cameras: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Map the predictions below `out`, and compare with the truth if there is one.

    database: where the verified matches go; mappers may share it. known_cameras: give the truth's calibration to COLMAP
    and keep it, instead of having it estimated. Images that are not registered lower `registered_share`, and are in no
    error: read both together. Raises DataError if known_cameras lacks the truth, or the truth lacks an image.
    """
    config = config or MappingConfig()
    posed = [name for name in images if truth is not None and name in truth.images]
    if truth is not None and not posed:
        raise DataError(
            f"the truth has no pose of any image: it knows {next(iter(truth.images), 'none')!r}, and "
            f"the images are called {next(iter(images), 'nothing')!r}"
        )
    cameras = None
    if known_cameras:
        if truth is None:
            raise DataError("known cameras need a truth to take them from")
        cameras = true_cameras(images, truth, predictions.features)
    build_database(images, predictions.features, predictions.matches, pairs, database, config, cameras)
    found = map_database(database, images, out, config, known_cameras, progress=progress)
    stats = {**found.stats, "registered_share": found.stats["registered"] / len(images)}
    arrays: dict[str, np.ndarray] = {}
    notes = [*predictions.failed, *found.notes]
    model = found.model()
    if truth is not None:
        errors = None if model is None else pose_errors(model, truth)
        if errors is None:
            notes.append("fewer than 3 images with a true pose are registered: no errors against the truth")
        stats |= _error_stats(errors)
        pairwise = pair_errors_deg(model, truth, posed)
        areas = auc(pairwise.numpy(), AUC_DEG) if len(pairwise) else [math.nan] * len(AUC_DEG)
        stats |= {f"auc_{limit}": area for limit, area in zip(AUC_DEG, areas, strict=True)}
        if errors is not None:
            arrays = {"name": np.array(errors.names), "centre_error": errors.centre.numpy()}
            arrays["rotation_error_deg"] = errors.rotation.numpy()
    protocol = {
        **predictions.protocol,
        "dataset": f"{dataset}, {len(images)} images",
        "pairs": len(pairs),
        **_mapping_protocol(config),
    }
    protocol["cameras"] = "known" if known_cameras else config.cameras
    if truth is not None:
        protocol["alignment"] = "least squares: similarity of the camera centres, rotation of the camera rotations"
    return Result("sfm", predictions.method, stats, arrays, protocol, tuple(notes))


def _mapping_protocol(config: MappingConfig) -> dict[str, Any]:
    version = optional.load("pycolmap").__version__
    return {"estimator": f"pycolmap {version} {config.mapper} mapper, defaults", **asdict(config)}


def _error_stats(errors: PoseErrors | None) -> dict[str, float]:
    """Median, mean and maximum of both errors."""
    out = {}
    for key, unit in (("centre", ""), ("rotation", "_deg")):
        values = torch.tensor([math.nan]) if errors is None else getattr(errors, key)
        for name, value in (("median", values.median()), ("mean", values.mean()), ("max", values.max())):
            out[f"{key}_error_{name}{unit}"] = float(value)
    return out
