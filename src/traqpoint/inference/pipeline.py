"""Resumable extraction and matching: what is finished stays, whatever ends the run, and is skipped by the next one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from traqpoint.device import resolve_device
from traqpoint.errors import ConfigError, DataError, FormatError, ImageError
from traqpoint.files import claim, read_settings
from traqpoint.image import expand_images, read_image
from traqpoint.inference.pairs import Pair, without_repeats
from traqpoint.inference.settings import FORMAT_OF_SUFFIX, describe_extractor, settings_path
from traqpoint.io.colmap_db import ColmapDatabase, ColmapMatches
from traqpoint.io.hloc import HlocFeatures, HlocMatches
from traqpoint.io.npz import NpzFeatures, NpzMatches
from traqpoint.matching.config import MatcherConfig
from traqpoint.matching.run import match_with
from traqpoint.types import Features

FeatureStore = NpzFeatures | HlocFeatures | ColmapDatabase
MatchStore = NpzMatches | HlocMatches | ColmapMatches
Progress = Callable[[int, int], None]
"""Called with (finished, all)."""

_FILE_NAME = {"hloc": "features.h5", "colmap": "database.db"}


@dataclass(frozen=True)
class Report:
    """What a run did, by name; failed holds one line per bad file."""

    out: Path
    done: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: tuple[str, ...]


def extract_folder(
    images: str | Path | Iterable[str | Path] | Mapping[str, Path],
    out: str | Path,
    extractor: Callable[[np.ndarray], Features],
    format: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Features of image files and folders into a folder of npz files, an hloc HDF5 file or a COLMAP database.

    extractor: an Extractor, or anything with a `config` dataclass that maps uint8 (H, W, 3) RGB to Features.
    format: "npz", "hloc", "colmap", or None to go by the suffix of `out`. Names are paths relative to the one folder
    given, or to the common parent; a mapping name -> path brings its own. Bad images are collected in the report and
    the rest goes on. Raises ConfigError if `out` holds results of another configuration.
    """
    format, out = resolve_output(Path(out), format)
    named = name_images(images)
    store = _open(format, out, named)
    with closing(store):
        config = {"verb": "extract", "format": format, "extractor": describe_extractor(extractor)}
        claim(out, settings_path(out), config, bool(store.names()), overwrite, store.clear)
        pending = [(name, path) for name, path in named if overwrite or name not in store]
        skipped = tuple(name for name, _ in named if name not in dict(pending))
        done, failed = [], []
        for name, path, image in _read_ahead(pending):
            try:
                features = extractor(image.result())
            except ImageError as error:
                failed.append(_line(error, path))
            else:
                if isinstance(store, ColmapDatabase):
                    store.write(name, features, image_path=path)
                else:
                    store.write(name, features)
                done.append(name)
            if progress is not None:
                progress(len(done) + len(failed), len(pending))
    return Report(out, tuple(done), skipped, tuple(failed))


def match_pairs(
    features: str | Path,
    pairs: Iterable[Pair] | Callable[[list[str]], Iterable[Pair]],
    out: str | Path | None = None,
    matcher: MatcherConfig | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Match pairs of what `extract_folder` wrote; the result has the format of `features`.

    pairs: image names, or a function that chooses from the sorted list of all names. out: None for
    ``<features>-matches`` beside the features; a COLMAP database takes its own matches. Unreadable features are
    collected in the report. Raises ConfigError if `out` holds matches of another configuration.
    """
    matcher = matcher or MatcherConfig()
    source = _existing(Path(features))
    on_device = resolve_device(device)
    format = FORMAT_OF_SUFFIX.get(source.suffix.lower(), "npz") if source.is_file() else "npz"
    with closing(_open(format, source, mode="r")) as store:
        names = store.names()
        if not names:
            raise DataError(f"{source}: no features in there")
        chosen = [(store.key(a), store.key(b)) for a, b in (pairs(names) if callable(pairs) else pairs)]
        chosen = without_repeats(chosen)
        _check_names(chosen, names, source, flat=format != "colmap")
        target = _match_output(source, out, format)
        config = {
            "verb": "match",
            "matcher": dataclasses.asdict(matcher),
            "features": read_settings(settings_path(source)),
        }
        with closing(_open_matches(store, target)) as matches:
            path = settings_path(target.with_suffix(".matches.db") if format == "colmap" else target)
            claim(target, path, config, len(matches) > 0, overwrite, matches.clear)

            @lru_cache(maxsize=64)
            def read(name: str) -> Features | FormatError:
                try:
                    return store.read(name).to(on_device)
                except FormatError as error:
                    return error

            done, skipped, failed = [], [], {}
            for number, (a, b) in enumerate(chosen, start=1):
                if not overwrite and (a, b) in matches:
                    skipped.append(f"{a} {b}")
                else:
                    first, second = read(a), read(b)
                    for name, value in ((a, first), (b, second)):
                        if isinstance(value, FormatError):
                            failed[name] = _line(value, name)
                    if isinstance(first, Features) and isinstance(second, Features):
                        found = match_with(first, second, matcher)
                        if isinstance(matches, HlocMatches):
                            matches.write(a, b, found, len(first))
                        else:
                            matches.write(a, b, found)
                        done.append(f"{a} {b}")
                if progress is not None:
                    progress(number, len(chosen))
    return Report(target, tuple(done), tuple(skipped), tuple(failed.values()))


def resolve_output(out: Path, format: str | None) -> tuple[str, Path]:
    """The format and the file or folder that it is written to. Raises ConfigError if the two contradict each other."""
    of_suffix = FORMAT_OF_SUFFIX.get(out.suffix.lower())
    format = format or of_suffix or "npz"
    if format not in ("npz", "hloc", "colmap"):
        raise ConfigError(f"format {format!r} is not one of npz, hloc, colmap")
    if of_suffix not in (None, format):
        raise ConfigError(f"{out}: the suffix says {of_suffix} and the format {format}")
    if of_suffix is None and format in _FILE_NAME:
        out = out / _FILE_NAME[format]
    folder = out if format == "npz" else out.parent
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file, and a folder is needed here")
    return format, out


def name_images(images: str | Path | Iterable[str | Path] | Mapping[str, Path]) -> list[tuple[str, Path]]:
    """(name, path) of image files and folders; a name is the path from the folder given, or the common parent.

    A mapping name -> path is taken as it is. Raises DataError if there are no images, or a name would be written
    outside of the output.
    """
    if isinstance(images, Mapping):
        climbing = [name for name in images if Path(name).is_absolute() or ".." in Path(name).parts or not name]
        if climbing or not images:
            raise DataError(f"{climbing[0]!r} is no name for an image" if climbing else "no images given")
        return list(images.items())
    sources = [Path(images)] if isinstance(images, (str, Path)) else [Path(p) for p in images]
    # Without "..": a name that climbs would be written outside of the output.
    paths = {os.path.abspath(path): path.absolute() for path in expand_images(sources)}
    if len(sources) == 1 and sources[0].is_dir():
        root = os.path.abspath(sources[0])
    else:
        root = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [(Path(plain).relative_to(root).as_posix(), path) for plain, path in paths.items()]


def _open(format: str, path: Path, named: Sequence[tuple[str, Path]] = (), mode: str = "a") -> FeatureStore:
    if format == "hloc":
        return HlocFeatures(path, mode)
    if format == "colmap":
        return ColmapDatabase(path)
    store = NpzFeatures(path)
    first: dict[str, str] = {}
    for name, _ in named:
        if first.setdefault(store.key(name), name) != name:
            raise DataError(f"{first[store.key(name)]} and {name} would both become {store.key(name)}.npz: use hloc")
    return store


def _open_matches(store: FeatureStore, path: Path) -> MatchStore:
    if isinstance(store, ColmapDatabase):
        return ColmapMatches(store)
    return HlocMatches(path) if isinstance(store, HlocFeatures) else NpzMatches(path)


def _existing(path: Path) -> Path:
    """The features in `path`: a file, or a folder that holds one or many."""
    if path.is_dir():
        return next((path / name for name in _FILE_NAME.values() if (path / name).is_file()), path)
    if not path.is_file():
        raise FormatError(f"{path}: no such file or folder of features")
    if path.suffix.lower() not in FORMAT_OF_SUFFIX:
        raise FormatError(f"{path}: features are a folder of npz files, an .h5 file or a .db file")
    return path


def _match_output(source: Path, out: str | Path | None, format: str) -> Path:
    if format == "colmap":
        if out is not None and Path(out).absolute() != source.absolute():
            raise ConfigError(f"{out}: the matches of a COLMAP database go into it, {source}; leave the output out")
        return source
    if out is None:
        suffix = source.suffix if source.is_file() else ""
        return source.with_name(f"{source.name.removesuffix(suffix)}-matches{suffix}")
    target = Path(out)
    if target.absolute() == source.absolute():
        raise ConfigError(f"{target}: the features are there; choose another output for the matches")
    if format == "hloc" and target.suffix.lower() not in (".h5", ".hdf5"):
        return target / "matches.h5"
    return target


def _check_names(pairs: Sequence[Pair], names: Sequence[str], source: Path, flat: bool) -> None:
    known = set(names)
    used = list(dict.fromkeys(name for pair in pairs for name in pair))
    missing = [name for name in used if name not in known]
    if missing:
        raise DataError(f"{source}: no features of {missing[0]!r}, which is in the pairs ({len(missing)} missing)")
    first: dict[str, str] = {}
    for name in used if flat else ():
        if first.setdefault(name.replace("/", "-"), name) != name:
            raise DataError(f"{first[name.replace('/', '-')]} and {name} cannot be told apart in a file of matches")


def _read_ahead(named: Sequence[tuple[str, Path]]) -> Iterator[tuple[str, Path, Future[np.ndarray]]]:
    """Images in order, the next ones being decoded while the current one is worked on."""
    pool = ThreadPoolExecutor(max_workers=2)
    try:
        rest = iter(named)
        waiting = [(name, path, pool.submit(read_image, path)) for name, path in islice(rest, 4)]
        while waiting:
            yield waiting.pop(0)
            waiting += [(name, path, pool.submit(read_image, path)) for name, path in islice(rest, 1)]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _line(error: Exception, name: Any) -> str:
    message = " ".join(str(error).split())
    return message if str(name) in message else f"{name}: {message}"
