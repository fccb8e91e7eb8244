"""Track benchmark on homography sequences of photos: every method on the same frames, plain mutual nearest neighbours.

    python benchmarks/homography_tracks.py --photos PHOTOS --peers PEERS --out benchmarks/results/homography_tracks.json

PHOTOS: a folder of images. PEERS: a folder with the weights of other methods, named as in evaluation/methods/peers.py;
without it only the methods that need none are run. Each --weights adds one of our models.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import torch
import tyro
from rich.progress import track

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.photos import load_photos
from traqpoint.evaluation.methods.peers import build_peer
from traqpoint.evaluation.metrics.tracks import NO_SCORES, Method, evaluate
from traqpoint.inference.extractor import Extractor
from traqpoint.models.weights import read as read_weights


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
    difficulty: float = 1.0
    """Rotation, scale, shift, perspective and light change by this share of what our training uses."""
    seed: int = 0
    """Of the sequences."""
    out: Path | None = None
    """Keep the rows with their protocol here, as JSON; methods that are there already are not run again."""


def methods(options: Options) -> dict[str, tuple[str, Callable[[], Method]]]:
    """Name -> (what tells a changed method from the same one, how to build it)."""
    n = options.max_keypoints
    out: dict[str, tuple[str, Callable[[], Method]]] = {}
    for weights in options.weights:
        digest = read_weights(weights)[1]["sha256"]
        out[Path(weights).stem] = digest, partial(Extractor, weights, max_keypoints=n)
    if options.classical:
        opencv = version("opencv-python-headless")
        out |= {name: (opencv, partial(build_peer, name, n)) for name in ("SIFT", "ORB")}
    if options.peers is not None:
        kornia = version("kornia")
        for name in ("XFeat", "ALIKED-T16", "ALIKED-N16"):
            out[name] = kornia, partial(build_peer, name, n, weights=options.peers)
    return out


def table(rows: dict[str, dict[str, float]]) -> str:
    lines = ["| method | keypoints | repeatability | precision | correct | length | completeness | loc. px |"]
    lines.append("|" + "---|" * 8)
    for name, r in sorted(rows.items(), key=lambda item: -item[1]["completeness"]):
        lines.append(
            f"| {name} | {r['keypoints']:.0f} | {r['repeatability']:.3f} | {r['precision']:.3f} "
            f"| {r['correct_matches']:.0f} | {r['track_length']:.2f} | {r['completeness']:.3f} "
            f"| {r['localization_px']:.2f} |"
        )
    return "\n".join(lines)


def main(options: Options) -> None:
    config = HomographyConfig(image_size=480, zoom=(1.2, 1.6))
    d = options.difficulty
    config = replace(
        config,
        rotation_degrees=d * config.rotation_degrees,
        scale=config.scale**d,
        translation=d * config.translation,
        perspective=d * config.perspective,
        photometric=d * config.photometric,
    )
    photos = load_photos(options.photos)
    step = max(1, len(photos) // options.limit) if options.limit else 1
    chosen = range(0, len(photos), step)[: options.limit]
    source = HomographySequences(photos, config)
    protocol = {
        "photos": options.photos.name,
        "sequences": len(chosen),
        "homography": asdict(config),
        "max_keypoints": options.max_keypoints,
        "threshold_px": 3.0,
        "matcher": "mutual nearest neighbours",
        "seed": options.seed,
    }
    protocol = json.loads(json.dumps(protocol))  # tuples as they come back from the file
    rows = {}
    if options.out is not None and options.out.exists():
        before = json.loads(options.out.read_text())
        if before["protocol"] != protocol:
            raise SystemExit(f"{options.out} holds another protocol: choose another file")
        rows = before["rows"]
    for name, (identity, build) in methods(options).items():
        if rows.get(name, {}).get("identity") == identity:
            continue
        method, scores = build(), NO_SCORES
        for i in track(chosen, description=name):
            sequence = source.render([i], torch.Generator().manual_seed(options.seed * 100_003 + i))
            scores = scores + evaluate(method, sequence)
        rows[name] = scores.summary() | {"lengths": scores.length_histogram, "identity": identity}
        if options.out is not None:  # after each method: a broken run goes on where it was
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps({"protocol": protocol, "rows": rows}, indent=2) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main(tyro.cli(Options))
