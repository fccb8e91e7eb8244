"""Random scenes of textured flat pieces: rooms, streets, table tops and hilly ground. World: metres, +y is down."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import torch

from traqpoint.data.render import Surfaces

AMBIENT, DIRECT = 0.75, 0.3
"""Brightness of a face at right angles to the light, and what facing it adds; by eye, so that a box has faces."""
PICTURE_DEPTH = 0.001
"""How far pictures stand off their wall, in wall heights: enough to be in front, too little for a parallax."""


@dataclass
class Scene:
    """One scene: its pieces, its solids and the space that cameras may use.

    solids: (centre (3,), rotation (3, 3), half size (3,)) each. eyes, targets: (2, 3), corners of the boxes from which
    the eye and the point looked at are drawn. waves: (4, 4), the ground of hilly scenes as rows kx, kz, phase, height.
    """

    rng: np.random.Generator
    num_textures: int
    texture_span: float
    """Metres that one texture spans, so that texels are about as large as pixels."""
    eyes: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)))
    targets: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)))
    solids: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    waves: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.vectors: list[np.ndarray] = []
        self.flags: list[tuple[bool, int, int]] = []
        self.maps: list[np.ndarray] = []
        self.groups = 0
        light = self.rng.normal(size=3) * (1, 0.3, 1) + (0, -1.0, 0)
        self.light = light / np.linalg.norm(light)
        # A slow change of brightness through space, so that a plane is not evenly lit.
        self.light_wave = self.rng.normal(size=3) * 0.5 / self.texture_span
        self.light_phase = self.rng.uniform(0, 2 * np.pi)

    def _shade(self, corners: np.ndarray, normal: np.ndarray) -> np.ndarray:
        facing = AMBIENT + DIRECT * float(normal @ self.light)
        field_ = 1 + 0.15 * np.sin(corners @ self.light_wave + self.light_phase)
        return facing * field_

    def _add(self, origin, a, b, triangle: bool, texture: int, group: int, uv: np.ndarray, normal: np.ndarray) -> None:
        at_origin, at_a, at_b = self._shade(np.stack([origin, origin + a, origin + b]), normal)
        self.vectors.append(np.stack([origin, a, b]))
        self.flags.append((triangle, texture, group))
        self.maps.append(np.vstack([uv, [at_a - at_origin, at_b - at_origin, at_origin]]))

    def texture(self) -> int:
        return int(self.rng.integers(self.num_textures))

    def quad(self, origin, a, b, texture: int | None = None, span: float | None = None) -> None:
        """A parallelogram that faces along cross(b, a), with its own piece of a texture."""
        origin, a, b = (np.asarray(v, dtype=np.float64) for v in (origin, a, b))
        length = np.array([np.linalg.norm(a), np.linalg.norm(b)])
        # Small pieces show at least 40 % of a texture: a smaller part of a photograph is often bare.
        span = span or self.texture_span * math.exp(self.rng.uniform(-0.4, 0.4))
        repeat = length / min(span, float(length.max()) / 0.4)
        uv = np.array([[repeat[0], 0, 0], [0, repeat[1], 0]])
        if self.rng.random() < 0.5:
            uv = uv[::-1].copy()
        uv[:, :2] *= self.rng.choice([-1, 1], size=(2, 1))
        normal = np.cross(b, a)
        normal /= max(float(np.linalg.norm(normal)), 1e-12)
        if abs(normal[1]) > 0.9:
            # Up, on the ground, is nowhere: floors lie at any angle.
            uv = _yaw(self.rng.uniform(0, 2 * math.pi))[::2, ::2] @ uv
        uv[:, 2] = self.rng.uniform(0, 2, size=2)
        self.groups += 1
        self._add(origin, a, b, False, self.texture() if texture is None else texture, self.groups, uv, normal)

    def box(self, centre, size, rotation: np.ndarray, solid: bool = True) -> None:
        """A box without its lower face. size: (3,) along the rotated axes x, y (down), z."""
        centre, half = np.asarray(centre, dtype=np.float64), np.asarray(size, dtype=np.float64) / 2
        x, y, z = (rotation[:, i] * half[i] for i in range(3))
        texture = self.texture() if self.rng.random() < 0.3 else None
        for out, a, b in ((-y, z, x), (x, z, y), (-x, -z, y), (z, -x, y), (-z, x, y)):
            self.quad(centre + out - a - b, 2 * a, 2 * b, texture)
        if solid:
            self.solids.append((centre, rotation, half))

    def wall(self, origin, a, b, panels: int, pictures: int) -> None:
        """A wall, divided into panels along `a`, with pictures that stand off it a little."""
        origin, a, b = (np.asarray(v, dtype=np.float64) for v in (origin, a, b))
        cuts = np.concatenate([[0], np.sort(self.rng.uniform(0.2, 0.8, panels - 1)), [1]])
        for low, high in itertools.pairwise(cuts):
            self.quad(origin + low * a, (high - low) * a, b)
        self.pictures(origin, a, b, pictures)

    def pictures(self, origin, a, b, count: int) -> None:
        """Smaller pieces at random places in front of a rectangle: posters on a wall, rugs on a floor."""
        origin, a, b = (np.asarray(v, dtype=np.float64) for v in (origin, a, b))
        length, height = np.linalg.norm(a), np.linalg.norm(b)
        normal = np.cross(b, a) / (length * height)
        for i in range(count):
            size = self.rng.uniform(0.12, 0.4, 2) * min(length, height)
            place = self.rng.uniform(0, 1, 2) * np.clip([length - size[0], height - size[1]], 0, None)
            corner = origin + a / length * place[0] + b / height * place[1] + normal * PICTURE_DEPTH * (i + 1) * height
            self.quad(corner, a / length * size[0], b / height * size[1])

    def ground(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Height y of the ground; 0 where it is flat."""
        if self.waves is None:
            return np.zeros_like(x)
        kx, kz, phase, amplitude = (w[:, None] for w in self.waves.T)
        flat = np.sin(kx * np.ravel(x) + kz * np.ravel(z) + phase) * amplitude
        return flat.sum(0).reshape(np.shape(x))

    def hills(self, half: float, cells: int, height: float) -> None:
        """A height field of 2 cells² triangles, half × half metres to each side of the origin."""
        k = self.rng.normal(size=(4, 2)) * 2.2 / half
        self.waves = np.column_stack([k, self.rng.uniform(0, 2 * np.pi, 4), self.rng.uniform(0.2, 0.5, 4) * height])
        grid = np.linspace(-half, half, cells + 1)
        gx, gz = np.meshgrid(grid, grid, indexing="ij")
        points = np.stack([gx, self.ground(gx, gz), gz], axis=-1)
        self.groups += 1
        texture, group = self.texture(), self.groups
        plan = self.rng.uniform(0, 2, 2)
        for i in range(cells):
            for j in range(cells):
                for o, p, q in (
                    (points[i, j], points[i + 1, j], points[i, j + 1]),
                    (points[i + 1, j + 1], points[i, j + 1], points[i + 1, j]),
                ):
                    a, b = p - o, q - o
                    uv = np.stack([a[[0, 2]], b[[0, 2]], o[[0, 2]]], axis=1) / self.texture_span
                    uv[:, 2] += plan
                    normal = np.cross(a, b)
                    normal *= -np.sign(normal[1]) / np.linalg.norm(normal)
                    self._add(o, a, b, True, texture, group, uv, normal)

    def backdrop(self, distance: float, height: float) -> None:
        """Eight far walls all around, so that little sky is seen."""
        for i in range(8):
            p, q = (
                distance * np.array([math.cos(w), 0, math.sin(w)]) for w in ((i + 1) * math.pi / 4, i * math.pi / 4)
            )
            lift = np.array([0, height * self.rng.uniform(0.6, 1.2), 0])
            self.quad(p - lift, q - p, lift + np.array([0, 2.0, 0]), span=distance * self.rng.uniform(0.25, 0.5))

    def free(self, eye: np.ndarray, clearance: float) -> np.ndarray:
        """(N,) bool: eyes (N, 3) inside the space for cameras and at least `clearance` outside every solid."""
        ok = ((eye >= self.eyes[0]) & (eye <= self.eyes[1])).all(1)
        ok &= eye[:, 1] < self.ground(eye[:, 0], eye[:, 2]) - clearance
        for centre, rotation, half in self.solids:
            ok &= (np.abs((eye - centre) @ rotation) > half + clearance).any(1)
        return ok


def _yaw(angle: float) -> np.ndarray:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _clutter(scene: Scene, count: int, low, high, size: tuple[float, float], tall: float) -> None:
    """Boxes on the ground between (x, z) `low` and `high`, some with a smaller one on top."""
    for _ in range(count):
        x, z = scene.rng.uniform(low, high)
        extent = scene.rng.uniform(*size, 3) * (1, tall, 1)
        rotation = _yaw(scene.rng.uniform(0, math.pi))
        base = float(scene.ground(np.array(x), np.array(z)))
        # Boxes stand a little in hilly ground, so that none floats.
        sunk = 0.3 * extent[1] if scene.waves is not None else 0.0
        scene.box((x, base + sunk - extent[1] / 2, z), extent, rotation)
        if scene.rng.random() < 0.3:
            top = extent * scene.rng.uniform(0.4, 0.8, 3)
            y = base + sunk - extent[1] - top[1] / 2
            scene.box((x, y, z), top, rotation @ _yaw(scene.rng.uniform(-0.5, 0.5)))


def room(scene: Scene, objects: int) -> None:
    rng = scene.rng
    (w, d), h = rng.uniform(2.2, 4, 2), rng.uniform(2.4, 3.4)
    scene.quad((-w, 0, -d), (0, 0, 2 * d), (2 * w, 0, 0))
    scene.pictures((-w, 0, -d), (0, 0, 2 * d), (2 * w, 0, 0), 2)
    scene.quad((-w, -h, -d), (2 * w, 0, 0), (0, 0, 2 * d))
    corners = np.array([[-w, -h, d], [w, -h, d], [w, -h, -d], [-w, -h, -d]])
    for i in range(4):
        scene.wall(corners[i], corners[(i + 1) % 4] - corners[i], (0, h, 0), int(rng.integers(1, 3)), 2)
    _clutter(scene, objects, (-w * 0.85, -d * 0.85), (w * 0.85, d * 0.85), (0.3, 1.1), 1.2)
    scene.eyes = np.array([[0.4 - w, 0.4 - h, 0.4 - d], [w - 0.4, -0.6, d - 0.4]])
    scene.targets = np.array([[-0.8 * w, -0.7 * h, -0.8 * d], [0.8 * w, -0.1, 0.8 * d]])


def street(scene: Scene, objects: int) -> None:
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
    scene.box((side, -3.5, rng.uniform(1, 6)), (5, 7, rng.uniform(5, 9)), _yaw(rng.uniform(-0.3, 0.3)))
    _clutter(scene, objects, (-6.0, 1.0), (6.0, front - 0.5), (0.5, 1.8), 1.0)
    scene.eyes = np.array([[-6, -3.5, -4], [6, -1.0, front - 3]])
    scene.targets = np.array([[-5, -4, front - 2], [5, -0.5, front]])


def table(scene: Scene, objects: int) -> None:
    rng = scene.rng
    w, d = rng.uniform(0.5, 0.9), rng.uniform(0.4, 0.7)
    scene.box((0, 0.02, 0), (2 * w, 0.04, 2 * d), np.eye(3))
    scene.quad((-3, 0.75, -3), (0, 0, 6), (6, 0, 0), span=2.0)
    scene.pictures((-3, 0.75, -3), (0, 0, 6), (6, 0, 0), 2)
    distance = rng.uniform(1.8, 2.8)
    for i in range(4):
        turn = _yaw(i * math.pi / 2)
        a, b = turn @ (2 * distance, 0, 0), np.array([0, 2.6, 0])
        origin = turn @ (-distance, 0, distance) + (0, 0.75 - 2.6, 0)
        scene.quad(origin, a, b, span=2.0 * rng.uniform(0.7, 1.4))
    _clutter(scene, objects, (-0.85 * w, -0.85 * d), (0.85 * w, 0.85 * d), (0.06, 0.3), 0.9)
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
    rng = scene.rng
    scene.hills(12.0, 8, rng.uniform(0.6, 1.6))
    scene.quad((-80, 2.0, -80), (0, 0, 160), (160, 0, 0))
    scene.backdrop(rng.uniform(25, 45), 14.0)
    _clutter(scene, objects, (-7.0, -7.0), (7.0, 7.0), (0.5, 2.0), 1.0)
    scene.eyes = np.array([[-9, -6.0, -9], [9, 0, 9]])
    scene.targets = np.array([[-4, -0.5, -4], [4, 0.5, 4]])


KINDS = {"room": (room, 3.0), "street": (street, 6.0), "table": (table, 0.8), "hills": (hills, 5.0)}
"""Builder and texture span in metres. The span is the usual viewing distance: one texture then fills about one view."""


def draw_scene(kind: str, objects: int, num_textures: int, rng: np.random.Generator) -> Scene:
    """A new scene of `kind` with `objects` boxes or stacks of boxes."""
    build, span = KINDS[kind]
    scene = Scene(rng, num_textures, span)
    build(scene, objects)
    return scene


def stack_scenes(scenes: list[Scene]) -> Surfaces:
    """Scenes of any size -> one batch, the short ones filled up with empty places."""
    size = max(len(s.vectors) for s in scenes)
    vectors, maps = np.zeros((len(scenes), size, 3, 3)), np.zeros((len(scenes), size, 3, 3))
    flags = np.zeros((len(scenes), size, 3), dtype=np.int64)
    for i, scene in enumerate(scenes):
        n = len(scene.vectors)
        vectors[i, :n], maps[i, :n], flags[i, :n] = scene.vectors, scene.maps, scene.flags
    bright = np.stack([s.rng.uniform(0.75, 0.95, 3) for s in scenes])
    sky = np.stack([bright, bright * np.stack([s.rng.uniform(0.4, 0.9, 3) for s in scenes])], axis=1)
    origin, a, b = torch.from_numpy(vectors).unbind(2)
    triangle, texture, group = torch.from_numpy(flags).unbind(2)
    uv_shade = torch.from_numpy(maps)
    return Surfaces(
        origin, a, b, triangle.bool(), group, texture, uv_shade[..., :2, :], uv_shade[..., 2, :], torch.from_numpy(sky)
    )
