"""Why images are, or are not, in a model: what each of them has, and what is wrong with all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from traqpoint import optional
from traqpoint.io.colmap_model import NO_POINT, ColmapModel, ModelImage
from traqpoint.sfm.verification import CACHED_IMAGES

FEW_KEYPOINTS = 50
STILL = 0.002
"""Median motion of matches, as a share of the image's longer side, below which the camera stood still: 3 px of 1600."""
MOST = 0.8
"""Share of pairs by which all are judged."""
FLAT_KINDS = ("PLANAR", "PANORAMIC", "PLANAR_OR_PANORAMIC")
"""COLMAP's names of pairs that one homography explains."""
MIN_ANGLE_DEG = 2.0
"""Between the rays of a point, by median, below which a model's depth is mostly noise."""
MIN_INLIERS = 100
"""COLMAP's mapper begins with no pair of fewer inliers."""


@dataclass(frozen=True)
class PairReport:
    """Two images by name: their matches, and how many of these agree with one motion. kind: COLMAP's name of it.

    motion: median distance of these matches' keypoints, as a share of the longer side; NaN without any.
    """

    a: str
    b: str
    matches: int
    inliers: int
    kind: str
    motion: float


@dataclass(frozen=True)
class ImageReport:
    """One image. model: the number of its model, None if it is in none. pairs: images that it fits. inliers: matches
    with the one that it fits best. points: of its model, that it observes; error_px: their mean error, NaN for none.
    reason: what is wrong with it, empty if nothing is.
    """

    name: str
    model: int | None
    keypoints: int
    pairs: int
    inliers: int
    points: int
    error_px: float
    reason: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """images: all, in order. pairs: all that were matched. findings: what is wrong with all, a line each."""

    images: tuple[ImageReport, ...]
    pairs: tuple[PairReport, ...]
    findings: tuple[str, ...]


def diagnose(
    names: Sequence[str], database: Path, models: Sequence[ColmapModel], failed: Mapping[str, str] | None = None
) -> Diagnosis:
    """What `build_database` and the mapper made of the images. models: the largest first. failed: name -> why an image
    could not be used."""
    counts, pairs = _read(database)
    pairs_of: defaultdict[str, list[PairReport]] = defaultdict(list)
    for pair in pairs:
        pairs_of[pair.a].append(pair)
        pairs_of[pair.b].append(pair)
    of_model = {name: i for i, model in reversed(list(enumerate(models))) for name in model.images}
    images = []
    for name in names:
        number = of_model.get(name)
        points, error = (0, float("nan")) if number is None else _observations(models[number], name)
        inliers = [pair.inliers for pair in pairs_of[name] if pair.inliers]
        best = max(inliers, default=0)
        images.append(ImageReport(name, number, counts.get(name, 0), len(inliers), best, points, error))
    findings = _findings(list(counts.values()), pairs, models)
    largest = _Largest.of(images)
    told = [replace(image, reason=_reason(image, pairs_of[image.name], largest, failed or {})) for image in images]
    return Diagnosis(tuple(told), tuple(pairs), tuple(findings))


@dataclass(frozen=True)
class _Largest:
    """What is usual in the largest model: its images, and medians over them, NaN without."""

    names: frozenset[str]
    error_px: float
    points: float

    @classmethod
    def of(cls, images: Sequence[ImageReport]) -> _Largest:
        inside = [image for image in images if image.model == 0]
        error, points = (
            float(np.median([getattr(image, key) for image in inside])) if inside else float("nan")
            for key in ("error_px", "points")
        )
        return cls(frozenset(image.name for image in inside), error, points)


def _read(database: Path) -> tuple[dict[str, int], list[PairReport]]:
    """Keypoints by image, and all matched pairs."""
    pycolmap = optional.load("pycolmap")
    with closing(pycolmap.Database.open(database)) as db:
        images = {image.image_id: image for image in db.read_all_images()}
        xy = lru_cache(CACHED_IMAGES)(lambda i: db.read_keypoints(i)[:, :2])
        cameras = {camera.camera_id: camera for camera in db.read_all_cameras()}
        pairs = []
        for pair, count in zip(*db.read_num_matches(), strict=True):
            a, b = pycolmap.pair_id_to_image_pair(pair)
            camera = cameras[images[a].camera_id]
            names = images[a].name, images[b].name
            verified = db.read_two_view_geometry(a, b) if db.exists_two_view_geometry(a, b) else None
            pairs.append(_pair(names, count, verified, xy(a), xy(b), max(camera.width, camera.height)))
        return {image.name: db.num_keypoints_for_image(i) for i, image in images.items()}, pairs


def _pair(
    names: tuple[str, str], matches: int, geometry: Any, xy_a: np.ndarray, xy_b: np.ndarray, side: int
) -> PairReport:
    inliers = np.zeros((0, 2), dtype=int) if geometry is None else np.asarray(geometry.inlier_matches).reshape(-1, 2)
    if not len(inliers):
        return PairReport(*names, matches, 0, "", float("nan"))
    kind = optional.load("pycolmap").TwoViewGeometryConfiguration(geometry.config).name
    motion = np.median(np.linalg.norm(xy_a[inliers[:, 0]] - xy_b[inliers[:, 1]], axis=1)) / side
    return PairReport(*names, matches, len(inliers), kind, float(motion))


def _observations(model: ColmapModel, name: str) -> tuple[int, float]:
    image = model.images[name]
    errors = reprojection_errors(model, image)
    return len(errors), float(errors.mean()) if len(errors) else float("nan")


def reprojection_errors(model: ColmapModel, image: ModelImage) -> np.ndarray:
    """(K,) pixels between the keypoints of an image and the points that they observe."""
    seen = image.point3D != NO_POINT
    xyz = model.xyz[model.rows(image.point3D[seen])]
    pose = image.cam_from_world
    return (image.camera.project(xyz @ pose[:3, :3].T + pose[:3, 3]) - image.xy[seen]).norm(dim=-1).numpy()


def ray_angles_deg(model: ColmapModel) -> np.ndarray:
    """(P,) about the widest angle between rays of a point: twice the largest from their mean direction."""
    total, largest = np.zeros((len(model.xyz), 3)), np.zeros(len(model.xyz))
    rays = []
    for image in model.images.values():
        rows = model.rows(image.point3D[image.point3D != NO_POINT]).numpy()
        R, t = image.cam_from_world[:3, :3].numpy(), image.cam_from_world[:3, 3].numpy()
        ray = -R.T @ t - model.xyz[rows].numpy()
        ray /= np.linalg.norm(ray, axis=1, keepdims=True)
        np.add.at(total, rows, ray)
        rays.append((rows, ray))
    mean = total / np.linalg.norm(total, axis=1, keepdims=True).clip(1e-12)
    for rows, ray in rays:
        np.maximum.at(largest, rows, np.arccos((ray * mean[rows]).sum(axis=1).clip(-1, 1)))
    return 2 * np.degrees(largest)


def _findings(counts: Sequence[int], pairs: Sequence[PairReport], models: Sequence[ColmapModel]) -> list[str]:
    fitting = [pair for pair in pairs if pair.inliers]
    if max(counts, default=0) < FEW_KEYPOINTS:
        return [f"no image has {FEW_KEYPOINTS} keypoints: flat, dark or blurred pictures, or masks that leave little"]
    if not fitting:
        most = max((pair.matches for pair in pairs), default=0)
        return [
            f"of {len(pairs)} pairs of images none agrees on one motion: they show different things, or too little "
            f"of the same (at most {most} matches)"
        ]
    if sum(pair.motion < STILL for pair in fitting) > MOST * len(fitting):
        return ["the camera stood still: matches of most pairs hardly move; a model needs views from several places"]
    if sum(pair.kind in FLAT_KINDS for pair in fitting) > MOST * len(fitting):
        then = "then this model is wrong" if models else "then there is no model"
        return [f"one homography explains most pairs: the camera only turned, and {then}, or what it saw is flat"]
    angle = float(np.median(ray_angles_deg(models[0]))) if models and len(models[0].xyz) else None
    if angle is not None and angle < MIN_ANGLE_DEG:
        return [
            f"the views are from nearly one place: a point's rays meet at {angle:.1f} degrees by median, so depths are "
            "hardly known"
        ]
    if not models:
        best = max(fitting, key=lambda pair: pair.inliers)
        why = f"a beginning needs {MIN_INLIERS}" if best.inliers < MIN_INLIERS else "a calibration may help"
        return [f"no beginning of a model: the best pair, {best.a} and {best.b}, has {best.inliers} matches; {why}"]
    return []


def _reason(image: ImageReport, pairs: Sequence[PairReport], largest: _Largest, failed: Mapping[str, str]) -> str:
    """pairs: those of the image."""
    if image.name in failed:
        return failed[image.name]
    if image.model is None:
        return _missing(image, pairs, largest)
    if image.model > 0:
        return f"in a model of its own, sparse/{image.model}: too little in common with the largest"
    if image.error_px > max(1.0, 1.8 * largest.error_px):
        return f"high error: {image.error_px:.2f} px where {largest.error_px:.2f} is usual (blur, motion, another lens)"
    if image.points < 0.25 * largest.points:
        usual = f"{largest.points:.0f} are usual"
        return f"few points: {image.points} where {usual} (little overlap, or hardly any texture)"
    return ""


def _missing(image: ImageReport, pairs: Sequence[PairReport], largest: _Largest) -> str:
    if image.keypoints < FEW_KEYPOINTS:
        return f"only {image.keypoints} keypoints: flat, dark or blurred, or the mask leaves little"
    if not pairs:
        return "fits no other image: no matches at all"
    if not image.pairs:
        best = max(pairs, key=lambda pair: pair.matches)
        other = best.b if best.a == image.name else best.a
        return f"fits no other image: {best.matches} matches at most, with {other}, and they do not agree on a motion"
    fits = [pair for pair in pairs if pair.inliers and largest.names & {pair.a, pair.b}]
    if not largest.names:
        return f"fits {image.pairs} others, of which no model could be begun"
    if not fits:
        return f"fits only images that are not in the model either ({image.pairs})"
    best = max(fits, key=lambda pair: pair.inliers)
    other = best.b if best.a == image.name else best.a
    return f"not registered: {best.inliers} matches with {other} at best, and too few of them are points of the model"
