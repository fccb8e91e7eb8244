"""Recordings for Rerun's viewer (extra viz3d): a model, tracks over their frames, a path; to be turned and played."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from traqpoint import optional
from traqpoint.files import atomic
from traqpoint.geometry.transforms import invert_rigid
from traqpoint.io.colmap_model import ColmapModel
from traqpoint.io.trajectory import Trajectory
from traqpoint.io.video import FrameSource, read_frames
from traqpoint.types import Tracks

_PATH_COLOUR = (228, 87, 46)
_TRAIL = 30
"""Frames of a track's past that are drawn."""


def record_model(
    out: Path, model: ColmapModel, colours: np.ndarray | None = None, images: Mapping[str, Path] | None = None
) -> None:
    """Write a model as ``out`` (.rrd). colours: (P, 3) uint8 of its points. images: files by name, which are shown
    in their cameras. Raises MissingDependencyError without rerun-sdk.
    """
    with _recording(out, "model") as (rerun, stream):
        stream.log("world", rerun.ViewCoordinates.RIGHT_HAND_Y_DOWN, static=True)
        stream.log("world/points", rerun.Points3D(model.xyz.numpy(), colors=colours), static=True)
        for number, (name, image) in enumerate(model.images.items()):
            entity = ["world", "cameras", f"{number:04} {name}"]
            world_from_cam = invert_rigid(image.cam_from_world).numpy()
            _pose(rerun, stream, entity, world_from_cam, static=True)
            lens = rerun.Pinhole(image_from_camera=image.camera.K.numpy(), resolution=image.camera.image_size)
            stream.log(entity, lens, static=True)
            if images is not None and name in images:
                stream.log(entity, rerun.EncodedImage(path=images[name]), static=True)


def record_path(out: Path, path: Trajectory) -> None:
    """Write a path as ``out`` (.rrd), its camera moving over its timestamps in seconds.

    Raises MissingDependencyError without rerun-sdk.
    """
    with _recording(out, "path") as (rerun, stream):
        stream.log("world", rerun.ViewCoordinates.RIGHT_HAND_Y_DOWN, static=True)
        line = rerun.LineStrips3D([path.centres.numpy()], colors=[_PATH_COLOUR])
        stream.log("world/path", line, static=True)
        lens = rerun.Pinhole(fov_y=1.0, aspect_ratio=4 / 3)
        stream.log("world/camera", lens, static=True)
        for seconds, pose in zip(path.timestamps.tolist(), path.cam_from_world, strict=True):
            stream.set_time("time", duration=seconds)
            _pose(rerun, stream, "world/camera", invert_rigid(pose).numpy(), static=False)


def record_tracks(out: Path, tracks: Tracks, frames: FrameSource | None = None) -> None:
    """Write tracks as ``out`` (.rrd): in each frame its points and where they came from. frames: what they are of.

    Raises MissingDependencyError without rerun-sdk.
    """
    pictures = iter(()) if frames is None else read_frames(frames)
    with _recording(out, "tracks") as (rerun, stream):
        for number in range(tracks.num_frames):
            stream.set_time("frame", sequence=number)
            if (picture := next(pictures, None)) is not None:
                stream.log("video", rerun.Image(picture).compress())
            now = tracks.frame == number
            ids = tracks.track_id[now]
            recent = (tracks.frame <= number) & (tracks.frame > number - _TRAIL)
            trails = [tracks.xy[recent & (tracks.track_id == track)].numpy() for track in ids.tolist()]
            stream.log("video/points", rerun.Points2D(tracks.xy[now].numpy(), class_ids=ids.numpy() % 65536, radii=2))
            stream.log("video/trails", rerun.LineStrips2D([trail for trail in trails if len(trail) > 1]))


def _pose(rerun: Any, stream: Any, entity: str | list[str], world_from_cam: np.ndarray, static: bool) -> None:
    pose = rerun.Transform3D(translation=world_from_cam[:3, 3], mat3x3=world_from_cam[:3, :3])
    stream.log(entity, pose, static=static)


@contextmanager
def _recording(out: Path, what: str) -> Iterator[tuple[Any, Any]]:
    """The library and a stream into the file, which appears when all is written."""
    rerun = optional.load("rerun")
    with atomic(out) as partial:
        stream = rerun.RecordingStream(f"traqpoint {what}")
        stream.save(str(partial))
        yield rerun, stream
        stream.flush()
        stream.disconnect()
