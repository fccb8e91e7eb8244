"""Every estimator and reward on one budget: same initial weights, same sequences, same number of frames, three seeds.

    python benchmarks/policy_comparison.py --photos TRAIN --val VALIDATION --posed STRECHA --rgbd ROOM \
        --work runs/comparison --out benchmarks/results/policy_comparison.json

TRAIN, VALIDATION: folders of photographs. STRECHA: a folder of Strecha scenes, for pose. ROOM: an RGB-D folder whose
last 37 frames are validation. Each finished run is kept in --work; the same command goes on where it was broken off.
"""

from __future__ import annotations

import json
import math
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import torch
import tyro
from policy_variants import VARIANTS, Variant, at_size
from rich.progress import track

from traqpoint.data.base import load_photos
from traqpoint.data.expert import fast_heatmap
from traqpoint.data.homography import HomographyConfig, HomographySequences
from traqpoint.geometry.warp import HomographyGeometry
from traqpoint.models.layers import channels_last
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.loss import warmup_loss
from traqpoint.training.config import LoopConfig
from traqpoint.training.loop import learning_rate
from traqpoint.training.policy_step import MovingAverage, Weights, describe, policy_step
from traqpoint.types import Sequence

POOL_FRAMES = 8
FRAMES_PER_STEP = 10
METRICS = (
    "completeness", "track_length", "localization_px", "repeatability", "precision", "completeness_rgbd", "pose_auc_5"
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """What to run."""

    photos: Path
    """Photographs to train from."""
    val: Path
    """Photographs to judge on, never trained from."""
    work: Path
    """Pool of sequences, weights and rows of finished runs."""
    posed: Path | None = None
    """Folder of Strecha scenes for the pose AUC."""
    rgbd: Path | None = None
    """RGB-D folder; the last 37 frames judge."""
    out: Path | None = None
    """Rows and protocol as JSON."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Which of policy_variants.py."""
    seeds: int = 3
    """Seeds 0, 1, …"""
    steps: int = 120
    """Updates of a run with T = 5; the others see as many frames."""
    warmup_steps: int = 60
    """Updates of the imitation that all variants start from."""
    image_size: int = 240
    """Side of the frames."""
    pool: int = 320
    """Sequences; a run goes through them in an order of its seed."""
    val_photos: int = 40
    """Sequences of the validation, the first of every few photographs."""
    max_keypoints: int = 300
    """Keypoints per validation frame."""
    descriptor: str = "traqpoint-s"
    """Whose frozen descriptor is used."""
    workers: int = 2
    """Runs at a time, one thread each."""


def build_pool(options: Options) -> Path:
    """Sequences and their frozen descriptors, rendered once: frozen means that they may be kept."""
    path = options.work / f"pool_{options.image_size}_{options.pool}.pt"
    if path.exists():
        return path
    config = HomographyConfig(image_size=options.image_size, num_frames=POOL_FRAMES)
    source = HomographySequences(load_photos(options.photos), config)
    model = channels_last(TraqPoint.from_pretrained(options.descriptor))
    generator = torch.Generator().manual_seed(12345)
    images, planes, masks, maps = [], [], [], []
    for _ in track(range(options.pool), description="pool"):
        batch = source.sample(1, generator)
        images.append((batch.images[0] * 255).round().byte())
        planes.append(batch.geometry.frame_from_plane[0])
        masks.append(batch.geometry.mask[0])
        maps.append(describe(images[-1].float() / 255, model).half())
    names = ("images", "planes", "masks", "descriptors")
    pool = {name: torch.stack(x) for name, x in zip(names, (images, planes, masks, maps), strict=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(pool, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)
    return path


def batch_of(pool: dict, indices: list[int], num_frames: int) -> tuple[Sequence, torch.Tensor]:
    """The first frames of some sequences of the pool, and their descriptors."""
    part = {name: torch.stack([values[i, :num_frames] for i in indices]) for name, values in pool.items()}
    geometry = HomographyGeometry(part["planes"], part["masks"])
    return Sequence(part["images"].float() / 255, geometry), part["descriptors"].float()


def train(variant: Variant, seed: int, model: TraqPoint, pool: dict, options: Options) -> dict:
    """Train model.detector in place. Returns seconds, the mean reward of the last tenth of the steps, and completeness
    on a few validation photographs at the start and after each quarter of the run."""
    initial = variant.kind == "initial"
    steps = options.warmup_steps if initial else options.steps
    batch_size = variant.batch_size or max(1, round(FRAMES_PER_STEP / variant.num_frames))
    if variant.batch_size is None:
        steps = math.ceil(steps * FRAMES_PER_STEP / (batch_size * variant.num_frames))
    config = LoopConfig(steps=steps, learning_rate=variant.learning_rate)
    optimizer = torch.optim.AdamW(model.detector.parameters(), lr=0.0, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(1000 * seed + 1)
    order = torch.randperm(options.pool, generator=torch.Generator().manual_seed(seed + 7 * initial)).tolist()
    average, rewards = MovingAverage(0.95), []
    seconds, curve = 0.0, [_validation(options).glance(model, options.max_keypoints)]
    for i in range(steps):
        began = time.process_time()
        chosen = [order[(i * batch_size + j) % options.pool] for j in range(batch_size)]
        batch, descriptors = batch_of(pool, chosen, variant.num_frames)
        with torch.autocast("cpu", torch.bfloat16):
            if variant.policy is None:
                images = batch.images.flatten(0, 1).contiguous(memory_format=torch.channels_last)
                loss, stats = 10 * warmup_loss(model.detector(images).float(), fast_heatmap(images)), {}
            else:
                entropy = 1 + i / steps * (variant.policy.final_entropy - 1)
                weights, moving = Weights(entropy=entropy), float(average.value)
                loss, stats = policy_step(batch, model, variant.policy, weights, generator, descriptors, moving)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate((i + 1) / steps, config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.detector.parameters(), config.clip_norm)
        optimizer.step()
        rewards.append(stats.get("reward", 0.0))
        average.update(rewards[-1])
        seconds += time.process_time() - began
        if (i + 1) * 4 // steps > i * 4 // steps:
            curve.append(_validation(options).glance(model, options.max_keypoints))
    last = rewards[-max(1, steps // 10) :]
    return {"train_cpu_s": round(seconds, 1), "reward": sum(last) / len(last), "curve": curve}


@lru_cache(maxsize=1)
def _validation(options: Options):
    from policy_validation import Validation  # kornia-free, but loads poselib

    return Validation(options.val, options.val_photos, options.image_size, options.posed, options.rgbd)


@lru_cache(maxsize=1)
def _pool(path: Path) -> dict:
    return torch.load(path, mmap=True, weights_only=True)


def run(name: str, seed: int, options: Options, pool_path: Path) -> dict:
    """One run and its numbers, from --work if they are there."""
    torch.set_num_threads(1)
    file = options.work / "rows" / f"{name}-{seed}.json"
    if file.exists():
        return json.loads(file.read_text())
    variant = VARIANTS[name]
    if variant.policy is not None:
        variant = replace(variant, policy=at_size(variant.policy, options.image_size))
    torch.manual_seed(seed)
    model = TraqPoint.from_pretrained(options.descriptor)
    model.detector = TraqPoint(model.config).detector.train()
    channels_last(model.eval().requires_grad_(False))
    model.detector.train().requires_grad_(True)
    if variant.kind not in ("untrained", "initial") and variant.start == "initial":
        warm = TraqPoint.from_pretrained(options.work / "weights" / f"initial-{seed}.safetensors")
        model.detector.load_state_dict(warm.detector.state_dict())
    trained = {}
    if variant.kind != "untrained":
        trained = train(variant, seed, model, _pool(pool_path), options)
    model.eval()
    weights = options.work / "weights" / f"{name}-{seed}.safetensors"
    weights.parent.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(weights, {"variant": name, "seed": str(seed)})
    numbers = _validation(options).judge(weights, options.max_keypoints)
    row = {"variant": name, "seed": seed, **trained, **numbers}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.with_suffix(".part").write_text(json.dumps(row))
    os.replace(file.with_suffix(".part"), file)
    return row


def table(rows: list[dict], options: Options) -> str:
    """Mean ± deviation over seeds per variant."""
    head = ["variant", "what", "seeds", *METRICS]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for name in options.variants:
        of = [row for row in rows if row["variant"] == name]
        cells = []
        for metric in METRICS:
            values = torch.tensor([row[metric] for row in of if metric in row], dtype=torch.float64)
            spread = f" ± {float(values.std()):.3f}" if len(values) > 1 else ""
            cells.append(f"{float(values.mean()):.3f}{spread}" if len(values) else "")
        lines.append(f"| {name} | {VARIANTS[name].what} | {len(of)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(options: Options) -> None:
    pool_path = build_pool(options)
    rows = []
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as executor:
        for seed in range(options.seeds):
            # All others start from this one's weights.
            rows.append(executor.submit(run, "initial", seed, options, pool_path).result())
        names = [n for n in options.variants if n != "initial"]
        jobs = {(s, n): executor.submit(run, n, s, options, pool_path) for s in range(options.seeds) for n in names}
        for job in track(as_completed(jobs.values()), total=len(jobs), description="runs"):
            rows.append(job.result())
            if options.out is not None:
                protocol = {k: v for k, v in asdict(options).items() if not isinstance(v, Path) and k != "variants"}
                content = {"protocol": protocol, "torch": torch.__version__, "rows": sorted(rows, key=_place)}
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(json.dumps(content, indent=1) + "\n")
    print(table(rows, options))


def _place(row: dict) -> tuple[int, int]:
    return list(VARIANTS).index(row["variant"]), row["seed"]


if __name__ == "__main__":
    main(tyro.cli(Options))
