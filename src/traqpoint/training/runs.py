"""The two stages as functions of their configuration: data, model, step and loop put together."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import nn

from traqpoint.data.mixture import build_source
from traqpoint.data.source import Source
from traqpoint.device import resolve_device
from traqpoint.errors import ConfigError
from traqpoint.files import claim, plain
from traqpoint.models.convert import load_backbone
from traqpoint.models.layers import channels_last, frozen
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.build import check_terms
from traqpoint.progress import Bar, no_bar
from traqpoint.training.config import DescriptorTraining, PolicyTraining
from traqpoint.training.descriptor_step import descriptor_step
from traqpoint.training.loop import Report, run
from traqpoint.training.losses.build import build_losses
from traqpoint.training.policy_step import MovingAverage, policy_step, schedule
from traqpoint.training.teachers import Teachers
from traqpoint.types import SequenceBatch


def _source(config: DescriptorTraining | PolicyTraining) -> Source:
    if config.out.exists() and not config.out.is_dir():
        raise ConfigError(f"{config.out}: is a file, and a folder is needed here")
    # A worker is a fork: CUDA does not survive that.
    return build_source(config.data, "cpu" if config.loop.workers else resolve_device(config.loop.device))


def _claim(
    config: DescriptorTraining | PolicyTraining, start: TraqPoint | None, teachers: Teachers | None = None
) -> None:
    """The run's folder belongs to its configuration, and to the weights of `start` and `teachers`, whose files may be
    replaced.

    All numbers of workers but 0 give the same batches, and a run may go on with another one.
    """
    identity = plain(dataclasses.asdict(config))
    identity["loop"]["workers"] = min(1, config.loop.workers)
    if start is not None:
        identity["weights_sha256"] = start.sha256
    if teachers is not None:  # where their files lie does not matter
        identity["teachers"] |= {"folder": None, "cache": None}
        identity["teachers_sha256"] = teachers.sha256
    claim(config.out, config.out / "config.yaml", identity)


def _header(stage: str, start: TraqPoint) -> dict[str, str]:
    """What the weights say of themselves: their stage, and the licence of those they started from."""
    return {"stage": stage, **{key: value for key, value in start.metadata.items() if key == "license"}}


def _check_losses(config: DescriptorTraining) -> None:
    """Raise ConfigError for losses that cannot be built, and those that need teachers where there are none."""
    for name, loss, _ in build_losses(config.descriptor):
        if loss.teacher and not config.teachers.names:
            raise ConfigError(f"the loss {name} needs teachers: give teachers.names")


def train_descriptor(config: DescriptorTraining, report: Report = lambda *_: None, bar: Bar = no_bar) -> Path:
    """Stage 1. Returns the path of the weights, in config.out; the detector in them is untrained.

    bar: of the teachers' look at the photos, before the first step.
    """
    _check_losses(config)
    source = _source(config)
    torch.manual_seed(config.loop.seed)
    model = (TraqPoint.from_pretrained(config.init) if config.init else TraqPoint(config.model)).train()
    if config.backbone is not None:
        load_backbone(model.descriptor.get_submodule("backbone"), config.backbone)
    device = resolve_device(config.loop.device)
    teachers = None
    if config.teachers.names:
        cache = config.teachers.cache or config.out.parent / "teachers"
        teachers = Teachers(config.teachers, cache, device, bar)
        source = teachers.teach(source)
    # Last: a wrong path above leaves no folder that then refuses the right one.
    _claim(config, model if config.init else None, teachers)
    target = None
    if teachers is not None:
        target = teachers.projection(config.out / "projection.npy", model.descriptor.dim)
        target = target.to(device) if target is not None else None

    def step(batch: SequenceBatch, index: int, generator: torch.Generator):
        return descriptor_step(batch, model, config.descriptor, generator, target)

    run(config.out, model.descriptor, source, step, config.loop, report)
    path = config.out / "descriptor.safetensors"
    header = _header("descriptor", model)
    model.save_pretrained(path, header if teachers is None else {**header, "teachers": teachers.licences})
    return path


def train_policy(config: PolicyTraining, report: Report = lambda *_: None) -> Path:
    """Stage 2, on the frozen descriptor of config.descriptor. Returns the path of the weights, in config.out.

    The state after the warm-up's imitation, before any reward, is kept beside them as warmup.safetensors.
    """
    device = resolve_device(config.loop.device)
    check_terms(config.policy.reward)
    source = _source(config)
    torch.manual_seed(config.loop.seed)
    start = TraqPoint.from_pretrained(config.descriptor)
    _claim(config, start)
    model = TraqPoint(start.config).train()
    model.descriptor = start.descriptor
    channels_last(frozen(model.descriptor.to(device)))

    average = MovingAverage(config.policy.sampled)
    last_imitated = round(config.policy.warmup.imitation_share * config.loop.steps)

    def step(batch: SequenceBatch, index: int, generator: torch.Generator):
        if index == last_imitated:
            model.save_pretrained(config.out / "warmup.safetensors", _header("warm-up", start))
        weights = schedule(index / config.loop.steps, config.policy)
        loss, stats = policy_step(batch, model, config.policy, weights, generator, moving=float(average.value))
        if "reward" in stats:
            average.update(stats["reward"])
        return loss, stats

    trained = nn.ModuleDict({"detector": model.detector, "average": average})
    run(config.out, trained, source, step, config.loop, report)
    path = config.out / "traqpoint.safetensors"
    model.save_pretrained(path, _header("policy", start))
    return path
