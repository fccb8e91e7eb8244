"""Small pictures of scenes that are made up: two walls passed by, a camera that turns, stands still, or sees junk."""

import cv2
import numpy as np

from traqpoint.image import write_image

SIZE = (320, 240)


def texture(rng, width, height, cell=4):
    cells = rng.integers(0, 255, (height // cell, width // cell, 3), dtype=np.uint8)
    return cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)


def walls(rng, count=5):
    """A camera that moves to the side before two walls, of which the lower one is at half the distance."""
    far, near = texture(rng, 640, 120), texture(rng, 900, 120)
    return [np.concatenate([w[:, s * t : s * t + 320] for w, s in ((far, 20), (near, 40))]) for t in range(count)]


def standing_still(rng, count=4):
    picture = walls(rng, 1)[0]
    return [np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def turning(rng, angles=(-0.3, -0.15, 0.0, 0.15, 0.3)):
    world = texture(rng, 1400, 800, 5)
    K, K_world = (np.array([[350.0, 0, x], [0, 350, y], [0, 0, 1]]) for x, y in ((160, 120), (700, 400)))
    maps = [K @ cv2.Rodrigues(np.array([0.1 * a, a, 0]))[0] @ np.linalg.inv(K_world) for a in angles]
    return [cv2.warpPerspective(world, H, SIZE, flags=cv2.INTER_AREA) for H in maps]


def junk(rng, count=4):
    return [texture(rng, *SIZE) for _ in range(count)]


def flat(rng, count=3):
    return [np.full((240, 320, 3), 100 + number, dtype=np.uint8) for number in range(count)]


def write_photos(folder, pictures):
    """As 0.png, 1.png, …"""
    for number, picture in enumerate(pictures):
        write_image(folder / f"{number}.png", picture)
    return folder
