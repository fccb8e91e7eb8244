"""Something to look at: of a model, tracks or a path for Rerun, or of matches, tracks and scores as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from traqpoint import optional
from traqpoint.errors import ConfigError, FormatError
from traqpoint.image import list_images, picture_size, read_image, resize_long_side, to_tensor
from traqpoint.inference.extractor import Extractor
from traqpoint.inference.images import name_images
from traqpoint.io.colmap_model import load_reconstruction, model_from_pycolmap
from traqpoint.io.npz import load_tracks
from traqpoint.io.trajectory import Trajectory, read_kitti, read_tum
from traqpoint.io.video import read_frames
from traqpoint.matching.config import MatcherConfig
from traqpoint.matching.run import build_matcher
from traqpoint.models.ends import padded_together
from traqpoint.viz.paths import plot_paths
from traqpoint.viz.pictures import picture_of_matches, picture_of_scores, picture_of_tracks
from traqpoint.viz.recording import record_model, record_path, record_tracks


def view(source: Path, out: Path, frames: Path | None = None, frame: int | None = None) -> None:
    """Write what `source` is as a recording, if `out` ends with .rrd, or as a picture.

    source: the folder of a COLMAP model (a recording only), tracks.npz, or a path in TUM's or KITTI's format.
    frames: the model's images, or the film or folder that the tracks are of. frame: of the picture of tracks, by
    default the one with the most. Raises ConfigError for what cannot be shown that way, FormatError for no such file.
    """
    recording = out.suffix == ".rrd"
    if recording:
        optional.load("rerun")
    if source.is_dir():
        if not recording:
            raise ConfigError(f"{out}: a model is shown by a recording, .rrd, or by the report of traqpoint sfm")
        _model(source, out, frames)
    elif not source.is_file():
        raise FormatError(f"{source}: no such model, tracks or path")
    elif source.suffix == ".npz":
        _tracks(source, out, frames, frame)
    else:
        path = _path(source)
        if recording:
            record_path(out, path)
        else:
            plot_paths({source.stem: path.centres.numpy()}, out, unit="unit of the path", title=source.name, up="y")


def view_matches(a: Path, b: Path, out: Path, extractor: Extractor, matcher: MatcherConfig) -> int:
    """A picture of the matches of two images, coloured by confidence; their number."""
    first, second = extractor(a), extractor(b)
    found = build_matcher(matcher)(first, second)
    i, j = found.indices.unbind(-1)
    picture_of_matches(out, read_image(a), read_image(b), first.keypoints[i], second.keypoints[j], found.scores)
    return len(found)


def view_scores(image: Path, out: Path, extractor: Extractor) -> int:
    """A picture of an image's score map and keypoints; their number."""
    found, picture = extractor(image), read_image(image)
    shown = to_tensor(picture)
    if extractor.config.long_side is not None:
        shown = resize_long_side(shown, extractor.config.long_side)
    width, height = picture_size(shown)
    batch = padded_together([shown], extractor.model.stride).to(extractor.device)
    with torch.inference_mode():
        _, logits = extractor.runtime(batch, [(width, height)])
    picture_of_scores(out, picture, logits[0, 0, :height, :width].float().sigmoid().cpu(), found.keypoints)
    return len(found)


def _model(folder: Path, out: Path, images: Path | None) -> None:
    reconstruction = load_reconstruction(folder)
    model = model_from_pycolmap(reconstruction, folder)
    colours: Any = [reconstruction.points3D[i].color for i in model.point_ids.tolist()]
    named = None if images is None else dict(name_images(images))
    record_model(out, model, np.array(colours, dtype=np.uint8).reshape(-1, 3), named)


def _tracks(source: Path, out: Path, frames: Path | None, frame: int | None) -> None:
    tracks = load_tracks(source)
    if out.suffix == ".rrd":
        record_tracks(out, tracks, frames)
        return
    if frames is None:
        raise ConfigError("a picture of tracks needs the film or folder that they are of: --frames")
    number = int(torch.bincount(tracks.frame, minlength=1).argmax()) if frame is None else frame
    picture = None
    if frames.is_dir():
        paths = list_images(frames)
        picture = read_image(paths[number]) if 0 <= number < len(paths) else None
    else:
        picture = next((image for at, image in enumerate(read_frames(frames)) if at == number), None)
    if picture is None:
        raise ConfigError(f"{frames}: has no frame {number}")
    picture_of_tracks(out, picture, tracks, number)


def _path(source: Path) -> Trajectory:
    """By the columns of its first row: 12 are KITTI's."""
    try:
        first = next(line for line in source.read_text(encoding="utf-8").splitlines() if line and line[0] != "#")
    except (StopIteration, UnicodeDecodeError):
        raise FormatError(f"{source}: neither tracks.npz nor a path in TUM's or KITTI's format") from None
    return read_kitti(source) if len(first.split()) == 12 else read_tum(source)
