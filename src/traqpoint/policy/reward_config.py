"""What a point earns: which terms, how they are put together, and the parameters of each. Without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from traqpoint.errors import ConfigError
from traqpoint.policy.combination import COMBINATIONS
from traqpoint.policy.terms import TERMS

Judgement = Literal["ignored", "zero", "judged"]
"""What a target frame says about a point it may not see: nothing, a reward of 0, or a reward as if it saw it."""


def require(condition: bool, message: str) -> None:
    """Raise ConfigError unless the condition holds."""
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class RedetectionConfig:
    """Would the target's policy, asked near the projection, choose the same place? (ours)"""

    window_px: int = 13
    """Side of the window around the projection in which the target's policy chooses."""
    sigma_px: float = 0.7
    """A choice d pixels from the projection counts exp(-d² / (2 · this²))."""
    target_gradient: bool = False
    """estimator exact: the target's choice is an action of the same policy and may receive its gradient too."""

    def __post_init__(self) -> None:
        require(self.window_px % 2 == 1, f"window_px is centred and must be odd, got {self.window_px}")
        require(self.sigma_px > 0, f"sigma_px must be positive, got {self.sigma_px}")


@dataclass(frozen=True)
class RankConfig:
    """Is the projection among the target policy's preferred pixels of its surroundings? (paper)"""

    window_px: int = 31
    """Side of the window. Paper: 60 at 480 px."""
    window: Literal["centred", "cell"] = "centred"
    """A window around the projection, or the cell of a fixed grid that it falls into (released code)."""
    floor: float = 0.2
    """Shares of lower pixels below this earn nothing (paper)."""

    def __post_init__(self) -> None:
        # Lower pixels are counted in 16 bits.
        require(2 <= self.window_px <= 181, f"rank: window_px must lie in [2, 181], got {self.window_px}")
        odd = self.window_px % 2 == 1 or self.window == "cell"
        require(odd, f"rank: window_px is centred and must be odd, got {self.window_px}")
        require(0 <= self.floor < 1, f"rank: floor must lie in [0, 1), got {self.floor}")


@dataclass(frozen=True)
class MaximumConfig:
    """How near is the target's closest local maximum to the projection?"""

    sigma_px: float = 0.7
    """A maximum d pixels from the projection counts exp(-d² / (2 · this²))."""

    def __post_init__(self) -> None:
        require(self.sigma_px > 0, f"sigma_px must be positive, got {self.sigma_px}")


@dataclass(frozen=True)
class DistinctivenessConfig:
    """Is the point's descriptor matched uniquely in the target frame? (paper)"""

    ratio_ceiling: float = 0.85
    """Descriptor distance ratios above this earn nothing (paper)."""
    negatives: Literal["image", "samples"] = "image"
    """The nearest other descriptor is sought in the whole target frame, or only among the projections of the other
    samples (released code)."""
    negative_radius_px: float = 6.0
    """image: no negatives within this distance of the projection."""
    stride: int = 8
    """Stride of the descriptors compared, as negatives (image) and as points of a lattice (estimator exact)."""

    def __post_init__(self) -> None:
        require(self.ratio_ceiling > 0, f"ratio_ceiling must be positive, got {self.ratio_ceiling}")
        require(self.stride >= 1, f"distinctiveness: stride must be at least 1, got {self.stride}")


@dataclass(frozen=True)
class SimilarityConfig:
    """Is the descriptor at the projection that of the point at all? 1 or 0. (released code)"""

    threshold: float = 0.5
    """A cosine not above this is 0 (released code)."""
    stride: int = 8
    """Stride of the descriptors compared, as points of a lattice (estimator exact)."""

    def __post_init__(self) -> None:
        require(self.stride >= 1, f"similarity: stride must be at least 1, got {self.stride}")


@dataclass(frozen=True)
class RewardConfig:
    """The track reward: terms of each target frame, put together, over the frames that count."""

    terms: tuple[tuple[str, float], ...] = (("redetection", 1.0), ("distinctiveness", 0.8))
    """Terms and their weights: redetection, rank, maximum, distinctiveness, similarity, or your own as module:Name."""
    combination: str = "product"
    """product: of 1 - w + w · term, so that a term of weight 1 can take everything, one of 0.8 leaves a fifth (ours).
    mean: weighted (paper). sum: weighted (released code). Or your own function as module:name."""
    gates: tuple[str, ...] = ()
    """Terms of which a point needs more than 0.5 to earn anything. Released code: similarity."""
    aggregation: Literal["mean", "geometric"] = "mean"
    """Over the frames that count. A mean (paper) is the mean of pairs: its expected gradient is theirs. A geometric
    mean asks for a point that is found in *every* frame, which no pair can tell."""
    occluded: Judgement = "ignored"
    """Frames in which something else hides the point. Released code: zero."""
    unknown: Judgement = "ignored"
    """Frames whose depth is missing where the point projects. Released code: judged."""
    options: tuple[tuple[str, float | bool | str], ...] = ()
    """Parameters of terms that have none of their own below: Name.parameter and its value."""
    redetection: RedetectionConfig = field(default_factory=RedetectionConfig)
    """Would the target's policy, asked near the projection, choose the same place? (ours)"""
    rank: RankConfig = field(default_factory=RankConfig)
    """Is the projection among the target policy's preferred pixels of its surroundings? (paper)"""
    maximum: MaximumConfig = field(default_factory=MaximumConfig)
    """How near is the target's closest local maximum to the projection?"""
    distinctiveness: DistinctivenessConfig = field(default_factory=DistinctivenessConfig)
    """Is the point's descriptor matched uniquely in the target frame? (paper)"""
    similarity: SimilarityConfig = field(default_factory=SimilarityConfig)
    """Is the descriptor at the projection that of the point at all? 1 or 0. (released code)"""

    def __post_init__(self) -> None:
        require(len(self.terms) > 0, "reward: terms must name at least one")
        require(len(dict(self.terms)) == len(self.terms), "reward: a term is named twice")
        for name in (*dict(self.terms), *self.gates):
            TERMS.check(name)
        for name, weight in self.terms:
            require(weight > 0, f"reward: the weight of {name} must be positive, got {weight}")
        COMBINATIONS.check(self.combination)

    def parameters(self, term: str) -> object | None:
        """The configuration that a term has of its own here."""
        own: dict[str, object] = {
            "redetection": self.redetection,
            "rank": self.rank,
            "maximum": self.maximum,
            "distinctiveness": self.distinctiveness,
            "similarity": self.similarity,
        }
        return own.get(term)
