"""From photos or a film to a sparse model and its report: extract, match, verify, map; each step goes on where it was
stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from traqpoint.apps.film import film_pairs, sharp_frames
from traqpoint.errors import ConfigError, DataError, GeometryError
from traqpoint.files import claim, locked, plain
from traqpoint.geometry.camera import Camera
from traqpoint.inference.config import PairsConfig
from traqpoint.inference.images import Images, name_images
from traqpoint.inference.masks import Masked
from traqpoint.inference.pairs import Collection, select_pairs
from traqpoint.inference.pipeline import extract_folder, match_pairs
from traqpoint.io.calibration import read_calibration
from traqpoint.io.stores import FeatureStore, open_features, open_matches
from traqpoint.io.video import VIDEO_SUFFIXES
from traqpoint.matching.config import MatcherConfig
from traqpoint.matching.run import build_matcher
from traqpoint.progress import Bar, no_bar
from traqpoint.sfm.config import MATCHER, MappingConfig, PhotosConfig
from traqpoint.sfm.mapping import Reconstruction, reconstruct
from traqpoint.sfm.products import undistort, write_points, write_splatting
from traqpoint.types import Features


def photos_to_model(
    images: Images,
    out: str | Path,
    extractor: Callable[[np.ndarray], Features],
    pairs: PairsConfig | None = None,
    matcher: MatcherConfig | None = None,
    config: MappingConfig | None = None,
    photos: PhotosConfig | None = None,
    overwrite: bool = False,
    bar: Bar = no_bar,
) -> Reconstruction:
    """The sparse models of image files and folders, or of one film, in ``out/sparse/0, 1, …``, the largest first.

    Beside them: features.h5 and matches.h5 (hloc's formats), database.db (COLMAP's), points.ply, frames of a film in
    frames, and the exports that `photos` names. Unreadable images and copies of others are told in
    the notes and the rest goes on. matcher: by default `sfm.config.MATCHER`. bar: opens a progress bar by its name.
    Raises ConfigError if `out` holds results of other settings, and `overwrite` is not set; DataError for fewer than
    two images that can be used; GeometryError for a calibration that does not fit the images.
    """
    pairs, photos, out = pairs or PairsConfig(), photos or PhotosConfig(), Path(out)
    build_matcher(matcher or MATCHER)  # what it lacks is told before anything is extracted
    with locked(out):
        if (film := _film(images)) is not None:
            images, pairs = _frames(film, out / "frames", photos.max_frames, overwrite, bar), film_pairs(pairs)
        named = dict(name_images(images))
        return _mapped(named, out, extractor, pairs, matcher or MATCHER, config, photos, overwrite, bar)


def _mapped(
    named: dict[str, Path],
    out: Path,
    extractor: Callable[[np.ndarray], Features],
    pairs: PairsConfig,
    matcher: MatcherConfig,
    config: MappingConfig | None,
    photos: PhotosConfig,
    overwrite: bool,
    bar: Bar,
) -> Reconstruction:
    named, copies = without_copies(named)
    source = extractor if photos.masks is None else Masked(extractor, photos.masks, named)
    with bar("extract") as progress:
        extraction = extract_folder(named, out / "features.h5", source, overwrite=overwrite, progress=progress)
    with closing(open_features(out / "features.h5")) as features:
        usable = [name for name in named if name in features]
        cameras = None if photos.calibration is None else _calibrated(photos.calibration, features, named, usable)
    if not usable:
        raise DataError(f"none of {len(named)} images can be used: {extraction.failed[0]}")
    if len(usable) < 2:
        why = "; ".join(["", *extraction.failed[:1], *copies[:1]])
        raise DataError(f"{usable[0]}: a model needs two images or more, and this is the only one{why}")
    with closing(open_features(out / "features.h5")) as features:
        chosen = select_pairs(Collection(usable, features, named), pairs)
    device = getattr(getattr(extractor, "config", None), "device", "cpu")
    with bar("match") as progress:
        matching = match_pairs(out / "features.h5", chosen, out / "matches.h5", matcher, device, overwrite, progress)
    with (
        closing(open_features(out / "features.h5")) as features,
        closing(open_matches(out / "matches.h5")) as matches,
    ):
        found = reconstruct(named, features, matches, chosen, out, config, cameras, overwrite, bar)
    if found.path is not None:
        write_points(found.path, out / "points.ply")
        if "undistorted" in photos.exports:
            undistort(found.path, named, out / "undistorted")
        if "splatting" in photos.exports:
            write_splatting(found.path, named, out / "splatting")
    return replace(found, notes=(*copies, *extraction.failed, *matching.failed, *found.notes))


def without_copies(named: Mapping[str, Path]) -> tuple[dict[str, Path], list[str]]:
    """Images without those whose file is, byte by byte, that of an earlier one, and a note on each of these."""
    kept: dict[str, Path] = {}
    of_size: dict[int, list[str]] = {}
    notes = []
    for name, path in named.items():
        alike = of_size.setdefault(path.stat().st_size if path.is_file() else -1, [])
        twin = next((other for other in alike if path.is_file() and _same_file(kept[other], path)), None)
        if twin is not None:
            notes.append(f"{name}: left out, it is a copy of {twin}")
            continue
        alike.append(name)
        kept[name] = path
    return kept, notes


def _same_file(a: Path, b: Path) -> bool:
    return a.read_bytes() == b.read_bytes()


def _film(images: Images) -> Path | None:
    """The film, if that is what is given. Raises ConfigError for a film among others."""
    if isinstance(images, Mapping):
        return None
    sources = [Path(images)] if isinstance(images, (str, Path)) else [Path(path) for path in images]
    films = [path for path in sources if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    if films and len(sources) > 1:
        raise ConfigError(f"{films[0]}: give one film, or images and folders of images")
    return films[0] if films else None


def _frames(film: Path, folder: Path, max_frames: int, overwrite: bool, bar: Bar) -> Path:
    """The folder of the film's sharp frames; a finished one is left alone."""
    done, config = folder / "done", {"film": film.resolve(), "max_frames": max_frames}
    claim(folder, folder / "source.yaml", plain(config), None, overwrite, lambda: shutil.rmtree(folder))
    if not done.is_file():
        with bar("frames") as progress:
            sharp_frames(film, folder, max_frames, progress)
        done.touch()
    return folder


def _calibrated(
    calibration: Path, features: FeatureStore, named: Mapping[str, Path], usable: list[str]
) -> dict[str, Camera]:
    """The known camera of every image; an image without features, which has no size, gets any."""
    cameras: dict[tuple[int, int], Camera] = {}
    out = {}
    for name in usable:
        size = features.read(name).image_size
        try:
            out[name] = cameras.get(size) or read_calibration(calibration, size)
        except GeometryError as error:
            raise GeometryError(f"{error} (as {name})") from None
        cameras[size] = out[name]
    return {name: out.get(name) or next(iter(out.values())) for name in named if out}
