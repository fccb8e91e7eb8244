"""Many outputs become one: shards, npz folders, hloc files and COLMAP databases, in any mixture, as often as wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from traqpoint.errors import ConfigError, DataError, FormatError
from traqpoint.files import differences, locked, read_settings, write_settings
from traqpoint.inference.pipeline import match_output
from traqpoint.inference.settings import matches_settings_path, settings_path
from traqpoint.io.colmap_db import ColmapDatabase
from traqpoint.io.parts import opened, parts_of
from traqpoint.io.stores import FeatureStore, MatchStore, resolve_output
from traqpoint.progress import Progress
from traqpoint.types import Features, Matches

_SAME = 1e-3
"""Pixels, and of descriptors: hloc's files round by less, and so do the sums of another machine."""


@dataclass
class Merged:
    """What a merge did. images, pairs: that were added. duplicates: images and pairs that were there already.

    conflicts: a line for each image or pair that two outputs disagree about. failed: one for each part or item that
    cannot be read.
    """

    out: Path
    images: int = 0
    pairs: int = 0
    duplicates: int = 0
    conflicts: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def merge(
    inputs: Sequence[str | Path],
    out: str | Path,
    format: str | None = None,
    matches: str | Path | None = None,
    images: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
) -> Merged:
    """Features and matches of all `inputs`, files or folders, in one store of `format`. What is in `out` stays.

    matches: where these go, by default as `match_pairs` has it. images: name -> photograph, whose EXIF a COLMAP
    database asks for the focal length where a part brings no camera.
    Where two parts disagree about an image the first one counts, and pairs of that image are added from none: which of
    the two they are of, nobody says. Raises ConfigError if parts were made with different settings, DataError if there
    are no features in them.
    """
    chosen, target = resolve_output(Path(out), format)
    to = match_output(target, matches, chosen)
    places = {target.absolute(), to.absolute()}
    parts = [part for given in inputs for part in parts_of(given) if part.absolute() not in places]
    extractor, matcher = _common([target, *parts], "extractor"), _common([to, *parts], "matcher")
    merged, disputed, names = Merged(target), set[str](), dict[str, None]()

    def told(number: int) -> None:
        if progress is not None:
            progress(number, 2 * len(parts))

    with locked(target), closing(chosen.features(target, "a")) as store:
        for number, part in enumerate(parts, start=1):
            names |= dict.fromkeys(_merge_features(part, store, images or {}, merged, disputed))
            told(number)
        names |= dict.fromkeys(store.names())
        if not names:
            raise DataError(f"{merged.failed[0] if merged.failed else target}: no features to merge")
        _remember(settings_path(target), {"verb": "extract", "format": chosen.name, "extractor": extractor})
        with closing(chosen.matches(to, "a")) as pairs:
            pairs.check_names(names)
            for number, part in enumerate(parts, start=1):
                _merge_matches(part, pairs, store, list(names), merged, disputed)
                told(len(parts) + number)
        if merged.pairs:
            of_features = read_settings(settings_path(target))
            settings = {"verb": "match", "matcher": matcher, "features": of_features}
            _remember(matches_settings_path(to), settings)
    return merged


def _merge_features(
    part: Path, store: FeatureStore, images: Mapping[str, Path], merged: Merged, disputed: set[str]
) -> list[str]:
    """Add what is new. Returns the names of the part's images."""
    names = list[str]()
    with _telling(merged), opened(part) as (features, _):
        for name in features.names() if features is not None else ():
            with _telling(merged):
                found = features.read(name)  # type: ignore[union-attr]
                names.append(name)
                if name not in store:
                    camera = features.camera(name) if isinstance(features, ColmapDatabase) else None
                    _add(store, name, found, images.get(name), camera)
                    merged.images += 1
                elif _equal_features(store.read(name), found):
                    merged.duplicates += 1
                else:
                    disputed.add(name)
                    merged.conflicts.append(
                        f"{part}: {name} has other features than in {merged.out}, which stay, and its pairs are left "
                        "out; another photograph of that name? Extract the folder above both"
                    )
    return names


def _add(store: FeatureStore, name: str, found: Features, image: Path | None, camera: Any) -> None:
    if found.scores.isnan().any():  # a database has none, but the order; the other formats take no NaN
        found = replace(found, scores=1 - torch.arange(len(found)) / max(1, len(found)))
    if isinstance(store, ColmapDatabase):
        store.write(name, found, image, camera, share_camera=camera is not None)
    else:
        store.write(name, found, image)


def _merge_matches(
    part: Path, store: MatchStore, features: FeatureStore, names: Sequence[str], merged: Merged, disputed: set[str]
) -> None:
    keypoints = cache(lambda name: len(features.read(name)))
    with _telling(merged), opened(part) as (_, matches):
        for pair in matches.pairs(names) if matches is not None else ():
            if disputed.isdisjoint(pair):
                with _telling(merged):
                    _merge_pair(part, pair, matches.read(*pair), store, keypoints, merged)  # type: ignore[union-attr]


@contextmanager
def _telling(merged: Merged) -> Iterator[None]:
    """What cannot be read becomes a line, and the rest goes on."""
    try:
        yield
    except FormatError as error:
        if str(error) not in merged.failed:  # a part is opened for its features, and again for its matches
            merged.failed.append(str(error))


def _merge_pair(
    part: Path,
    pair: tuple[str, str],
    found: Matches,
    store: MatchStore,
    keypoints: Callable[[str], int],
    merged: Merged,
) -> None:
    """keypoints: how many an image has."""
    if pair in store:
        if _equal_matches(store.read(*pair), found):
            merged.duplicates += 1
        else:
            merged.conflicts.append(f"{part}: {' '.join(pair)} has other matches than in {merged.out}, which stay")
        return
    sizes = [keypoints(name) for name in pair]
    if len(found) and any(int(found.indices[:, side].max()) >= size for side, size in enumerate(sizes)):
        merged.conflicts.append(
            f"{part}: {' '.join(pair)} names keypoints that the features in {merged.out} do not have"
        )
        return
    store.write(*pair, replace(found, scores=found.scores.nan_to_num(1.0)), sizes[0])
    merged.pairs += 1


def _equal_features(a: Features, b: Features) -> bool:
    if a.descriptors.shape != b.descriptors.shape or a.image_size != b.image_size:
        return False
    near = ((x - y).abs() <= _SAME for x, y in ((a.keypoints, b.keypoints), (a.descriptors, b.descriptors)))
    return all(bool(each.all()) for each in near)


def _equal_matches(a: Matches, b: Matches) -> bool:
    return sorted(a.indices.tolist()) == sorted(b.indices.tolist())


def _common(parts: Sequence[Path], key: str) -> Any:
    """The `extractor` or `matcher` of all parts that say one; None if none does. Raises ConfigError if two differ."""
    first, common = None, None
    for part in parts:
        known = [matches_settings_path(part), settings_path(part), part.parent / "config.yaml"]
        found = next((s[key] for path in known if (s := read_settings(path)) and s.get(key) is not None), None)
        if found is not None and common is None:
            first, common = part, found
        elif found is not None and (different := differences(common, found, name=key)):
            raise ConfigError(f"{part}: made with another configuration than {first} ({'; '.join(different)})")
    return common


def _remember(path: Path, settings: dict[str, Any]) -> None:
    """Unless there are settings already, or no part says any, so that they stay unknown."""
    if read_settings(path) is None and None not in settings.values():
        write_settings(path, settings)
