"""Which matcher, and how strict; which robust estimator. Without torch, so that the command line starts at once.

A new matcher is a file beside this one and a line in MATCHERS; if it has settings, they are a class here and a field of
MatcherConfig, so that every verb has them as options.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from traqpoint.errors import ConfigError
from traqpoint.registry import Registry

MATCHERS: Registry[Callable[[MatcherConfig], Any]] = Registry(
    "matcher",
    {
        "mutual": "traqpoint.matching.mutual:build",
        "dual-softmax": "traqpoint.matching.dual_softmax:build",
        "lightglue": "traqpoint.matching.lightglue:build",
    },
)
"""Name -> a function that makes of a MatcherConfig what maps two Features to Matches."""


@dataclass(frozen=True)
class MutualConfig:
    """Mutual nearest neighbours."""

    max_ratio: float | None = None
    """Nearest distance over second nearest, at most; None for no ratio test."""
    min_similarity: float | None = None
    """Smallest cosine; None for no limit."""

    def __post_init__(self) -> None:
        if self.max_ratio is not None and not 0 < self.max_ratio <= 1:
            raise ConfigError(f"max_ratio must lie in (0, 1], got {self.max_ratio}")
        if self.min_similarity is not None and not -1 <= self.min_similarity <= 1:
            raise ConfigError(f"min_similarity must lie in [-1, 1], got {self.min_similarity}")


@dataclass(frozen=True)
class DualSoftmaxConfig:
    """Mutual maxima of the dual softmax."""

    inverse_temperature: float = 20.0
    """Factor on the cosines."""
    min_probability: float = 0.01
    """Smallest probability of a match."""

    def __post_init__(self) -> None:
        if not self.inverse_temperature > 0:
            raise ConfigError(f"inverse_temperature must be positive, got {self.inverse_temperature}")
        if not 0 <= self.min_probability <= 1:
            raise ConfigError(f"min_probability must lie in [0, 1], got {self.min_probability}")


@dataclass(frozen=True)
class LightGlueConfig:
    """LightGlue, which has to be trained for the features that it matches."""

    weights: Path | None = None
    """Weight file, .pth or .safetensors, as LightGlue's authors or kornia publish them."""
    min_score: float = 0.1
    """Smallest probability of a match."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise ConfigError(f"min_score must lie in [0, 1], got {self.min_score}")

    def described(self) -> dict[str, Any]:
        """A file of the same name may change: its hash says which one it was, its folder says nothing."""
        if self.weights is None or not self.weights.is_file():
            return asdict(self)
        digest = hashlib.sha256(self.weights.read_bytes()).hexdigest()
        return {"weights": self.weights.name, "min_score": self.min_score, "weights_sha256": digest}


@dataclass(frozen=True)
class MatcherConfig:
    """How two images are matched; what the chosen method uses is written beside every result."""

    method: str = "mutual"
    """mutual (nearest neighbours), dual-softmax, lightglue, or your own: module:build, path/to/file.py:build."""
    mutual: MutualConfig = field(default_factory=MutualConfig)
    dual_softmax: DualSoftmaxConfig = field(default_factory=DualSoftmaxConfig)
    lightglue: LightGlueConfig = field(default_factory=LightGlueConfig)

    def __post_init__(self) -> None:
        MATCHERS.check(self.method)

    def described(self) -> dict[str, Any]:
        """The method and the settings that it looks at, for a result's protocol."""
        chosen = getattr(self, self.method.replace("-", "_"), None)
        settings = {} if chosen is None else chosen.described() if hasattr(chosen, "described") else asdict(chosen)
        return {"method": self.method, **settings}


ESTIMATORS = ("opencv-ransac", "opencv-magsac", "poselib")
Estimator = Literal["opencv-ransac", "opencv-magsac", "poselib"]
Usual = dict[str, tuple[float, int]]
"""Estimator -> threshold in pixels and iterations at most."""


@dataclass(frozen=True)
class RobustConfig:
    """How a model is estimated from matches with outliers. Impossible values raise ConfigError."""

    estimator: Estimator = "opencv-ransac"
    """OpenCV's RANSAC, as in the published tables; OpenCV's MAGSAC++; PoseLib's LO-RANSAC."""
    threshold_px: float | None = None
    """Inlier threshold in pixels of the calibrated images; by default what is usual for the estimator."""
    max_iterations: int | None = None
    """Samples drawn at most; by default what is usual for the estimator."""
    confidence: float = 0.99999
    """Stop once a better model is that improbable (SuperGlue's value)."""

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise ConfigError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {self.estimator!r}")
        if self.threshold_px is not None and not self.threshold_px > 0:
            raise ConfigError(f"threshold_px must be positive, got {self.threshold_px}")
        if self.max_iterations is not None and self.max_iterations < 1:
            raise ConfigError(f"max_iterations must be at least 1, got {self.max_iterations}")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence must lie in (0, 1), got {self.confidence}")

    def resolved(self, usual: Usual) -> RobustConfig:
        """With what is usual for the estimator in place of None: the numbers that a result's protocol states."""
        threshold_px, max_iterations = usual[self.estimator]
        return replace(
            self,
            threshold_px=self.threshold_px or threshold_px,
            max_iterations=self.max_iterations or max_iterations,
        )
