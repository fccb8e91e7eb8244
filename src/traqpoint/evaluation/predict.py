"""Pass 1: features and matches of a data set on disk, resumable per image and per pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import torch

from traqpoint._version import __version__
from traqpoint.errors import DataError, FormatError, ImageError
from traqpoint.evaluation.methods.method import Method, label
from traqpoint.evaluation.methods.stored import StoredFeatures
from traqpoint.files import claim
from traqpoint.image import read_image
from traqpoint.inference.pairs import Pair
from traqpoint.inference.pipeline import extract_folder, match_pairs
from traqpoint.inference.settings import describe_extractor, settings_path
from traqpoint.io.npz import NpzFeatures, NpzMatches
from traqpoint.io.stores import FeatureStore, MatchStore
from traqpoint.matching.config import MatcherConfig
from traqpoint.matching.run import build_matcher
from traqpoint.progress import Progress
from traqpoint.types import Features, Matches, SequenceBatch


@dataclass(frozen=True)
class Predictions:
    """What pass 1 left on disk."""

    method: str
    """Label."""
    features: FeatureStore
    """.read(name) -> Features; `name in features`."""
    matches: MatchStore
    """.read(a, b) -> Matches, whichever way round they were matched."""
    protocol: dict[str, Any]
    """max_keypoints, long_side, matcher, versions, and extractor: what identifies the method."""
    failed: tuple[str, ...]
    """One line per image that is missing or could not be read."""

    @cached_property
    def _read(self) -> Callable[[str], Features | None]:
        """Features of an image, None if there are none; the last ones stay in memory, as pairs share images."""

        @lru_cache(maxsize=64)
        def read(name: str) -> Features | None:
            try:
                return self.features.read(name)
            except FormatError:
                return None

        return read

    def pair(self, a: str, b: str) -> tuple[Features, Features, Matches] | None:
        """Features of both images and their matches; None if one of the images failed, which counts as a failure.

        Raises FormatError if the images are there and were not matched.
        """
        first, second = self._read(a), self._read(b)
        if first is None or second is None:
            return None
        return first, second, self.matches.read(a, b)


def predict(
    images: Mapping[str, Path],
    pairs: Sequence[Pair],
    method: Method,
    out: Path,
    matcher: MatcherConfig | None = None,
    missing: Literal["error", "skip"] = "error",
    progress: Progress | None = None,
) -> Predictions:
    """Features of `images` (name -> path) into ``out/features`` and matches of `pairs` into ``out/matches``.

    What is there already is kept; a pair is matched once, whichever way round. missing: images that do not exist are
    an error, or skipped and listed in `failed`; images that exist and cannot be read are always listed there.
    Raises DataError with the count and the first names of missing images, ConfigError if `out` holds predictions
    of another configuration.
    """
    matcher = matcher or MatcherConfig()
    build_matcher(matcher)  # what it lacks is told before anything is extracted
    absent = [name for name, path in images.items() if not path.is_file()]
    if absent and (missing == "error" or len(absent) == len(images)):
        first = ", ".join(str(images[name]) for name in absent[:3])
        raise DataError(f"{len(absent)} of {len(images)} images are missing: {first}{' …' if len(absent) > 3 else ''}")
    failed = [f"{images[name]}: no such file" for name in absent]
    present = {name: path for name, path in images.items() if name not in set(absent)}
    folder = out / "features"
    if isinstance(method, StoredFeatures):
        failed += _copy(method, present, folder)
    else:
        failed += extract_folder(present, folder, method, "npz", progress=progress).failed
    features, matches = NpzFeatures(folder), NpzMatches(out / "matches")
    usable = {name for name in present if name in features}
    chosen = [(a, b) for a, b in pairs if a in usable and b in usable]
    if chosen:
        match_pairs(folder, chosen, matches.path, matcher, getattr(method.config, "device", "cpu"), progress=progress)
    return Predictions(label(method), features, matches, protocol_of(method, matcher), tuple(failed))


def predict_sequences(sequences: Iterable[tuple[str, SequenceBatch]], method: Method, out: Path) -> NpzFeatures:
    """Features of every frame of in-memory sequences (batch size 1) into `out`, under ``<name>/<frame:04>``.

    Frames that are there already are kept. Raises ConfigError if `out` holds features of another configuration.
    """
    store = NpzFeatures(out)
    _claim(store, method)
    for name, sequence in sequences:
        for t in range(sequence.num_frames):
            frame = f"{name}/{t:04}"
            if frame not in store:
                if isinstance(method, StoredFeatures):
                    store.write(frame, method.read(frame))
                else:
                    store.write(frame, method(sequence.images[0, t]))
    return store


def protocol_of(method: Method, matcher: MatcherConfig | None = None) -> dict[str, Any]:
    """The part of a result's protocol that pass 1 decides."""
    matching = {"matcher": matcher.described()} if matcher is not None else {}
    return {
        "max_keypoints": method.config.max_keypoints,
        "long_side": method.config.long_side,
        **matching,
        "versions": {"traqpoint": __version__, "torch": torch.__version__},
        "extractor": describe_extractor(method),
    }


def _copy(method: StoredFeatures, images: Mapping[str, Path], folder: Path) -> list[str]:
    """Features from elsewhere into our own folder; one line per image that has none, or those of another size."""
    store, failed = NpzFeatures(folder), []
    _claim(store, method)
    for name, path in images.items():
        if name not in store:
            try:
                features, shape = method.read(name), read_image(path).shape
                if features.image_size != (shape[1], shape[0]):
                    size = "x".join(map(str, features.image_size))
                    raise FormatError(f"{path}: is {shape[1]}x{shape[0]}, and its stored features are of {size} pixels")
                store.write(name, features)
            except (FormatError, ImageError) as error:
                failed.append(str(error))
    return failed


def _claim(store: NpzFeatures, method: Method) -> None:
    config = {"verb": "extract", "format": "npz", "extractor": describe_extractor(method)}
    claim(store.path, settings_path(store.path), config, bool(store.names()), False, store.clear)
