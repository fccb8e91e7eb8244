"""What the web page shows of an upload, as numbers, pictures and files: ours, and SIFT beside it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traqpoint.apps.sfm import photos_to_model
from traqpoint.apps.track import track_to_folder
from traqpoint.apps.view import view_scores
from traqpoint.apps.web_limits import WebLimits
from traqpoint.errors import DataError, TraqPointError
from traqpoint.evaluation.methods.method import build_method
from traqpoint.image import read_image
from traqpoint.inference.extractor import Extractor
from traqpoint.io.npz import save_features, save_matches
from traqpoint.io.video import VIDEO_SUFFIXES
from traqpoint.matching.mutual import match
from traqpoint.matching.verify import verify
from traqpoint.sfm.config import PhotosConfig
from traqpoint.types import Features
from traqpoint.viz.pictures import picture_of_matches

OURS, PEER = "TraqPoint", "SIFT"
Row = dict[str, str]


@dataclass
class Shown:
    """rows: a table's, each a method's numbers by name. pictures: caption -> file. files: to download. film: of tracks.
    report: the page of a reconstruction. notes: lines on what went wrong, the rest going on."""

    said: str
    rows: list[Row] = field(default_factory=list)
    pictures: dict[str, Path] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    film: Path | None = None
    report: Path | None = None
    notes: list[str] = field(default_factory=list)


def show_pair(a: Path, b: Path, out: Path, extractor: Extractor, limits: WebLimits) -> Shown:
    """Keypoints, score maps and verified matches of two image files, into the folder `out`.

    Both methods have the same number of keypoints, mutual nearest neighbours, and one fundamental matrix. Raises
    ImageError for a file that is no image, DataError for one that is too large.
    """
    limits.check([a, b])
    images = [read_image(path) for path in (a, b)]
    shown = Shown("")
    for name, method in _methods(extractor).items():
        began = time.perf_counter()
        first, second = (method(image) for image in images)
        seconds = time.perf_counter() - began
        found = match(first, second)
        kept = verify(found, first, second).matches
        shown.rows.append(
            {
                "method": name,
                "keypoints": f"{len(first)}, {len(second)}",
                "matches": str(len(found)),
                "agree with one motion": str(len(kept)),
                "seconds": f"{seconds:.2f}",
            }
        )
        if len(kept):
            picture = out / f"matches_{name.lower()}.png"
            i, j = kept.indices.unbind(-1)
            picture_of_matches(picture, images[0], images[1], first.keypoints[i], second.keypoints[j], kept.scores)
            shown.pictures[f"Matches of {name}"] = picture
        if name == OURS:
            shown.said = f"{len(kept)} of {len(found)} matches agree with one motion."
            shown.files += _save(out, {a: first, b: second})
            save_matches(out / "matches.npz", kept)
            shown.files.append(out / "matches.npz")
    for name, path in (("first", a), ("second", b)):
        view_scores(path, out / f"keypoints_{name}.png", extractor)
        shown.pictures[f"Keypoints and score map of the {name} image"] = out / f"keypoints_{name}.png"
    shown.files += shown.pictures.values()
    return shown


def show_collection(
    files: Sequence[Path], out: Path, extractor: Extractor, limits: WebLimits, with_peer: bool = True
) -> Shown:
    """A reconstruction of photographs, or of a film with its tracks, into the folder `out`.

    Raises DataError if there are too many, too few or too large ones. Photographs that cannot be read are noted, and
    a model that does not come about is a result, with the reason.
    """
    limits.check(files)
    films = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    if films and len(files) > 1:
        raise DataError(f"{films[0].name}: give one film, or photographs")
    if len(files) < 2 and not films:
        raise DataError("a reconstruction needs two photographs or more, or a film")
    shown = Shown("")
    if films:
        _track(shown, films[0], out / "tracks", extractor, limits)
    images = films[0] if films else _gathered(files, out / "photographs")
    for name, method in _methods(extractor).items():
        if name == OURS or with_peer:
            _reconstruct(shown, name, method, images, out / name.lower(), limits)
    return shown


def _gathered(files: Sequence[Path], folder: Path) -> Path:
    """Copies in one folder, by their names; those of several folders that are called the same get a number."""
    folder.mkdir()
    names = [file.name for file in files]
    for number, (name, file) in enumerate(zip(names, files, strict=True), 1):
        shutil.copy(file, folder / (name if names.count(name) == 1 else f"{number}_{name}"))
    return folder


def _methods(extractor: Extractor) -> dict[str, Callable[[Any], Features]]:
    config = extractor.config
    return {OURS: extractor, PEER: build_method(PEER, config.max_keypoints, config.long_side)}


def _save(out: Path, features: dict[Path, Features]) -> list[Path]:
    paths = [out / f"{number}_{image.stem}.npz" for number, image in enumerate(features, 1)]
    for path, found in zip(paths, features.values(), strict=True):
        save_features(path, found)
    return paths


def _track(shown: Shown, film: Path, out: Path, extractor: Extractor, limits: WebLimits) -> None:
    statistics = track_to_folder(film, out, extractor, max_frames=limits.max_frames)
    shown.film = out / "tracks.webm"
    shown.pictures["Tracks, in the frame with the most; red ones are the longest"] = out / "tracks.png"
    shown.files += [out / name for name in ("tracks.npz", "tracks.webm", "tracks.png", "statistics.json")]
    shown.notes.append(f"{statistics.num_tracks} tracks, of {statistics.mean_length:.1f} frames by mean.")


def _reconstruct(shown: Shown, name: str, method: Any, images: Path, out: Path, limits: WebLimits) -> None:
    began = time.perf_counter()
    photos = PhotosConfig(max_frames=limits.max_images)
    try:
        found = photos_to_model(images, out, method, photos=photos)
    except TraqPointError as error:
        shown.notes.append(f"{name}: {error}")
        shown.said = shown.said or f"No model: {error}"
        return
    stats, has_model = found.stats, found.path is not None
    shown.rows.append(
        {
            "method": name,
            "images in the model": f"{stats['registered']:.0f} of {stats['images']:.0f}",
            "points": f"{stats['points']:.0f}" if has_model else "",
            "track length": f"{stats['mean_track_length']:.2f}" if has_model else "",
            "error px": f"{stats['reprojection_error_px']:.2f}" if has_model else "",
            "seconds": f"{time.perf_counter() - began:.0f}",
        }
    )
    if name == OURS:
        registered, every = f"{stats['registered']:.0f}", f"{stats['images']:.0f}"
        shown.said = f"{registered} of {every} images are in one model." if has_model else "No model."
        shown.report = out / "report.html"
        shown.notes += found.notes
        kept = ("report.html", "points.ply", "features.h5", "matches.h5", "database.db")
        shown.files += [out / file for file in kept if (out / file).is_file()]
        shown.files += sorted((out / "sparse" / "0").glob("*.bin"))
