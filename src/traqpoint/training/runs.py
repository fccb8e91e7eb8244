"""The two stages as functions of their configuration: data, model, step and loop put together."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from traqpoint.data.base import Source, load_photos
from traqpoint.data.homography import HomographySequences
from traqpoint.data.worlds import Worlds
from traqpoint.inference.extractor import resolve_device
from traqpoint.models import weights
from traqpoint.models.base_descriptor import BaseDescriptor
from traqpoint.models.convert import load_backbone
from traqpoint.models.layers import channels_last
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.training.config import DataConfig, DescriptorTraining, PolicyTraining
from traqpoint.training.descriptor_step import descriptor_step
from traqpoint.training.loop import Report, as_dict, claim_folder, run
from traqpoint.training.policy_step import policy_step, schedule
from traqpoint.types import Sequence

TEXTURE_PX = 512
"""Side of the square textures that worlds make of photos."""
MAX_TEXTURES = 128
"""At most this many photos become textures, spread over the folder: with their levels each takes 10 MB of memory."""


class Mixture:
    """Each batch comes from one of two sources, the first with probability `share`."""

    def __init__(self, first: Source, second: Source, share: float) -> None:
        self.first, self.second, self.share = first, second, share

    def sample(self, batch_size: int, generator: torch.Generator) -> Sequence:
        chosen = self.first if float(torch.rand((), generator=generator)) < self.share else self.second
        return chosen.sample(batch_size, generator)


def build_source(config: DataConfig, device: torch.device) -> Source:
    """The sequences that `config` describes, made on `device`."""
    photos = load_photos(config.photos, limit=config.max_photos) if config.photos is not None else []
    if config.worlds_share == 0:
        return HomographySequences(photos, config.homography, device)
    size = (TEXTURE_PX, TEXTURE_PX)
    chosen = photos[:: -(-len(photos) // MAX_TEXTURES)] if photos else []
    squares = [F.interpolate(p[None].float() / 255, size=size, mode="bilinear", antialias=True) for p in chosen]
    worlds = Worlds(config.worlds, torch.cat(squares) if squares else None, device)
    if config.worlds_share == 1:
        return worlds
    return Mixture(worlds, HomographySequences(photos, config.homography, device), config.worlds_share)


def _identity(name: str | None) -> dict[str, str]:
    """The hash of the weights that a run starts from: a file that was replaced since makes another run."""
    return {} if name is None else {"weights_sha256": weights.read(name)[1]["sha256"]}


def train_descriptor(config: DescriptorTraining, report: Report = lambda *_: None) -> Path:
    """Stage 1. Returns the path of the weights, in config.out; the detector in them is untrained."""
    source = build_source(config.data, resolve_device(config.loop.device))
    torch.manual_seed(config.loop.seed)
    model = (TraqPoint.from_pretrained(config.init) if config.init else TraqPoint(config.model)).train()
    if config.backbone is not None and isinstance(model.descriptor, BaseDescriptor):
        load_backbone(model.descriptor.backbone, config.backbone)
    # Last: a wrong path above leaves no folder that then refuses the right one.
    claim_folder(config.out, as_dict(config) | _identity(config.init))

    def step(batch: Sequence, index: int, generator: torch.Generator):
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
    source = build_source(config.data, device)
    torch.manual_seed(config.loop.seed)
    frozen = TraqPoint.from_pretrained(config.descriptor)
    model = TraqPoint(frozen.config).train()
    model.descriptor = frozen.descriptor
    claim_folder(config.out, as_dict(config) | _identity(config.descriptor))
    # Frozen means frozen: no gradient, and no running statistics either.
    channels_last(model.descriptor.to(device).eval().requires_grad_(False))

    def step(batch: Sequence, index: int, generator: torch.Generator):
        if index == config.policy.warmup_steps // 2:
            model.save_pretrained(config.out / "warmup.safetensors", {"stage": "warm-up"})
        return policy_step(batch, model, config.policy, schedule(index, config.policy), generator)

    run(config.out, model.detector, source, step, config.loop, report)
    path = config.out / "traqpoint.safetensors"
    model.save_pretrained(path, {"stage": "policy"})
    return path
