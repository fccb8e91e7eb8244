"""MegaDepth as training sequences: undistorted photographs with COLMAP's poses and multi-view stereo depth."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from traqpoint.data.config import DataConfig
from traqpoint.data.posed.config import MegaDepthConfig
from traqpoint.data.posed.frames import FrameSequences
from traqpoint.data.posed.megadepth_index import read_index, scene_of
from traqpoint.data.posed.overlap import see_the_same
from traqpoint.data.source import needs
from traqpoint.errors import DataError, GeometryError
from traqpoint.geometry.transforms import check_rigid
from traqpoint.image import read_image, to_tensor
from traqpoint.io.depth import read_depth_h5
from traqpoint.types import Device, Frame


class MegaDepthFrames:
    """The frames of an index file."""

    def __init__(self, root: str | Path, index: str | Path) -> None:
        self.root = Path(root)
        if not (self.root / "Undistorted_SfM").is_dir():
            raise DataError(f"{root}: not MegaDepth, there is no folder Undistorted_SfM in it")
        self.name = str(index)
        self.index = read_index(index)

    def frame(self, i: int) -> Frame:
        """Raises ImageError for a missing or damaged photograph, GeometryError for its depth or pose; both name it."""
        name = str(self.index.images[i])
        path = self.root / name
        image = to_tensor(read_image(path), str(path))
        depth_path = self._depth_path(name, str(self.index.depths[i]))
        depth = read_depth_h5(depth_path)
        if depth.shape != image.shape[1:]:
            raise GeometryError(f"{depth_path}: {tuple(depth.shape)} does not fit {path}: {tuple(image.shape[1:])}")
        pose = check_rigid(torch.from_numpy(self.index.cam_from_world[i]), name)
        return Frame(image, torch.from_numpy(self.index.K[i]).float(), pose, depth)

    def _depth_path(self, image: str, listed: str) -> Path:
        as_listed = self.root / listed
        if as_listed.is_file():
            return as_listed
        return self.root / "depth_undistorted" / scene_of(image) / f"{Path(image).stem}.h5"


class MegaDepthSequences(FrameSequences):
    """A Source of the sequences in an index file, in random order; T is the index's."""

    config: MegaDepthConfig

    def __init__(self, config: MegaDepthConfig, device: Device = "cpu") -> None:
        super().__init__(config, device)
        if config.root is None or config.sequences is None:
            raise DataError("MegaDepth needs its root and the index file of its sequences")
        self.frames = MegaDepthFrames(config.root, config.sequences)
        self._rows = self._in_band()

    def with_overlap(self, band: tuple[float, float]) -> MegaDepthSequences:
        """The same source with another band, frames in memory and skips shared: one step of a curriculum."""
        out = copy.copy(self)
        out.config = replace(self.config, overlap=band)
        out._rows = out._in_band()
        return out

    def _in_band(self) -> np.ndarray:
        """(N, T) the sequences all of whose overlaps are in the band."""
        low, high = self.config.overlap
        shares = self.frames.index.overlaps
        rows = self.frames.index.sequences[((shares >= low) & (shares <= high)).all(1)]
        if not len(rows):
            raise DataError(f"{self.frames.name}: no sequence has all its overlaps in [{low}, {high}]")
        return rows

    def describe(self) -> str:
        return f"{self.frames.name}: a sequence of readable frames below {self.frames.root}"

    def draw(self, generator: torch.Generator) -> list[Frame] | None:
        row = self._rows[int(torch.randint(len(self._rows), (), generator=generator))]
        key = (f"{self.frames.name}: {row.tolist()}", 0)
        if key in self.loader.unreadable:
            return None
        loaded = []
        for i in row.tolist():
            frame = self.loader.load(self.frames, i)
            if frame is None:
                return None
            loaded.append(frame)
        if not see_the_same(loaded):  # the listed overlaps are of points: they know no depth map
            names = ", ".join(str(self.frames.index.images[i]) for i in row)
            why = f"{names}: by their depth and poses they see nothing of each other (another unit?)"
            self.loader.unreadable[key] = why
            return None
        return loaded


@needs("megadepth.root", "megadepth.sequences")
def build(data: DataConfig, device: Device) -> MegaDepthSequences:
    """The source ``megadepth`` of a mixture."""
    return MegaDepthSequences(data.megadepth, device)
