"""How a path is estimated. Without torch, so that the command line starts at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from traqpoint.errors import ConfigError
from traqpoint.matching.config import RobustConfig, Usual

Mode = Literal["frame", "keyframe", "map"]
"""frame: every frame against the one before. keyframe: against the last keyframe. map: against the 3D points of the
last keyframes, which local bundle adjustment keeps exact."""


@dataclass(frozen=True)
class MapConfig:
    """mode map: points, bundle adjustment, what to do when lost."""

    bundle: bool = True
    """Local bundle adjustment at each new keyframe, by pycolmap (extra: sfm)."""
    bundle_window: int = 8
    """Keyframes that it moves: the new one and those that share most points with it; others that see these points are
    held."""
    max_error_px: float = 1.0
    """Reprojection error of an inlier; more for cameras whose calibration is worse. On the start of KITTI 07, 2 px
    double the relative error, and on a walk through an office both 0.5 and 2 px lose frames
    (benchmarks/local_bundle.py)."""
    min_parallax_deg: float = 1.0
    """Angle between the rays of a new point, and the median one of the first two keyframes."""
    min_points: int = 15
    """A frame that agrees with fewer points is lost."""
    relocalize: int = 20
    """A lost frame is matched with so many keyframes of the map, evenly spaced, the last ones first; 0 does without."""
    patience: int = 10
    """So many lost frames in a row, and a new piece of the path begins, whose scale is a guess."""

    def __post_init__(self) -> None:
        least = {"bundle_window": 2, "min_points": 6, "relocalize": 0, "patience": 1}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ConfigError(f"{name} must be at least {value}, got {getattr(self, name)}")
        for name in ("max_error_px", "min_parallax_deg"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True)
class OdometryConfig:
    """How the path is estimated."""

    mode: Mode = "frame"
    scale: Literal["truth", "none"] = "truth"
    """Length of each step: the true one, or, without any truth, relative to the step before by the points that both
    steps see; the first step is 1. A map has a scale of its own: mode map goes with none."""
    window: int = 8
    """keyframe, map: a keyframe serves at most this many frames."""
    min_inliers: float = 0.5
    """keyframe, map: the frame becomes the next one when its inliers fall below this share of those of the first frame
    that the keyframe served."""
    max_flow: float = 0.08
    """keyframe, map: or when the inliers have moved by more than this share of the image's width (median)."""
    robust: RobustConfig = field(default_factory=RobustConfig)
    """The estimator of the essential matrix; of the first two keyframes in mode map."""
    map: MapConfig = field(default_factory=MapConfig)

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode) or self.scale not in ("truth", "none"):
            raise ConfigError(f"mode is frame, keyframe or map, scale truth or none; got {self.mode!r}, {self.scale!r}")
        if self.mode == "map" and self.scale == "truth":
            raise ConfigError("mode map makes one map with one scale of its own: give it scale none")
        if self.window < 1:
            raise ConfigError(f"window must be at least 1 frame, got {self.window}")
        if not 0 <= self.min_inliers <= 1 or not self.max_flow > 0:
            raise ConfigError(
                f"need min_inliers in [0, 1] and max_flow > 0, got {self.min_inliers} and {self.max_flow}"
            )

    @property
    def reach(self) -> int:
        """Farthest frame ahead that a frame is matched with beforehand; in mode map that is decided on the way."""
        return {"frame": 1, "keyframe": self.window, "map": 0}[self.mode]

    def described(self, usual: Usual) -> dict[str, Any]:
        """For the protocol: what this mode uses, with the estimator's numbers filled in."""
        settings = asdict(self)
        del settings["robust"]
        if self.mode == "frame":
            settings = {key: settings[key] for key in ("mode", "scale")}
        if self.mode != "map":
            settings.pop("map", None)
        return {"odometry": settings, "estimator": asdict(self.robust.resolved(usual))}
