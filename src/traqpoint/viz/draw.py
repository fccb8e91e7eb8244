"""Keypoints, matches and trails drawn with OpenCV on uint8 (H, W, 3) RGB images; the input is never changed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.geometry.pixels import opencv_from_colmap
from traqpoint.types import Tracks

Colour = tuple[int, int, int]

CORRECT: Colour = (70, 200, 90)
WRONG: Colour = (225, 60, 60)
_SHIFT = 4
"""Coordinates are handed to OpenCV in 1/16 px."""
_FADE = (0.45, 0.7, 1.0)
"""Brightness of the oldest, middle and newest third of a trail."""


def draw_keypoints(image: np.ndarray, xy: Tensor, colour: Colour = CORRECT, radius: float = 2.0) -> np.ndarray:
    """A copy of `image` with a ring around each pixel position xy (N, 2)."""
    cv2 = optional.load("cv2")
    out = np.ascontiguousarray(image).copy()
    cv2.polylines(out, list(_circles(_fixed_point(xy), radius)), True, colour, 1, cv2.LINE_AA, _SHIFT)
    return out


def draw_map(values: Tensor) -> np.ndarray:
    """A map (H, W) as a picture, uint8 (H, W, 3), from blue (its lowest hundredth) to red (the highest thousandth)."""
    low, high = values.float().flatten().quantile(torch.tensor([0.01, 0.999], device=values.device))
    shares = (values - low) / (high - low).clamp(min=1e-12)
    return _colours(shares.detach().cpu().float().numpy().ravel()).reshape(*values.shape, 3)


def draw_matches(
    image_a: np.ndarray, image_b: np.ndarray, xy_a: Tensor, xy_b: Tensor, correct: Tensor | None = None
) -> np.ndarray:
    """Both images side by side with a line per match, xy_a and xy_b (K, 2).

    correct: (K,) bool colours the lines green and red, the wrong ones on top; None colours by height in image a.
    """
    cv2 = optional.load("cv2")
    (height_a, width_a), (height_b, width_b) = image_a.shape[:2], image_b.shape[:2]
    canvas = np.zeros((max(height_a, height_b), width_a + width_b, 3), dtype=np.uint8)
    canvas[:height_a, :width_a], canvas[:height_b, width_a:] = image_a, image_b
    canvas = _muted(canvas)
    if correct is None:
        colours = _colours((xy_a[:, 1].cpu() / height_a).numpy())
        order = np.arange(len(xy_a))
    else:
        is_correct = correct.cpu().numpy()
        colours = np.where(is_correct[:, None], CORRECT, WRONG)
        order = np.argsort(~is_correct, kind="stable")
    a, b = _fixed_point(xy_a), _fixed_point(xy_b + xy_b.new_tensor([width_a, 0]))
    lines = canvas.copy()
    for i in order:
        cv2.line(lines, tuple(a[i]), tuple(b[i]), colours[i].tolist(), 1, cv2.LINE_AA, _SHIFT)
    # Many lines would hide the picture: the more, the fainter. The ends stay clear.
    opacity = float(np.clip(100 / max(1, len(order)), 0.35, 0.7))
    canvas = cv2.addWeighted(lines, opacity, canvas, 1 - opacity, 0)
    for ends in (a, b):
        for i, disc in zip(order, _circles(ends[order], 1.8), strict=True):
            cv2.fillConvexPoly(canvas, disc, colours[i].tolist(), cv2.LINE_AA, _SHIFT)
    return canvas


def draw_trails(image: np.ndarray, tracks: Tracks, frame: int, length: int = 30, min_length: int = 2) -> np.ndarray:
    """`image`, which is `frame`, with the path over the last `length` frames of every track seen in it.

    Blue trails are young and red ones live for `length` frames or more; those of fewer than `min_length` sightings are
    not drawn, nor is a point without a past.
    """
    cv2 = optional.load("cv2")
    out = _muted(image)
    lines = out.copy()
    trails = [trail for trail in _trails(tracks, frame, length) if len(trail) >= min_length]
    # Old trails last, so that the short-lived ones do not cover them.
    trails.sort(key=len)
    colours = _colours(np.array([(len(trail) - 1) / max(1, length - 1) for trail in trails]))
    for part, brightness in enumerate(_FADE):
        for trail, colour in zip(trails, colours, strict=True):
            bounds = [(len(trail) - 1) * k // len(_FADE) for k in (part, part + 1)]
            piece = trail[bounds[0] : bounds[1] + 1]
            cv2.polylines(lines, [piece], False, (brightness * colour).tolist(), 1, cv2.LINE_AA, _SHIFT)
    out = cv2.addWeighted(lines, 0.85, out, 0.15, 0)
    if trails:
        for disc, colour in zip(_circles(np.stack([t[-1] for t in trails]), 1.8), colours, strict=True):
            cv2.fillConvexPoly(out, disc, colour.tolist(), cv2.LINE_AA, _SHIFT)
    return out


def _trails(tracks: Tracks, frame: int, length: int) -> list[np.ndarray]:
    """Per track with an observation in `frame` and one before: (n, 2) int32 positions of the last `length` frames."""
    alive = tracks.track_id[tracks.frame == frame]
    chosen = torch.isin(tracks.track_id, alive) & (tracks.frame <= frame) & (tracks.frame > frame - length)
    points = _fixed_point(tracks.xy[chosen])
    _, counts = tracks.track_id[chosen].unique_consecutive(return_counts=True)
    return [trail for trail in np.split(points, counts.cumsum(0)[:-1].numpy()) if len(trail) > 1]


def _fixed_point(xy: Tensor) -> np.ndarray:
    integer_centres = opencv_from_colmap(xy.detach().cpu().double().numpy().reshape(-1, 2))
    return np.round(integer_centres * (1 << _SHIFT)).astype(np.int32)


def _circles(centres: np.ndarray, radius: float) -> np.ndarray:
    """Fixed-point centres (N, 2) -> (N, 16, 2) corners of round polygons; OpenCV's own small circles are diamonds."""
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = radius * (1 << _SHIFT) * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.round(centres.reshape(-1, 1, 2) + ring).astype(np.int32)


def _colours(values: np.ndarray) -> np.ndarray:
    """values (N,) in [0, 1] -> (N, 3) uint8 RGB from blue over green to red."""
    if not values.size:
        return np.zeros((0, 3), dtype=np.uint8)
    cv2 = optional.load("cv2")
    # The ends of the map are nearly black.
    index = np.round(30 + 185 * np.clip(values, 0, 1)).astype(np.uint8)
    return cv2.applyColorMap(index[:, None], cv2.COLORMAP_TURBO)[:, 0, ::-1]


def _muted(image: np.ndarray) -> np.ndarray:
    """Darker and half grey, so that lines stand out."""
    grey = image.astype(np.float32).mean(axis=2, keepdims=True)
    return np.clip(0.65 * (0.5 * image + 0.5 * grey), 0, 255).astype(np.uint8)
