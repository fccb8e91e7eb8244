"""What a step of training costs, by part, on one thread: stage 1 with and without teachers, stage 2 by preset.

    python benchmarks/step_cost.py --photos PHOTOS --out benchmarks/results/step_cost.json

Networks in bf16 where the CPU computes in it. Stage 1: 8 pairs of 256 px in strong light, pyramid-s. Stage 2: 2
sequences of five frames of 240 px, traqpoint-s-v1. Rounds of all rows are interleaved; medians of CPU time are printed.
The teacher is traqpoint-s-v1, whose answers are known before the first step, as any teacher's are.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.progress import track
from torch import nn

from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.photos import load_photos
from traqpoint.device import computes_in_bf16
from traqpoint.files import write_json
from traqpoint.models.config import ModelConfig
from traqpoint.models.layers import channels_last, frozen
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.config import PolicyConfig
from traqpoint.policy.objective import objective
from traqpoint.policy.presets import PRESETS
from traqpoint.training.average import Average
from traqpoint.training.config import DescriptorConfig, TeachersConfig
from traqpoint.training.descriptor_step import descriptor_step
from traqpoint.training.policy_step import frozen_maps
from traqpoint.training.teachers import Teachers
from traqpoint.training.update import update

CPU = torch.device("cpu")
Lap = Callable[[str], None]
PARTS = ("data", "descriptor", "policy", "loss", "backward", "update")
STRONG = HomographyConfig(image_size=256, num_frames=2, light="strong", turned=0.15, scale=2.5)
STAGE_1 = {
    "contrast": DescriptorConfig(),
    "cosine 4, contrast 1": DescriptorConfig(losses=(("cosine", 4.0), ("contrast", 1.0)), points_per_frame=0),
    "similarity": DescriptorConfig(losses=(("similarity", 1.0),), points_per_frame=0),
}


@dataclass(frozen=True)
class Options:
    """What to measure."""

    photos: Path
    """Folder of photographs."""
    rounds: int = 7
    """Interleaved repetitions."""
    limit: int = 40
    """Photographs used."""
    out: Path | None = None
    """Medians as JSON."""


class StageOne:
    """A step with one choice of losses."""

    def __init__(self, source: HomographySequences, config: DescriptorConfig) -> None:
        self.model = channels_last(TraqPoint(ModelConfig(descriptor="pyramid-s", detector="pyramid"))).train()
        self.source, self.config, self.maps = source, config, self.model.descriptor.maps
        self.updated = Updated(self.model.descriptor)

    def __call__(self, generator: torch.Generator, lap: Lap) -> None:
        batch = self.source.sample(8, generator)
        lap("data")
        with torch.autocast("cpu", torch.bfloat16, enabled=computes_in_bf16(CPU)):
            maps = self.maps(batch.images.flatten(0, 1).contiguous(memory_format=torch.channels_last))
            lap("descriptor")
            self.model.descriptor.maps = lambda images: maps  # type: ignore[method-assign]
            loss, _ = descriptor_step(batch, self.model, self.config, generator)
        lap("loss")
        self.updated(loss, lap)


class StageTwo:
    """A step with one preset."""

    def __init__(self, source: HomographySequences, config: PolicyConfig) -> None:
        self.model = channels_last(TraqPoint.from_pretrained("traqpoint-s-v1"))
        frozen(self.model.descriptor)
        self.model.detector.train()
        self.source, self.config, self.updated = source, config, Updated(self.model.detector)

    def __call__(self, generator: torch.Generator, lap: Lap) -> None:
        batch = self.source.sample(2, generator)
        lap("data")
        B, T = batch.images.shape[:2]
        images = batch.images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=computes_in_bf16(CPU)):
            maps = frozen_maps(images, self.model)
            descriptors = self.model.descriptor.dense(maps).unflatten(0, (B, T))
            lap("descriptor")
            logits = self.model.detector(images, maps).float().unflatten(0, (B, T))[:, :, 0]
        lap("policy")
        loss, _ = objective(logits, descriptors, batch.geometry, self.config, generator)
        lap("loss")
        self.updated(loss, lap)


class Updated:
    """Backward pass, then AdamW and the average of the weights."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.average = network, Average(network, 0.999)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)

    def __call__(self, loss: torch.Tensor, lap: Lap) -> None:
        loss.backward()
        lap("backward")
        update(self.network, self.optimizer, loss, 1.0)
        self.average.update(1000)
        lap("update")


def steps(options: Options, cache: Path) -> dict[str, StageOne | StageTwo]:
    """Rows of the table, by name."""
    photos = load_photos(options.photos, limit=options.limit)
    plain, mild = HomographySequences(photos, STRONG), HomographySequences(photos, HomographyConfig())
    taught = Teachers(TeachersConfig(("traqpoint-s-v1",)), cache).teach(plain)
    out: dict[str, StageOne | StageTwo] = {}
    for name, config in STAGE_1.items():
        out[f"1: {name}"] = StageOne(plain if name == "contrast" else taught, config)  # type: ignore[arg-type]
    return out | {f"2: {name}": StageTwo(mild, config) for name, config in PRESETS.items()}


def main(options: Options) -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory() as cache:
        rows = steps(options, Path(cache))
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in rows}
    for _ in track(range(options.rounds + 1), description="rounds"):
        for name, step in rows.items():
            began = time.process_time()

            def lap(part: str, name: str = name) -> None:
                nonlocal began
                now = time.process_time()
                seconds[name].setdefault(part, []).append(now - began)
                began = now

            step(generator, lap)
    # The first round warms up.
    medians = {n: {part: statistics.median(v[1:]) for part, v in parts.items()} for n, parts in seconds.items()}
    print(f"| stage and losses | {' | '.join(f'{part} ms' for part in PARTS)} | sum ms |\n|{'---|' * (len(PARTS) + 2)}")
    for name, row in medians.items():
        cells = " | ".join(f"{1000 * row[part]:.0f}" if part in row else "" for part in PARTS)
        print(f"| {name} | {cells} | {1000 * sum(row.values()):.0f} |")
    if options.out is not None:
        protocol = {k: v for k, v in vars(options).items() if not isinstance(v, Path)}
        protocol["bf16"] = computes_in_bf16(CPU)
        write_json(options.out, {"protocol": protocol, "medians_s": medians})


if __name__ == "__main__":
    main(tyro.cli(Options))
