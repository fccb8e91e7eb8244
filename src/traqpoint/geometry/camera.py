"""Pinhole cameras with COLMAP's distortion models, in COLMAP's pixel convention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from traqpoint.errors import GeometryError
from traqpoint.geometry.transforms import scaling, translation

PARAMETERS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
}
"""Parameter order per model, as in COLMAP's cameras.txt."""
LEAST_FOCAL = 0.1
"""In longer sides of the image: 157 degrees of view, more than any pinhole camera has."""


@dataclass(frozen=True)
class Camera:
    """One camera. model: a key of PARAMETERS. params: (P,) in COLMAP's order. image_size: (W, H)."""

    model: str
    image_size: tuple[int, int]
    params: Tensor

    def __post_init__(self) -> None:
        if self.model not in PARAMETERS:
            raise GeometryError(f"camera model {self.model!r} is not one of {', '.join(PARAMETERS)}")
        if self.params.shape != (len(PARAMETERS[self.model]),):
            raise GeometryError(
                f"{self.model} has parameters {', '.join(PARAMETERS[self.model])}; got {self.params.numel()} numbers"
            )
        focal = torch.stack([self._parameter("fx"), self._parameter("fy")])
        if not bool(torch.isfinite(self.params).all()) or not bool((focal > 0).all()):
            raise GeometryError(f"{self.model}: parameters must be finite with positive focal length")

    def _parameter(self, name: str) -> Tensor:
        names = PARAMETERS[self.model]
        if name in names:
            return self.params[names.index(name)]
        if name in ("fx", "fy"):
            return self.params[0]
        return self.params.new_zeros(())

    @property
    def K(self) -> Tensor:
        """(3, 3) calibration matrix, without distortion."""
        K = torch.eye(3, dtype=self.params.dtype, device=self.params.device)
        K[0, 0], K[1, 1] = self._parameter("fx"), self._parameter("fy")
        K[0, 2], K[1, 2] = self._parameter("cx"), self._parameter("cy")
        return K

    @property
    def distortion(self) -> Tensor:
        """(4,) k1 k2 p1 p2, OpenCV's order."""
        return torch.stack([self._parameter(name) for name in ("k1", "k2", "p1", "p2")])

    def project(self, points: Tensor) -> Tensor:
        """Points in the camera frame (..., 3) -> pixels (..., 2); NaN for points at or behind the camera."""
        z = points[..., 2:]
        xy = torch.where(z > 1e-8, points[..., :2] / z, torch.full_like(points[..., :2], torch.nan))
        focal, centre = self.K.diagonal()[:2], self.K[:2, 2]
        return _distort(xy, self.distortion) * focal + centre

    def unproject(self, xy: Tensor) -> Tensor:
        """Pixels (..., 2) -> rays (..., 3) with z = 1."""
        focal, centre = self.K.diagonal()[:2], self.K[:2, 2]
        distorted = (xy - centre) / focal
        undistorted = distorted
        if bool((self.distortion != 0).any()):
            # Newton's method on the 2x2 system; a fixed-point iteration diverges for wide fields of view.
            for _ in range(20):
                residual = _distort(undistorted, self.distortion) - distorted
                step = torch.linalg.solve(_distortion_jacobian(undistorted, self.distortion), residual.unsqueeze(-1))
                undistorted = undistorted - step.squeeze(-1)
        return torch.cat([undistorted, torch.ones_like(undistorted[..., :1])], dim=-1)

    def _transformed(self, transform: Tensor, image_size: tuple[int, int]) -> Camera:
        K = transform.to(self.params) @ self.K
        params = self.params.clone()
        for i, name in enumerate(PARAMETERS[self.model]):
            if name in ("f", "fx"):
                params[i] = K[0, 0]
            elif name == "fy":
                params[i] = K[1, 1]
            elif name in ("cx", "cy"):
                params[i] = K[int(name == "cy"), 2]
        return Camera(self.model, image_size, params)

    def resized(self, image_size: tuple[int, int]) -> Camera:
        """The camera of the image resized to (W, H). Raises GeometryError if one focal length must become two."""
        sx = image_size[0] / self.image_size[0]
        sy = image_size[1] / self.image_size[1]
        if "f" in PARAMETERS[self.model] and abs(sx / sy - 1) > 1e-2:
            raise GeometryError(f"{self.model} cannot be resized from {self.image_size} to {image_size}: use PINHOLE")
        return self._transformed(scaling(sx, sy), image_size)

    def cropped(self, corner: tuple[float, float], image_size: tuple[int, int]) -> Camera:
        """The camera of the crop of size (W, H) whose top-left corner is at `corner`."""
        return self._transformed(translation(-corner[0], -corner[1]), image_size)


def _distort(xy: Tensor, distortion: Tensor) -> Tensor:
    k1, k2, p1, p2 = distortion.unbind(-1)
    x, y = xy.unbind(-1)
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2 * r2
    dx = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    dy = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return torch.stack([x * radial + dx, y * radial + dy], dim=-1)


def _distortion_jacobian(xy: Tensor, distortion: Tensor) -> Tensor:
    k1, k2, p1, p2 = distortion.unbind(-1)
    x, y = xy.unbind(-1)
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2 * r2
    slope = 2 * (k1 + 2 * k2 * r2)
    off = slope * x * y + 2 * p1 * x + 2 * p2 * y
    xx = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
    yy = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
    return torch.stack([xx, off, off, yy], dim=-1).reshape(*x.shape, 2, 2)


def check_K(K: Tensor, image_size: tuple[int, int], name: str) -> Tensor:
    """Return K (3, 3) if it can be the calibration, in pixels, of an image of `image_size` (W, H).

    Raises GeometryError naming `name` where it is transposed, in another unit or another image's: no pinhole matrix, a
    principal point outside the image, or a focal length below LEAST_FOCAL of its longer side.
    """
    pinhole = bool(torch.isfinite(K).all()) and float(K.tril(-1).abs().max()) < 1e-6 and K[2, 2] == 1
    focal, (cx, cy) = K.diagonal()[:2].min(), K[:2, 2]
    inside = 0 < cx < image_size[0] and 0 < cy < image_size[1]
    if not pinhole or not inside or focal < LEAST_FOCAL * max(image_size):
        values = " ".join(f"{value:.6g}" for value in K.flatten().tolist())
        raise GeometryError(f"{name}: K = [{values}] cannot be of an image of {image_size[0]}x{image_size[1]} px")
    return K
