"""Where photographs were taken, in a model that exists: extract, match with what looks alike, pose; resumably."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from traqpoint.apps.localization_report import write_localization_report
from traqpoint.apps.map_features import features_of_map, model_folder
from traqpoint.errors import DataError, GeometryError
from traqpoint.files import claim, locked, plain, read_settings, write_json
from traqpoint.geometry.camera import Camera
from traqpoint.inference.global_descriptors import most_alike
from traqpoint.inference.images import Images, name_images
from traqpoint.inference.pipeline import extract_folder, match_into
from traqpoint.inference.settings import describe_extractor, settings_path
from traqpoint.io.calibration import read_calibration
from traqpoint.io.colmap_model import NO_POINT, ColmapModel, read_model
from traqpoint.io.joined import JoinedFeatures
from traqpoint.io.poses import write_poses
from traqpoint.io.stores import FORMATS, FeatureStore, MatchStore, open_features
from traqpoint.matching.config import MatcherConfig
from traqpoint.matching.run import build_matcher
from traqpoint.progress import Bar, Progress, no_bar, timed
from traqpoint.sfm.config import MATCHER, LocalizeConfig
from traqpoint.sfm.localization import Localization, Located, locate
from traqpoint.sfm.query_camera import guesses
from traqpoint.sfm.reference import Reference, content_of, reference
from traqpoint.types import Features


def localize(
    model: str | Path,
    queries: Images,
    out: str | Path,
    extractor: Callable[[np.ndarray], Features],
    images: str | Path | None = None,
    matcher: MatcherConfig | None = None,
    config: LocalizeConfig | None = None,
    overwrite: bool = False,
    bar: Bar = no_bar,
) -> Localization:
    """Write poses.txt (hloc's format), poses.json (with inliers, cameras and covariances) and report.html into `out`.

    model: a COLMAP model, or the folder that sfm wrote, whose features are used where they are of the same weights;
    else features of the model's images, below `images` (by default where the model says, or beside it), are found
    anew. Beside the results: features.h5 of the queries, map.h5, matches.h5. matcher: by default `sfm.config.MATCHER`.
    Raises FormatError for no model, DataError for no image of it, GeometryError for a calibration that does not fit,
    ConfigError if `out` holds results of other settings, and `overwrite` is not set.
    """
    config, matcher, out, seconds = config or LocalizeConfig(), matcher or MATCHER, Path(out), dict[str, float]()
    match, bar = build_matcher(matcher), timed(bar, seconds)
    folder = model_folder(Path(model))
    known = read_model(folder)
    if not known.images or not len(known.xyz):
        raise DataError(f"{folder}: a model without {'points' if known.images else 'images'} locates nothing")
    named = dict(name_images(queries))
    device = getattr(extractor, "device", "cpu")
    with locked(out):
        map_path, notes = features_of_map(known, folder, out, extractor, images, overwrite, bar)
        with bar("extract") as progress:
            extraction = extract_folder(named, out / "features.h5", extractor, overwrite=overwrite, progress=progress)
        if not (extraction.done or extraction.skipped):
            raise DataError(f"none of {len(named)} queries can be used: {extraction.failed[0]}")
        with _opened(out, map_path, known, matcher, overwrite) as (mapped, asked, matches):
            world = reference(known, mapped)
            if not world.observed:
                raise DataError(f"{map_path}: no features of any of the model's {len(known.images)} images")
            pairs = _pairs(asked, [name for name in named if name in asked], world, config)
            both = JoinedFeatures({"query": asked, "map": mapped})
            joined = [(f"query/{query}", f"map/{name}") for query, names in pairs.items() for name in names]
            with bar("match") as progress:
                if joined:
                    notes += match_into(matches, both, joined, match, device, overwrite, progress).failed
            with bar("localize") as progress:
                found = _located(world, asked, matches, pairs, named, config, progress)
        unusable = {name: extraction.why(name, path) for name, path in named.items() if name not in pairs}
        told = Localization(found.located, unusable | dict(found.failed), found.nearest, notes)
        write_poses(out / "poses.txt", {name: place.cam_from_world for name, place in told.located.items()})
        write_json(out / "poses.json", {name: _as_json(name, told) for name in named})
        features = {"features": describe_extractor(extractor)} if hasattr(extractor, "config") else {}
        settings = {**features, "matching": matcher.described(), "localization": plain(asdict(config))}
        write_localization_report(out, folder, named, told, settings, seconds)
    return told


@contextmanager
def _opened(
    out: Path, map_path: Path, model: ColmapModel, matcher: MatcherConfig, overwrite: bool
) -> Iterator[tuple[FeatureStore, FeatureStore, MatchStore]]:
    """Features of the map, of the queries, and matches of both, which belong to this map and these settings."""
    settings = {
        "verb": "localize",
        "map": content_of(model),
        "matcher": matcher.described(),
        "features": read_settings(settings_path(out / "features.h5")),
        "map_features": read_settings(settings_path(map_path)),
    }
    with (
        closing(open_features(map_path)) as mapped,
        closing(open_features(out / "features.h5")) as asked,
        closing(FORMATS["hloc"].matches(out / "matches.h5", "a")) as matches,
    ):
        claim(out, out / "config.yaml", settings, len(matches) > 0, overwrite, matches.clear)
        yield mapped, asked, matches


def _pairs(
    asked: FeatureStore, queries: Sequence[str], world: Reference, config: LocalizeConfig
) -> dict[str, list[str]]:
    """Query -> images of the map that it is matched with."""
    names = list(world.observed)
    if config.pairs == "exhaustive" or len(names) <= config.neighbours or not queries:
        return {query: names for query in queries}
    chosen = most_alike(asked, queries, world.features, names)[:, : config.neighbours].tolist()
    return {query: [names[i] for i in row] for query, row in zip(queries, chosen, strict=True)}


def _located(
    world: Reference,
    asked: FeatureStore,
    matches: MatchStore,
    pairs: Mapping[str, Sequence[str]],
    files: Mapping[str, Path],
    config: LocalizeConfig,
    progress: Progress,
) -> Localization:
    located: dict[str, Located] = {}
    failed: dict[str, str] = {}
    nearest: dict[str, str] = {}
    for number, (query, names) in enumerate(pairs.items(), start=1):
        features = asked.read(query)
        keys = {name: (f"query/{query}", f"map/{name}") for name in names}
        candidates = {name: (matches.read(*key), world.observed[name]) for name, key in keys.items() if key in matches}
        calibrated = _calibrated(config.calibration, features.image_size, query)
        cameras = guesses(features.image_size, files[query], calibrated, world.model)
        place = locate(features, list(candidates.values()), world.model, cameras, config)
        if isinstance(place, str):
            failed[query] = place
        else:
            located[query] = place
            nearest[query] = max(candidates, key=lambda name: _on_points(*candidates[name]))
        progress(number, len(pairs))
    return Localization(located, failed, nearest)


def _on_points(matches: Any, observed: Any) -> int:
    """Matches with keypoints that observe a point."""
    return int((observed[matches.indices[:, 1]] != NO_POINT).sum())


def _calibrated(calibration: Path | None, image_size: tuple[int, int], query: str) -> Camera | None:
    if calibration is None:
        return None
    try:
        return read_calibration(calibration, image_size)
    except GeometryError as error:
        raise GeometryError(f"{error} (as {query})") from None


def _as_json(name: str, told: Localization) -> dict[str, Any]:
    if name in told.failed:
        return {"located": False, "reason": told.failed[name]}
    place = told.located[name]
    return {
        "located": True,
        "cam_from_world": place.cam_from_world.tolist(),
        "inliers": place.inliers,
        "correspondences": place.correspondences,
        "error_px": place.error_px,
        "camera": {
            "model": place.guess.camera.model,
            "image_size": list(place.guess.camera.image_size),
            "params": place.guess.camera.params.tolist(),
            "source": place.guess.source,
        },
        "covariance": place.covariance.tolist(),
        "rotation_sigma_deg": place.rotation_sigma_deg,
        "position_sigma": place.position_sigma,
        "nearest": told.nearest[name],
    }
