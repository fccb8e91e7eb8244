"""A scene as it is built: flat pieces with texture and shade, solids, room for cameras. World: metres, +y is down."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from traqpoint.data.worlds.render import Surfaces

AMBIENT, DIRECT = 0.75, 0.3
"""Brightness of a face at right angles to the light, and what facing it adds; by eye, so that a box has faces."""
WAVE = 0.15
"""How far brightness departs from its mean in space, so that a plane is not evenly lit."""
PICTURE_DEPTH = 0.001
"""How far pictures stand off their wall, in wall heights: enough to be in front, too little for a parallax."""

Move = Callable[[np.ndarray, np.ndarray, float, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""(eye (3,), target (3,), length, time (T, 1) from 0 to 1, rng) -> eyes (T, 3), targets (T, 3). Length is in metres;
rotations turn by length / distance radians."""


@dataclass
class Scene:
    """One scene: its pieces, its solids and the space that cameras may use.

    solids: (centre (3,), rotation (3, 3), half size (3,)) each. eyes, targets: (2, 3), corners of the boxes from which
    the eye and the point looked at are drawn. floor: (2, 2), corners in (x, z) of where things stand. waves: (4, 4),
    the ground of hilly scenes as rows kx, kz, phase, height. vectors: origin, a, b (3, 3) of each piece. normals: (3,)
    of each piece, towards its lit side.
    """

    rng: np.random.Generator
    num_textures: int
    texture_span: float
    """Metres that one texture spans, so that texels are about as large as pixels."""
    repeated: tuple[float, int] = (0.0, 0)
    """Share of the surfaces with a texture that repeats, and how many such textures follow the others."""
    eyes: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)))
    targets: np.ndarray = field(default_factory=lambda: np.zeros((2, 3)))
    solids: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    floor: np.ndarray = field(default_factory=lambda: np.zeros((2, 2)))
    waves: np.ndarray | None = None

    def __post_init__(self) -> None:
        # Effects draw from a stream of their own: with or without them, the rest of the scene is the same.
        self.effects = self.rng.spawn(1)[0]
        self.vectors: list[np.ndarray] = []
        self.normals: list[np.ndarray] = []
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
        field_ = 1 + WAVE * np.sin(corners @ self.light_wave + self.light_phase)
        return facing * field_

    def _add(self, origin, a, b, triangle: bool, texture: int, group: int, uv: np.ndarray, normal: np.ndarray) -> None:
        at_origin, at_a, at_b = self._shade(np.stack([origin, origin + a, origin + b]), normal)
        self.vectors.append(np.stack([origin, a, b]))
        self.normals.append(normal)
        self.flags.append((triangle, texture, group))
        self.maps.append(np.vstack([uv, [at_a - at_origin, at_b - at_origin, at_origin]]))

    def texture(self) -> int:
        """Number of a texture drawn at random, an ordinary one or one that repeats."""
        index = int(self.rng.integers(self.num_textures))
        share, count = self.repeated
        if share > 0 and self.effects.random() < share:
            index = self.num_textures + int(self.effects.integers(count))
        return index

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
            uv = yaw(self.rng.uniform(0, 2 * math.pi))[::2, ::2] @ uv
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


def yaw(angle: float) -> np.ndarray:
    """Rotation (3, 3) about the y axis by `angle` radians."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


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


@dataclass(frozen=True)
class Kind:
    """A kind of scene. build: fills an empty scene, with so many objects. span: texture span in metres, the usual
    viewing distance: one texture then fills about one view."""

    build: Callable[[Scene, int], None]
    span: float
