"""Pass 1: features and matches of a data set, on disk, resumable per image and per pair, or in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Seq
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import torch

from traqpoint._version import __version__
from traqpoint.device import resolve_device
from traqpoint.errors import DataError, FormatError
from traqpoint.evaluation.methods.method import Method, label
from traqpoint.files import claim
from traqpoint.inference.pairs import Pair
from traqpoint.inference.pipeline import extract_folder, extract_into, match_into, match_pairs
from traqpoint.inference.settings import describe_extractor, settings_path
from traqpoint.inference.source import by_name
from traqpoint.io.memory import MemoryFeatures, MemoryMatches
from traqpoint.io.npz import NpzFeatures, NpzMatches
from traqpoint.io.stores import FeatureStore, MatchStore
from traqpoint.matching.config import MatcherConfig
from traqpoint.matching.run import build_matcher
from traqpoint.progress import Progress
from traqpoint.types import Features, Matches, SequenceBatch

if TYPE_CHECKING:
    from traqpoint.evaluation.benchmarks.track_sets import TrackSet


@dataclass(frozen=True)
class Predictions:
    """What pass 1 left. folder: where it lies on disk; None for what is in memory."""

    method: str
    """Label."""
    features: FeatureStore
    matches: MatchStore
    protocol: dict[str, Any]
    """max_keypoints, long_side, matcher, versions, and extractor: what identifies the method."""
    failed: tuple[str, ...] = ()
    """One line per image that is missing or could not be read."""
    folder: Path | None = None

    @cached_property
    def read(self) -> Callable[[str], Features | None]:
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
        first, second = self.read(a), self.read(b)
        return None if first is None or second is None else (first, second, self.matches.read(a, b))

    @contextmanager
    def workplace(self, out: Path | None) -> Iterator[tuple[Path, Path]]:
        """Folders for the files that COLMAP wants: one beside these predictions, which all that is made of them may
        share, and `out`; temporary ones in place of those that are not there."""
        with TemporaryDirectory() as temporary:
            yield self.folder or Path(temporary) / "shared", out or Path(temporary) / "own"


def predict(
    images: Mapping[str, Path],
    pairs: Seq[Pair],
    method: Method,
    out: Path | None = None,
    matcher: MatcherConfig | None = None,
    missing: Literal["error", "skip"] = "error",
    progress: Progress | None = None,
) -> Predictions:
    """Features of `images` (name -> path) into ``out/features`` and matches of `pairs` into ``out/matches``.

    What is there already is kept; a pair is matched once, whichever way round. out: None keeps all in memory. missing:
    images that do not exist are an error, or skipped and listed in `failed`; images that exist and cannot be read are
    always listed there. Raises DataError with the count and the first names of missing images, ConfigError if `out`
    holds predictions of another configuration.
    """
    matcher = matcher or MatcherConfig()
    match = build_matcher(matcher)  # what it lacks is told before anything is extracted
    absent = [name for name, path in images.items() if not path.is_file()]
    if absent and (missing == "error" or len(absent) == len(images)):
        first = ", ".join(str(images[name]) for name in absent[:3])
        raise DataError(f"{len(absent)} of {len(images)} images are missing: {first}{' …' if len(absent) > 3 else ''}")
    failed = [f"{images[name]}: no such file" for name in absent]
    present = {name: path for name, path in images.items() if name not in set(absent)}
    features, matches = _stores(out)
    if out is None:
        failed += extract_into(features, present, method, progress=progress).failed
    else:
        failed += extract_folder(present, out / "features", method, "npz", progress=progress).failed
    usable = {name for name in present if name in features}
    chosen = [(a, b) for a, b in pairs if a in usable and b in usable]
    device = getattr(method.config, "device", "cpu")
    if chosen and out is None:
        on = resolve_device(device)
        match_into(matches, features, chosen, match, on, progress=progress)
    elif chosen and out is not None:
        match_pairs(out / "features", chosen, out / "matches", matcher, device, progress=progress)
    return Predictions(label(method), features, matches, protocol_of(method, matcher), tuple(failed), out)


def predict_sequences(
    sequences: TrackSet,
    method: Method,
    out: Path | None = None,
    matcher: MatcherConfig | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """Features of every frame of sequences (batch size 1) into ``out/features`` or memory, under their `frame_names`.

    Frames that are there already are kept; nothing is matched, matcher is for the protocol. Raises ConfigError if `out`
    holds features of another configuration.
    """
    store, matches = _stores(out)
    if out is not None:
        config = {"verb": "extract", "format": "npz", "extractor": describe_extractor(method)}
        path = out / "features"
        claim(path, settings_path(path), config, bool(store.names()), False, store.clear)
    features_of = by_name(method)
    for done, (name, sequence) in enumerate(sequences, start=1):
        for image, frame in zip(sequence.images[0], frame_names(name, sequence), strict=True):
            if frame not in store:
                store.write(frame, features_of(frame, image))
        if progress is not None:
            progress(done, len(sequences))
    return Predictions(label(method), store, matches, protocol_of(method, matcher), (), out)


def frame_names(name: str, sequence: SequenceBatch) -> list[str]:
    """Names that the frames of sequence `name` have in a store: ``<name>/0000``, …"""
    return [f"{name}/{t:04}" for t in range(sequence.num_frames)]


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


def _stores(out: Path | None) -> tuple[FeatureStore, MatchStore]:
    if out is None:
        return MemoryFeatures(), MemoryMatches()
    return NpzFeatures(out / "features"), NpzMatches(out / "matches")
