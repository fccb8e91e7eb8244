"""One field per choice of the method; presets are values of these fields and share one code path (METHOD §2 to §5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from traqpoint.errors import ConfigError

Judgement = Literal["ignored", "zero", "judged"]
"""What a target frame says about a point it may not see: nothing, a reward of 0, or a reward as if it saw it."""


@dataclass(frozen=True)
class PolicyConfig:
    """Stage 2. Lengths are pixels of the training frames; the defaults suit frames of 240 px."""

    estimator: Literal["exact", "sampled"] = "exact"
    """exact: rewards of all pixels, expectation differentiated without sampling noise. sampled: REINFORCE."""
    references: Literal["all", "first"] = "all"
    """Frames that are sampled from: every frame of the sequence once, or the first one only (paper)."""
    inverse_temperature: float = 8.0
    """Logits are multiplied by this to become the policy's: a warm start must be sharp enough to rank pixels."""

    cell_px: int = 16
    """Coverage: one categorical distribution per cell of this side. Paper: 40 at 480 px."""
    cell_shift: bool = True
    """Shift the grid of cells at random in each step, so that no border is always a border."""
    pixel_stride: int = 2
    """exact: rewards of every this many-th pixel across and down, the lattice shifted at random in each step."""
    global_samples: int = 56
    """sampled: draws from the whole image besides one per cell. Paper: 112 at 480 px."""
    replacement: bool = False
    """sampled: global draws may repeat each other and the cells' draws (released code)."""
    log_prob: Literal["sampled", "image"] = "sampled"
    """sampled: score a draw by the distribution that it came from, or always by the image-wide one (released code:
    biased, a constant reward then equalises the mass of the cells)."""

    occluded: Judgement = "ignored"
    """Frames in which something else hides the point. Released code: zero."""
    unknown: Judgement = "ignored"
    """Frames whose depth is missing where the point projects. Released code: judged."""
    consistency: Literal["redetection", "rank", "maximum"] = "redetection"
    """How a point is judged in a target frame: chosen again at its place by the target's policy (ours), ranked high in
    a window (paper), or near to a local maximum."""
    window_px: int = 13
    """redetection: side of the window around the projection in which the target's policy chooses."""
    localization_px: float = 0.7
    """redetection, maximum: a choice d pixels from the projection counts exp(-d² / (2 · this²))."""
    rank_window_px: int = 31
    """rank: side of the window. Paper: 60 at 480 px."""
    rank_window: Literal["centred", "cell"] = "centred"
    """rank: a window around the projection, or the cell of a fixed grid that it falls into (released code)."""
    rank_floor: float = 0.2
    """rank: shares of lower pixels below this earn nothing (paper)."""
    target_gradient: bool = False
    """exact, redetection: the target's choice is an action of the same policy and may receive its gradient too."""

    ratio_ceiling: float = 0.85
    """Distinctiveness: descriptor distance ratios above this earn nothing (paper)."""
    negatives: Literal["image", "samples"] = "image"
    """Distinctiveness: the nearest other descriptor is sought in the whole target frame, or only among the projections
    of the other samples (released code)."""
    negative_radius_px: float = 6.0
    """image: no negatives within this distance of the projection."""
    candidate_stride: int = 8
    """Distinctiveness: stride of the descriptors compared, as candidates (exact) and as negatives (image)."""
    min_similarity: float | None = None
    """A point earns nothing where its descriptor's cosine to the one at its projection is not above this. Released
    code: 0.5."""
    combination: Literal["product", "mean", "sum", "consistency", "distinctiveness"] = "product"
    """product: consistency · (0.2 + 0.8 · distinctiveness). mean: of the two (paper). sum: released code. Or one
    alone."""

    aggregation: Literal["mean", "geometric"] = "mean"
    """Over the frames that count. A mean (paper) is the mean of pairs: its expected gradient is theirs. A geometric
    mean asks for a point that is found in *every* frame, which no pair can tell."""

    credit: Literal["point", "image"] = "point"
    """sampled: each sample earns its own reward, or all of them the mean of their image (paper)."""
    reduction: Literal["mean", "sum"] = "mean"
    """sampled: over the log-probabilities of an image. Released code: sum."""
    baseline: Literal["leave_one_out", "stratum", "batch", "moving", "none"] = "leave_one_out"
    """sampled: what is subtracted from a reward. Mean of the *other* samples of the image, of the image's same stratum
    (cells or global), or of the batch; or a moving average of the steps before. Paper: none."""
    moving_decay: float = 0.95
    """moving: share of the old average that stays in each step."""
    normalise: Literal["none", "deviation", "best"] = "best"
    """best (exact): divide rewards by what the image's best tenth of cells earn: while the policy is blunt all rewards
    are small, and would weigh less than any entropy. deviation (sampled): divide advantages by their deviation."""

    global_weight: float = 0.0
    """exact: weight of the image-wide expectation against that of the cells; it costs completeness (docs/method.md)."""
    global_entropy: float = 0.12
    """Weight of the image-wide policy's entropy; exact: within the image-wide term, where its optimum is proportional
    to exp(reward / this)."""
    tile_entropy: float = 0.0
    """Weight of the mean entropy inside the tiles, λ. Paper: 0.001. Released code: 0.015, against summed logs."""
    tile_px: int = 16
    """Side of those tiles. Paper: 30 at 480 px."""
    final_entropy: float = 1.0
    """Entropy weights fall linearly to this share of themselves over the run. Released code: a third."""

    warmup_expert: Literal["fast", "shi-tomasi"] = "fast"
    """What the warm-up imitates: blurred FAST corners (paper), or the Shi-Tomasi corner response."""
    warmup_share: float = 1 / 6
    """Share of the run's steps in which imitation fades out. Paper: 0.1."""
    warmup_weight: float = 10.0
    """Weight of the imitation at step 0 (paper)."""
    warmup_first: bool = True
    """Imitate alone for the first half of the warm-up, then fade while the reward fades in; otherwise the weights move
    linearly from the start, the reward's from 0.1 to 1 (paper)."""

    def __post_init__(self) -> None:
        def require(condition: bool, message: str) -> None:
            if not condition:
                raise ConfigError(message)

        centred = self.rank_window_px % 2 == 1 or self.rank_window == "cell"
        require(centred and self.window_px % 2 == 1, "centred windows must be odd: set window_px, rank_window_px")
        require(self.cell_px >= 2 and self.tile_px >= 2, "cell_px and tile_px must be at least 2")
        # Lower pixels are counted in 16 bits.
        require(2 <= self.rank_window_px <= 181, f"rank_window_px must be in [2, 181], got {self.rank_window_px}")
        require(
            self.candidate_stride >= 1 and self.pixel_stride >= 1,
            f"strides must be at least 1, got {self.candidate_stride} and {self.pixel_stride}",
        )
        require(
            self.estimator == "sampled" or self.cell_px % self.pixel_stride == 0,
            f"pixel_stride {self.pixel_stride} must divide cell_px {self.cell_px}",
        )
        require(self.global_samples >= 0, f"global_samples must not be negative, got {self.global_samples}")
        require(self.inverse_temperature > 0 and self.localization_px > 0, "temperature and scale must be positive")
        require(0 <= self.rank_floor < 1 and self.ratio_ceiling > 0, "need 0 <= rank_floor < 1 and ratio_ceiling > 0")
        require(0 <= self.moving_decay < 1, f"moving_decay must lie in [0, 1), got {self.moving_decay}")
        require(0 <= self.warmup_share <= 1, f"warmup_share must lie in [0, 1], got {self.warmup_share}")
        require(self.final_entropy >= 0, f"final_entropy must not be negative, got {self.final_entropy}")
        require(
            not self.target_gradient or (self.estimator == "exact" and self.consistency == "redetection"),
            "target_gradient needs estimator exact and consistency redetection: the others have no gradient there",
        )
        require(
            self.credit == "point" or self.baseline not in ("leave_one_out", "stratum"),
            f"baseline {self.baseline} is a mean of other points: with credit image use batch, moving or none",
        )
        require(
            self.normalise in ("none", "best" if self.estimator == "exact" else "deviation"),
            f"normalise {self.normalise} does not go with estimator {self.estimator}",
        )
