"""From photos or a film to a sparse model and its report: extract, match, verify, map; each step goes on where it was
stopped."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from traqpoint.apps.film import film_pairs, sharp_frames
from traqpoint.apps.report import Account, write_report
from traqpoint.errors import ConfigError, DataError, FormatError, GeometryError, ImageError
from traqpoint.files import claim, locked, plain
from traqpoint.geometry.camera import Camera
from traqpoint.inference.config import PairsConfig
from traqpoint.inference.images import Images, name_images
from traqpoint.inference.masks import Masked
from traqpoint.inference.pairs import Collection, select_pairs
from traqpoint.inference.pipeline import extract_folder, match_pairs
from traqpoint.inference.settings import describe_extractor
from traqpoint.io.calibration import read_calibration
from traqpoint.io.colmap_model import read_model
from traqpoint.io.stores import FeatureStore, open_features, open_matches
from traqpoint.io.video import VIDEO_SUFFIXES
from traqpoint.matching.config import MatcherConfig
from traqpoint.matching.run import build_matcher
from traqpoint.progress import Bar, no_bar, timed
from traqpoint.sfm.config import MATCHER, MappingConfig, PhotosConfig
from traqpoint.sfm.diagnosis import Diagnosis, diagnose
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
    the notes and the rest goes on; report.html shows all of it, and what failed where nothing came out. matcher: by
    default `sfm.config.MATCHER`. bar: opens a progress bar by its name.
    Raises ConfigError if `out` holds results of other settings, and `overwrite` is not set; DataError for fewer than
    two images that can be used; GeometryError for a calibration that does not fit the images.
    """
    pairs, photos, out = pairs or PairsConfig(), photos or PhotosConfig(), Path(out)
    build_matcher(matcher or MATCHER)  # what it lacks is told before anything is extracted
    matcher, config, seconds = matcher or MATCHER, config or MappingConfig(), dict[str, float]()
    bar = timed(bar, seconds)
    with locked(out):
        if (film := _film(images)) is not None:
            images, pairs = _frames(film, out / "frames", photos.max_frames, overwrite, bar), film_pairs(pairs)
        named = dict(name_images(images))
        title = film.name if film is not None else _title(named)
        account = Account(title, named, _settings(extractor, pairs, matcher, config, photos), seconds)
        try:
            return _mapped(account, out, extractor, pairs, matcher, config, photos, overwrite, bar)
        except (DataError, FormatError, GeometryError, ImageError) as error:
            write_report(out, account, f"No model: {error}")
            raise


def _mapped(
    account: Account,
    out: Path,
    extractor: Callable[[np.ndarray], Features],
    pairs: PairsConfig,
    matcher: MatcherConfig,
    config: MappingConfig,
    photos: PhotosConfig,
    overwrite: bool,
    bar: Bar,
) -> Reconstruction:
    named, copies = without_copies(account.images)
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
    with bar("report"):
        models = [read_model(out / "sparse" / str(number)) for number in range(int(found.stats["models"]))]
        failed = {name: extraction.why(name, named[name]) for name in named.keys() - set(usable)}
        failed |= {note.partition(": ")[0]: note.partition(": ")[2] for note in copies}
        diagnosis = diagnose(list(account.images), out / "database.db", models, failed)
        notes = (*copies, *extraction.failed, *matching.failed, *found.notes, *diagnosis.findings)
        if not _is_newest(out / "report.html", out):
            told = replace(account, notes=notes)
            write_report(out, told, _verdict(found, diagnosis), found.stats, found.path, diagnosis)
    return replace(found, notes=notes)


def _verdict(found: Reconstruction, diagnosis: Diagnosis) -> str:
    """The result in a sentence."""
    registered, images = int(found.stats["registered"]), int(found.stats["images"])
    if found.path is None:
        return f"No model: {next(iter(diagnosis.findings), 'no two images fit together')}."
    others = int(found.stats["models"]) - 1
    more = f" {others} smaller model{'s' if others > 1 else ''} could not be joined to it." if others else ""
    return (f"All {images} images are" if registered == images else f"{registered} of {images} images are") + (
        f" in one model.{more}"
    )


def _is_newest(report: Path, out: Path) -> bool:
    """Whether nothing that a report tells of was made after it."""
    told = [out / name for name in ("summary.json", "undistorted", "splatting")]
    newest = max((path.stat().st_mtime_ns for path in told if path.exists()), default=0)
    return report.is_file() and report.stat().st_mtime_ns >= newest


def _title(named: Mapping[str, Path]) -> str:
    """Of the folder that the images lie in."""
    name, path = next(iter(named.items()))
    folder = Path(str(path.absolute()).removesuffix(name))
    return folder.parent.name if folder.name == "images" else folder.name


def _settings(extractor: Any, pairs: Any, matcher: MatcherConfig, *configs: Any) -> dict[str, dict[str, Any]]:
    """Groups of what was asked for, as the report shows them."""
    features = describe_extractor(extractor) if hasattr(extractor, "config") else {"extractor": str(extractor)}
    mapping, photos = map(asdict, configs)
    groups = {"input": photos, "features": features, "pairs": asdict(pairs), "matching": matcher.described()}
    return {name: plain(group) for name, group in (groups | {"mapping": mapping}).items()}


def without_copies(named: Mapping[str, Path]) -> tuple[dict[str, Path], list[str]]:
    """Images without those whose file is, byte by byte, that of an earlier one, and a note on each of these."""
    sizes = {name: path.stat().st_size for name, path in named.items() if path.is_file()}
    shared = {size for size, count in Counter(sizes.values()).items() if count > 1}
    first: dict[bytes, str] = {}
    copies = {}
    for name in sizes:
        if sizes[name] in shared:  # the others need not be read
            twin = first.setdefault(hashlib.sha256(named[name].read_bytes()).digest(), name)
            if twin != name:
                copies[name] = f"{name}: left out, it is a copy of {twin}"
    return {name: path for name, path in named.items() if name not in copies}, list(copies.values())


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
