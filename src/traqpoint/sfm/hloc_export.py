"""The files that hloc's triangulation and localization read, from any of our stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from traqpoint.geometry.camera import Camera
from traqpoint.inference.pairs import Pair, without_repeats
from traqpoint.io.hloc import HlocFeatures, HlocMatches
from traqpoint.io.stores import FeatureStore, MatchStore


def export_hloc(
    out: Path,
    features: FeatureStore,
    matches: MatchStore,
    map_pairs: Sequence[Pair],
    query_pairs: Sequence[Pair],
    queries: Mapping[str, Camera],
) -> Path:
    """Write features.h5, matches.h5, pairs-db.txt, pairs-query.txt and queries_with_intrinsics.txt into `out`.

    map_pairs: of database images. query_pairs: (query, database image). queries: name -> calibration, for COLMAP's
    pixels as hloc has it there. Give the first three files to hloc.triangulation, and with pairs-query.txt and the list
    of queries to hloc.localize_sfm. Images without features and pairs without matches are left out. What the folder
    held under these names is replaced.
    """
    out.mkdir(parents=True, exist_ok=True)
    known = {name for pair in (*map_pairs, *query_pairs) for name in pair if name in features}
    with closing(HlocFeatures(out / "features.h5")) as store:
        store.clear()
        for name in sorted(known):
            store.write(name, features.read(name))
    kept: list[Sequence[Pair]] = []
    with closing(HlocMatches(out / "matches.h5")) as store_of_matches:
        store_of_matches.clear()
        for pairs in (map_pairs, query_pairs):
            usable = [(a, b) for a, b in pairs if a in known and b in known and (a, b) in matches]
            kept.append(usable)
            for a, b in without_repeats(usable):
                store_of_matches.write(a, b, matches.read(a, b), len(features.read(a)))
    for file, pairs in zip(("pairs-db.txt", "pairs-query.txt"), kept, strict=True):
        _write_lines(out / file, [f"{a} {b}" for a, b in pairs])
    lines = [" ".join([name, camera.model, *_numbers(camera)]) for name, camera in queries.items() if name in known]
    _write_lines(out / "queries_with_intrinsics.txt", lines)
    return out


def _numbers(camera: Camera) -> list[str]:
    return [*map(str, camera.image_size), *(repr(value) for value in camera.params.tolist())]


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
