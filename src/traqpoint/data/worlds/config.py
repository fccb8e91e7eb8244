"""Options of the synthetic worlds. No torch here: the command line's help stands on this file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traqpoint.errors import ConfigError
from traqpoint.registry import Registry

if TYPE_CHECKING:
    from traqpoint.data.worlds.scene import Kind, Move

KINDS: Registry[Kind] = Registry(
    "scene in kinds",
    {name: f"traqpoint.data.worlds.kinds:{name.upper()}" for name in ("room", "street", "table", "hills")},
)
PATHS: Registry[Move] = Registry(
    "path in paths",
    {
        name: f"traqpoint.data.worlds.motion:{name}"
        for name in ("curve", "orbit", "forward", "strafe", "pan", "handheld")
    },
)


@dataclass(frozen=True)
class WorldsConfig:
    """What the worlds look like and how the camera moves through them."""

    image_size: tuple[int, int] = (480, 480)
    """(W, H) of the frames in pixels."""
    num_frames: int = 5
    """Frames per sequence."""
    kinds: tuple[str, ...] = ("room", "street", "table", "hills")
    """Scenes to draw from; your own as module:name, a data.worlds.scene.Kind."""
    num_objects: int = 8
    """Boxes or stacks of boxes per scene."""
    clutter: int = 0
    """Small boxes and leaning cards per scene, on the ground and on the boxes."""
    thin: int = 0
    """Poles, railings, lattices, twigs and wires per scene: a few pixels wide, in front of other surfaces."""
    repeated: float = 0.0
    """Share of the surfaces that show one brick, tile or window over and over."""
    paths: tuple[str, ...] = ("curve",)
    """Paths to draw from: curve, orbit, forward, strafe, pan (no parallax), handheld; own ones as module:name."""
    motion: float = 0.5
    """Length of the camera's path, as a share of the distance to the point it looks at; where to start with overlap."""
    roll_deg: float = 15.0
    """Largest rotation about the optical axis."""
    min_overlap: float = 0.3
    """Least share of the first frame's pixels that every other frame sees too; not used with overlap."""
    overlap: tuple[float, float] | None = None
    """Band for that share in the mean of the other frames, none of them below half of the band; motion is adapted.
    A star: the camera goes half of its path before the second frame, and the others overlap more with each other than
    with the first."""
    curriculum: bool = False
    """Go through the paper's overlap bands, high, medium and low, in a third of the run each, in place of one."""
    light: float = 0.0
    """How far the light moves, and changes its colour, during a sequence; 0 not at all, 1 as in some hours."""
    blur_px: float = 0.0
    """Longest smear by the camera's own motion in pixels; half of the frames have none."""
    exposure: float = 0.0
    """Largest over- and underexposure of a frame in stops; what is too bright is cut off."""
    photometric: float = 1.0
    """Strength of the change of light, colour, noise and sharpness per frame; 0 is none."""
    num_textures: int = 40
    """Procedural textures, if no others are given."""
    texture_size: int = 512
    """Side of the procedural textures in texels."""
    seed: int = 0
    """Seed of the procedural textures; everything else comes from the generator given to `sample`."""

    def __post_init__(self) -> None:
        def require(condition: bool, message: str) -> None:
            if not condition:
                raise ConfigError(message)

        require(min(self.image_size) >= 16, f"image_size must be at least 16 px, got {self.image_size}")
        require(self.num_frames >= 1, f"num_frames must be at least 1, got {self.num_frames}")
        require(bool(self.kinds), f"kinds must name at least one of {', '.join(KINDS)}")
        for kind in self.kinds:
            KINDS.check(kind)
        require(self.num_objects >= 0, f"num_objects must not be negative, got {self.num_objects}")
        require(self.clutter >= 0, f"clutter must not be negative, got {self.clutter}")
        require(self.thin >= 0, f"thin must not be negative, got {self.thin}")
        require(0 <= self.repeated <= 1, f"repeated must be in [0, 1], got {self.repeated}")
        require(bool(self.paths), f"paths must name at least one of {', '.join(PATHS)}")
        for path in self.paths:
            PATHS.check(path)
        require(0 <= self.motion <= 2, f"motion must be in [0, 2], got {self.motion}")
        require(0 <= self.roll_deg <= 180, f"roll_deg must be in [0, 180], got {self.roll_deg}")
        require(0 <= self.min_overlap <= 0.8, f"min_overlap must be in [0, 0.8], got {self.min_overlap}")
        low, high = self.overlap or (0.0, 1.0)
        require(0 <= low < high <= 1, f"overlap must be (low, high) with 0 <= low < high <= 1, got {self.overlap}")
        require(self.overlap is None or self.motion > 0, f"motion must not be {self.motion} with overlap")
        require(0 <= self.light <= 1.5, f"light must be in [0, 1.5], got {self.light}")
        require(0 <= self.blur_px <= 32, f"blur_px must be in [0, 32], got {self.blur_px}")
        require(0 <= self.exposure <= 4, f"exposure must be in [0, 4], got {self.exposure}")
        require(0 <= self.photometric <= 2, f"photometric must be in [0, 2], got {self.photometric}")
        require(self.num_textures >= 1, f"num_textures must be at least 1, got {self.num_textures}")
        require(self.texture_size >= 16, f"texture_size must be at least 16, got {self.texture_size}")


RICH = WorldsConfig(
    clutter=24,
    thin=5,
    repeated=0.15,
    paths=tuple(PATHS),
    overlap=(0.3, 0.7),
    light=0.7,
    blur_px=6.0,
    exposure=0.7,
    photometric=0.5,
)
"""Everything at once, in amounts that still look like photographs."""
