"""What training draws from: the sources by name, and their options. A new data set is one file and one line in SOURCES.

No torch here: the command line's help stands on this file.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from traqpoint.data.posed.config import ColmapConfig, MegaDepthConfig, RgbdConfig
from traqpoint.data.source import needed
from traqpoint.data.worlds.config import WorldsConfig
from traqpoint.errors import ConfigError
from traqpoint.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from traqpoint.data.source import Source
    from traqpoint.types import Device

SOURCES: Registry[Callable[[DataConfig, Device], Source]] = Registry(
    "source",
    {
        "homography": "traqpoint.data.homography:build",
        "worlds": "traqpoint.data.worlds.source:build",
        "video": "traqpoint.data.homography:build_from_videos",
        "aligned": "traqpoint.data.aligned:build",
        "rgbd": "traqpoint.data.posed.rgbd_layouts:build",
        "megadepth": "traqpoint.data.posed.megadepth:build",
        "colmap": "traqpoint.data.posed.colmap:build",
    },
)
"""What a mixture can hold: name -> what makes the source of a DataConfig, on a device. See data.source.needs."""


@dataclass(frozen=True)
class HomographyConfig:
    """How far the frames of a homography sequence move."""

    image_size: int = 240
    """Side of the square frames in pixels."""
    num_frames: int = 5
    """Frames per sequence, T."""
    zoom: tuple[float, float] = (1.1, 2.6)
    """The photo's shorter side in units of the frame's side, drawn from this range per sequence."""
    rotation_degrees: float = 30.0
    """In-plane rotation of a frame against the first, uniform in ±."""
    scale: float = 1.5
    """Scale change of a frame against the first: at most this factor, either way."""
    translation: float = 0.2
    """Shift of a frame against the first in units of its side, uniform in ±."""
    perspective: float = 0.15
    """Each corner of the frame moves by up to this share of the side."""
    photometric: float = 1.0
    """Strength of brightness, colour, noise and blur changes; 0 is none."""
    light: Literal["mild", "strong"] = "mild"
    """What changes: as between two photographs of one hour, or as between day and night and two cameras, in 8 bits by
    OpenCV, which is also twice as fast on a CPU."""
    turned: float = 0.0
    """Share of the frames that are turned by any angle, beyond rotation_degrees."""
    taught_points: int = 256
    """Points that teachers have described, in each sequence at most; only those that two frames see."""
    first_moves: bool = False
    """The first frame moves as the others do; otherwise it is an upright piece of the photo, and only they move."""
    ramp: float = 0.0
    """Share of the run over which rotation, scale, shift, perspective, turns and light grow to what they are here."""
    ramp_from: float = 0.2
    """Share of them that the run begins with, where there is a ramp."""
    min_coverage: float = 0.85
    """Smallest share of a frame that shows the photo; frames below are drawn again, closer to the first."""

    def __post_init__(self) -> None:
        if self.image_size < 32 or self.num_frames < 2:
            raise ConfigError(f"need image_size >= 32 and num_frames >= 2, got {self.image_size}, {self.num_frames}")
        if not 1 <= self.zoom[0] <= self.zoom[1]:
            raise ConfigError(f"zoom must be an increasing range from 1 on, got {self.zoom}")
        if self.light not in ("mild", "strong"):
            raise ConfigError(f"light must be mild or strong, got {self.light!r}")
        if not 0 <= self.turned <= 1 or self.taught_points < 1:
            raise ConfigError(f"need turned in [0, 1] and taught_points >= 1, got {self.turned}, {self.taught_points}")
        if self.scale < 1 or not 0 < self.min_coverage <= 1:
            raise ConfigError(f"need scale >= 1 and 0 < min_coverage <= 1, got {self.scale}, {self.min_coverage}")
        if not (0 <= self.ramp <= 1 and 0 <= self.ramp_from <= 1):
            raise ConfigError(f"need ramp and ramp_from in [0, 1], got {self.ramp}, {self.ramp_from}")

    def milder(self, difficulty: float) -> HomographyConfig:
        """Rotation, scale, shift, perspective, turns and change of light by this share of what they are.

        Raises ConfigError for a negative share.
        """
        if not difficulty >= 0:
            raise ConfigError(f"difficulty must not be negative, got {difficulty}")
        linear = ("rotation_degrees", "translation", "perspective", "photometric")
        scaled = {name: difficulty * getattr(self, name) for name in linear}
        turned = min(1.0, difficulty * self.turned)
        return dataclasses.replace(self, scale=self.scale**difficulty, turned=turned, **scaled)

    def at(self, progress: float) -> HomographyConfig:
        """What holds at `progress` in [0, 1] of a run."""
        if progress >= self.ramp:
            return self
        return self.milder(self.ramp_from + (1 - self.ramp_from) * progress / self.ramp)


@dataclass(frozen=True)
class DataConfig:
    """Where sequences come from: a weighted mixture of sources; see docs/data.md."""

    photos: Path | None = None
    """Folder of photos for homography sequences and as textures of worlds; without it worlds are procedural."""
    mixture: tuple[tuple[str, float], ...] = (("homography", 1.0),)
    """Sources and their weights: each batch comes from one, in proportion. homography, aligned, worlds, video, rgbd,
    megadepth, colmap, or one of your own as module:name."""
    max_photos: int | None = None
    """Use the first this many photos (sorted by path)."""
    homography: HomographyConfig = field(default_factory=HomographyConfig)
    """Homography sequences, of photos, aligned ones too, and of a video's frames."""
    worlds: WorldsConfig = field(default_factory=WorldsConfig)
    """Synthetic worlds."""
    videos: tuple[Path, ...] = ()
    """Video files or folders of frames without geometry: their frames serve as photos of homography sequences."""
    aligned: Path | None = None
    """Folder with a folder of photographs for each fixed camera, by day and by night: their frames show one place in
    different light."""
    rgbd: RgbdConfig = field(default_factory=RgbdConfig)
    """RGB-D recordings."""
    megadepth: MegaDepthConfig = field(default_factory=MegaDepthConfig)
    """MegaDepth."""
    colmap: ColmapConfig = field(default_factory=ColmapConfig)
    """COLMAP workspaces."""
    own: tuple[tuple[str, str], ...] = ()
    """Options of a source of your own, names and values as text."""

    def __post_init__(self) -> None:
        for name, weight in self.mixture:
            SOURCES.check(name)
            if not 0 <= weight < math.inf:
                raise ConfigError(f"mixture: the weight of {name} must be finite and not negative, got {weight}")
        if len(dict(self.mixture)) < len(self.mixture):
            raise ConfigError("mixture: a source is named twice")
        if not self.used:
            raise ConfigError("mixture: no source has a positive weight")

    @property
    def used(self) -> dict[str, float]:
        """The sources of positive weight."""
        return {name: weight for name, weight in self.mixture if weight > 0}

    def option(self, name: str, default: str | None = None) -> str:
        """One of `own`. Raises ConfigError if it is not given and there is no default."""
        value = dict(self.own).get(name, default)
        if value is None:
            raise ConfigError(f"the source needs an option: give data.own {name} VALUE")
        return value

    def require_paths(self) -> None:
        """Raise ConfigError if a source lacks its path, or cannot be imported. Not on construction: a file and the
        command line may each hold a part of this configuration."""
        for name in self.used:
            for path in needed(SOURCES[name]):
                if not operator.attrgetter(path)(self):
                    raise ConfigError(f"the source {name} of the mixture needs a path: set data.{path}")
