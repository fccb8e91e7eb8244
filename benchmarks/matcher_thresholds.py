"""What a matcher's threshold keeps of true matches, and of those between photographs that show nothing in common.

    python benchmarks/matcher_thresholds.py SCENE [SCENE …] --strangers PHOTOS --weights traqpoint-s traqpoint-s-v1

SCENE: of the Strecha benchmark. True matches: within 3 px of the true epipolar line, in all pairs of a scene less than
45° apart. Junk: all matches of its photographs with PHOTOS of other things.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import mean

import tyro

from traqpoint.evaluation.benchmarks.pose import PoseBenchmark
from traqpoint.evaluation.metrics.pose import match_precision
from traqpoint.image import list_images
from traqpoint.inference.extractor import Extractor
from traqpoint.matching.config import MatcherConfig, MutualConfig
from traqpoint.matching.run import Matcher, build_matcher
from traqpoint.types import Features

THRESHOLDS = (
    MutualConfig(),
    *(MutualConfig(max_ratio=ratio) for ratio in (0.97, 0.95, 0.9, 0.85)),
    *(MutualConfig(min_similarity=cosine) for cosine in (0.7, 0.75, 0.8, 0.85, 0.9)),
    *(MutualConfig(max_ratio=0.97, min_similarity=cosine) for cosine in (0.75, 0.8, 0.85)),
)


@dataclass(frozen=True)
class Options:
    """What to match."""

    scenes: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of scenes with known poses."""
    strangers: Path
    """Folder of photographs that show nothing of them."""
    weights: tuple[str, ...] = ("traqpoint-s",)
    """Names or files."""
    max_keypoints: int = 2048
    """Per photograph."""
    long_side: int = 1024
    """Larger photographs are shrunk to this many pixels."""
    junk: int = 60
    """Pairs of a scene's photograph and a stranger."""


@dataclass(frozen=True)
class Scene:
    """A scene and what an extractor finds in it."""

    truth: PoseBenchmark
    features: dict[str, Features]

    def judged(self, match: Matcher) -> Iterator[tuple[int, float]]:
        """(matches, share of them that are true) of each pair."""
        data = self.truth.data
        for pair in data.pairs:
            both = self.features[pair.name_a], self.features[pair.name_b]
            found = match(*both)
            a, b = (
                data.pinhole_pixels(name, features.keypoints[found.indices[:, side]], features.image_size)
                for side, (name, features) in enumerate(zip((pair.name_a, pair.name_b), both, strict=True))
            )
            yield len(found), match_precision(pair, a, b, 3.0) if len(found) else 0.0


def row(threshold: MutualConfig, scenes: list[Scene], junk: list[tuple[Features, Features]]) -> tuple[float, ...]:
    """Mean true matches of a pair, mean share of true ones, mean and largest number of matches of a junk pair."""
    match = build_matcher(MatcherConfig(mutual=threshold))
    pairs = [pair for scene in scenes for pair in scene.judged(match)]
    strangers = [len(match(a, b)) for a, b in junk]
    return mean(n * share for n, share in pairs), mean(s for _, s in pairs), mean(strangers), max(strangers)


def named(threshold: MutualConfig) -> str:
    ratio = [] if threshold.max_ratio is None else [f"ratio at most {threshold.max_ratio}"]
    cosine = [] if threshold.min_similarity is None else [f"cosine at least {threshold.min_similarity}"]
    return ", ".join(ratio + cosine) or "none"


def main(options: Options) -> None:
    truths = [PoseBenchmark(truth=scene) for scene in options.scenes]
    photos = list_images(options.strangers)
    photos = photos[:: max(1, len(photos) // options.junk)][: options.junk]
    for weights in options.weights:
        extractor = Extractor(weights, max_keypoints=options.max_keypoints, long_side=options.long_side)
        scenes = [Scene(truth, {name: extractor(path) for name, path in truth.data.images.items()}) for truth in truths]
        ours = cycle(features for scene in scenes for features in scene.features.values())
        junk = list(zip(ours, map(extractor, photos), strict=False))
        print(f"\n| {weights}: threshold | true matches | kept | precision | junk: mean | largest |\n|{'---|' * 6}")
        everything = 0.0
        for threshold in THRESHOLDS:
            true, precision, mean_junk, most = row(threshold, scenes, junk)
            everything = everything or true
            cells = f"{true:.0f} | {true / everything:.3f} | {precision:.3f} | {mean_junk:.0f} | {most:.0f}"
            print(f"| {named(threshold)} | {cells} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options))
