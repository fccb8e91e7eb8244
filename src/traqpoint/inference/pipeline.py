"""Resumable extraction and matching: what is finished stays, whatever ends the run, and is skipped by the next one.

Each step comes twice: between paths, where results of two configurations never mix, and between open stores.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from traqpoint.device import resolve_device
from traqpoint.errors import ConfigError, DataError, FormatError, ImageError, TraqPointError
from traqpoint.files import claim, locked, read_settings
from traqpoint.inference.ahead import mapped, shared_cores
from traqpoint.inference.config import FlowConfig, MatchFlowConfig, PairsConfig
from traqpoint.inference.images import Images, Read, in_groups, name_images, read_ahead, read_size
from traqpoint.inference.pair_work import Matched, matched
from traqpoint.inference.pairs import Collection, Pair, select_pairs, without_repeats
from traqpoint.inference.settings import describe_extractor, matches_settings_path, settings_path
from traqpoint.inference.source import FeatureSource, by_name
from traqpoint.inference.stored import in_file_pixels
from traqpoint.inference.writer import Writer
from traqpoint.io.stores import FeatureReader, FeatureStore, Format, MatchStore, find_features, resolve_output
from traqpoint.matching.config import MatcherConfig
from traqpoint.matching.run import Matcher, build_matcher
from traqpoint.progress import Progress
from traqpoint.types import Device, Features

Pairs = Iterable[Pair] | Callable[[list[str]], Iterable[Pair]] | PairsConfig
"""Image names, a function that chooses from the sorted list of all names, or how they are chosen from the features."""


@dataclass(frozen=True)
class Outcome:
    """What a run did, by name; failed holds one line per bad file. out: where the results are, if on disk.

    shrunk: how many images were larger than the extractor looks at.
    """

    done: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: tuple[str, ...]
    out: Path | str | None = None
    shrunk: int = 0

    def why(self, name: str, path: Path) -> str:
        """Of the lines of what failed, the one on this image, without its name."""
        line = next((line for line in self.failed if line.startswith((f"{path}: ", f"{name}: "))), "no features")
        return line.removeprefix(f"{path}: ").removeprefix(f"{name}: ")


def extract_folder(
    images: Images,
    out: str | Path,
    extractor: Callable[[np.ndarray], Features] | FeatureSource,
    format: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    flow: FlowConfig | None = None,
) -> Outcome:
    """Features of image files and folders into a folder of npz files, an hloc HDF5 file or a COLMAP database.

    extractor: an Extractor, or anything with a `config` dataclass that maps uint8 (H, W, 3) RGB to Features; if it has
    `batch_pixels`, images of about one size with so many pixels in all go to its `batch` together, and with `at_once`
    so many threads call it. Decoding, the extractor and writing overlap.
    format: a key of FORMATS, or None to go by the suffix of `out`. Names are paths relative to the one folder
    given, or to the common parent; a mapping name -> path brings its own. Keypoints are in the pixels of the file as it
    is, before EXIF's orientation. Bad images are collected in the outcome and
    the rest goes on. Raises ConfigError if `out` holds results of another configuration, DataError if the disk is full.
    """
    chosen, out = resolve_output(Path(out), format)
    named = name_images(images)
    with locked(out), closing(chosen.features(out, "a")) as store:
        config = {"verb": "extract", "format": chosen.name, "extractor": describe_extractor(extractor)}
        claim(out, settings_path(out), config, bool(store.names()), overwrite, store.clear)
        return dataclasses.replace(extract_into(store, dict(named), extractor, overwrite, progress, flow), out=out)


def extract_into(
    store: FeatureStore,
    images: Images,
    extractor: Callable[[np.ndarray], Features] | FeatureSource,
    overwrite: bool = False,
    progress: Progress | None = None,
    flow: FlowConfig | None = None,
) -> Outcome:
    """Features of those images that an open store lacks, or of all of them; the rest as in `extract_folder`."""
    named = name_images(images)
    pending = [(name, path) for name, path in named if overwrite or name not in store]
    missing = {name for name, _ in pending}
    skipped = tuple(name for name, _ in named if name not in missing)
    flow, failed, shrunk = flow or FlowConfig(), list[str](), 0
    # Within a budget of memory, no second image waits beside the one that is worked on.
    in_budget = getattr(getattr(extractor, "config", None), "memory", None) is not None
    images_read = read_ahead(pending, 0 if in_budget else flow.workers)
    pixels = getattr(extractor, "batch_pixels", 0) if flow.batch is None else inf
    input_size = getattr(extractor, "input_size", lambda size: size)
    at_once = getattr(extractor, "at_once", 1)
    ready_made = isinstance(extractor, FeatureSource)  # in the pixels of the file, as what others write is
    with Writer(store) as writer, shared_cores(at_once):
        told = -1

        def report() -> None:
            nonlocal told
            told = len(writer.finished) + len(failed)
            if progress is not None:
                progress(told, len(pending))

        groups = in_groups(images_read, lambda item: input_size(read_size(item)), pixels, flow.batch or inf)
        for group, found in mapped(partial(_extracted, extractor), groups, at_once if at_once > 1 else 0, waiting=0):
            for (name, path, _), features in zip(group, found, strict=True):
                if isinstance(features, TraqPointError):
                    failed.append(_line(features, path))
                else:
                    writer.put(name, features if ready_made else in_file_pixels(features, path), path)
                    shrunk += features.found_at not in (None, features.image_size)
                report()
        writer.drain()
        if told < len(writer.finished) + len(failed) or not pending:
            report()
    finished = set(writer.finished)
    return Outcome(tuple(name for name, _ in pending if name in finished), skipped, tuple(failed), shrunk=shrunk)


def _extracted(extractor: Any, group: list[Read]) -> list[Features | TraqPointError]:
    """Features of each image, or why there are none; several images share a forward pass."""
    if len(group) > 1:
        with suppress(ImageError):  # then one by one, to learn which it is
            return extractor.batch([image for _, _, image in group])
    found: list[Features | TraqPointError] = []
    for name, _, image in group:
        try:
            found.append(image if isinstance(image, ImageError) else by_name(extractor)(name, image))
        except (ImageError, FormatError) as error:
            found.append(error)
    return found


def match_pairs(
    features: str | Path,
    pairs: Pairs,
    out: str | Path | None = None,
    matcher: MatcherConfig | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
    flow: MatchFlowConfig | None = None,
) -> Outcome:
    """Match pairs of what `extract_folder` wrote; the result has the format of `features`.

    out: None for ``<features>-matches`` beside the features; a COLMAP database takes its own matches. Unreadable
    features are collected in the outcome. Each image's features are read about once (`inference.pair_order`), and
    several threads call the matcher (`flow`). Raises ConfigError if `out` holds matches of another configuration.
    """
    matcher = matcher or MatcherConfig()
    on_device, match = resolve_device(device), build_matcher(matcher)
    format, source = find_features(Path(features))
    with closing(format.features(source, "r")) as store:
        chosen = _chosen(store, pairs)
        target = match_output(source, out, format)
        settings = matches_settings_path(target)
        with locked(target), closing(format.matches(target, "a")) as matches:
            matches.check_names(_names(chosen))
            config = {
                "verb": "match",
                "matcher": matcher.described(),
                "features": read_settings(settings_path(source)),
            }
            claim(target, settings, config, len(matches) > 0, overwrite, matches.clear)
            outcome = _match(matches, store, chosen, match, on_device, overwrite, progress, flow)
    return dataclasses.replace(outcome, out=target)


def match_into(
    matches: MatchStore,
    features: FeatureReader,
    pairs: Pairs,
    matcher: Matcher,
    device: Device = "cpu",
    overwrite: bool = False,
    progress: Progress | None = None,
    flow: MatchFlowConfig | None = None,
) -> Outcome:
    """Match those pairs that an open store lacks, or all of them; each once, whichever way round.

    matcher: maps two Features, on `device`, to Matches. Raises DataError if a pair names an image without features.
    """
    chosen = _chosen(features, pairs)
    matches.check_names(_names(chosen))
    return _match(matches, features, chosen, matcher, device, overwrite, progress, flow)


def _match(
    matches: MatchStore,
    features: FeatureReader,
    pairs: Sequence[Pair],
    matcher: Matcher,
    device: Device,
    overwrite: bool,
    progress: Progress | None,
    flow: MatchFlowConfig | None,
) -> Outcome:
    pending = [pair for pair in pairs if overwrite or pair not in matches]
    skipped = set(pairs).difference(pending)
    done, failed, found = list[str](), dict[str, str](), 0
    for number, (pair, between) in enumerate(matched(pending, features, matcher, device, flow), start=1):
        if isinstance(between, Matched):
            matches.write(*pair, between.matches, between.num_keypoints)
            found += len(between.matches)
            done.append(" ".join(pair))
        else:
            failed |= {name: _line(error, name) for name, error in between.items()}
        if progress is not None:
            progress(number, len(pending))
    if progress is not None and not pending:
        progress(0, 0)
    if done and not found:
        warnings.warn(
            f"not one match in {len(done)} pairs: other weights, or a stricter matcher than meant?", stacklevel=3
        )
    return Outcome(tuple(done), tuple(" ".join(pair) for pair in pairs if pair in skipped), tuple(failed.values()))


def _chosen(features: FeatureReader, pairs: Pairs) -> list[Pair]:
    """Each pair once. Raises DataError if there are no features, or none of an image."""
    names, source = features.names(), getattr(features, "path", "in memory")
    if not names:
        raise DataError(f"{source}: no features in there")
    if isinstance(pairs, PairsConfig):
        pairs = select_pairs(Collection(names, features), pairs)
    given = pairs(names) if callable(pairs) else pairs
    chosen = without_repeats(given)
    known = set(names)
    missing = [name for name in _names(chosen) if name not in known]
    if missing:
        raise DataError(f"{source}: no features of {missing[0]!r}, which is in the pairs ({len(missing)} missing)")
    return chosen


def _names(pairs: Sequence[Pair]) -> list[str]:
    return list(dict.fromkeys(name for pair in pairs for name in pair))


def match_output(source: Path, out: str | Path | None, format: Format) -> Path:
    """Where the matches of the features at `source` go: `out`, or by default beside them, or into their database.

    Raises ConfigError if that is the place of the features, or not their database.
    """
    if format.is_one_file:
        if out is not None and Path(out).absolute() != source.absolute():
            raise ConfigError(f"{out}: the matches of a COLMAP database go into it, {source}; leave the output out")
        return source
    if out is None:
        suffix = source.suffix if format.is_file else ""
        return source.with_name(f"{source.name.removesuffix(suffix)}-matches{suffix}")
    target = Path(out)
    if target.absolute() == source.absolute():
        raise ConfigError(f"{target}: the features are there; choose another output for the matches")
    if format.is_file and target.suffix.lower() not in format.suffixes:
        return target / format.matches_file
    return target


def _line(error: Exception, name: Any) -> str:
    message = " ".join(str(error).split())
    return message if str(name) in message else f"{name}: {message}"
