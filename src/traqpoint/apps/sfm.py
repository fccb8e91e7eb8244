"""From a folder of photos to a sparse model: extract, match, map; each step goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from traqpoint.errors import DataError
from traqpoint.files import locked
from traqpoint.inference.config import PairsConfig
from traqpoint.inference.images import Images, name_images
from traqpoint.inference.pairs import Collection, select_pairs
from traqpoint.inference.pipeline import extract_folder, match_pairs
from traqpoint.io.stores import open_features, open_matches
from traqpoint.matching.config import MatcherConfig
from traqpoint.matching.run import build_matcher
from traqpoint.progress import Bar, no_bar
from traqpoint.sfm.config import MATCHER, MappingConfig
from traqpoint.sfm.mapping import Reconstruction, reconstruct
from traqpoint.types import Features


def photos_to_model(
    images: Images,
    out: str | Path,
    extractor: Callable[[np.ndarray], Features],
    pairs: PairsConfig | None = None,
    matcher: MatcherConfig | None = None,
    config: MappingConfig | None = None,
    overwrite: bool = False,
    bar: Bar = no_bar,
) -> Reconstruction:
    """The sparse models of image files and folders in ``out/sparse/0, 1, …``, the largest first.

    Beside them: features.h5 and matches.h5 (hloc's formats) and database.db (COLMAP's). Unreadable images are told in
    the notes and the rest goes on. matcher: by default `sfm.config.MATCHER`. bar: opens a progress bar by its name.
    Raises ConfigError if `out` holds results of other settings, and `overwrite` is not set; DataError for fewer than
    two images that can be used.
    """
    with locked(out):
        return _photos_to_model(images, Path(out), extractor, pairs, matcher or MATCHER, config, overwrite, bar)


def _photos_to_model(
    images: Images,
    out: Path,
    extractor: Callable[[np.ndarray], Features],
    pairs: PairsConfig | None,
    matcher: MatcherConfig,
    config: MappingConfig | None,
    overwrite: bool,
    bar: Bar,
) -> Reconstruction:
    named = dict(name_images(images))
    build_matcher(matcher)  # what it lacks is told before anything is extracted
    with bar("extract") as progress:
        extraction = extract_folder(named, out / "features.h5", extractor, overwrite=overwrite, progress=progress)
    with closing(open_features(out / "features.h5")) as features:
        usable = [name for name in named if name in features]
    if not usable:
        raise DataError(f"none of {len(named)} images can be used: {extraction.failed[0]}")
    if len(usable) < 2:
        failed = f"; {extraction.failed[0]}" if extraction.failed else ""
        raise DataError(f"{usable[0]}: a model needs two images or more, and this is the only one{failed}")
    with closing(open_features(out / "features.h5")) as features:
        chosen = select_pairs(Collection(usable, features, named), pairs or PairsConfig())
    device = getattr(getattr(extractor, "config", None), "device", "cpu")
    with bar("match") as progress:
        matching = match_pairs(out / "features.h5", chosen, out / "matches.h5", matcher, device, overwrite, progress)
    with (
        closing(open_features(out / "features.h5")) as features,
        closing(open_matches(out / "matches.h5")) as matches,
    ):
        found = reconstruct(named, features, matches, chosen, out, config, None, overwrite, bar)
    return replace(found, notes=(*extraction.failed, *matching.failed, *found.notes))
