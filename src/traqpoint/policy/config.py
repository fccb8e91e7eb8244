"""Stage 2 as nested frozen values, one field per choice (docs/method.md §8); presets are values of them, and share one
code path. Without torch, so that the command line starts at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from traqpoint.errors import ConfigError
from traqpoint.policy.reward_config import RewardConfig, require

Config = TypeVar("Config")


def changed(config: Config, **values: Any) -> Config:
    """`dataclasses.replace` that reaches into nested configurations: changed(policy, sampling={"cell_px": 20})."""
    fields = {
        name: changed(getattr(config, name), **value) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }
    return replace(config, **fields)  # type: ignore[type-var]


@dataclass(frozen=True)
class SamplingConfig:
    """What keypoints are drawn from, by both estimators."""

    references: Literal["all", "first"] = "all"
    """Frames that are sampled from: every frame of the sequence once, or the first one only (paper)."""
    inverse_temperature: float = 8.0
    """Logits are multiplied by this to become the policy's: a warm start must be sharp enough to rank pixels."""
    cell_px: int = 16
    """Coverage: one categorical distribution per cell of this side. Paper: 40 at 480 px."""
    cell_shift: bool = True
    """Shift the grid of cells at random in each step, so that no border is always a border."""

    def __post_init__(self) -> None:
        require(self.cell_px >= 2, f"cell_px must be at least 2, got {self.cell_px}")
        require(self.inverse_temperature > 0, f"inverse_temperature must be positive, got {self.inverse_temperature}")


@dataclass(frozen=True)
class ExactConfig:
    """The expectation over all pixels (ours)."""

    pixel_stride: int = 2
    """Rewards of every this many-th pixel across and down, the lattice shifted at random in each step."""
    image_weight: float = 0.0
    """Weight of the image-wide expectation against that of the cells; it costs completeness (docs/method.md §11)."""
    normalise: bool = True
    """Divide rewards by what the image's best tenth of cells earn: while the policy is blunt all rewards are small, and
    would weigh less than any entropy."""

    def __post_init__(self) -> None:
        require(self.pixel_stride >= 1, f"pixel_stride must be at least 1, got {self.pixel_stride}")


@dataclass(frozen=True)
class SampledConfig:
    """REINFORCE (paper)."""

    global_samples: int = 56
    """Draws from the whole image besides one per cell. Paper: 112 at 480 px."""
    replacement: bool = False
    """Global draws may repeat each other and the cells' draws (released code)."""
    log_prob: Literal["sampled", "image"] = "sampled"
    """Score a draw by the distribution that it came from, or always by the image-wide one (released code: biased, a
    constant reward then equalises the mass of the cells)."""
    credit: Literal["point", "image"] = "point"
    """Each sample earns its own reward, or all of them the mean of their image (paper)."""
    baseline: Literal["leave_one_out", "stratum", "batch", "moving", "none"] = "leave_one_out"
    """What is subtracted from a reward. Mean of the *other* samples of the image, of the image's same stratum (cells or
    global), or of the batch; or a moving average of the steps before. Paper: none."""
    moving_decay: float = 0.95
    """moving: share of the old average that stays in each step."""
    normalise: bool = True
    """Divide advantages by their deviation. Paper: no."""
    reduction: Literal["mean", "sum"] = "mean"
    """Over the log-probabilities of an image. Released code: sum."""

    def __post_init__(self) -> None:
        require(self.global_samples >= 0, f"global_samples must not be negative, got {self.global_samples}")
        require(0 <= self.moving_decay < 1, f"moving_decay must lie in [0, 1), got {self.moving_decay}")
        require(
            self.credit == "point" or self.baseline not in ("leave_one_out", "stratum"),
            f"baseline {self.baseline} is a mean of other points: with credit image use batch, moving or none",
        )


@dataclass(frozen=True)
class EntropyConfig:
    """What keeps the policy from collapsing."""

    image: float = 0.12
    """Weight of the image-wide policy's entropy; exact: within the image-wide term, where its optimum is proportional
    to exp(reward / this)."""
    tile: float = 0.0
    """Weight of the mean entropy inside the tiles, λ. Paper: 0.001. Released code: 0.015, against summed logs."""
    tile_px: int = 16
    """Side of those tiles. Paper: 30 at 480 px."""
    final: float = 1.0
    """Both weights fall linearly to this share of themselves over the run. Released code: a third."""

    def __post_init__(self) -> None:
        require(self.tile_px >= 2, f"tile_px must be at least 2, got {self.tile_px}")
        require(self.final >= 0, f"final must not be negative, got {self.final}")


@dataclass(frozen=True)
class WarmupConfig:
    """Imitation of a corner detector, before there is anything to reward."""

    expert: Literal["fast", "shi-tomasi"] = "fast"
    """What is imitated: blurred FAST corners (paper), or the Shi-Tomasi corner response."""
    share: float = 1 / 6
    """Share of the run's steps in which imitation fades out. Paper: 0.1."""
    weight: float = 10.0
    """Weight of the imitation at step 0 (paper)."""
    alone_first: bool = True
    """Imitate alone for the first half of the warm-up, then fade while the reward fades in; otherwise the weights move
    linearly from the start, the reward's from 0.1 to 1 (paper)."""

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, f"share must lie in [0, 1], got {self.share}")

    @property
    def imitation_share(self) -> float:
        """Share of the run after which the state is kept: alone, imitation ends there; otherwise it has faded out."""
        return self.share * (0.5 if self.alone_first else 1.0)


@dataclass(frozen=True)
class PolicyConfig:
    """Stage 2. Lengths are pixels of the training frames; the defaults suit frames of 240 px."""

    estimator: Literal["exact", "sampled"] = "exact"
    """exact: rewards of all pixels, expectation differentiated without sampling noise. sampled: REINFORCE."""
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    """Frames, sharpness, cells."""
    exact: ExactConfig = field(default_factory=ExactConfig)
    """Settings of the estimator exact."""
    sampled: SampledConfig = field(default_factory=SampledConfig)
    """Settings of the estimator sampled."""
    reward: RewardConfig = field(default_factory=RewardConfig)
    """What a point earns."""
    entropy: EntropyConfig = field(default_factory=EntropyConfig)
    """Weights of entropies."""
    warmup: WarmupConfig = field(default_factory=WarmupConfig)
    """Imitation at the start."""

    def __post_init__(self) -> None:
        if self.estimator not in ("exact", "sampled"):
            raise ConfigError(f"estimator must be exact or sampled, got {self.estimator!r}")
        if self.estimator == "exact":
            stride, cell = self.exact.pixel_stride, self.sampling.cell_px
            require(cell % stride == 0, f"pixel_stride {stride} must divide cell_px {cell}")
        else:
            require(
                not self.reward.redetection.target_gradient, "target_gradient needs estimator exact: draws have none"
            )
