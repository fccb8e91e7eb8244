"""What files and folders hold, whoever wrote them: features, matches, or both; and a folder of shards as its files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from traqpoint.errors import FormatError
from traqpoint.io.npz import NpzFeatures, NpzMatches
from traqpoint.io.stores import FeatureStore, MatchStore, format_of


def parts_of(path: str | Path) -> list[Path]:
    """The file; or those files of a folder that are of a format of files, by name; or the folder, which is npz's then.

    Raises FormatError if there is no such path.
    """
    path = Path(path)
    if not path.exists():
        raise FormatError(f"{path}: no such file or folder")
    if path.is_file():
        return [path]
    files = [file for file in sorted(path.iterdir()) if format_of(file) is not None and not file.name.startswith(".")]
    return files or [path]


@contextmanager
def opened(path: Path) -> Iterator[tuple[FeatureStore | None, MatchStore | None]]:
    """The features and the matches in one of `parts_of`, to read; None for what it does not hold.

    Raises FormatError if it cannot be read.
    """
    with ExitStack() as stack:
        if path.is_dir():
            yield (None, NpzMatches(path, "r")) if _holds_matches(path) else (NpzFeatures(path, "r"), None)
            return
        format = format_of(path)
        if format is None:
            raise FormatError(f"{path}: neither features nor matches")
        features = format.features(path, "r")
        stack.callback(features.close)
        found = features if features.names() else None
        if found is not None and not format.is_one_file:
            yield found, None
            return
        matches = format.matches(path, "r")
        stack.callback(matches.close)
        yield found, matches


def _holds_matches(folder: Path) -> bool:
    first = next((path for path in folder.rglob("*.npz") if not path.name.startswith(".")), None)
    try:
        with np.load(first) as archive:  # type: ignore[arg-type]
            return "indices" in archive.files
    except (OSError, ValueError, TypeError, EOFError):  # none, or damaged: told when it is read as features
        return False
