"""Features in a database that COLMAP's own matchers take."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from traqpoint.files import locked
from traqpoint.io.colmap_db import ColmapDatabase, DescriptorType
from traqpoint.io.stores import open_features


def write_database(
    features: str | Path,
    out: str | Path,
    images: Mapping[str, Path] | None = None,
    descriptor_type: DescriptorType = "SIFT",
) -> int:
    """Write what `extract` wrote, in any format, into a new COLMAP database; the number of images.

    images: name -> file, for what EXIF says of the cameras. descriptor_type: "SIFT" rounds them to the bytes that
    COLMAP's SIFT matchers compare (`ColmapDatabase.write`), as in ``pycolmap.match_exhaustive(out)``; "UNDEFINED" keeps
    them exactly, for `traqpoint match`. Raises FormatError if `out` has features of an image already.
    """
    with locked(Path(out)), closing(open_features(features)) as source, ColmapDatabase(out) as database:
        names = source.names()
        for name in names:
            file = None if images is None else images.get(name)
            database.write(name, source.read(name), file, descriptor_type=descriptor_type)
        return len(names)
