"""report.html of a reconstruction: what came out, what did not and why, in one page without network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from traqpoint.apps.environment import environment
from traqpoint.geometry.orientation import stored_xy
from traqpoint.image import read_orientation
from traqpoint.io.colmap_model import ColmapModel, load_reconstruction, model_from_pycolmap
from traqpoint.sfm.diagnosis import Diagnosis, ImageReport
from traqpoint.viz.page import histogram, matrix_picture, thumbnail, write_page
from traqpoint.viz.scene import MAX_POINTS, scene, world_up

THUMBNAILS = 400
"""Of so many images at most: each takes some kilobytes of the page."""
MAX_CELLS = 1000
"""Rows of the picture of pairs, whose size is their square."""
WORST = 12
MAX_LENGTH = 20
MAX_ERROR_PX = 4.0
"""COLMAP leaves observations beyond this out of a model."""
FILES = {
    "sparse/0": "the model, for COLMAP (File, Import model), Meshroom, nerfstudio, splatting",
    "points.ply": "its coloured points, for MeshLab, CloudCompare, Blender",
    "undistorted": "COLMAP's dense workspace: images without distortion",
    "splatting": "nerfstudio's transforms.json, and images and sparse/0 for Gaussian splatting",
    "frames": "the frames of the film",
    "features.h5": "keypoints and descriptors, in hloc's format",
    "matches.h5": "matches, in hloc's format",
    "database.db": "COLMAP's database, with verified matches",
}


@dataclass(frozen=True)
class Account:
    """What a run had and did. images: name -> file. settings: group -> name -> value. seconds: of each step."""

    title: str
    images: Mapping[str, Path]
    settings: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()


def write_report(
    out: Path,
    account: Account,
    verdict: str,
    stats: Mapping[str, float] | None = None,
    model: Path | None = None,
    diagnosis: Diagnosis | None = None,
) -> Path:
    """Write ``report.html`` into `out`. verdict: the result in a sentence. stats: of the mapper, model: the folder of
    the largest one, diagnosis: of the images; each is absent if the run did not come that far.
    """
    names = list(account.images)
    reports = diagnosis.images if diagnosis else [ImageReport(name, None, 0, 0, 0, 0, math.nan) for name in names]
    rows = [_row(report, account.images[report.name], len(names)) for report in reports]
    worst = [row for row in rows if row["reason"]]
    content: dict[str, Any] = {
        "kind": "reconstruction",
        "title": account.title,
        "verdict": verdict,
        "good": model is not None,
        "tiles": _tiles(stats, account.seconds),
        "notes": account.notes,
        "rows": rows,
        "worst": sorted(worst, key=lambda row: row["model"] == "yes")[:WORST],
        "files": [(name, what) for name, what in FILES.items() if (out / name).exists()],
        "settings": told_settings(account.settings, account.seconds),
        "data": {"names": names, "pairs": []},
    }
    if diagnosis is not None:
        place = {name: number for number, name in enumerate(names)}
        ordered = [(*sorted((place[p.a], place[p.b])), p.matches, p.inliers) for p in diagnosis.pairs]
        content["data"]["pairs"] = ordered
        content["matrix"] = matrix_picture(_weights(ordered, len(names))) if ordered else ""
    if model is not None:
        content |= _of_model(model, account.images, diagnosis)
    path = out / "report.html"
    write_page(path, "sfm.html", content)
    return path


def _of_model(folder: Path, images: Mapping[str, Path], diagnosis: Diagnosis | None) -> dict[str, Any]:
    """The three-dimensional view and the charts."""
    model, colours, lengths = coloured_model(folder)
    ups = {name: up_in_file(images[name]) for name in model.images}
    return {
        "scene": scene(model, colours, list(images), world_up(model, ups), _links(model, diagnosis)),
        "scene_note": drawn_note(len(colours)),
        "charts": [_lengths(lengths), _errors(model.errors.numpy())] if len(colours) else [],
    }


def coloured_model(folder: Path) -> tuple[ColmapModel, np.ndarray, np.ndarray]:
    """The model, the colours (P, 3) uint8 of its points and how many images see each, (P,)."""
    reconstruction = load_reconstruction(folder)
    model = model_from_pycolmap(reconstruction, folder)
    points = [reconstruction.points3D[i] for i in model.point_ids.tolist()]
    colours = np.array([point.color for point in points], dtype=np.uint8).reshape(-1, 3)
    # Of images: COLMAP joins what it found twice in one image.
    return model, colours, np.array([len({seen.image_id for seen in point.track.elements}) for point in points])


def drawn_note(points: int) -> str:
    """How many of the points are drawn, where that is not all."""
    return f"{MAX_POINTS} of {points} points are drawn." if points > MAX_POINTS else ""


def _links(model: ColmapModel, diagnosis: Diagnosis | None) -> list[tuple[str, str, float]]:
    known = model.images.keys()
    pairs = [p for p in (diagnosis.pairs if diagnosis else ()) if p.inliers and {p.a, p.b} <= known]
    most = max((pair.inliers for pair in pairs), default=1)
    return [(pair.a, pair.b, math.sqrt(pair.inliers / most)) for pair in pairs]


def _lengths(lengths: np.ndarray) -> dict[str, Any]:
    last = int(min(max(lengths.max(), 3), MAX_LENGTH))
    labels = [str(k) for k in range(2, last + 1)]
    if lengths.max() > last:
        labels[-1] += "+"
    caption = f"Images that see a point: {lengths.mean():.2f} by mean, {lengths.max()} at most."
    return histogram("Track length", lengths, np.arange(2, last + 2), labels, caption)


def _errors(errors: np.ndarray) -> dict[str, Any]:
    known = errors[np.isfinite(errors)]
    if not len(known):
        known = np.zeros(1)
    limit = min(MAX_ERROR_PX, math.ceil(2 * float(np.quantile(known, 0.99))) / 2 or 0.5)
    edges = np.arange(0, limit + 0.05, 0.1)
    caption = f"Pixels between keypoints and points: {known.mean():.2f} by mean, {np.median(known):.2f} by median."
    return histogram("Reprojection error", known, edges, [f"{edge:.1f}" for edge in edges[:-1]], caption)


def _row(report: ImageReport, path: Path, count: int) -> dict[str, Any]:
    side = 240 if count <= 150 else 120
    return {
        "name": report.name,
        "thumbnail": thumbnail(path, side) if count <= THUMBNAILS or report.reason else "",
        "model": "yes" if report.model == 0 else "no" if report.model is None else f"sparse/{report.model}",
        "keypoints": report.keypoints,
        "pairs": report.pairs,
        "inliers": report.inliers,
        "points": report.points,
        "error": "" if math.isnan(report.error_px) else f"{report.error_px:.2f}",
        "reason": report.reason,
    }


def _tiles(stats: Mapping[str, float] | None, seconds: Mapping[str, float]) -> list[tuple[str, str]]:
    tiles = []
    if stats is not None:
        tiles.append(("images registered", f"{stats['registered']:.0f} of {stats['images']:.0f}"))
    if stats is not None and stats["points"]:
        tiles += [
            ("points", f"{stats['points']:.0f}"),
            ("observations per point", f"{stats['mean_track_length']:.2f}"),
            ("reprojection error", f"{stats['reprojection_error_px']:.2f} px"),
            ("pairs that fit", f"{stats['verified_pairs']:.0f}"),
        ]
    total = sum(seconds.values())
    return [*tiles, ("this run", f"{total:.0f} s")] if total else tiles


def told_settings(settings: Mapping[str, Mapping[str, Any]], seconds: Mapping[str, float]) -> dict[str, dict[str, str]]:
    """The end of a page: what was asked for, how long each step took, and by which versions."""
    times = {step: f"{time:.1f} s" for step, time in seconds.items()}
    return {**{name: _flat(group) for name, group in settings.items()}, "times": times, "versions": environment()}


def _flat(group: Mapping[str, Any], name: str = "") -> dict[str, str]:
    """Name -> value of what is set, groups within groups by dotted names."""
    out: dict[str, str] = {}
    for key, value in group.items():
        path = f"{name}.{key}" if name else key
        if isinstance(value, Mapping):
            out |= _flat(value, path)
        elif value is not None and value != []:
            out[path] = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return out


def _weights(pairs: Sequence[tuple[int, ...]], count: int) -> np.ndarray:
    """(N, N) shares of the most inliers of a pair, on a logarithmic scale; N images, or MAX_CELLS groups of them, which
    have their best pair's."""
    cells = min(count, MAX_CELLS)
    weights = np.zeros((cells, cells))
    for a, b, _, inliers in pairs:
        row, column = a * cells // count, b * cells // count
        weights[row, column] = weights[column, row] = max(weights[row, column], math.log1p(inliers))
    return weights / max(weights.max(), 1e-9)


def up_in_file(path: Path) -> np.ndarray:
    """(2,) what is up in the stored image, which EXIF may have turned."""
    top, below = stored_xy(torch.tensor([[0.0, 0.0], [0.0, 1.0]]), read_orientation(path), (1, 1))
    return (top - below).numpy().astype(float)
