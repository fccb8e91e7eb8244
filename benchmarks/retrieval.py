"""Which pairs are worth matching: what a choice finds of those that verify, what it costs, and what model is left.

    python benchmarks/retrieval.py SCENES… --out runs/retrieval [--map] [--choices retrieval-20 sequential-10 poses-20]

SCENES: folders of images; a COLMAP model in sparse/0 beside images/ gives the poses for poses-N. All pairs are matched
and verified first. Recall is the share of verified pairs that a choice contains; weighted, each counts by its inliers.
--map reconstructs from each choice, too. Seconds are the process's on all cores, choosing the pairs included, which
other programs lengthen less than those on the wall. What is finished is kept; the table is printed from it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from traqpoint import optional
from traqpoint.files import write_json
from traqpoint.inference.config import PairsConfig
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.images import name_images
from traqpoint.inference.pairs import Collection, select_pairs
from traqpoint.inference.pipeline import extract_folder, match_pairs
from traqpoint.io.stores import open_features, open_matches
from traqpoint.sfm.config import MATCHER, MappingConfig
from traqpoint.sfm.mapping import map_database
from traqpoint.sfm.verification import build_database

COLUMNS = ("pairs", "share", "recall", "weighted", "match CPU s", "of all", "verify CPU s", "registered", "points")


def configuration(choice: str, folder: Path) -> PairsConfig:
    """ "retrieval-20" -> 20 neighbours, "sequential-10" -> a window of 10, "all" -> every pair."""
    kind, _, count = choice.partition("-")
    if kind == "all":
        return PairsConfig()
    if kind in ("sequential", "quadratic"):
        return PairsConfig("sequential", window=int(count), quadratic=kind == "quadratic")
    return PairsConfig(kind, neighbours=int(count), poses=folder / "sparse" / "0" if kind == "poses" else None)


def verified(database: Path) -> dict[frozenset[str], int]:
    """Names of two images -> inliers, for all pairs that count for COLMAP's mapper."""
    pycolmap = optional.load("pycolmap")
    with closing(pycolmap.Database.open(database)) as db:
        names = {image.image_id: image.name for image in db.read_all_images()}
        found = zip(*db.read_two_view_geometry_num_inliers(), strict=True)
        least = pycolmap.IncrementalPipelineOptions().min_num_matches
        pairs = ((pycolmap.pair_id_to_image_pair(pair), count) for pair, count in found if count >= least)
        return {frozenset(names[i] for i in pair): int(count) for pair, count in pairs}


def run(images: Path, choice: str, config: PairsConfig, out: Path, extractor: Extractor, mapped: bool) -> dict:
    """CPU seconds of each step, and the model of one choice, in `out`."""
    stamp, named = out / "seconds.json", dict(name_images(images))
    known = json.loads(stamp.read_text()) if stamp.is_file() else {}
    features = out.parent / "features.h5"
    extract_folder(named, features, extractor)
    with closing(open_features(features)) as store:
        began = time.process_time()
        pairs = select_pairs(Collection(store.names(), store, named), config)
        known.setdefault("choose", time.process_time() - began)
    if "match" not in known:
        began = time.process_time()
        match_pairs(features, pairs, out / "matches.h5", MATCHER, "cpu")
        known["match"] = time.process_time() - began
        write_json(stamp, known)
    mapping, database = MappingConfig(), out / "database.db"
    with closing(open_features(features)) as store, closing(open_matches(out / "matches.h5")) as matches:
        if mapped or choice == "all":
            began = time.process_time()
            build_database(named, store, matches, pairs, database, mapping)
            known.setdefault("verify", time.process_time() - began)
            write_json(stamp, known)
    stats = map_database(database, named, out, mapping).stats if mapped else {}
    return {**known, "pairs": [sorted(pair) for pair in pairs], "stats": stats}


def row(choice: str, found: dict, every: dict, inliers: dict[frozenset[str], int]) -> list[str]:
    """Cells of the table."""
    chosen = {frozenset(pair) for pair in found["pairs"]}
    hit = {pair: count for pair, count in inliers.items() if pair in chosen}
    seconds = found["choose"] + found["match"]
    registered, points = (found["stats"].get(key) for key in ("registered", "points"))
    cells = [len(chosen), f"{len(chosen) / len(every['pairs']):.2f}", f"{len(hit) / max(1, len(inliers)):.3f}"]
    cells += [f"{sum(hit.values()) / max(1, sum(inliers.values())):.3f}", f"{seconds:.0f}"]
    cells += [
        f"{seconds / (every['choose'] + every['match']):.2f}",
        f"{found['verify']:.0f}" if "verify" in found else "",
    ]
    cells += ["" if value is None else f"{value:.0f}" for value in (registered, points)]
    return [choice, *map(str, cells)]


def print_table(scene: str, rows: Sequence[Sequence[str]]) -> None:
    print(f"\n| {scene} | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
    for cells in rows:
        print(f"| {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scenes", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--map", action="store_true", help="reconstruct from each choice")
    parser.add_argument("--choices", nargs="+", default=["retrieval-20"], help="besides all")
    parser.add_argument("--long-side", type=int, default=1600, help="of the images, in pixels")
    parser.add_argument("--max-keypoints", type=int, default=2048)
    options = parser.parse_args()
    extractor = Extractor(device="cpu", long_side=options.long_side, max_keypoints=options.max_keypoints)
    recalls = []
    for scene in options.scenes:
        images = scene / "images" if (scene / "images").is_dir() else scene
        out = options.out / scene.name
        found = {
            choice: run(images, choice, configuration(choice, scene), out / choice, extractor, options.map)
            for choice in ("all", *options.choices)
        }
        inliers = verified(out / "all" / "database.db")
        rows = [row(choice, result, found["all"], inliers) for choice, result in found.items()]
        print_table(f"{scene.name}, {len(inliers)} verified", rows)
        recalls.append([float(cells[3]) for cells in rows])
    print(f"\nmean recall: {dict(zip(found, np.mean(recalls, axis=0).round(3).tolist(), strict=True))}")


if __name__ == "__main__":
    main()
