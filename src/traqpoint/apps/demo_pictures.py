"""What the demo draws: every method's result under the same heading, so that they can be compared by eye."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from traqpoint import optional
from traqpoint.files import atomic
from traqpoint.image import write_image
from traqpoint.io.video import VideoWriter
from traqpoint.matching.mutual import match
from traqpoint.types import Features, PointState, SequenceBatch, Tracks
from traqpoint.viz.draw import draw_matches, draw_trails

BAR_PX = 34
"""Height of a caption."""
TRAIL_LENGTH = 30
"""Frames of a track's past that are drawn."""
FRAMES_PER_SECOND = 10.0


def draw_pair(features: list[Features], sequence: SequenceBatch, threshold_px: float) -> np.ndarray:
    """Both images of a pair with its mutual nearest neighbours, correct ones green, wrong ones red.

    Matches whose truth is unknown are left out, as they are from the scores.
    """
    a, b = features
    i, j = match(a, b).indices.unbind(1)
    truth = sequence.geometry.warp(0, 1, a.keypoints[i][None])
    correct = truth.visible[0] & ((truth.xy[0] - b.keypoints[j]).norm(dim=-1) < threshold_px)
    known = truth.state[0] != PointState.UNKNOWN
    first, second = (pixels(image) for image in sequence.images[0])
    return draw_matches(first, second, a.keypoints[i[known]], b.keypoints[j[known]], correct[known])


def write_stack(path: Path, panels: Mapping[str, np.ndarray]) -> None:
    """Panels of one width below each other, each under its caption, into an image file, whole or not at all."""
    with atomic(path) as partial:
        write_image(partial, np.vstack([captioned(panel, caption) for caption, panel in panels.items()]))


def write_trails(
    video: Path, picture: Path, images: Tensor, tracks: Mapping[str, Tracks], progress=lambda: None
) -> None:
    """A video of images (T, 3, H, W) with the trails of several trackers beside each other, under their captions.

    The last frame, in which trails are longest, is the picture too. progress is called after each frame.
    """
    with VideoWriter(video, FRAMES_PER_SECOND) as writer:
        for frame, image in enumerate(images):
            panels = [
                captioned(draw_trails(pixels(image), of_method, frame, TRAIL_LENGTH), caption)
                for caption, of_method in tracks.items()
            ]
            drawn = np.hstack(panels)
            writer.write(drawn)
            progress()
        with atomic(picture) as partial:
            write_image(partial, drawn)


def pixels(image: Tensor) -> np.ndarray:
    """(3, H, W) in [0, 1] -> uint8 (H, W, 3)."""
    return (image.permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def captioned(image: np.ndarray, text: str) -> np.ndarray:
    """`image` below a dark bar with `text`, which shrinks until it fits."""
    cv2 = optional.load("cv2")
    bar = np.full((BAR_PX, image.shape[1], 3), 24, dtype=np.uint8)
    scale, font = 0.62, cv2.FONT_HERSHEY_SIMPLEX
    width = cv2.getTextSize(text, font, scale, 1)[0][0]
    scale *= min(1.0, (image.shape[1] - 20) / max(width, 1))
    cv2.putText(bar, text, (10, BAR_PX - 11), font, scale, (240, 240, 240), 1, cv2.LINE_AA)
    return np.vstack([bar, image])
