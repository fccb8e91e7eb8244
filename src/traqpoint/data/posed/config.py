"""Options of the sources of posed frames. No torch here: the command line's help stands on this file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from traqpoint.data.source import CURRICULUM
from traqpoint.errors import ConfigError

Order = Literal["star", "chain"]
RADIUS_PX = 2.5
"""Without depth, pixels this near to an observation of a triangulated point are carried by that point's depth."""


def check_band(band: tuple[float, float]) -> None:
    """Raise ConfigError unless 0 <= band[0] < band[1] <= 1."""
    if not 0 <= band[0] < band[1] <= 1:
        raise ConfigError(f"overlap must be an increasing range in [0, 1], got {band}")


@dataclass(frozen=True, kw_only=True)
class FrameConfig:
    """What becomes of every frame, however sequences are chosen."""

    image_size: tuple[int, int] = (480, 480)
    """(W, H) of the frames in pixels; see fit_frame."""
    photometric: float = 0.5
    """Strength of the added change of light, colour, noise and blur; real frames differ already. 0 is none."""
    curriculum: bool = False
    """Go through the paper's overlap bands, high, medium and low, in a third of the run each, in place of one."""
    cache_frames: int = 512
    """Fitted frames kept in memory (480 x 480: 1.6 MB each)."""

    def __post_init__(self) -> None:
        if min(self.image_size) < 16:
            raise ConfigError(f"image_size must be at least 16 px, got {self.image_size}")
        if not 0 <= self.photometric <= 2:
            raise ConfigError(f"photometric must be in [0, 2], got {self.photometric}")
        if self.cache_frames < 1:
            raise ConfigError(f"cache_frames must be at least 1, got {self.cache_frames}")


@dataclass(frozen=True, kw_only=True)
class PosedConfig(FrameConfig):
    """Which frames make a sequence."""

    num_frames: int = 5
    """Frames per sequence."""
    order: Order = "star"
    """star: every target overlaps the first frame. chain: every frame overlaps the one before."""
    overlap: tuple[float, float] = (0.3, 0.8)
    """Least and most of a frame that its neighbour sees; the paper's three bands are data.source.CURRICULUM."""
    max_gap: int | None = None
    """Most places between neighbours in the set's order (frames, for a video); without it the whole set is searched."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_frames < 2:
            raise ConfigError(f"num_frames must be at least 2, got {self.num_frames}")
        if self.order not in ("star", "chain"):
            raise ConfigError(f"order must be star or chain, got {self.order!r}")
        check_band(self.overlap)
        if self.max_gap is not None and self.max_gap < 1:
            raise ConfigError(f"max_gap must be at least 1, got {self.max_gap}")


@dataclass(frozen=True, kw_only=True)
class RgbdConfig(PosedConfig):
    """Which RGB-D recordings, and how sequences are chosen in them."""

    folders: tuple[Path, ...] = ()
    """One recording each: TUM RGB-D, 7-Scenes (a seq-XX folder), ScanNet as exported, or K.txt with poses.txt."""
    part: tuple[float, float] = (0.0, 1.0)
    """From where to where in each recording; (0, 0.8) leaves the last fifth of the frames for validation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.part[0] < self.part[1] <= 1:
            raise ConfigError(f"part must be an increasing range in [0, 1], got {self.part}")


@dataclass(frozen=True, kw_only=True)
class MegaDepthConfig(FrameConfig):
    """Where MegaDepth is, and which of the chosen sequences are taken."""

    root: Path | None = None
    """Folder with Undistorted_SfM and depth_undistorted (or phoenix, as D2-Net's scripts leave the depth)."""
    sequences: Path | None = None
    """Index file that `traqpoint data megadepth-sequences` has written."""
    overlap: tuple[float, float] = (0.0, 1.0)
    """Only sequences all of whose overlaps lie in this range; the paper's three bands are data.source.CURRICULUM."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_band(self.overlap)


@dataclass(frozen=True, kw_only=True)
class ColmapConfig(PosedConfig):
    """Which COLMAP workspaces, and how sequences are chosen in them; overlap is the share of common points."""

    workspaces: tuple[Path, ...] = ()
    """Folders with a model in sparse/0, sparse or the folder itself; stereo/depth_maps is used where it exists."""
    images: Path | None = None
    """Folder that the names in the models are relative to; without it the folder images in each workspace."""
    overlap: tuple[float, float] = (0.15, 0.8)
    """Least and most of a frame's points that its neighbour observes too. Tracks have gaps: less than one would see."""
    radius_px: float = RADIUS_PX
    """Without depth maps: pixels of the fitted frame this near to an observation of a 3D point can be carried."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.5 <= self.radius_px <= 20:
            raise ConfigError(f"radius_px must be in [0.5, 20], got {self.radius_px}")


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """Which sequences are chosen."""

    num_frames: int = 5
    """Frames per sequence."""
    order: Order = "star"
    """star: every target overlaps the first frame. chain: every frame overlaps the one before."""
    bands: tuple[tuple[float, float], ...] = CURRICULUM
    """Ranges of overlap, as the scene_info files have it; all neighbours of one sequence are in one of the ranges."""
    per_scene: int = 100
    """Most sequences per scene and range; no two have the same frames in the same order."""
    seed: int = 0
    """Of everything random; a scene's sequences do not depend on which other scenes are asked for."""

    def __post_init__(self) -> None:
        if self.num_frames < 2 or self.per_scene < 1:
            raise ConfigError(f"need num_frames >= 2, per_scene >= 1, got {self.num_frames}, {self.per_scene}")
        if self.order not in ("star", "chain"):
            raise ConfigError(f"order must be star or chain, got {self.order!r}")
        if not self.bands:
            raise ConfigError("bands must name at least one range of overlap")
        for band in self.bands:
            check_band(band)
