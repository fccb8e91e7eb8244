"""Frames of a film that are worth a photograph."""

import cv2
import numpy as np
from films import write_film

from traqpoint.apps.film import film_pairs, sharp_frames
from traqpoint.image import list_images, read_image
from traqpoint.inference.config import PairsConfig

SHARP = (1, 6, 8)


def test_the_sharpest_frame_of_each_part_is_kept_under_its_number(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    blurred = cv2.GaussianBlur(picture, (0, 0), 3)
    write_film(tmp_path / "film.mp4", [picture if number in SHARP else blurred for number in range(12)])
    told = []
    kept = sharp_frames(tmp_path / "film.mp4", tmp_path / "frames", 3, lambda *at: told.append(at), long_side=64)
    assert kept == [f"{number:06}.jpg" for number in SHARP] and told[-1] == (12, 12)
    assert [path.name for path in list_images(tmp_path / "frames")] == kept
    assert read_image(tmp_path / "frames" / kept[0]).shape == (48, 64, 3)


def test_films_are_matched_with_neighbours_unless_asked_otherwise():
    assert film_pairs() == PairsConfig("sequential", 10)
    assert film_pairs(PairsConfig(window=20)) == PairsConfig("sequential", 20)
    assert film_pairs(PairsConfig("list.txt")) == PairsConfig("list.txt")
