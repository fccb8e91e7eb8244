"""Track benchmark on homography sequences of photos: every method on the same frames, plain mutual nearest neighbours.

    python benchmarks/homography_tracks.py --photos PHOTOS --peers PEERS --out benchmarks/results/homography_tracks.json

PHOTOS: a folder of images. PEERS: a folder with the weights of other methods, named as in evaluation/peers.py; without
it only the methods that need none are run. Each --weights adds one of our models.
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import tyro
from rich.progress import track

import traqpoint
from traqpoint.data.base import load_photos
from traqpoint.data.homography import HomographyConfig, HomographySequences
from traqpoint.evaluation import peers
from traqpoint.evaluation.tracks import NO_SCORES, Method, evaluate
from traqpoint.inference.extractor import Extractor


@dataclass(frozen=True)
class Options:
    """What to run."""

    photos: Path
    """Folder of photos; one sequence each."""
    peers: Path | None = None
    """Folder with the weights of other methods."""
    weights: tuple[str, ...] = ("traqpoint-s",)
    """Our models: packaged names or paths."""
    classical: bool = True
    """Run SIFT and ORB too."""
    max_keypoints: int = 1000
    """Keypoints per frame."""
    limit: int | None = None
    """Use this many photos, spread over the folder."""
    seed: int = 0
    """Of the sequences."""
    out: Path | None = None
    """Write the table with its protocol here, as JSON."""


def methods(options: Options) -> dict[str, Method]:
    n = options.max_keypoints
    out: dict[str, Method] = {Path(w).stem: Extractor(w, max_keypoints=n) for w in options.weights}
    if options.classical:
        out |= {name: make(n) for name, make in peers.CLASSICAL.items()}
    if options.peers is not None:
        out["XFeat"] = peers.xfeat(n, options.peers)
        out["ALIKED-T16"] = peers.aliked(n, options.peers, "aliked-t16")
        out["ALIKED-N16"] = peers.aliked(n, options.peers, "aliked-n16")
    return out


def main(options: Options) -> None:
    config = HomographyConfig(image_size=480, zoom=(1.2, 1.6))
    photos = load_photos(options.photos)
    step = max(1, len(photos) // options.limit) if options.limit else 1
    chosen = range(0, len(photos), step)[: options.limit]
    source = HomographySequences(photos, config)
    scores = dict.fromkeys(named := methods(options), NO_SCORES)
    seconds = dict.fromkeys(named, 0.0)
    for i in track(chosen, description="sequences"):
        sequence = source.render([i], torch.Generator().manual_seed(options.seed * 100_003 + i))
        for name, method in named.items():
            began = time.perf_counter()
            scores[name] = scores[name] + evaluate(method, sequence)
            seconds[name] += time.perf_counter() - began
    rows = {name: s.summary() | {"seconds": seconds[name]} for name, s in scores.items()}
    print(f"| {'method':<24} | kpts | repeat. | precision | correct | length | complete | loc. px |")
    print("|" + "---|" * 8)
    for name, r in sorted(rows.items(), key=lambda item: -item[1]["completeness"]):
        print(
            f"| {name:<24} | {r['keypoints']:.0f} | {r['repeatability']:.3f} | {r['precision']:.3f} "
            f"| {r['correct_matches']:.0f} | {r['track_length']:.2f} | {r['completeness']:.3f} "
            f"| {r['localization_px']:.2f} |"
        )
    if options.out is not None:
        protocol = {
            "photos": options.photos.name,
            "sequences": len(chosen),
            "homography": asdict(config),
            "max_keypoints": options.max_keypoints,
            "threshold_px": 3.0,
            "matcher": "mutual nearest neighbours",
            "seed": options.seed,
            "versions": {"traqpoint": traqpoint.__version__, "torch": torch.__version__},
            "hardware": f"{platform.machine()}, {torch.get_num_threads()} threads",
        }
        histograms = {name: s.length_histogram for name, s in scores.items()}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"protocol": protocol, "rows": rows, "lengths": histograms}, indent=2) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Options))
