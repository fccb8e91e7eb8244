"""How photos are mapped. Without torch, so that the command line starts at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from traqpoint.errors import ConfigError
from traqpoint.matching.config import MatcherConfig, MutualConfig

MATCHER = MatcherConfig(mutual=MutualConfig(max_ratio=0.9))
"""How photographs are matched for a model. Without a ratio test, pairs that show nothing in common have 750 matches of
2048 keypoints, with it 76 (30 photographs of South Building); 0.85 costs pairs that do overlap."""


Export = Literal["undistorted", "splatting"]


@dataclass(frozen=True, kw_only=True)
class PhotosConfig:
    """What is known of the photographs, and what is made of their model."""

    calibration: Path | None = None
    """Of the one camera, which is then kept as it is: fx fy cx cy [k1 k2 p1 p2 [k3]], KITTI's calib.txt, OpenCV's or
    ROS's YAML, or a COLMAP model. Without it, what EXIF says is a beginning, and the images tell the rest."""
    masks: Path | None = None
    """Folder of masks, NAME.png (a.jpg.png) or of the image's name with .png, or one mask for all images: where it is
    black there are no keypoints."""
    max_frames: int = 120
    """Of a film: the sharpest frame of each of so many equal parts is taken."""
    exports: tuple[Export, ...] = ()
    """undistorted: COLMAP's dense workspace, images of pinhole cameras with the model; splatting: a folder for
    nerfstudio (transforms.json) and Gaussian splatting (images, sparse/0)."""

    def __post_init__(self) -> None:
        if self.max_frames < 2:
            raise ConfigError(f"max_frames must be at least 2, got {self.max_frames}")
        unknown = [name for name in self.exports if name not in get_args(Export)]
        if unknown:
            raise ConfigError(f"export {unknown[0]!r} is not one of {', '.join(get_args(Export))}")


@dataclass(frozen=True, kw_only=True)
class MappingConfig:
    """How to reconstruct. Everything else is pycolmap's default."""

    mapper: Literal["incremental", "global"] = "incremental"
    """incremental adds one image after the other; global solves for all of them at once (GLOMAP): faster on many."""
    cameras: Literal["shared", "per-image"] = "shared"
    """shared: images of one size and EXIF focal length are one camera; per-image: each its own (internet photos)."""
    camera_model: Literal[
        "SIMPLE_PINHOLE",
        "PINHOLE",
        "SIMPLE_RADIAL",
        "RADIAL",
        "OPENCV",
        "FULL_OPENCV",
        "SIMPLE_RADIAL_FISHEYE",
        "RADIAL_FISHEYE",
        "OPENCV_FISHEYE",
    ] = "SIMPLE_RADIAL"
    """COLMAP's model of the lenses, where no calibration is given: one focal length and one distortion suit most
    cameras. More parameters need many images; a fisheye needs one of its models."""
    max_trials: int = 1000
    """Samples that the verification of a pair may draw. COLMAP's own 10,000 take ten times as long, nearly all of it
    for pairs that show nothing in common, and verify more of these."""
    min_inlier_ratio: float = 0.1
    """Share of a pair's matches that must agree with one motion. 30 photographs of South Building had 0.06 at most by
    chance; COLMAP's own is 0."""
    seed: int = 0
    """Seed of every random choice of pycolmap."""
    num_threads: int = -1
    """-1: all cores. With 1 a run repeats exactly; with more, models may differ slightly."""

    def __post_init__(self) -> None:
        if self.mapper not in ("incremental", "global"):
            raise ConfigError(f"mapper {self.mapper!r} is not one of incremental, global")
        if self.cameras not in ("shared", "per-image"):
            raise ConfigError(f"cameras {self.cameras!r} is not one of shared, per-image")
        if self.max_trials < 1:
            raise ConfigError(f"max_trials must be at least 1, got {self.max_trials}")
        if not 0 <= self.min_inlier_ratio < 1:
            raise ConfigError(f"min_inlier_ratio must lie in [0, 1), got {self.min_inlier_ratio}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
        if self.num_threads != -1 and self.num_threads < 1:
            raise ConfigError(f"num_threads must be -1 or at least 1, got {self.num_threads}")


@dataclass(frozen=True, kw_only=True)
class LocalizeConfig:
    """How photographs are located in a model."""

    calibration: Path | None = None
    """Of the one camera of all queries, in the formats of sfm. Without it a query has the camera of the map's images
    where it fits, else EXIF's focal length, refined, else one that is estimated with the pose."""
    pairs: Literal["retrieval", "exhaustive"] = "retrieval"
    """Match a query with the images of the map that look most like it, or with all of them."""
    neighbours: int = 20
    """retrieval: so many."""
    max_error_px: float = 12.0
    """Reprojection error of a match that agrees with a pose (PoseLib's and COLMAP's default)."""
    min_inliers: int = 20
    """Matches that must agree; with fewer a query is not located. Photographs of other places have 11 at most by chance
    (see docs/sfm.md)."""
    seed: int = 0
    """Seed of the random samples."""

    def __post_init__(self) -> None:
        if self.pairs not in ("retrieval", "exhaustive"):
            raise ConfigError(f"pairs {self.pairs!r} is not one of retrieval, exhaustive")
        if self.neighbours < 1:
            raise ConfigError(f"neighbours must be at least 1 image, got {self.neighbours}")
        if not self.max_error_px > 0:
            raise ConfigError(f"max_error_px must be positive, got {self.max_error_px}")
        if self.min_inliers < 4:
            raise ConfigError(f"min_inliers must be at least 4, got {self.min_inliers}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
