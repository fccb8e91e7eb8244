"""One field per choice of the method; presets are values of these fields and share one code path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from traqpoint.errors import ConfigError


@dataclass(frozen=True)
class PolicyConfig:
    """Stage 2. Lengths are pixels of the training frames; the defaults suit frames of 240 px."""

    estimator: Literal["exact", "sampled"] = "exact"
    """exact: rewards of all pixels, expectation differentiated without sampling noise. sampled: REINFORCE."""
    consistency: Literal["redetection", "rank"] = "redetection"
    """How a point is judged in a target frame: found again at its place, or ranked high in a window (paper)."""
    inverse_temperature: float = 8.0
    """Logits are multiplied by this to become the policy's: a warm start must be sharp enough to rank pixels."""
    cell_px: int = 16
    """Coverage: one categorical distribution per cell of this side. Paper: 40 at 480 px."""
    cell_shift: bool = True
    """Shift the grid of cells at random in each step, so that no border is always a border."""
    global_samples: int = 56
    """sampled: draws from the whole image besides one per cell. Paper: 112 at 480 px."""
    global_weight: float = 1.0
    """exact: weight of the image-wide expectation against that of the cells."""
    global_entropy: float = 0.12
    """exact: temperature of the image-wide policy: its optimum is proportional to exp(reward / this)."""
    tile_entropy: float = 0.0
    """Weight of the mean entropy inside the tiles, λ. Paper: 0.001."""
    tile_px: int = 16
    """Side of those tiles. Paper: 30 at 480 px."""
    window_px: int = 13
    """redetection: side of the window around the projection in which the target's policy chooses."""
    localization_px: float = 0.7
    """redetection: a choice d pixels from the projection counts exp(-d² / (2 · this²))."""
    target_gradient: bool = False
    """exact, redetection: the target's choice is an action of the same policy and may receive its gradient too."""
    rank_window_px: int = 31
    """rank: side of the window, odd. Paper: 60 at 480 px."""
    rank_floor: float = 0.2
    """rank: shares of lower pixels below this earn nothing (paper)."""
    ratio_ceiling: float = 0.85
    """Distinctiveness: descriptor distance ratios above this earn nothing (paper)."""
    negative_radius_px: float = 6.0
    """Distinctiveness: the nearest other descriptor is sought outside this radius, in the whole target frame."""
    candidate_stride: int = 8
    """Distinctiveness: stride of the descriptors compared, as candidates (exact) and as negatives."""
    combination: Literal["product", "mean"] = "product"
    """product: consistency · (0.2 + 0.8 · distinctiveness). mean: their mean (paper)."""
    credit: Literal["point", "image"] = "point"
    """sampled: each sample earns its own reward, or all the mean of their image (paper)."""
    baseline: Literal["leave_one_out", "none"] = "leave_one_out"
    """sampled: what is subtracted from the reward."""
    normalise: bool = True
    """Divide rewards by what the image's best cells earn (exact), or advantages by their deviation (sampled): while
    the policy is blunt all rewards are small, and would weigh less than any entropy."""
    warmup_steps: int = 200
    """Steps in which the policy imitates FAST before and while rewards fade in."""
    warmup_weight: float = 10.0
    """Weight of the imitation at step 0; falls linearly to 0 over the second half of the warm-up. Paper: 10."""

    def __post_init__(self) -> None:
        if self.rank_window_px % 2 == 0 or self.window_px % 2 == 0:
            raise ConfigError("window_px and rank_window_px must be odd, so that a window has a centre")
        if self.cell_px < 2 or self.tile_px < 2 or self.candidate_stride < 1:
            raise ConfigError("cell_px and tile_px must be at least 2, candidate_stride at least 1")
        if self.inverse_temperature <= 0 or self.localization_px <= 0:
            raise ConfigError("inverse_temperature and localization_px must be positive")
        if self.estimator == "exact" and self.consistency == "rank" and self.target_gradient:
            raise ConfigError("a rank has no gradient: set target_gradient to False with consistency rank")


PRESETS: dict[str, PolicyConfig] = {
    "traqpoint": PolicyConfig(),
    "paper": PolicyConfig(
        estimator="sampled",
        consistency="rank",
        inverse_temperature=1.0,
        cell_px=20,
        cell_shift=False,
        global_samples=112,
        tile_entropy=0.001,
        tile_px=15,
        target_gradient=False,
        combination="mean",
        credit="image",
        baseline="none",
        normalise=False,
    ),
}
