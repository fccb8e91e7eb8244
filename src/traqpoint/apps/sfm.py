"""From a folder of photos to a sparse model: extract, match, map; each step goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from traqpoint.errors import DataError
from traqpoint.inference.config import MappingConfig
from traqpoint.inference.pairs import select_pairs
from traqpoint.inference.pipeline import Progress, extract_folder, match_pairs, name_images
from traqpoint.io.hloc import HlocFeatures, HlocMatches
from traqpoint.matching.config import MatcherConfig
from traqpoint.sfm.mapping import Reconstruction, reconstruct
from traqpoint.types import Features


def photos_to_model(
    images: str | Path | Iterable[str | Path],
    out: str | Path,
    extractor: Callable[[np.ndarray], Features],
    pairs: str = "exhaustive",
    window: int = 5,
    matcher: MatcherConfig | None = None,
    config: MappingConfig | None = None,
    overwrite: bool = False,
    bar: Callable[[str], AbstractContextManager[Progress]] | None = None,
) -> Reconstruction:
    """The sparse models of image files and folders in ``out/sparse/0, 1, …``, the largest first.

    Beside them: features.h5 and matches.h5 (hloc's formats) and database.db (COLMAP's). pairs, window: as in
    `select_pairs`. Unreadable images are told in the notes and the rest goes on. bar: opens a progress bar by its
    name. Raises ConfigError if `out` holds results of other settings, and `overwrite` is not set.
    """
    out = Path(out)
    named = dict(name_images(images))
    bar = bar or _no_bar
    with bar("extract") as progress:
        report = extract_folder(named, out / "features.h5", extractor, overwrite=overwrite, progress=progress)
    with closing(HlocFeatures(report.out, "r")) as features:
        usable = [name for name in named if name in features]
    if not usable:
        raise DataError(f"none of {len(named)} images can be used: {report.failed[0]}")
    chosen = select_pairs(pairs, usable, window)
    device = getattr(getattr(extractor, "config", None), "device", "cpu")
    with bar("match") as progress:
        matching = match_pairs(report.out, chosen, out / "matches.h5", matcher, device, overwrite, progress)
    with (
        bar("map") as progress,
        closing(HlocFeatures(report.out, "r")) as features,
        closing(HlocMatches(matching.out, "r")) as matches,
    ):
        found = reconstruct(named, features, matches, chosen, out, config, None, overwrite, progress)
    return replace(found, notes=(*report.failed, *matching.failed, *found.notes))


def _no_bar(what: str) -> AbstractContextManager[Progress]:
    return nullcontext(lambda done, total: None)
