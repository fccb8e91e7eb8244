"""How far is a reconstruction's every camera from its true place?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from traqpoint.evaluation.metrics.pose import translation_angle_deg
from traqpoint.evaluation.metrics.trajectory import absolute_errors, align
from traqpoint.geometry.epipolar import angle_between
from traqpoint.geometry.transforms import invert_rigid, quaternion_from_rotation, rotation_from_quaternion
from traqpoint.io.colmap_model import ColmapModel
from traqpoint.io.trajectory import Trajectory


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


def error_stats(errors: PoseErrors | None) -> dict[str, float]:
    """Median, mean and maximum of both errors; NaN if there are none."""
    out = {}
    for key, unit in (("centre", ""), ("rotation", "_deg")):
        values = torch.tensor([math.nan]) if errors is None else getattr(errors, key)
        for name, value in (("median", values.median()), ("mean", values.mean()), ("max", values.max())):
            out[f"{key}_error_{name}{unit}"] = float(value)
    return out
