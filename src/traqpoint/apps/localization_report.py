"""report.html of a localization: queries among the cameras of the map, each with what it rests on, or why it failed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from traqpoint.apps.report import THUMBNAILS, coloured_model, drawn_note, told_settings
from traqpoint.io.colmap_model import ColmapModel, ModelImage
from traqpoint.sfm.localization import Localization, Located
from traqpoint.viz.page import histogram, thumbnail, write_page
from traqpoint.viz.scene import scene, world_up

FILES = {
    "poses.txt": "a line per query: name qw qx qy qz tx ty tz, cam_from_world, as hloc has it",
    "poses.json": "the same with inliers, cameras and covariances, and why others have no pose",
    "features.h5": "keypoints and descriptors of the queries, in hloc's format",
    "map.h5": "those of the map's images, found anew",
    "matches.h5": "matches of query/NAME and map/NAME, in hloc's format",
}
_NONE = torch.empty(0, dtype=torch.int64)


def write_localization_report(
    out: Path,
    folder: Path,
    queries: Mapping[str, Path],
    told: Localization,
    settings: Mapping[str, Mapping[str, Any]],
    seconds: Mapping[str, float],
) -> Path:
    """Write ``report.html`` into `out`. folder: of the model. queries: name -> file."""
    model, colours, _ = coloured_model(folder)
    up = world_up(model, {})
    places = list(told.located.values())
    # As the scene has one name per camera, and a query may be called as an image of the map.
    asked = {name: f"query: {name}" for name in queries}
    seen = {asked[name]: _image(place, asked[name]) for name, place in told.located.items()}
    together = ColmapModel({**model.images, **seen}, model.point_ids, model.xyz, model.errors)
    links = [(asked[name], near, 1.0) for name, near in told.nearest.items()]
    content = {
        "kind": "localization",
        "title": f"{len(queries)} queries in {_title(folder)}",
        "verdict": _verdict(told, len(queries)),
        "good": bool(places),
        "tiles": _tiles(model, places, len(queries), seconds),
        "notes": told.notes,
        "scene": scene(together, colours, list(asked.values()), up, links, set(seen)),
        "scene_note": f"Orange cameras are queries. {drawn_note(len(colours))}",
        "charts": _charts(places) if places else [],
        "rows": [_row(name, path, told, len(queries)) for name, path in queries.items()],
        "files": [(name, what) for name, what in FILES.items() if (out / name).exists()],
        "settings": told_settings(settings, seconds),
    }
    path = out / "report.html"
    write_page(path, "localization.html", content)
    return path


def _image(place: Located, name: str) -> ModelImage:
    return ModelImage(name, place.guess.camera, place.cam_from_world, torch.empty(0, 2, dtype=torch.float64), _NONE)


def _title(folder: Path) -> str:
    """Of a model in PLACE/sparse/0, PLACE."""
    names = [part for part in folder.absolute().parts if part not in ("sparse", "0")]
    return names[-1]


def _verdict(told: Localization, count: int) -> str:
    found = len(told.located)
    if not found:
        return f"No query was located: {next(iter(told.failed.values()), 'there are none')}."
    return f"All {count} queries are located." if found == count else f"{found} of {count} queries are located."


def _tiles(
    model: ColmapModel, places: list[Located], count: int, seconds: Mapping[str, float]
) -> list[tuple[str, str]]:
    tiles = [
        ("queries located", f"{len(places)} of {count}"),
        ("images of the map", str(len(model.images))),
        ("points of the map", str(len(model.xyz))),
    ]
    if places:
        tiles += [
            ("inliers, by median", f"{np.median([place.inliers for place in places]):.0f}"),
            ("reprojection error", f"{np.median([place.error_px for place in places]):.2f} px"),
        ]
    total = sum(seconds.values())
    return [*tiles, ("this run", f"{total:.0f} s")] if total else tiles


def _charts(places: list[Located]) -> list[dict[str, Any]]:
    inliers = np.array([place.inliers for place in places])
    step = max(1, math.ceil(int(inliers.max()) / 20 / 10) * 10)
    edges = np.arange(0, inliers.max() + step + 1, step)
    caption = f"Matches that agree with a query's pose: {inliers.min()} at least, {np.median(inliers):.0f} by median."
    errors = np.array([place.error_px for place in places])
    error_edges = np.linspace(0, math.ceil(errors.max() * 2) / 2 or 0.5, 21)
    error_caption = f"Pixels between a query's keypoints and points, by median: {np.median(errors):.2f} of all queries."
    labels = [f"{edge:.2g}" for edge in error_edges[:-1]]
    return [
        histogram("Inliers", inliers, edges, [str(edge) for edge in edges[:-1]], caption),
        histogram("Reprojection error", errors, error_edges, labels, error_caption),
    ]


def _row(name: str, path: Path, told: Localization, count: int) -> dict[str, Any]:
    picture = thumbnail(path, 240 if count <= 150 else 120) if count <= THUMBNAILS or name in told.failed else ""
    row: dict[str, Any] = {"name": name, "thumbnail": picture, "located": "no", "reason": told.failed.get(name, "")}
    if name not in told.located:
        return row
    place = told.located[name]
    return {
        **row,
        "located": "yes",
        "inliers": place.inliers,
        "correspondences": place.correspondences,
        "error": f"{place.error_px:.2f}",
        "position": f"{place.position_sigma:.2g}",
        "rotation": f"{place.rotation_sigma_deg:.2g}",
        "focal": f"{float(place.guess.camera.K[0, 0]):.0f}",
        "source": place.guess.source,
        "nearest": told.nearest[name],
    }
