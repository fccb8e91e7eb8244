"""Training configurations: defaults, help texts and command line in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from traqpoint.data.config import DataConfig
from traqpoint.errors import ConfigError
from traqpoint.models.config import ModelConfig
from traqpoint.policy.config import PolicyConfig


@dataclass(frozen=True)
class LoopConfig:
    """What every training run has."""

    steps: int = 3500
    """Optimiser updates."""
    batch_size: int = 4
    """Sequences per step."""
    learning_rate: float = 1e-3
    """Peak of the schedule: linear over the first 3 % of the steps, then cosine."""
    final_learning_rate: float = 1e-5
    """End of the schedule."""
    weight_decay: float = 1e-4
    """AdamW's."""
    clip_norm: float = 1.0
    """Largest norm of the gradient."""
    workers: int = 0
    """Processes that make batches ahead, on the CPU; 0: they are made in the loop, on the device of the training."""
    seed: int = 0
    """Of the initial weights and of everything drawn afterwards."""
    device: str = "auto"
    """auto, cpu, cuda …"""
    precision: str = "bf16"
    """bf16 (networks under autocast; losses in float32) or float32."""
    checkpoint_every: int = 200
    """Steps between checkpoints; a run continues from the last one."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_size < 1 or self.checkpoint_every < 1:
            raise ConfigError("steps, batch_size and checkpoint_every must be at least 1")
        if self.workers < 0:
            raise ConfigError(f"workers must not be negative, got {self.workers}")
        if self.precision not in ("bf16", "float32"):
            raise ConfigError(f"precision must be bf16 or float32, got {self.precision!r}")


@dataclass(frozen=True)
class DescriptorConfig:
    """Stage 1: dual-softmax contrast on true correspondences."""

    points_per_frame: int = 512
    """Points drawn in each reference frame."""
    corner_share: float = 0.5
    """Share of them drawn by corner response; the rest uniformly."""
    inverse_temperature: float = 20.0
    """Of the dual softmax (paper's matcher: 20)."""
    exclusion_px: float = 3.0
    """Other points this near to the true one are no negatives: at the map's stride they cannot be told apart."""


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
    """Loss."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Network, unless init gives one."""
    init: str | None = None
    """Weights (name or path) to go on from, instead of random ones."""
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

    def __post_init__(self) -> None:
        self.data.require_paths()
