"""Random scenes: rooms, streets, table tops and hilly ground. World: metres, +y is down."""

from __future__ import annotations

import math

import numpy as np

from traqpoint.data.worlds.clutter import add_clutter, add_thin_structures
from traqpoint.data.worlds.config import KINDS
from traqpoint.data.worlds.scene import Kind, Scene, yaw


def _boxes(scene: Scene, count: int, low, high, size: tuple[float, float], tall: float) -> None:
    """Boxes on the ground between (x, z) `low` and `high`, some with a smaller one on top."""
    scene.floor = np.array([low, high])
    for _ in range(count):
        x, z = scene.rng.uniform(low, high)
        extent = scene.rng.uniform(*size, 3) * (1, tall, 1)
        rotation = yaw(scene.rng.uniform(0, math.pi))
        base = float(scene.ground(np.array(x), np.array(z)))
        # Boxes stand a little in hilly ground, so that none floats.
        sunk = 0.3 * extent[1] if scene.waves is not None else 0.0
        scene.box((x, base + sunk - extent[1] / 2, z), extent, rotation)
        if scene.rng.random() < 0.3:
            top = extent * scene.rng.uniform(0.4, 0.8, 3)
            y = base + sunk - extent[1] - top[1] / 2
            scene.box((x, y, z), top, rotation @ yaw(scene.rng.uniform(-0.5, 0.5)))


def room(scene: Scene, objects: int) -> None:
    """Four walls, a floor and a ceiling around the camera, and boxes."""
    rng = scene.rng
    (w, d), h = rng.uniform(2.2, 4, 2), rng.uniform(2.4, 3.4)
    scene.quad((-w, 0, -d), (0, 0, 2 * d), (2 * w, 0, 0))
    scene.pictures((-w, 0, -d), (0, 0, 2 * d), (2 * w, 0, 0), 2)
    scene.quad((-w, -h, -d), (2 * w, 0, 0), (0, 0, 2 * d))
    corners = np.array([[-w, -h, d], [w, -h, d], [w, -h, -d], [-w, -h, -d]])
    for i in range(4):
        scene.wall(corners[i], corners[(i + 1) % 4] - corners[i], (0, h, 0), int(rng.integers(1, 3)), 2)
    _boxes(scene, objects, (-w * 0.85, -d * 0.85), (w * 0.85, d * 0.85), (0.3, 1.1), 1.2)
    scene.eyes = np.array([[0.4 - w, 0.4 - h, 0.4 - d], [w - 0.4, -0.6, d - 0.4]])
    scene.targets = np.array([[-0.8 * w, -0.7 * h, -0.8 * d], [0.8 * w, -0.1, 0.8 * d]])


def street(scene: Scene, objects: int) -> None:
    """A road between two rows of houses, below a sky."""
    rng = scene.rng
    scene.backdrop(rng.uniform(45, 70), 22.0)
    scene.quad((-80, 0, -80), (0, 0, 160), (160, 0, 0), span=scene.texture_span)
    front, width, height = rng.uniform(7, 12), rng.uniform(8, 12), rng.uniform(6, 11)
    scene.pictures((-8, 0, -2), (0, 0, front + 2), (16, 0, 0), 5)
    scene.wall((-width, -height, front), (2 * width, 0, 0), (0, height, 0), int(rng.integers(2, 5)), 0)
    rows, columns = int(rng.integers(2, 4)), int(rng.integers(4, 7))
    w, h = 2 * width / columns, height / rows
    window = [scene.texture() for _ in range(4)]
    for r in range(rows):
        for c in range(columns):
            inset = rng.uniform(0.12, 0.28, 2) * (w, h)
            corner = (-width + c * w + inset[0], -height + r * h + inset[1], front - rng.uniform(0.01, 0.05))
            size = np.array([w, h]) - 2 * inset
            scene.quad(corner, (size[0], 0, 0), (0, size[1], 0), window[int(rng.integers(4))], 1.2 * size.max())
    # A second house at the side, far enough from the eyes.
    side = rng.choice([-1, 1]) * rng.uniform(9, 12)
    scene.box((side, -3.5, rng.uniform(1, 6)), (5, 7, rng.uniform(5, 9)), yaw(rng.uniform(-0.3, 0.3)))
    _boxes(scene, objects, (-6.0, 1.0), (6.0, front - 0.5), (0.5, 1.8), 1.0)
    scene.eyes = np.array([[-6, -3.5, -4], [6, -1.0, front - 3]])
    scene.targets = np.array([[-5, -4, front - 2], [5, -0.5, front]])


def table(scene: Scene, objects: int) -> None:
    """A table top with boxes on it, before walls."""
    rng = scene.rng
    w, d = rng.uniform(0.5, 0.9), rng.uniform(0.4, 0.7)
    scene.box((0, 0.02, 0), (2 * w, 0.04, 2 * d), np.eye(3))
    scene.quad((-3, 0.75, -3), (0, 0, 6), (6, 0, 0), span=2.0)
    scene.pictures((-3, 0.75, -3), (0, 0, 6), (6, 0, 0), 2)
    distance = rng.uniform(1.8, 2.8)
    for i in range(4):
        turn = yaw(i * math.pi / 2)
        a, b = turn @ (2 * distance, 0, 0), np.array([0, 2.6, 0])
        origin = turn @ (-distance, 0, distance) + (0, 0.75 - 2.6, 0)
        scene.quad(origin, a, b, span=2.0 * rng.uniform(0.7, 1.4))
    _boxes(scene, objects, (-0.85 * w, -0.85 * d), (0.85 * w, 0.85 * d), (0.06, 0.3), 0.9)
    for _ in range(objects // 2):
        # Cards that lean at any angle.
        u = rng.normal(size=3)
        u /= np.linalg.norm(u)
        v = np.cross(u, rng.normal(size=3))
        u, v = u * rng.uniform(0.08, 0.2), v / np.linalg.norm(v) * rng.uniform(0.08, 0.2)
        scene.quad((rng.uniform(-w, w), rng.uniform(-0.25, -0.1), rng.uniform(-d, d)) - (u + v) / 2, u, v)
    scene.eyes = np.array([[-1.3, -1.1, -1.3], [1.3, -0.25, 1.3]])
    scene.targets = np.array([[-0.5 * w, -0.15, -0.5 * d], [0.5 * w, 0.0, 0.5 * d]])


def hills(scene: Scene, objects: int) -> None:
    """Open ground that rises and falls, below a sky."""
    rng = scene.rng
    scene.hills(12.0, 8, rng.uniform(0.6, 1.6))
    scene.quad((-80, 2.0, -80), (0, 0, 160), (160, 0, 0))
    scene.backdrop(rng.uniform(25, 45), 14.0)
    _boxes(scene, objects, (-7.0, -7.0), (7.0, 7.0), (0.5, 2.0), 1.0)
    scene.eyes = np.array([[-9, -6.0, -9], [9, 0, 9]])
    scene.targets = np.array([[-4, -0.5, -4], [4, 0.5, 4]])


ROOM, STREET, TABLE, HILLS = Kind(room, 3.0), Kind(street, 6.0), Kind(table, 0.8), Kind(hills, 5.0)


def draw_scene(
    kind: str,
    objects: int,
    num_textures: int,
    rng: np.random.Generator,
    clutter: int = 0,
    thin: int = 0,
    repeated: tuple[float, int] = (0.0, 0),
) -> Scene:
    """A new scene of `kind` with `objects` boxes or stacks of boxes.

    clutter, thin: see WorldsConfig. repeated: see Scene.
    """
    scene = Scene(rng, num_textures, KINDS[kind].span, repeated)
    KINDS[kind].build(scene, objects)
    scene.rng = scene.effects
    add_clutter(scene, clutter)
    add_thin_structures(scene, thin)
    scene.rng = rng
    return scene
