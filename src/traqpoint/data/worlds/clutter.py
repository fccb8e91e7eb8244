"""Small things and thin ones: boxes and cards of a few centimetres, poles, railings, wires, lattices and twigs.

Sizes are in shares of the scene's texture span, the usual viewing distance: at 480 px and 60 degrees a share of 0.01
is some four pixels wide.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from traqpoint.data.worlds.scene import Scene, yaw

SMALL = (0.02, 0.09)
"""Sides of small boxes and cards."""
WIDTH = (0.007, 0.016)
"""Widths of rods and wires: 3 to 7 px at the usual distance, more than one at twice that."""
LEAF = (0.03, 0.08)
"""Lengths of leaves; they are a third as wide."""


def add_clutter(scene: Scene, count: int) -> None:
    """`count` small boxes and leaning cards on the ground and on top of the boxes that are there already."""
    rng, span = scene.rng, scene.texture_span
    tables = [s for s in scene.solids if s[2][1] < 0.4 * span]
    for _ in range(count):
        if tables and rng.random() < 0.4:
            centre, rotation, half = tables[int(rng.integers(len(tables)))]
            foot = centre + rotation @ (half * (rng.uniform(-0.85, 0.85), -1, rng.uniform(-0.85, 0.85)))
        else:
            foot = _on_the_ground(scene, 1.0)
        size = rng.uniform(*SMALL, 3) * span
        if rng.random() < 0.6:
            scene.box(foot - (0, size[1] / 2, 0), size, yaw(rng.uniform(0, math.pi)))
        else:
            u = _direction(rng)
            v = _direction(rng, u)
            u, v = u * size[0], v * size[2]
            lift = (abs(u[1]) + abs(v[1])) / 2
            scene.quad(foot - (0, lift, 0) - (u + v) / 2, u, v)


def add_thin_structures(scene: Scene, count: int) -> None:
    """`count` poles, railings, wires, lattices and twigs, in turn, that stand where cameras look."""
    makers: tuple[Callable[[Scene], None], ...] = (_pole, _railing, _lattice, _twig, _wires)
    first = int(scene.rng.integers(len(makers)))
    for i in range(count):
        makers[(first + i) % len(makers)](scene)


def _on_the_ground(scene: Scene, share: float) -> np.ndarray:
    """A point (3,) in the inner `share` of the floor."""
    low, high = scene.floor
    x, z = (low + high) / 2 + share * scene.rng.uniform(-0.5, 0.5, 2) * (high - low)
    return np.array([x, float(scene.ground(np.array(x), np.array(z))), z])


def _direction(rng: np.random.Generator, across: np.ndarray | None = None) -> np.ndarray:
    """A random unit vector (3,), at right angles to `across` (3,)."""
    u = rng.normal(size=3)
    if across is not None:
        u = np.cross(u, across)
    return u / np.linalg.norm(u)


def _rod(scene: Scene, start: np.ndarray, end: np.ndarray, width: float, texture: int) -> None:
    """Two crossed strips: as wide from every side, but for a factor of 1.4, at the price of two pieces."""
    axis = end - start
    side = _direction(scene.rng, axis) * width
    for across in (side, np.cross(axis, side) / np.linalg.norm(axis)):
        scene.quad(start - across / 2, axis, across, texture)


def _solid(scene: Scene, centre: np.ndarray, size: tuple[float, float, float], rotation: np.ndarray) -> None:
    """Keeps cameras away, without a surface of its own. size: (3,) along the rotated axes."""
    scene.solids.append((centre, rotation, np.array(size) / 2))


def _pole(scene: Scene) -> None:
    """A pole, half of the time with a sign."""
    rng, span = scene.rng, scene.texture_span
    foot, height, width = _on_the_ground(scene, 1.0), rng.uniform(0.35, 0.7) * span, 1.5 * rng.uniform(*WIDTH) * span
    top = foot - (0, height, 0)
    _rod(scene, foot, top, width, scene.texture())
    _solid(scene, (foot + top) / 2, (width, height, width), np.eye(3))
    if rng.random() < 0.5:
        turn = yaw(rng.uniform(0, 2 * math.pi))
        side, down = turn[:, 0] * rng.uniform(0.08, 0.15) * span, np.array([0, rng.uniform(0.06, 0.12) * span, 0])
        scene.quad(top - side / 2 + turn[:, 2] * width, side, down)


def _fence(scene: Scene, length: tuple[float, float]) -> tuple[np.ndarray, np.ndarray, float]:
    """Where something long stands: its two feet (3,) and a width for its parts."""
    rng, span = scene.rng, scene.texture_span
    middle, turn = _on_the_ground(scene, 0.6), yaw(rng.uniform(0, 2 * math.pi))
    half = turn[:, 0] * rng.uniform(*length) * span / 2
    ends = []
    for point in (middle - half, middle + half):
        point[1] = float(scene.ground(point[0], point[2]))
        ends.append(point)
    return ends[0], ends[1], rng.uniform(*WIDTH) * span


def _plate(scene: Scene, start: np.ndarray, end: np.ndarray, height: float) -> None:
    """Keeps cameras out of the upright plane between two feet."""
    along = end - start
    turn = yaw(-math.atan2(along[2], along[0]))
    sag = abs(along[1])
    centre = (start + end) / 2 - (0, height / 2, 0)
    _solid(scene, centre, (float(np.linalg.norm(along)), height + sag, 0.0), turn)


def _railing(scene: Scene) -> None:
    """Posts under two rails."""
    start, end, width = _fence(scene, (0.3, 0.6))
    height = scene.rng.uniform(0.12, 0.28) * scene.texture_span
    lift, texture = np.array([0, height, 0]), scene.texture()
    for level in (1.0, scene.rng.uniform(0.1, 0.6)):
        _rod(scene, start - level * lift, end - level * lift, width, texture)
    for share in np.linspace(0, 1, int(scene.rng.integers(6, 14))):
        top = start + share * (end - start) - lift
        foot = np.array([top[0], float(scene.ground(top[0], top[2])), top[2]])
        _rod(scene, foot, top, 0.8 * width, texture)
    _plate(scene, start, end, height)


def _lattice(scene: Scene) -> None:
    """An upright grid of flat bars: a fence, a scaffold, a window frame without glass."""
    start, end, width = _fence(scene, (0.3, 0.6))
    rng, along = scene.rng, end - start
    height = rng.uniform(0.25, 0.5) * scene.texture_span
    lift, texture = np.array([0, -height, 0]), scene.texture()
    unit = along / np.linalg.norm(along)
    front = np.cross(unit, (0, 1, 0)) * 0.2 * width
    for share in np.linspace(0, 1, int(rng.integers(4, 9))):
        scene.quad(start + share * along - unit * width / 2, lift, unit * width, texture)
    for share in np.linspace(0.05, 1, int(rng.integers(3, 7))):
        scene.quad(start + share * lift + front, along, np.array([0, width, 0]), texture)
    _plate(scene, start, end, height)


def _wires(scene: Scene) -> None:
    """Wires that sag between two poles."""
    start, end, width = _fence(scene, (0.4, 0.8))
    rng, span = scene.rng, scene.texture_span
    height = rng.uniform(0.3, 0.6) * span
    lift, texture = np.array([0, height, 0]), scene.texture()
    for foot in (start, end):
        _rod(scene, foot, foot - lift, 1.5 * width, texture)
    share = np.linspace(0, 1, 6)[:, None]
    for level in rng.uniform(0.6, 1.0, int(rng.integers(2, 4))):
        sag = np.array([0, rng.uniform(0.03, 0.1) * span, 0]) * 4 * share * (1 - share)
        points = start + share * (end - start) - level * lift + sag
        for a, b in itertools.pairwise(points):
            _rod(scene, a, b, 0.7 * width, texture)
    _plate(scene, start, end, height)


def _twig(scene: Scene) -> None:
    """A stem with a few branches and a crown of leaves."""
    rng, span = scene.rng, scene.texture_span
    foot, height, width = _on_the_ground(scene, 1.0), rng.uniform(0.15, 0.4) * span, rng.uniform(*WIDTH) * span
    top, radius = foot - (0, height, 0), rng.uniform(0.06, 0.14) * span
    wood, green = scene.texture(), scene.texture()
    _rod(scene, foot, top, width, wood)
    for _ in range(4):
        _rod(scene, top, top + _direction(rng) * radius, 0.6 * width, wood)
    for _ in range(int(rng.integers(25, 45))):
        along, length = _direction(rng), rng.uniform(*LEAF) * span
        across = _direction(rng, along) * length / 6
        tip = top + _direction(rng) * radius * rng.uniform(0.3, 1)
        scene.quad(tip, along * length / 2 + across, along * length / 2 - across, green)
    _solid(scene, foot - (0, height / 2, 0), (width, height, width), np.eye(3))
    _solid(scene, top, (2 * radius, 2 * radius, 2 * radius), np.eye(3))
