"""What a step of policy training costs, by part, on one thread.

    python benchmarks/step_cost.py --photos PHOTOS --out benchmarks/results/step_cost.json

Two sequences of five frames at 240 px, bf16 networks, as trained by default. Rounds of all parts and presets are
interleaved; medians are printed, as milliseconds and as shares of the networks' time (descriptor, policy, backward).
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.progress import track

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.photos import load_photos
from traqpoint.files import write_json
from traqpoint.models.layers import channels_last, frozen
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.objective import objective
from traqpoint.policy.presets import PRESETS
from traqpoint.training.policy_step import frozen_maps


@dataclass(frozen=True)
class Options:
    """What to measure."""

    photos: Path
    """Folder of photographs."""
    rounds: int = 7
    """Interleaved repetitions."""
    batch_size: int = 2
    """Sequences of five frames."""
    image_size: int = 240
    """Side of the frames."""
    out: Path | None = None
    """Medians as JSON."""


def main(options: Options) -> None:
    torch.set_num_threads(1)
    source = HomographySequences(load_photos(options.photos, limit=60), HomographyConfig(image_size=options.image_size))
    model = channels_last(TraqPoint.from_pretrained("traqpoint-s"))
    frozen(model.descriptor)
    model.detector.train()
    generator = torch.Generator().manual_seed(0)
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in PRESETS}
    for _ in track(range(options.rounds + 1), description="rounds"):
        for name, config in PRESETS.items():
            began = time.process_time()

            def lap(part: str, name: str = name) -> None:
                nonlocal began
                now = time.process_time()
                seconds[name].setdefault(part, []).append(now - began)
                began = now

            batch = source.sample(options.batch_size, generator)
            lap("data")
            B, T = batch.images.shape[:2]
            images = batch.images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                maps = frozen_maps(images, model)
                descriptors = model.descriptor.dense(maps).unflatten(0, (B, T))
                lap("descriptor")
                logits = model.detector(images, maps).float().unflatten(0, (B, T))[:, :, 0]
            lap("policy")
            loss, _ = objective(logits, descriptors, batch.geometry, config, generator)
            lap("reward")
            loss.backward()
            lap("backward")
    # The first round warms up.
    medians = {n: {part: statistics.median(v[1:]) for part, v in parts.items()} for n, parts in seconds.items()}
    parts = ["data", "descriptor", "policy", "reward", "backward"]
    print(f"| preset | {' | '.join(f'{p} ms' for p in parts)} | reward / networks |\n|{'---|' * (len(parts) + 2)}")
    for name, row in medians.items():
        networks = row["descriptor"] + row["policy"] + row["backward"]
        cells = " | ".join(f"{1000 * row[p]:.0f}" for p in parts)
        print(f"| {name} | {cells} | {row['reward'] / networks:.2f} |")
    if options.out is not None:
        protocol = {k: v for k, v in vars(options).items() if not isinstance(v, Path)}
        write_json(options.out, {"protocol": protocol, "medians_s": medians})


if __name__ == "__main__":
    main(tyro.cli(Options))
