"""How the pyramid's policy may be built: the same frozen trunk, sequences and rewards, other last layers.

    python benchmarks/policy_heads.py --descriptor PYRAMID_S --photos TRAIN --val VALIDATION --work runs/heads

PYRAMID_S: weights whose descriptor is trained. TRAIN, VALIDATION: folders of photographs. Rows are kept in --work; the
same command goes on where it was broken off.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import policy_comparison
import torch
import torch.nn.functional as F
import tyro
from policy_validation import Validation
from policy_variants import VARIANTS, at_size
from torch import Tensor, nn

from traqpoint.files import write_json
from traqpoint.models.config import DESCRIPTORS, MODELS, PyramidShape
from traqpoint.models.detector import Detector, PolicyNetwork
from traqpoint.models.layers import ConvBlock, Pointwise, channels_last, fold_batch_norms, frozen, upsample
from traqpoint.models.pyramid_detector import PyramidDetector, _shuffled
from traqpoint.models.traqpoint import TraqPoint


@dataclass(frozen=True)
class Options:
    """What to run."""

    descriptor: str
    """Weights of pyramid-s, by name or path, whose trunk and descriptors are frozen."""
    photos: Path
    """Photographs to train from."""
    val: Path
    """Photographs to judge on, never trained from."""
    work: Path
    """Sequences and rows of finished runs."""
    seeds: int = 3
    """Seeds 0, 1, …"""
    steps: int = 120
    """Updates of a run, of two sequences of five frames each."""
    pool: int = 160
    """Sequences; a run goes through them in an order of its seed."""
    val_photos: int = 20
    """Sequences of the validation."""


class Summed(Detector):
    """As it was first: stem and trunk are summed as features, and what follows reads both."""

    stride, local = 32, True

    def __init__(self, shape: PyramidShape) -> None:
        super().__init__()
        image, _, quarter, eighth = shape.maps
        self.stem = ConvBlock(image, shape.stem, stride=2)
        self.quarter, self.eighth = Pointwise(quarter, shape.stem), Pointwise(eighth, shape.stem)
        self.body = ConvBlock(shape.stem, shape.stem)
        self.head = nn.Conv2d(shape.stem, 4, 3, padding=1)

    def forward(self, images: Tensor, maps: Sequence[Tensor]) -> Tensor:
        image, _, quarter, eighth = maps
        x, coarse = self.stem(image), self.quarter(quarter)
        coarse = coarse + upsample(self.eighth(eighth), (coarse.shape[-2], coarse.shape[-1]))
        x = x + upsample(coarse, (x.shape[-2], x.shape[-1]))
        return _shuffled(self.head(self.body(F.relu(x))))


HEADS: dict[str, tuple[Callable[[PyramidShape], Detector], dict[str, int], float]] = {
    "features summed, 8 channels": (Summed, {"stem": 8}, 3e-3),
    "features summed, 8 channels, rate 1e-2": (Summed, {"stem": 8}, 1e-2),
    "features summed, 16 channels, rate 1e-2": (Summed, {"stem": 16}, 1e-2),
    "logits summed, 16 channels (`pyramid-t`)": (PyramidDetector, {"stem_depth": 0}, 3e-3),
    "logits summed, 16 channels (`pyramid-t`), rate 1e-2": (PyramidDetector, {"stem_depth": 0}, 1e-2),
    "logits summed, 32 channels, rate 1e-2": (PyramidDetector, {"stem": 32, "stem_depth": 0}, 1e-2),
    "logits summed, 16 channels, one more layer (`pyramid-s`), rate 1e-2": (PyramidDetector, {}, 1e-2),
    "the first generation's network": (lambda shape: PolicyNetwork(), {}, 3e-3),
    "the first generation's network, rate 1e-2": (lambda shape: PolicyNetwork(), {}, 1e-2),
}
"""Name -> how to build it, what differs in the shape, learning rate."""
COLUMNS = {"completeness": 3, "repeatability": 3, "precision": 3, "localization_px": 2}


def built(head: str) -> Detector:
    build, changes, _ = HEADS[head]
    shape = DESCRIPTORS["pyramid-s"].shape
    assert shape is not None
    return build(replace(shape, **changes))


def milliseconds(rounds: int = 20) -> dict[str, float]:
    """Median time of each head, and of the trunk, for 640 × 480 on one thread; interleaved."""
    torch.set_num_threads(1)
    net = fold_batch_norms(channels_last(frozen(TraqPoint(MODELS["pyramid-s"]).descriptor)))
    images = torch.rand(1, 3, 480, 640).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        maps = net.maps(images)
        jobs: dict[str, Callable[[], object]] = {"trunk": lambda: net.maps(images)}
        for head in HEADS:
            network = fold_batch_norms(channels_last(frozen(built(head))))
            jobs[head] = lambda network=network: network(images, maps)  # type: ignore[misc]
        seconds: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(rounds):
            for name, job in jobs.items():
                began = time.perf_counter()
                job()
                seconds[name].append(time.perf_counter() - began)
    return {name: 1000 * median(taken) for name, taken in seconds.items()}


def run(head: str, seed: int, options: policy_comparison.Options, pool: Path, judge: Validation) -> dict[str, float]:
    file = options.work / "rows" / f"{list(HEADS).index(head)}-{seed}.json"
    if not file.exists():
        torch.manual_seed(seed)
        model = channels_last(frozen(TraqPoint.from_pretrained(options.descriptor)))
        model.detector = channels_last(built(head)).train()
        policy = at_size(VARIANTS["traqpoint"].policy, options.image_size)  # type: ignore[arg-type]
        variant = replace(VARIANTS["traqpoint"], policy=policy, learning_rate=HEADS[head][2])
        policy_comparison.train(variant, seed, model, policy_comparison._pool(pool), options)
        write_json(file, judge.judge(model.eval(), options.max_keypoints))
    return json.loads(file.read_text())


def main(options: Options) -> None:
    common = policy_comparison.Options(
        options.photos,
        options.val,
        options.work,
        steps=options.steps,
        pool=options.pool,
        val_photos=options.val_photos,
        precision="float32",
        descriptor=options.descriptor,
    )
    times = milliseconds()
    pool, judge = policy_comparison.build_pool(common), policy_comparison._validation(common)
    print(f"| last layers | ms (trunk: {times['trunk']:.1f}) | {' | '.join(COLUMNS)} |\n|{'---|' * (2 + len(COLUMNS))}")
    for head in HEADS:
        rows = [run(head, seed, common, pool, judge) for seed in range(options.seeds)]
        means = {name: np.array([row[name] for row in rows]) for name in COLUMNS}
        cells = [f"{means[name].mean():.{n}f} ± {means[name].std():.{n}f}" for name, n in COLUMNS.items()]
        print(f"| {head} | {times[head]:.1f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Options))
