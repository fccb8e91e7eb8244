"""The two stages as functions of their configuration: data, model, step and loop put together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from traqpoint.data.mixture import build_source
from traqpoint.data.source import Source
from traqpoint.errors import ConfigError
from traqpoint.files import claim, plain
from traqpoint.models.convert import load_backbone
from traqpoint.models.layers import channels_last, compiled, frozen
from traqpoint.models.traqpoint import TraqPoint
from traqpoint.policy.build import check_terms
from traqpoint.progress import Bar, no_bar
from traqpoint.training.config import DescriptorTraining, PolicyTraining, ValidationConfig
from traqpoint.training.descriptor_step import descriptor_step
from traqpoint.training.loop import Looks, Report, Validate, run
from traqpoint.training.losses.build import build_losses
from traqpoint.training.pictures import match_picture, policy_picture
from traqpoint.training.policy_step import MovingAverage, policy_step, schedule
from traqpoint.training.processes import launch
from traqpoint.training.teachers import Teachers
from traqpoint.training.validation import MethodOf, Validation, at_keypoints_of, whole
from traqpoint.types import SequenceBatch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_NUMBERLESS = ("workers", "keep", "checkpoint_every", "pictures_every")
"""Fields of the LoopConfig that change no number."""


def _source(config: DescriptorTraining | PolicyTraining, device: torch.device) -> Source:
    if config.out.exists() and not config.out.is_dir():
        raise ConfigError(f"{config.out}: is a file, and a folder is needed here")
    # A worker is a fork: CUDA does not survive that.
    return build_source(config.data, "cpu" if config.loop.workers else device)


def _claim(
    config: DescriptorTraining | PolicyTraining, start: TraqPoint | None, teachers: Teachers | None = None
) -> dict[str, Any]:
    """The run's folder belongs to its configuration, and to the weights of `start` and `teachers`, whose files may be
    replaced. Returns what it belongs to."""
    identity = plain(dataclasses.asdict(config))
    del identity["changed"], identity["out"]
    for name in _NUMBERLESS:
        del identity["loop"][name]
    if start is not None:
        identity["weights_sha256"] = start.sha256
    if teachers is not None:  # where their files lie does not matter
        identity["teachers"] |= {"folder": None, "cache": None}
        identity["teachers_sha256"] = teachers.sha256
    claim(config.out, config.out / "config.yaml", identity, changed=config.changed)
    return identity


def _header(stage: str, start: TraqPoint) -> dict[str, str]:
    """What the weights say of themselves: their stage, and the licence of those they started from."""
    return {"stage": stage, **{key: value for key, value in start.metadata.items() if key == "license"}}


def _validator(model: TraqPoint, config: ValidationConfig, fabric: Fabric, method: MethodOf) -> Validate | None:
    """What judges `model`, for the first process, if there is something to judge it on."""
    if not (fabric.is_global_zero and (config.photos is not None or config.scenes)):
        return None
    validation = Validation(config, method)
    return lambda done: validation(model)


def _saver(model: TraqPoint, out: Path, names: dict[str, str], header: dict[str, str]) -> Callable[[str], None]:
    """What writes `model` into `out` under a name of the loop's; names: where the file is called otherwise."""

    def save(name: str) -> None:
        model.save_pretrained(out / f"{names.get(name, name)}.safetensors", header)

    return save


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
    fabric = launch(config.loop)
    source = _source(config, fabric.device)
    torch.manual_seed(config.loop.seed)
    model = (TraqPoint.from_pretrained(config.init) if config.init else TraqPoint(config.model)).train()
    if config.backbone is not None:
        load_backbone(model.descriptor.get_submodule("backbone"), config.backbone)
    chosen = config.validation
    validate = _validator(model, chosen, fabric, at_keypoints_of(chosen.keypoints, chosen.max_keypoints, fabric.device))
    target = teachers = None
    with fabric.rank_zero_first():  # what the first process writes, the others read
        if config.teachers.names:
            cache = config.teachers.cache or config.out.parent / "teachers"
            teachers = Teachers(config.teachers, cache, fabric.device, bar)
            source = teachers.teach(source)
        # Last: a wrong path above leaves no folder that then refuses the right one.
        identity = _claim(config, model if config.init else None, teachers)
        if teachers is not None:
            target = teachers.projection(config.out / "projection.npy", model.descriptor.dim)
            target = target.to(fabric.device) if target is not None else None
    header = _header("descriptor", model)
    if teachers is not None:
        header["teachers"] = teachers.licences
    save = _saver(model, config.out, {"last": "descriptor"}, header)

    def step(batch: SequenceBatch, index: int, generator: torch.Generator):
        return descriptor_step(batch, model, config.descriptor, generator, target)

    if config.loop.compile:
        compiled(model.descriptor)

    def picture(batch: SequenceBatch) -> np.ndarray:
        return match_picture(batch, model)

    looks = Looks(report, validate, config.validation.every, picture, save)
    run(fabric, config.out, model.descriptor, source, step, config.loop, looks, identity, config.changed)
    return config.out / "descriptor.safetensors"


def train_policy(config: PolicyTraining, report: Report = lambda *_: None) -> Path:
    """Stage 2, on the frozen descriptor of config.descriptor. Returns the path of the weights, in config.out.

    The state after the warm-up's imitation, before any reward, is kept beside them as warmup.safetensors.
    """
    check_terms(config.policy.reward)
    fabric = launch(config.loop)
    source = _source(config, fabric.device)
    torch.manual_seed(config.loop.seed)
    start = TraqPoint.from_pretrained(config.descriptor)
    model = TraqPoint(start.config).train()
    model.descriptor = start.descriptor
    validate = _validator(model, config.validation, fabric, whole(fabric.device))
    with fabric.rank_zero_first():
        identity = _claim(config, start)
    channels_last(frozen(model.descriptor.to(fabric.device)))
    save = _saver(model, config.out, {"last": "traqpoint"}, _header("policy", start))

    average = MovingAverage(config.policy.sampled)
    last_imitated = round(config.policy.warmup.imitation_share * config.loop.steps)

    def step(batch: SequenceBatch, index: int, generator: torch.Generator):
        if index == last_imitated and fabric.is_global_zero:
            model.save_pretrained(config.out / "warmup.safetensors", _header("warm-up", start))
        weights = schedule(index / config.loop.steps, config.policy)
        loss, stats = policy_step(batch, model, config.policy, weights, generator, moving=float(average.value))
        if "reward" in stats:
            average.update(stats["reward"])
        return loss, stats

    trained = nn.ModuleDict({"detector": model.detector, "average": average})
    if config.loop.compile:
        compiled(model.descriptor, model.detector)

    def picture(batch: SequenceBatch) -> np.ndarray:
        return policy_picture(batch, model, config.policy)

    looks = Looks(report, validate, config.validation.every, picture, save)
    run(fabric, config.out, trained, source, step, config.loop, looks, identity, config.changed)
    return config.out / "traqpoint.safetensors"
