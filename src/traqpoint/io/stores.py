"""Where features and matches are kept: one protocol for all formats, callers know image names only.

A format is one file beside this one and one line in FORMATS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from traqpoint.errors import ConfigError, FormatError
from traqpoint.registry import Registry
from traqpoint.types import Features, Matches


class FeatureReader(Protocol):
    """Features by image name, which is the image's path with its suffix: a.jpg and a.JPG are two images."""

    def names(self) -> list[str]:
        """All images that have features, damaged ones included, sorted."""
        ...

    def __contains__(self, name: str, /) -> bool:
        """Whether there are features that can be read; damaged ones count as missing and are made again."""
        ...

    def read(self, name: str) -> Features:
        """Raises FormatError naming the file, the image and what is wrong."""
        ...


class FeatureStore(FeatureReader, Protocol):
    """Features that can be added to."""

    def write(self, name: str, features: Features, image_path: str | Path | None = None) -> None:
        """Add an image, or replace it (not COLMAP: FormatError).

        image_path: its file, for formats that keep what EXIF says of the camera.
        """
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...

    def close(self) -> None: ...


class MatchStore(Protocol):
    """Matches by the names of two images. A pair is one entry, whichever way round it is asked for."""

    def check_names(self, names: Iterable[str]) -> None:
        """Raise DataError if two of the names would be kept under one key."""
        ...

    def __len__(self) -> int:
        """Number of pairs, damaged ones included."""
        ...

    def __contains__(self, pair: tuple[str, str], /) -> bool:
        """Whether there are matches of the pair that can be read."""
        ...

    def pairs(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Which of these images have matches with which, damaged ones included. A store alone may not know names: files
        forget the slashes in them."""
        ...

    def read(self, name_a: str, name_b: str) -> Matches:
        """Indices in the order asked for. Raises FormatError if the pair was not matched, or is damaged."""
        ...

    def write(self, name_a: str, name_b: str, matches: Matches, num_keypoints_a: int | None = None) -> None:
        """Add or replace a pair. num_keypoints_a: of image a, for formats with a row for each of its keypoints."""
        ...

    def clear(self) -> None:
        """Forget all matches."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Format:
    """How features and matches lie on disk.

    features, matches: open a store by its path and the mode "a" (append) or "r" (read what must exist).
    suffixes: of its files, the usual one first; a format without is a folder. features_file, matches_file: what they
    are called in a folder; equal if both are one file.
    """

    name: str
    features: Callable[[Path, str], FeatureStore]
    matches: Callable[[Path, str], MatchStore]
    suffixes: tuple[str, ...] = ()
    features_file: str = ""
    matches_file: str = ""

    @property
    def is_file(self) -> bool:
        """Whether features lie in one file, not in a folder."""
        return bool(self.suffixes)

    @property
    def is_one_file(self) -> bool:
        """Whether matches go into the file of the features."""
        return self.is_file and self.features_file == self.matches_file


FORMATS: Registry[Format] = Registry(
    "format",
    {
        "npz": "traqpoint.io.npz:FORMAT",
        "hloc": "traqpoint.io.hloc:FORMAT",
        "colmap": "traqpoint.io.colmap_db:FORMAT",
    },
)
"""Without a suffix or a name, the first one."""


def format_of(path: Path) -> Format | None:
    """The format of files with this suffix; None for anything else, which is a folder, whatever dots its name has."""
    return next((FORMATS[name] for name in FORMATS if path.suffix.lower() in FORMATS[name].suffixes), None)


def resolve_output(out: Path, format: str | None) -> tuple[Format, Path]:
    """The format, and the file or folder that features are written to.

    Raises ConfigError if the two contradict each other, or a file is in the place of a folder.
    """
    of_suffix = format_of(out)
    chosen = FORMATS[format] if format is not None else of_suffix or FORMATS[next(iter(FORMATS))]
    if of_suffix not in (None, chosen):
        raise ConfigError(f"{out}: the suffix says {of_suffix.name} and the format {chosen.name}")
    if of_suffix is None and chosen.is_file:
        out = out / chosen.features_file
    folder = out.parent if chosen.is_file else out
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file, and a folder is needed here")
    return chosen, out


def find_features(path: Path) -> tuple[Format, Path]:
    """The format, and the file or folder, of features that are there: `path`, or the one file of features in it.

    Raises FormatError if there is no such path, or its suffix is of no format.
    """
    return _find(path, "features")


def open_features(path: str | Path) -> FeatureStore:
    """The features in a file or a folder, to read. Raises FormatError if there are none."""
    format, found = find_features(Path(path))
    return format.features(found, "r")


def open_matches(path: str | Path) -> MatchStore:
    """The matches in a file or a folder, to read. Raises FormatError if there are none."""
    format, found = _find(Path(path), "matches")
    return format.matches(found, "r")


def _find(path: Path, what: str) -> tuple[Format, Path]:
    formats = [FORMATS[name] for name in FORMATS]
    if path.is_dir():
        for format in formats:
            file = path / getattr(format, f"{what}_file")
            if format.is_file and file.is_file():
                return format, file
        return next(format for format in formats if not format.is_file), path
    if not path.is_file():
        raise FormatError(f"{path}: no such file or folder of {what}")
    found = format_of(path)
    if found is None:
        known = ", ".join(" or ".join(format.suffixes) or "a folder" for format in formats)
        raise FormatError(f"{path}: {what} are {known} ({', '.join(FORMATS)})")
    return found, path
