"""Layer 0: the data that flows through TraqPoint, validated on construction.

Pixel coordinates are COLMAP's everywhere: origin at the top-left corner of the image, the first pixel's centre at
(0.5, 0.5), inside is ``0 <= x < W``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from traqpoint.errors import FormatError, GeometryError

Device = str | torch.device


class PointState(IntEnum):
    """What became of a point of one image in another image."""

    VISIBLE = 0
    OCCLUDED = 1
    OUTSIDE = 2
    BEHIND = 3
    UNKNOWN = 4


def _require(condition: bool, message: str, error: type[Exception] = FormatError) -> None:
    if not condition:
        raise error(message)


@dataclass(frozen=True)
class Features:
    """Keypoints of one image, best first.

    keypoints: (N, 2) float32 pixels. scores: (N,) float32. descriptors: (N, D) float32 of unit norm.
    image_size: (W, H) of the image that the keypoints live in. found_at: (W, H) that it was shrunk to, or left at, when
    they were looked for; None if nobody says. scales, angles_deg: (N,) float32, of the resized and turned copy of the
    image that each was found in: pixels of the image that one of the copy's is wide, and where in the image the copy's
    x axis points, clockwise from the image's; both None if all were found in the image as it is.
    """

    keypoints: Tensor
    scores: Tensor
    descriptors: Tensor
    image_size: tuple[int, int]
    found_at: tuple[int, int] | None = None
    scales: Tensor | None = None
    angles_deg: Tensor | None = None

    def __post_init__(self) -> None:
        n = self.keypoints.shape[0]
        _require(self.keypoints.shape == (n, 2), f"keypoints must be (N, 2), got {tuple(self.keypoints.shape)}")
        _require(self.scores.shape == (n,), f"scores must be ({n},), got {tuple(self.scores.shape)}")
        _require(
            self.descriptors.ndim == 2 and self.descriptors.shape[0] == n,
            f"descriptors must be ({n}, D), got {tuple(self.descriptors.shape)}",
        )
        _require((self.scales is None) == (self.angles_deg is None), "scales and angles_deg come together")
        for name in ("scales", "angles_deg"):
            value = getattr(self, name)
            _require(value is None or value.shape == (n,), f"{name} must be ({n},)")

    def __len__(self) -> int:
        return self.keypoints.shape[0]

    def to(self, device: Device) -> Features:
        """The same on `device`."""
        return map_tensors(self, lambda x: x.to(device))

    def take(self, index: Tensor | slice) -> Features:
        """Those at `index`, (K,) int64 or (N,) bool, in its order."""
        return map_tensors(self, lambda x: x[index])

    def numpy(self) -> dict[str, np.ndarray]:
        """The npz format of TraqPoint: float32 arrays, and sizes as int64 (2,) = W, H, by the names of the fields;
        nothing of what is None."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.detach().cpu().numpy().astype(np.float32)
            if isinstance(value, Tensor)
            else np.asarray(value, dtype=np.int64)
            for name, value in values.items()
            if value is not None
        }


@dataclass(frozen=True)
class Matches:
    """Correspondences between two images. indices: (K, 2) int64 keypoint indices. scores: (K,) float32."""

    indices: Tensor
    scores: Tensor

    def __post_init__(self) -> None:
        k = self.indices.shape[0]
        _require(self.indices.shape == (k, 2), f"indices must be (K, 2), got {tuple(self.indices.shape)}")
        _require(self.scores.shape == (k,), f"scores must be ({k},), got {tuple(self.scores.shape)}")

    def __len__(self) -> int:
        return self.indices.shape[0]

    def flipped(self) -> Matches:
        """The same matches from the second image to the first."""
        return Matches(self.indices.flip(1), self.scores)


@dataclass(frozen=True)
class Tracks:
    """Observations of scene points over many images, sorted by track and then by frame.

    frame, keypoint, track_id: (M,) int64. xy: (M, 2) float32 pixels. A track has at most one observation per frame.
    num_frames: how many frames were looked at, those without any observation included.
    """

    frame: Tensor
    keypoint: Tensor
    track_id: Tensor
    xy: Tensor
    num_frames: int

    def __post_init__(self) -> None:
        m = self.frame.shape[0]
        for name in ("frame", "keypoint", "track_id"):
            shape = tuple(getattr(self, name).shape)
            _require(shape == (m,), f"{name} must be ({m},), got {shape}")
        _require(self.xy.shape == (m, 2), f"xy must be ({m}, 2), got {tuple(self.xy.shape)}")

    def __len__(self) -> int:
        """Number of tracks."""
        return int(self.track_id.unique().numel())


@dataclass(frozen=True)
class WarpedPoints:
    """Points carried into another image: xy (..., N, 2) pixels, NaN where undefined; state (..., N) PointState."""

    xy: Tensor
    state: Tensor

    @property
    def visible(self) -> Tensor:
        """(..., N) bool."""
        return self.state == PointState.VISIBLE


class Geometry(Protocol):
    """Ground truth of a batch of sequences. Rewards and losses know nothing else about the scene."""

    def warp(self, source: int, target: int, xy: Tensor) -> WarpedPoints:
        """Carry points (B, N, 2) of frame `source` into frame `target`."""
        ...

    def valid(self, frame: int) -> Tensor:
        """(B, H, W) bool: pixels of `frame` that show the scene, and not padding."""
        ...

    def to(self, device: Device) -> Geometry:
        """The same on `device`."""
        ...


@dataclass(frozen=True)
class DescribedPoints:
    """Points of one photograph as teachers see them. xy: (N, 2) pixels. descriptors: (N, E) of unit norm."""

    xy: Tensor
    descriptors: Tensor

    def __post_init__(self) -> None:
        n = self.xy.shape[0]
        _require(
            self.xy.shape == (n, 2) and self.descriptors.ndim == 2 and self.descriptors.shape[0] == n,
            f"need points (N, 2) and descriptors (N, E), got {tuple(self.xy.shape)}, {tuple(self.descriptors.shape)}",
        )


@dataclass(frozen=True)
class TaughtPoints:
    """The same for a batch of sequences: where each point lies in each frame, and what teachers say of it.

    xy: (B, T, N, 2) pixels, 0 where the frame does not see the point. seen: (B, T, N) bool. targets: (B, N, E) of unit
    norm; rows beyond the points that a sequence has are seen nowhere, and 0.
    """

    xy: Tensor
    seen: Tensor
    targets: Tensor

    def to(self, device: Device) -> TaughtPoints:
        return map_tensors(self, lambda x: x.to(device))


@dataclass(frozen=True)
class SequenceBatch:
    """A batch of B sequences of T frames that see the same rigid scene.

    images: (B, T, 3, H, W) float32 RGB in [0, 1]. taught: of sources whose photographs teachers have seen.
    """

    images: Tensor
    geometry: Geometry
    taught: TaughtPoints | None = None

    def __post_init__(self) -> None:
        _require(
            self.images.ndim == 5 and self.images.shape[2] == 3,
            f"images must be (B, T, 3, H, W), got {tuple(self.images.shape)}",
        )

    @property
    def num_frames(self) -> int:
        """T, the frames of each sequence."""
        return self.images.shape[1]

    def to(self, device: Device) -> SequenceBatch:
        taught = self.taught.to(device) if self.taught is not None else None
        return SequenceBatch(self.images.to(device), self.geometry.to(device), taught)


@dataclass(frozen=True)
class Observations:
    """Triangulated points that a frame observes. rays: (N, 3) in the camera, z = 1, so that ``K @ ray`` is the pixel in
    the frame and in every resized crop of it. points: (N,) int64, which points. z: (N,) their z-depths."""

    rays: Tensor
    points: Tensor
    z: Tensor


@dataclass(frozen=True)
class Frame:
    """One posed image. image (3, H, W); K (3, 3); cam_from_world (4, 4); depth (H, W) z-depth, NaN = unknown;
    observations: of a frame of a reconstruction."""

    image: Tensor
    K: Tensor
    cam_from_world: Tensor
    depth: Tensor | None = None
    observations: Observations | None = None

    def __post_init__(self) -> None:
        _require(self.image.ndim == 3, f"image must be (3, H, W), got {tuple(self.image.shape)}")
        _require(self.K.shape == (3, 3), f"K must be (3, 3), got {tuple(self.K.shape)}", GeometryError)
        _require(
            self.cam_from_world.shape == (4, 4) and bool(torch.isfinite(self.cam_from_world).all()),
            "cam_from_world must be a finite (4, 4) matrix",
            GeometryError,
        )
        if self.depth is not None:
            _require(
                self.depth.shape == self.image.shape[1:],
                f"depth {tuple(self.depth.shape)} and image {tuple(self.image.shape[1:])} differ in size",
                GeometryError,
            )


T = TypeVar("T")


def map_tensors(data: T, function) -> T:
    """A copy of dataclass `data` with `function` applied to each Tensor field."""
    values = {}
    for field in fields(data):  # type: ignore[arg-type]
        value = getattr(data, field.name)
        values[field.name] = function(value) if isinstance(value, Tensor) else value
    return type(data)(**values)
