"""Training configurations: defaults, help texts and command line in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from traqpoint.data.config import DataConfig
from traqpoint.errors import ConfigError
from traqpoint.matching.config import Estimator
from traqpoint.models.config import ModelConfig
from traqpoint.policy.config import PolicyConfig
from traqpoint.training.losses.loss import LOSSES


@dataclass(frozen=True)
class LoopConfig:
    """What every training run has."""

    steps: int = 3500
    """Optimiser updates."""
    batch_size: int = 4
    """Sequences per step."""
    accumulate: int = 1
    """Batches per update, each of batch_size sequences; the processes of torchrun share them. How many processes there
    are changes nothing else."""
    learning_rate: float = 1e-3
    """Peak of the schedule."""
    final_learning_rate: float = 1e-5
    """End of the schedule."""
    schedule: Literal["cosine", "wsd"] = "cosine"
    """From the peak to the end: by cosine, or (warm-up, stable, decay) constant with a linear end."""
    warmup_share: float = 0.03
    """Share of the run in which the rate rises linearly to its peak."""
    decay_share: float = 0.2
    """wsd: share of the run in which the rate falls linearly to its end."""
    weight_decay: float = 1e-4
    """AdamW's."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.0
    """Decay per update of an exponential mean of the weights, such as 0.999, which is then validated and exported; the
    raw weights are kept beside it. 0: none."""
    workers: int = 0
    """Processes that make batches ahead, on the CPU; 0: they are made in the loop, on the device of the training."""
    seed: int = 0
    """Of the initial weights and of everything drawn afterwards."""
    device: str = "auto"
    """auto, cpu, cuda …"""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """bf16 (networks under autocast; losses in float32) or float32. auto: bf16 where the hardware computes in it."""
    compile: bool = False
    """Let torch.compile translate the networks: slow at first, then faster on a GPU; CPUs need a C++ compiler."""
    overfit: bool = False
    """Repeat the first batch: what is right learns it by heart."""
    checkpoint_every: int = 200
    """Steps between checkpoints; a run continues from the last one."""
    keep: int = 2
    """Newest checkpoints that are kept."""
    pictures_every: int = 500
    """Steps between pictures of what the network sees in its batch; 0: none."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "checkpoint_every", "keep"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not (0 < self.warmup_share < 1 and 0 < self.decay_share < 1 and 0 <= self.ema < 1):
            given = f"{self.warmup_share}, {self.decay_share}, {self.ema}"
            raise ConfigError(f"need warmup_share and decay_share in (0, 1) and ema in [0, 1), got {given}")
        if self.schedule not in ("cosine", "wsd"):
            raise ConfigError(f"schedule must be cosine or wsd, got {self.schedule!r}")
        if self.workers < 0:
            raise ConfigError(f"workers must not be negative, got {self.workers}")
        if self.pictures_every < 0:
            raise ConfigError(f"pictures_every must not be negative, got {self.pictures_every}")
        if self.precision not in ("auto", "bf16", "float32"):
            raise ConfigError(f"precision must be auto, bf16 or float32, got {self.precision!r}")


@dataclass(frozen=True)
class DescriptorConfig:
    """Stage 1: what the descriptor is trained by."""

    losses: tuple[tuple[str, float], ...] = (("contrast", 1.0),)
    """Losses and their weights. contrast: dual softmax of true correspondences. With teachers also cosine (to the
    target), similarity (row-wise KL of similarity matrices), procrustes. Or your own as module:Name."""
    options: tuple[tuple[str, float | bool | str], ...] = ()
    """Parameters of losses but contrast: Name.parameter and its value, such as similarity.inverse_temperature 10."""

    points_per_frame: int = 512
    """Points drawn in each reference frame for the contrast, besides the taught ones; 0 where those are enough."""
    corner_share: float = 0.5
    """Share of them drawn by corner response; the rest uniformly."""
    inverse_temperature: float = 20.0
    """Of the dual softmax (paper's matcher: 20)."""
    exclusion_px: float = 3.0
    """Other points this near to the true one are no negatives: at the map's stride they cannot be told apart."""

    def __post_init__(self) -> None:
        if self.points_per_frame < 0:
            raise ConfigError(f"points_per_frame must not be negative, got {self.points_per_frame}")
        if not self.losses or len(dict(self.losses)) < len(self.losses):
            raise ConfigError("losses: name at least one, and none twice")
        for name, weight in self.losses:
            LOSSES.check(name)
            if not 0 < weight < math.inf:
                raise ConfigError(f"losses: the weight of {name} must be positive and finite, got {weight}")


@dataclass(frozen=True)
class TeachersConfig:
    """Frozen networks that look at each clean photograph once; the student learns their descriptors of it."""

    names: tuple[str, ...] = ()
    """edgepoint2-T32, -M64, -E64, aliked-t16, -n16, -n16rot, -n32, disk; weights of ours by name or path; or your own
    as module:build, which makes a teacher of (name, folder, device)."""
    folder: Path | None = None
    """Folder with their published files of weights: edgepoint2-E64.pth, aliked-n16rot.pth, disk_depth_fp16.pth …"""
    cache: Path | None = None
    """Folder for what they said, by content of photo and teachers; by default `teachers` beside the run's folder."""
    keypoints: str = "traqpoint-s"
    """Weights of ours whose keypoints are described too."""
    our_points: int = 224
    """Keypoints of ours in each photo, at most."""
    own_points: int = 224
    """Keypoints of the teachers in each photo, all together, at most."""
    random_points: int = 192
    """Points anywhere in each photo."""
    long_side: int = 640
    """Larger photos are shrunk to this many pixels for the teachers."""

    def __post_init__(self) -> None:
        counts = (self.our_points, self.own_points, self.random_points)
        if min(counts) < 0 or sum(counts) < 1 or self.long_side < 64:
            raise ConfigError(f"teachers: need points and long_side >= 64, got {counts}, {self.long_side}")
        if len(set(self.names)) < len(self.names):
            raise ConfigError("teachers: one is named twice")


@dataclass(frozen=True)
class ValidationConfig:
    """What decides which weights are best: tracks and poses on photographs that are not trained on."""

    photos: Path | None = None
    """Folder of photos for completeness, on one homography sequence each."""
    limit: int = 24
    """Use so many of them, spread over all."""
    difficulty: float = 1.0
    """Rotation, scale, shift, perspective and light by this share of what training uses by default."""
    scenes: tuple[Path, ...] = ()
    """For pose AUC at 5 degrees, the mean over them: what `eval pose` takes as --truth, such as scenes of Strecha."""
    images: Path | None = None
    """Folder that the scenes' image names start from; not for Strecha's."""
    max_pairs: int = 40
    """Pairs of each scene, drawn at random once."""
    estimator: Estimator = "opencv-ransac"
    """Of the poses."""
    max_keypoints: int = 512
    """Per image."""
    long_side: int = 640
    """Scenes: larger images are shrunk to this many pixels."""
    keypoints: str = "traqpoint-s"
    """Stage 1, which has no keypoints of its own: weights whose keypoints it describes."""
    every: int = 200
    """Steps between validations; there is one after the last step, too."""

    def __post_init__(self) -> None:
        if min(self.limit, self.max_pairs, self.max_keypoints, self.every) < 1:
            raise ConfigError("validation: limit, max_pairs, max_keypoints and every must be at least 1")


@dataclass(frozen=True)
class DescriptorTraining:
    """A stage 1 run."""

    data: DataConfig
    """Sequences."""
    out: Path
    """Folder for checkpoints, log, configuration and weights."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """Steps, rates, device."""
    descriptor: DescriptorConfig = field(default_factory=DescriptorConfig)
    """Losses."""
    teachers: TeachersConfig = field(default_factory=TeachersConfig)
    """Networks to learn from."""
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    """What the best weights are best at."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Network, unless init gives one."""
    init: str | None = None
    """Weights (name or path) to go on from, instead of random ones."""
    changed: tuple[str, ...] = ()
    """Settings that may differ from those that the run in `out` was begun with, such as loop.steps, to train longer."""
    backbone: Path | None = None
    """A file with the pretrained weights of model.backbone (DINOv3 ConvNeXt, ResNet-50, or your own's state dict)."""

    def __post_init__(self) -> None:
        self.data.require_paths()
        if self.backbone is not None and (self.init is not None or not self.model.backbone):
            raise ConfigError("backbone weights are for a new descriptor that has one: model.descriptor base, no init")


@dataclass(frozen=True)
class PolicyTraining:
    """A stage 2 run."""

    data: DataConfig
    """Sequences."""
    descriptor: str
    """Weights (name or path) whose descriptor is taken, and frozen."""
    out: Path
    """Folder for checkpoints, log, configuration and weights."""
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1200, batch_size=2, learning_rate=3e-3))
    """Steps, rates, device."""
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    """Estimator, rewards and their weights."""
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    """What the best weights are best at."""
    changed: tuple[str, ...] = ()
    """Settings that may differ from those that the run in `out` was begun with, such as loop.steps, to train longer."""

    def __post_init__(self) -> None:
        self.data.require_paths()
