"""Cameras and points for the page's three-dimensional view."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from traqpoint.io.colmap_model import ColmapModel
from traqpoint.viz.page import encoded

MAX_POINTS = 60_000
"""More make a page of several megabytes, and show no more."""
MAX_SPACED = 500
"""Cameras whose nearest ones are looked for, among all."""
_FAR = 30.0
"""In units of the middle nine tenths' radius: points beyond are mistakes, mostly, and would be far outside."""


def scene(
    model: ColmapModel,
    colours: np.ndarray,
    images: Sequence[str],
    up: np.ndarray,
    links: Sequence[tuple[str, str, float]] = (),
    found: Collection[str] | None = None,
) -> dict[str, Any]:
    """What scene.js draws, turned so that z is up and scaled so that the middle of the scene is about 1 large.

    colours: (P, 3) uint8 of the model's points. images: all names, in the order of the page's table; the model may have
    others. up: (3,) in the model's world. links: pairs of registered images, with a weight in [0, 1]. found: images
    whose cameras stand out among the others'.
    """
    centres = {name: _centre(image.cam_from_world.numpy()) for name, image in model.images.items()}
    xyz = model.xyz.numpy()
    everything = np.concatenate([xyz, np.stack(list(centres.values()))])
    middle = np.median(everything, axis=0)
    radius = max(float(np.quantile(np.linalg.norm(everything - middle, axis=1), 0.9)), 1e-9)
    turn = _turn(up) / radius
    shown = np.flatnonzero(np.linalg.norm(xyz - middle, axis=1) < _FAR * radius)
    if len(shown) > MAX_POINTS:
        shown = np.random.default_rng(0).choice(shown, MAX_POINTS, replace=False)
    spacing = _spacing(np.stack(list(centres.values())))
    size = float(np.clip(0.6 * spacing / radius, 0.02, 0.12))
    place = {name: number for number, name in enumerate(images)}
    cameras = []
    for name, image in model.images.items():
        world_from_cam = np.linalg.inv(image.cam_from_world.numpy())
        width, height = image.camera.image_size
        K = image.camera.K.numpy()
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - K[:2, 2]
        rays = np.concatenate([corners / K.diagonal()[:2], np.ones((4, 1))], axis=1)
        rays *= size * radius / np.linalg.norm(rays[:, :2], axis=1, keepdims=True)
        centre = turn @ (centres[name] - middle)
        drawn = (turn @ (world_from_cam[:3, :3] @ rays.T)).T + centre
        corners = [_short(corner) for corner in drawn]
        where = {"image": place.get(name, -1), "name": name, "centre": _short(centre), "corners": corners}
        cameras.append({**where, "found": name in found} if found is not None else where)
    number = {name: i for i, name in enumerate(model.images)}
    return {
        "points": encoded(((xyz[shown] - middle) @ turn.T).astype(np.float32)),
        "colours": encoded(colours[shown].astype(np.uint8)),
        "cameras": cameras,
        "links": [[number[a], number[b], round(weight, 2)] for a, b, weight in links],
    }


def world_up(model: ColmapModel, up_in_image: dict[str, np.ndarray]) -> np.ndarray:
    """(3,) what is up in the world, by the mean of the images. up_in_image: (2,) pixels, by name; usually (0, -1)."""
    ups = [
        image.cam_from_world[:3, :3].numpy().T @ np.append(up_in_image.get(name, np.array([0.0, -1.0])), 0.0)
        for name, image in model.images.items()
    ]
    total = np.sum(ups, axis=0)
    return total / np.linalg.norm(total) if np.linalg.norm(total) > 1e-6 else np.array([0.0, -1.0, 0.0])


def _turn(up: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) that turns `up` to z."""
    helper = np.eye(3)[np.argmin(np.abs(up))]
    x = np.cross(helper, up)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(up, x), up])


def _centre(cam_from_world: np.ndarray) -> np.ndarray:
    return -cam_from_world[:3, :3].T @ cam_from_world[:3, 3]


def _spacing(centres: np.ndarray) -> float:
    """Median distance to the nearest other camera, of MAX_SPACED cameras (N, 3) at most."""
    if len(centres) < 2:
        return 0.0
    some = centres[:: math.ceil(len(centres) / MAX_SPACED)]
    return float(np.median([np.partition(np.linalg.norm(centres - centre, axis=1), 1)[1] for centre in some]))


def _short(vector: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in vector]
