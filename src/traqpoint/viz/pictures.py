"""Pictures with a scale beside them, by matplotlib: matches by confidence, tracks by length, score maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from traqpoint import optional
from traqpoint.errors import DataError
from traqpoint.geometry.pixels import opencv_from_colmap
from traqpoint.types import Tracks

_DPI = 140
_WIDTH = 9.0
"""Inches."""
_COLOURS = "turbo"


def picture_of_matches(
    file: Path, image_a: np.ndarray, image_b: np.ndarray, xy_a: Tensor, xy_b: Tensor, confidence: Tensor
) -> None:
    """Two images, uint8 (H, W, 3), side by side with a line per match, xy_a and xy_b (K, 2), coloured by confidence
    (K,): the surest on top. Raises DataError without matches."""
    if not len(xy_a):
        raise DataError(f"{file}: there is no match to draw")
    (height_a, width_a), (height_b, width_b) = image_a.shape[:2], image_b.shape[:2]
    canvas = np.full((max(height_a, height_b), width_a + width_b, 3), 255, dtype=np.uint8)
    canvas[:height_a, :width_a], canvas[:height_b, width_a:] = image_a, image_b
    a = opencv_from_colmap(xy_a.double().numpy())
    b = opencv_from_colmap(xy_b.double().numpy()) + np.array([width_a, 0])
    order = confidence.argsort().numpy()
    values = confidence.numpy()[order]
    _lines(file, canvas, np.stack([a, b], axis=1)[order], values, "confidence", f"{len(values)} matches")


def picture_of_tracks(file: Path, image: np.ndarray, tracks: Tracks, frame: int, min_length: int = 3) -> None:
    """The tracks of at least so many observations that `frame` sees, with all of their way, coloured by their length;
    the longest on top. image: uint8 (H, W, 3), the frame. Raises DataError if there is none."""
    ways = []
    for track in tracks.track_id[tracks.frame == frame].tolist():
        way = opencv_from_colmap(tracks.xy[tracks.track_id == track].double().numpy())
        if len(way) >= min_length:
            ways.append(way)
    if not ways:
        raise DataError(f"{file}: no track of {min_length} frames or more is seen in frame {frame}")
    ways.sort(key=len)
    lengths = np.array([len(way) for way in ways])
    _lines(file, image, ways, lengths, "frames", f"{len(ways)} tracks in frame {frame}")


def picture_of_scores(file: Path, image: np.ndarray, scores: Tensor, xy: Tensor) -> None:
    """A score map (H, W) beside its image, uint8 (H, W, 3), with the keypoints (N, 2) found in it."""
    figure, axes = _figure(image.shape[1] * 2, image.shape[0], columns=2)
    axes[0].imshow(image)
    centres = opencv_from_colmap(xy.double().numpy())
    axes[0].scatter(*centres.T, s=5, facecolors="none", edgecolors="#46c85a", linewidths=0.6)
    axes[0].set_title(f"{len(centres)} keypoints", loc="left")
    shown = axes[1].imshow(scores.numpy(), cmap=_COLOURS)
    figure.colorbar(shown, ax=axes[1], label="score", shrink=0.7)
    _save(figure, file)


def _lines(file: Path, image: np.ndarray, lines: Any, values: np.ndarray, label: str, title: str) -> None:
    figure, (axes,) = _figure(image.shape[1], image.shape[0])
    axes.imshow((0.65 * image).astype(np.uint8))
    # Many lines would hide the picture: the more, the fainter.
    opacity = float(np.clip(150 / len(lines), 0.3, 0.8))
    collection = optional.load("matplotlib.collections").LineCollection(
        lines, cmap=_COLOURS, linewidths=0.8, alpha=opacity
    )
    collection.set_array(values)
    axes.add_collection(collection, autolim=False)
    axes.set_title(title, loc="left")
    figure.colorbar(collection, ax=axes, label=label, shrink=0.8)
    _save(figure, file)


def _figure(width: int, height: int, columns: int = 1) -> tuple[Any, Any]:
    size = _WIDTH, _WIDTH * height / width + 0.5
    figure = optional.load("matplotlib.figure").Figure(figsize=size, dpi=_DPI, layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for part in axes:
        part.set_axis_off()
    return figure, axes


def _save(figure: Any, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
