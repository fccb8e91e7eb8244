"""The two stages as functions of their configuration: data, model, step and loop put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from traqpoint.data.homography import HomographySequences
from traqpoint.data.mixture import Mixture
from traqpoint.data.photos import load_photos, load_video_frames
from traqpoint.data.posed.colmap import colmap_sequences
from traqpoint.data.posed.megadepth import MegaDepthSequences
from traqpoint.data.posed.rgbd_layouts import rgbd_sequences
from traqpoint.data.source import Source
from traqpoint.data.worlds.source import Worlds
from traqpoint.device import resolve_device
from traqpoint.errors import ConfigError
from traqpoint.files import claim, plain
from traqpoint.models import weights
from traqpoint.models.base_descriptor import BaseDescriptor
from traqpoint.models.convert import load_backbone
from traqpoint.models.layers import channels_last
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.training.config import DataConfig, DescriptorTraining, PolicyTraining
from traqpoint.training.descriptor_step import descriptor_step
from traqpoint.training.loop import Report, run
from traqpoint.training.policy_step import MovingAverage, policy_step, schedule
from traqpoint.types import Device, SequenceBatch

TEXTURE_PX = 512
"""Side of the square textures that worlds make of photos."""
MAX_TEXTURES = 128
"""At most this many photos become textures, spread over the folder: with their levels each takes 10 MB of memory."""


def build_source(config: DataConfig, device: Device) -> Source:
    """The sequences that `config` describes, made on `device`."""
    photos = []
    if config.photos is not None and ("homography" in config.used or "worlds" in config.used):
        photos = load_photos(config.photos, limit=config.max_photos)
    makers: dict[str, Callable[[], Source]] = {
        "homography": lambda: HomographySequences(photos, config.homography, device),
        "worlds": lambda: Worlds(config.worlds, _textures(photos), device),
        "video": lambda: HomographySequences(
            [frame for video in config.videos for frame in load_video_frames(video)], config.homography, device
        ),
        "rgbd": lambda: rgbd_sequences(config.rgbd, device),
        "megadepth": lambda: MegaDepthSequences(config.megadepth, device),
        "colmap": lambda: colmap_sequences(config.colmap, device),
    }
    return Mixture([(makers[name](), weight) for name, weight in config.used.items()])


def _textures(photos: list[Tensor]) -> Tensor | None:
    """(N, 3, S, S) in [0, 1], or None without photos."""
    size = (TEXTURE_PX, TEXTURE_PX)
    chosen = photos[:: -(-len(photos) // MAX_TEXTURES)] if photos else []
    squares = [F.interpolate(p[None].float() / 255, size=size, mode="bilinear", antialias=True) for p in chosen]
    return torch.cat(squares) if squares else None


def _source(config: DescriptorTraining | PolicyTraining) -> Source:
    if config.out.exists() and not config.out.is_dir():
        raise ConfigError(f"{config.out}: is a file, and a folder is needed here")
    # A worker is a fork: CUDA does not survive that.
    return build_source(config.data, "cpu" if config.loop.workers else resolve_device(config.loop.device))


def _claim(config: DescriptorTraining | PolicyTraining, start: str | None) -> None:
    """The run's folder belongs to its configuration, and to the weights `start`, whose file may be replaced.

    All numbers of workers but 0 give the same batches, and a run may go on with another one.
    """
    identity = plain(dataclasses.asdict(config))
    identity["loop"]["workers"] = min(1, config.loop.workers)
    if start is not None:
        identity["weights_sha256"] = weights.read(start)[1]["sha256"]
    claim(config.out, config.out / "config.yaml", identity)


def train_descriptor(config: DescriptorTraining, report: Report = lambda *_: None) -> Path:
    """Stage 1. Returns the path of the weights, in config.out; the detector in them is untrained."""
    source = _source(config)
    torch.manual_seed(config.loop.seed)
    model = (TraqPoint.from_pretrained(config.init) if config.init else TraqPoint(config.model)).train()
    if config.backbone is not None and isinstance(model.descriptor, BaseDescriptor):
        load_backbone(model.descriptor.backbone, config.backbone)
    # Last: a wrong path above leaves no folder that then refuses the right one.
    _claim(config, config.init)

    def step(batch: SequenceBatch, index: int, generator: torch.Generator):
        return descriptor_step(batch, model, config.descriptor, generator)

    run(config.out, model.descriptor, source, step, config.loop, report)
    path = config.out / "descriptor.safetensors"
    model.save_pretrained(path, {"stage": "descriptor"})
    return path


def train_policy(config: PolicyTraining, report: Report = lambda *_: None) -> Path:
    """Stage 2, on the frozen descriptor of config.descriptor. Returns the path of the weights, in config.out.

    The state after the warm-up's imitation, before any reward, is kept beside them as warmup.safetensors.
    """
    device = resolve_device(config.loop.device)
    source = _source(config)
    torch.manual_seed(config.loop.seed)
    frozen = TraqPoint.from_pretrained(config.descriptor)
    model = TraqPoint(frozen.config).train()
    model.descriptor = frozen.descriptor
    _claim(config, config.descriptor)
    # Frozen means frozen: no gradient, and no running statistics either.
    channels_last(model.descriptor.to(device).eval().requires_grad_(False))

    average = MovingAverage(config.policy.moving_decay)
    # With rewards from the first step on, the end of the imitation is what can be kept.
    imitation = config.policy.warmup_share * (0.5 if config.policy.warmup_first else 1.0)
    last_imitated = round(imitation * config.loop.steps)

    def step(batch: SequenceBatch, index: int, generator: torch.Generator):
        if index == last_imitated:
            model.save_pretrained(config.out / "warmup.safetensors", {"stage": "warm-up"})
        weights = schedule(index / config.loop.steps, config.policy)
        loss, stats = policy_step(batch, model, config.policy, weights, generator, moving=float(average.value))
        if "reward" in stats:
            average.update(stats["reward"])
        return loss, stats

    trained = nn.ModuleDict({"detector": model.detector, "average": average})
    run(config.out, trained, source, step, config.loop, report)
    path = config.out / "traqpoint.safetensors"
    model.save_pretrained(path, {"stage": "policy"})
    return path
