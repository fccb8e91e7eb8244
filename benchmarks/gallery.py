"""The pictures of docs/gallery.md, made of the photographs in scikit-image's wheel.

python benchmarks/gallery.py --out docs/images/gallery
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
import tyro
from torch import Tensor

from traqpoint.apps.demo_pictures import captioned, draw_pair, pixels
from traqpoint.apps.demo_scenes import motorcycle, photographs
from traqpoint.data.config import HomographyConfig
from traqpoint.data.homography import HomographySequences
from traqpoint.data.worlds.config import RICH
from traqpoint.data.worlds.source import flight
from traqpoint.evaluation.methods.method import build_method
from traqpoint.geometry.warp import DepthGeometry
from traqpoint.image import write_image
from traqpoint.inference.extractor import Extractor
from traqpoint.types import SequenceBatch
from traqpoint.viz.draw import draw_keypoints, draw_map

WIDTH_PX = 900
THRESHOLD_PX = 3.0
"""As in the demo: a match is correct if it is this near to the truth."""


def matches() -> np.ndarray:
    """The stereo pair's mutual nearest neighbours of ours and SIFT's keypoints, correct ones green."""
    pair, panels = motorcycle(), []
    for name in ("traqpoint-s", "SIFT"):
        extract = build_method(name, max_keypoints=1000, device="cpu")
        drawn = draw_pair([extract(image) for image in pair.images[0]], pair, THRESHOLD_PX)
        panels.append(captioned(drawn, name))
    return np.vstack(panels)


def keypoints(side: int = 384) -> np.ndarray:
    """Three photographs: above with their 300 keypoints, below the logits that these are the peaks of."""
    extractor = Extractor("traqpoint-s", max_keypoints=300, device="cpu")
    columns = []
    for photograph in photographs(side)[:3]:
        with torch.no_grad():
            logits = extractor.model.dense(photograph[None])[0][0, 0]
        ringed = draw_keypoints(pixels(photograph), extractor(photograph).keypoints)
        columns.append(np.vstack([ringed, draw_map(logits)]))
    return np.hstack(columns)


def homographies(side: int = 240) -> np.ndarray:
    """Two training sequences of a photograph each, five frames."""
    photos = [(photograph * 255).byte() for photograph in photographs()[:2]]
    source = HomographySequences(photos, HomographyConfig(image_size=side, num_frames=5))
    return film(source.render([0, 1], torch.Generator().manual_seed(0)).images)


def worlds(side: int = 240) -> np.ndarray:
    """Five frames through a rendered world, and their depth, near in red."""
    config = replace(RICH, image_size=(side, side), num_frames=5, texture_size=512)
    sequence = flight(5, config, photographs(512), seed=3)
    return np.vstack([film(sequence.images), depth(sequence)])


def depth(sequence: SequenceBatch) -> np.ndarray:
    """Inverse depth of a sequence's frames side by side; unknown as if it were infinitely far."""
    assert isinstance(sequence.geometry, DepthGeometry)
    return np.hstack([draw_map((1 / of_frame).nan_to_num()) for of_frame in sequence.geometry.depth[0]])


def film(images: Tensor) -> np.ndarray:
    """(B, T, 3, H, W): a row for each sequence."""
    return np.vstack([np.hstack([pixels(frame) for frame in frames]) for frames in images])


PICTURES = {"matches": matches, "keypoints": keypoints, "homographies": homographies, "worlds": worlds}


def main(out: Path, names: tuple[str, ...] = tuple(PICTURES)) -> None:
    for name in names:
        picture = PICTURES[name]()
        height, width = picture.shape[:2]
        small = cv2.resize(picture, (WIDTH_PX, height * WIDTH_PX // width), interpolation=cv2.INTER_AREA)
        write_image(out / f"{name}.jpg", small)
        print(out / f"{name}.jpg")


if __name__ == "__main__":
    tyro.cli(main)
